//! Which endpoint, and whose keys.
//!
//! What this is: the options that every command has, and their order: an option wins over the
//! environment, the environment over the profile file. Invariant: a secret is never shown.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use catharsis_tcapi::auth::{SecretId, SecretKey, Token};
use catharsis_tcapi::client::Credentials;
use serde::Deserialize;

use crate::console::Console;
use crate::ended::Ended;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// Where to call, and as whom.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The API: http(s)://HOST[:PORT]; without a scheme https is meant. Default: http://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "CATHARSIS_ENDPOINT")]
    endpoint: Option<String>,
    /// The key's public half
    #[arg(long, value_name = "ID", env = "TENCENTCLOUD_SECRET_ID")]
    secret_id: Option<String>,
    /// The key's secret half. Others can read command lines: the environment or a profile is better
    #[arg(long, value_name = "KEY", env = "TENCENTCLOUD_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<Shy>,
    /// The token of a temporary key
    #[arg(long, value_name = "TOKEN", env = "TENCENTCLOUD_TOKEN", hide_env_values = true)]
    token: Option<Shy>,
    #[command(flatten)]
    profile: ProfileChoice,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Which section of which profile file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProfileChoice {
    /// The section of the profile file to use
    #[arg(long, value_name = "NAME", env = "CATHARSIS_PROFILE", default_value = "default", global = true)]
    profile: String,
    /// The profile file. Default: ~/.config/catharsis/profile.toml
    #[arg(long, value_name = "FILE", env = "CATHARSIS_PROFILE_FILE", global = true)]
    profile_file: Option<PathBuf>,
}

/// A text that does not show itself.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Shy(pub String);

impl std::fmt::Debug for Shy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl std::str::FromStr for Shy {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// A section of the profile file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    endpoint: Option<String>,
    secret_id: Option<String>,
    secret_key: Option<Shy>,
    token: Option<Shy>,
    pub admin_endpoint: Option<String>,
    pub admin_token: Option<Shy>,
}

/// Where to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port, as signed and sent.
    pub authority: String,
}

impl Endpoint {
    /// Parses an endpoint.
    ///
    /// # Errors
    /// When it has a path, or no host.
    pub(crate) fn parse(text: &str) -> Result<Self, Ended> {
        let (scheme, rest) = match text.split_once("://") {
            None => ("https", text),
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some(_) => return Err(Ended::Usage("endpoint: its scheme is http or https".to_owned())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed = authority.parse::<http::uri::Authority>().ok().filter(|it| !it.host().is_empty());
        if parsed.is_none() || authority.contains(['/', '@', '?']) {
            // Not repeated: what stands before an @ may be a password.
            return Err(Ended::Usage("endpoint: it is not http(s)://HOST[:PORT]".to_owned()));
        }
        Ok(Self { scheme, authority: authority.to_owned() })
    }
}

impl Connection {
    /// The endpoint and the keys in force.
    ///
    /// # Errors
    /// When a key is missing or malformed, or the profile file cannot be read.
    pub(crate) fn resolve(&self, console: &mut Console) -> Result<(Endpoint, Credentials), Ended> {
        let profile = self.profile.read(console)?;
        let endpoint = self.endpoint.clone().or(profile.endpoint);
        let endpoint = Endpoint::parse(endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT))?;
        let missing = |what: &str| {
            Ended::Usage(format!(
                "{what} is missing: set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or write a profile"
            ))
        };
        let id = self.secret_id.clone().or(profile.secret_id).ok_or_else(|| missing("the key's public half"))?;
        let key = self.secret_key.clone().or(profile.secret_key).ok_or_else(|| missing("the key's secret half"))?;
        let secret_id =
            SecretId::parse(&id).ok_or_else(|| Ended::Usage("the key's public half is malformed".to_owned()))?;
        let token = match self.token.clone().or(profile.token) {
            None => None,
            Some(text) if text.0.is_empty() => None,
            Some(text) => Some(Token::parse(&text.0).ok_or_else(|| Ended::Usage("the token is malformed".to_owned()))?),
        };
        Ok((endpoint, Credentials { secret_id, secret_key: SecretKey::new(key.0), token }))
    }
}

impl ProfileChoice {
    /// The section in force; an empty one when none was named and there is none.
    ///
    /// # Errors
    /// When the file cannot be read or has not the section.
    pub(crate) fn read(&self, console: &mut Console) -> Result<Profile, Ended> {
        let usual = std::env::home_dir().map(|home| home.join(".config/catharsis/profile.toml"));
        let named = self.profile_file.is_some() || self.profile != "default";
        let Some(path) = self.profile_file.clone().or(usual) else { return Ok(Profile::default()) };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(Profile::default()),
            Err(error) => return Err(Ended::Usage(format!("cannot read {}: {error}", path.display()))),
        };
        warn_of_readers(&path, console);
        let mut sections = sections(&text, &path.display().to_string())?;
        match sections.remove(&self.profile) {
            Some(profile) => Ok(profile),
            None if named => Err(Ended::Usage(format!("{} has no section [{}]", path.display(), self.profile))),
            None => Ok(Profile::default()),
        }
    }
}

