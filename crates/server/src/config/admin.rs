//! `[admin]`: where operators manage accounts, keys, policies and domains.
//!
//! Invariant: the credential and the secrets in answers travel unencrypted only where the file says so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checked::{Problems, one_secret};
use super::units::{Secret, Span};
use crate::http::{Tls, TlsFiles};

/// How often the certificate's files are looked at, as by default in `[api]`.
const TLS_RELOAD: Span = Span::seconds(10);

/// Characters of a credential: too many to try, and few enough for a header.
const TOKEN_CHARACTERS: std::ops::RangeInclusive<usize> = 16..=4_096;

/// The admin API. Exactly one of `token` and `token_file` is given.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSection {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The operator's credential, sent as `Authorization: Bearer …`: 16 to 4096 visible ASCII characters.
    pub token: Option<Secret>,
    /// A file that holds the credential and nothing else.
    pub token_file: Option<PathBuf>,
    /// The certificate chain in PEM, the server's own certificate first. With `tls_key`: HTTPS instead of HTTP.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key in PEM, without a password.
    pub tls_key: Option<PathBuf>,
    /// Whether `listen` may be another than a loopback address without TLS, default `never`.
    #[serde(default)]
    pub allow_remote: RemoteName,
}

/// How the admin API may be reached from other machines without TLS of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RemoteName {
    /// Not at all.
    #[default]
    Never,
    /// Unencrypted: something else must protect the way, such as a tunnel or a proxy with TLS.
    Plain,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct CheckedAdmin {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The operator's credential.
    pub credential: Secret,
    /// The certificate, where it has one.
    pub tls: Option<Arc<Tls>>,
}

/// Checks the section.
pub(super) fn check(section: &AdminSection, problems: &mut Problems) -> Option<CheckedAdmin> {
    const PATH: &str = "[admin]";
    let wants_tls = section.tls_certificate.is_some() || section.tls_key.is_some();
    match section.allow_remote {
        RemoteName::Never if !section.listen.ip().is_loopback() && !wants_tls => problems.add(format!(
            "{PATH} listen: {} is not a loopback address, and the credential and new secrets would travel unencrypted: \
             write tls_certificate and tls_key, or `allow_remote = \"plain\"`",
            section.listen
        )),
        RemoteName::Never | RemoteName::Plain => {}
    }
    let tls = tls(section, problems);
    let given = one_secret(section.token.as_ref(), section.token_file.as_deref(), "token");
    let Some(credential) = problems.keep(PATH, given)? else {
        problems.add(format!("{PATH}: write token or token_file"));
        return None;
    };
    if !TOKEN_CHARACTERS.contains(&credential.expose().len()) {
        let (least, most) = (TOKEN_CHARACTERS.start(), TOKEN_CHARACTERS.end());
        problems.add(format!("{PATH} token: it must have from {least} to {most} characters"));
        return None;
    }
    Some(CheckedAdmin { listen: section.listen, credential, tls })
}

fn tls(section: &AdminSection, problems: &mut Problems) -> Option<Arc<Tls>> {
    match (&section.tls_certificate, &section.tls_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
            problems.keep("[admin] tls", Tls::load(files, TLS_RELOAD.0)).map(Arc::new)
        }
        (Some(_), None) | (None, Some(_)) => {
            problems.add("[admin] tls_certificate and tls_key: write both or none");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};

    fn problems(admin: &str) -> Vec<String> {
        let text = format!(
            "[api]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"/nowhere/x.db\"\n[[account]]\nuin = 1\n[admin]\n{admin}"
        );
        let config: Config = toml::from_str(&text).expect("the keys are known");
        match config.check() {
            Ok(checked) => {
                assert!(checked.admin.is_some());
                Vec::new()
            }
            Err(ConfigError::Problems(problems)) => problems,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn credential_is_long_and_leaves_this_machine_only_when_the_file_says_so() {
        const TOKEN: &str = "token = \"0123456789abcdef\"\n";
        for (admin, problem) in [
            (format!("listen = \"127.0.0.1:1\"\n{TOKEN}"), None),
            (format!("listen = \"[::1]:1\"\n{TOKEN}"), None),
            (format!("listen = \"10.0.0.1:1\"\nallow_remote = \"plain\"\n{TOKEN}"), None),
            (format!("listen = \"10.0.0.1:1\"\n{TOKEN}"), Some("not a loopback address")),
            (format!("listen = \"0.0.0.0:1\"\n{TOKEN}"), Some("not a loopback address")),
            (format!("listen = \"10.0.0.1:1\"\ntls_key = \"/x\"\n{TOKEN}"), Some("write both or none")),
            (
                format!("listen = \"10.0.0.1:1\"\ntls_key = \"/x\"\ntls_certificate = \"/x\"\n{TOKEN}"),
                Some("cannot read /x"),
            ),
            ("listen = \"127.0.0.1:1\"\n".to_owned(), Some("write token or token_file")),
            ("listen = \"127.0.0.1:1\"\ntoken = \"0123456789abcde\"\n".to_owned(), Some("from 16 to 4096")),
            (format!("listen = \"127.0.0.1:1\"\ntoken_file = \"/nowhere\"\n{TOKEN}"), Some("not both")),
            ("listen = \"127.0.0.1:1\"\ntoken_file = \"/nowhere\"\n".to_owned(), Some("cannot read /nowhere")),
        ] {
            let found = problems(&admin);
            match problem {
                None => assert!(found.is_empty(), "{admin}: {found:?}"),
                Some(problem) => assert!(found.len() == 1 && found[0].contains(problem), "{admin}: {found:?}"),
            }
            assert!(!format!("{found:?}").contains("0123456789abcde"), "{found:?}");
        }
    }
}
