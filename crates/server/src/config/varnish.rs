//! What a `[[node]]` of Varnish has beside the others: its management port, and the cap on its bans.
//!
//! Invariant: the secret is what the file holds, byte by byte, as `varnishd -S` reads it: nothing is trimmed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use super::nodes::{KindName, NodeSection};

/// Bans that a list may hold where the file names no other cap. Each costs every older object a comparison
/// (measured: about 75 ns), so a thousand make the first hit of an old object dearer by less than 0.1 ms.
const BANS_MAX: u32 = 1_000;
/// Bytes of a secret file: Debian's holds 37.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// How the ban list of a Varnish is looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedManagement {
    /// Its `-T` address.
    pub address: SocketAddr,
    /// What its `-S` file holds.
    pub secret: Vec<u8>,
    /// With so many bans or more, directories wait.
    pub bans_max: u32,
}

impl fmt::Debug for CheckedManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedManagement")
            .field("address", &self.address)
            .field("bans_max", &self.bans_max)
            .finish_non_exhaustive()
    }
}

/// Checks the keys of a node that only Varnish has.
pub(super) fn management(section: &NodeSection) -> Result<Option<CheckedManagement>, String> {
    let (address, file) = match (section.management, &section.management_secret_file) {
        (None, None) if section.bans_max.is_none() => return Ok(None),
        (None, None) => return Err("bans_max means nothing without management".to_owned()),
        (Some(address), Some(file)) => (address, file),
        (Some(_), None) | (None, Some(_)) => {
            return Err("write management and management_secret_file, or neither".to_owned());
        }
    };
    if section.kind != KindName::Varnish {
        return Err("only Varnish has a management port".to_owned());
    }
    let bans_max = section.bans_max.unwrap_or(BANS_MAX);
    if bans_max == 0 {
        return Err("bans_max must be 1 or more: Varnish's list is never empty for long".to_owned());
    }
    let secret =
        read(file).map_err(|error| format!("management_secret_file: cannot read {}: {error}", file.display()))?;
    Ok(Some(CheckedManagement { address, secret, bans_max }))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut secret = Vec::new();
    File::open(file)?.take(SECRET_BYTES_MAX + 1).read_to_end(&mut secret)?;
    if secret.is_empty() || secret.len() as u64 > SECRET_BYTES_MAX {
        return Err(std::io::Error::other("it is empty or longer than 64 KiB"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn management_port_wants_its_secret_and_a_varnish() {
        let directory = tempfile::tempdir().expect("a writable directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, b"\xff secret\n").expect("writable");
        let file = file.display();
        let node = |kind: &str, keys: &str| {
            let text =
                format!("name = \"n\"\narea = \"mainland\"\nkind = \"{kind}\"\naddress = \"127.0.0.1:80\"\n{keys}");
            management(&toml::from_str(&text).expect("a node"))
        };
        let port = "management = \"127.0.0.1:6082\"\n";
        let secret = format!("management_secret_file = \"{file}\"\n");
        assert_eq!(node("varnish", ""), Ok(None));
        let checked = node("varnish", &format!("{port}{secret}")).expect("whole").expect("a port");
        assert_eq!((checked.secret.as_slice(), checked.bans_max), (b"\xff secret\n".as_slice(), BANS_MAX));
        assert!(!format!("{checked:?}").contains("secret"));
        for (kind, keys, why) in [
            ("varnish", port.to_owned(), "or neither"),
            ("varnish", secret.clone(), "or neither"),
            ("varnish", "bans_max = 5\n".to_owned(), "without management"),
            ("varnish", format!("{port}{secret}bans_max = 0\n"), "1 or more"),
            ("nginx", format!("{port}{secret}"), "only Varnish"),
            ("varnish", format!("{port}management_secret_file = \"/nowhere\"\n"), "cannot read /nowhere"),
        ] {
            assert!(node(kind, &keys).expect_err(&keys).contains(why), "{keys}");
        }
    }
}