/// The sections of a profile file. What is wrong is told by its place only: the parser's own words
/// repeat values and names, and either may be a secret in the wrong place or without its quotes.
fn sections(text: &str, name: &str) -> Result<HashMap<String, Profile>, Ended> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Ended::Usage(format!(
            "{name}:{line}:{column}: expected sections ([default]) with the keys endpoint, secret_id, secret_key, token, \
             admin_endpoint and admin_token, each once and with a text in quotes; the line may hold a secret and is not shown"
        ))
    })
}

/// Says so when others on this machine can read a file that holds a secret.
#[cfg(unix)]
pub(crate) fn warn_of_readers(path: &Path, console: &mut Console) {
    use std::os::unix::fs::PermissionsExt;

    let open = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        console.note(&format!("catharsis: warning: others can read {}: chmod 600 it", path.display()));
    }
}

/// Says so when others on this machine can read a file that holds a secret; unknown here.
#[cfg(not(unix))]
pub(crate) fn warn_of_readers(_path: &Path, _console: &mut Console) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_a_scheme_a_host_and_a_port() {
        let parse = |text: &str| Endpoint::parse(text).map(|it| format!("{}://{}", it.scheme, it.authority)).ok();
        assert_eq!(parse("http://127.0.0.1:8080/").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(parse("cdn.tencentcloudapi.com").as_deref(), Some("https://cdn.tencentcloudapi.com"));
        for bad in ["", "http://", "ftp://a", "http://a/b", "http://u@a", "http://a b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let shown = format!("{:?}", Profile { secret_key: Some(Shy("hunter2".to_owned())), ..Profile::default() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn wrong_profile_is_told_by_its_place_and_never_by_its_content() {
        for (text, place) in [
            ("[default]\nsecret_key = hunter2\n", "p:2:"),
            ("[default]\n  hunter2\n", "p:2:"),
            ("[default]\nsecret_key = \"hunter2\n", "p:2:"),
            ("[default]\nhunter2 = \"x\"\n", "p:2:1:"),
            ("[default]\nsecret_key = 48151623\n", "p:2:14:"),
            ("[default]\nsecret_key = [\"hunter2\"]\n", "p:2:14:"),
            ("default = \"hunter2\"\n", "p:1:11:"),
            ("[hunter2]\n[default]\n[hunter2]\n", "p:3:"),
        ] {
            let told = sections(text, "p").expect_err(text).to_string();
            assert!(told.starts_with(place), "{text}: {told}");
            assert!(!told.contains("hunter2") && !told.contains("48151623"), "{text}: {told}");
        }
    }

    #[test]
    fn wrong_endpoint_does_not_repeat_a_password() {
        let told = Endpoint::parse("https://user:hunter2@a.test").expect_err("it has a user").to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}
