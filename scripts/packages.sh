# shellcheck shell=bash
# Debian packages for scripts/quickstart and scripts/test. Sourced, not run.

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# A program is looked for where root finds it too: servers live in /usr/sbin.
find_program() { PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "not root, and sudo is missing. Run as root: $*"
    fi
}

need_cargo() {
    command -v cargo >/dev/null || fail "cargo is missing. Install Rust first: https://rustup.rs"
}

# Adds to the array `missing` the packages of the C build: SQLite, zstd and ring are compiled by cc, zlib-ng by cmake and make.
want_build_packages() {
    if ! find_program cc >/dev/null || ! find_program c++ >/dev/null || ! find_program make >/dev/null; then
        missing+=(build-essential)
    fi
    find_program cmake >/dev/null || missing+=(cmake)
}

# Installs the packages named. Debian starts a server as soon as it is installed; policy-rc.d says no to that, and is
# put back as it was, whatever happens.
install_packages() (
    [ "$#" -gt 0 ] || exit 0
    command -v apt-get >/dev/null || fail "missing: $*. This script knows apt-get only; install their like by your own package manager."
    say "Installing with apt-get: $*"
    policy=/usr/sbin/policy-rc.d
    kept=
    if [ -e "$policy" ]; then
        kept=$(mktemp)
        as_root cp -p "$policy" "$kept"
    fi
    restore() {
        if [ -n "$kept" ]; then
            as_root cp -p "$kept" "$policy"
            as_root rm -f "$kept"
        else
            as_root rm -f "$policy"
        fi
    }
    trap restore EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
)
