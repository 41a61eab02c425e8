//! `[receipts]`: in whose name and with which key receipts are signed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Bytes of a server's name.
const NAME_BYTES_MAX: usize = 255;

/// `[receipts]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptsSection {
    /// The file with the Ed25519 key, PEM (PKCS #8); default: the database's name with `.receipts.pem` behind it. Made
    /// at the first start, readable for its owner only.
    pub signing_key_file: Option<PathBuf>,
    /// The server's name in what it signs, 1 to 255 printable characters; default: the machine's host name.
    pub server_name: Option<String>,
}

impl ReceiptsSection {
    /// What is wrong with the values.
    pub(super) fn problems(&self) -> Vec<String> {
        let fits = |name: &String| (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        match &self.server_name {
            Some(name) if !fits(name) => {
                vec![format!("[receipts] server_name: must be 1 to {NAME_BYTES_MAX} printable characters")]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// The name to sign in.
    #[must_use]
    pub fn name(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.server_name.clone().unwrap_or_else(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_section_may_be_empty_and_a_name_must_be_printable() {
        let section: ReceiptsSection = toml::from_str("").expect("every value has a default");
        assert_eq!(section.problems(), Vec::<String>::new());
        assert!(!section.name().is_empty());
        for wrong in ["", "a\\nb"] {
            let section: ReceiptsSection = toml::from_str(&format!("server_name = \"{wrong}\"")).expect("well formed");
            assert_eq!(section.problems().len(), 1, "{wrong:?}");
        }
    }
}
