# Shortcuts; each line can be typed by hand as well.

# Everything that CI checks.
test:
    scripts/test

# The tests of one crate: `just check core`.
check crate:
    cargo clippy --package catharsis-{{crate}} --all-targets -- -D warnings
    cargo nextest run --package catharsis-{{crate}}

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings

tidy:
    cargo xtask tidy

run *args:
    scripts/quickstart {{args}}

# Known vulnerabilities and yanked crates. Needs the RustSec database, so it is not part of `test`.
audit:
    cargo deny --all-features check advisories

# Fuzzes a parser, new inputs below fuzz/target: `just fuzz cache_url 600`. Needs nightly Rust and cargo-fuzz; see fuzz/README.md.
fuzz target seconds:
    mkdir -p fuzz/target/corpus/{{target}}
    cargo +nightly fuzz run {{target}} fuzz/target/corpus/{{target}} fuzz/corpus/{{target}} -- -max_total_time={{seconds}} -rss_limit_mb=512 -timeout=5

# Simulations with contents: `just sim --seeds 10000`; one again: `just sim --seed 17`. 7,300 seeds are 10^7 node-purges.
sim *args:
    cargo run --quiet --release --package catharsis-testkit --example simulate -- {{args}}

# Purges at random moments of slow fetches, and what clients then get: `just oracle --setup edge --purges 10000`. See docs/testing.md.
oracle *args:
    cargo xtask oracle {{args}}

# The whole binary and real caches killed, frozen, cut off, by seeded schedules: `just chaos --seeds 0..300`. See docs/testing.md.
chaos *args:
    cargo xtask chaos {{args}}
