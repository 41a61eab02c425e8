//! Which endpoint, and whose keys.
//!
//! What this is: the options that every command has, and their order: an option wins over the
//! environment, the environment over the profile file. An empty text counts as none, since scripts
//! export such. Invariant: a secret is never shown, neither in a message nor by `Debug`.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use catharsis_tcapi::auth::{SecretId, SecretKey, Token};
use catharsis_tcapi::client::Credentials;
use serde::{Deserialize, Deserializer};

use crate::ended::Ended;
use crate::terminal::Terminal;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// Bytes of a profile file; thousands of sections fit.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// Where to call, and as whom.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The API: http(s)://HOST[:PORT]. Without a scheme: http for this machine, else https.
    /// Default: http://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "CATHARSIS_ENDPOINT")]
    endpoint: Option<String>,
    /// The key's public half
    #[arg(long, value_name = "ID", env = "TENCENTCLOUD_SECRET_ID", hide_env_values = true)]
    secret_id: Option<String>,
    /// The key's secret half. Others can read command lines: the environment or a profile is better
    #[arg(long, value_name = "KEY", env = "TENCENTCLOUD_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<Shy>,
    /// The token of a temporary key
    #[arg(long, value_name = "TOKEN", env = "TENCENTCLOUD_TOKEN", hide_env_values = true)]
    token: Option<Shy>,
    /// The section of the profile file to use. Default: default
    #[arg(long, value_name = "NAME", env = "CATHARSIS_PROFILE")]
    profile: Option<String>,
    /// The profile file. Default: ~/.config/catharsis/profile.toml
    #[arg(long, value_name = "FILE", env = "CATHARSIS_PROFILE_FILE")]
    profile_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", env = "CATHARSIS_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// A text that does not show itself.
#[derive(Clone)]
pub(crate) struct Shy(String);

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

impl<'de> Deserialize<'de> for Shy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as any value first: the usual complaint about a wrong type repeats the value.
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(text)) => Ok(Self(text)),
            Ok(_) | Err(_) => Err(serde::de::Error::custom("a secret is a text in quotation marks")),
        }
    }
}

/// A section of the profile file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    endpoint: Option<String>,
    secret_id: Option<String>,
    secret_key: Option<Shy>,
    token: Option<Shy>,
    ca_file: Option<PathBuf>,
}

/// Where to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port, as signed and sent.
    pub authority: String,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Endpoint {
    /// Parses an endpoint. Without a scheme https is meant, unless the host is this machine: there
    /// nobody listens in, and a service on its own port seldom has a certificate.
    ///
    /// # Errors
    /// When it has a path, or no host.
    pub(crate) fn parse(text: &str) -> Result<Self, Ended> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some("http"), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some("https"), rest),
            Some((other, _)) => {
                return Err(Ended::Usage(format!("endpoint: `{other}` is not a scheme: write http or https")));
            }
        };
        let wrong = || Ended::Usage(format!("endpoint: `{text}` is not http(s)://HOST[:PORT]"));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '@', '?']) {
            return Err(wrong());
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        let port_is_missing = authority.ends_with(':');
        let port_is_wrong = authority.len() > parsed.host().len() && parsed.port_u16().is_none_or(|port| port == 0);
        if parsed.host().is_empty() || port_is_missing || port_is_wrong {
            return Err(wrong());
        }
        let scheme = scheme.unwrap_or(if is_here(parsed.host()) { "http" } else { "https" });
        Ok(Self { scheme, authority: authority.to_owned() })
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What is in force after all sources were asked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub endpoint: Endpoint,
    pub credentials: Credentials,
    pub ca_file: Option<PathBuf>,
}

impl Connection {
    /// The endpoint and the keys in force.
    ///
    /// # Errors
    /// When a key is missing or malformed, or the profile file cannot be read.
    pub(crate) fn resolve(&self, terminal: &mut Terminal<'_>) -> Result<Settings, Ended> {
        let profile = self.read_profile(terminal)?;
        let endpoint = text(&self.endpoint).or(text(&profile.endpoint)).unwrap_or(DEFAULT_ENDPOINT);
        let missing = |what: &str| {
            Ended::Usage(format!(
                "{what} is missing: set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or write a profile"
            ))
        };
        let id = text(&self.secret_id).or(text(&profile.secret_id));
        let id = id.ok_or_else(|| missing("the key's public half"))?;
        let key = shy(&self.secret_key).or(shy(&profile.secret_key));
        let key = key.ok_or_else(|| missing("the key's secret half"))?;
        let secret_id =
            SecretId::parse(id).ok_or_else(|| Ended::Usage("the key's public half is malformed".to_owned()))?;
        let token = self.token_beside(&profile);
        let token = token.map(|text| Token::parse(text).ok_or_else(|| Ended::Usage("the token is malformed".into())));
        Ok(Settings {
            endpoint: Endpoint::parse(endpoint)?,
            credentials: Credentials { secret_id, secret_key: SecretKey::new(key), token: token.transpose()? },
            ca_file: self.ca_file.clone().filter(|path| path != Path::new("")).or(profile.ca_file),
        })
    }

    /// A token belongs to its key: the profile's is not sent with a key from elsewhere.
    fn token_beside<'a>(&'a self, profile: &'a Profile) -> Option<&'a str> {
        shy(&self.token).or_else(|| if text(&self.secret_id).is_some() { None } else { shy(&profile.token) })
    }

    fn read_profile(&self, terminal: &mut Terminal<'_>) -> Result<Profile, Ended> {
        let name = text(&self.profile).unwrap_or("default");
        let given = self.profile_file.clone().filter(|path| path != Path::new(""));
        let named = given.is_some() || name != "default";
        let usual = || std::env::home_dir().map(|home| home.join(".config/catharsis/profile.toml"));
        let Some(path) = given.or_else(usual) else { return Ok(Profile::default()) };
        let wrong = |what: &dyn std::fmt::Display| Ended::Usage(format!("{}: {what}", path.display()));
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(Profile::default()),
            Err(error) => return Err(wrong(&error)),
        };
        if others_can_read(&file) {
            terminal.say(&format!("catharsis: warning: others can read {}: chmod 600 it", path.display()));
        }
        let mut text = String::new();
        let read = (&mut file).take(PROFILE_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| wrong(&error))?;
        if text.len() as u64 > PROFILE_BYTES_MAX {
            return Err(wrong(&"a profile file has at most 1 MiB"));
        }
        let mut sections = sections(&text).map_err(|why| wrong(&why))?;
        match sections.remove(name) {
            Some(profile) => Ok(profile),
            None if named => Err(wrong(&format_args!("it has no section [{name}]"))),
            None => Ok(Profile::default()),
        }
    }
}

/// Reads the file's text. The complaint names the line and never its content.
fn sections(text: &str) -> Result<HashMap<String, Profile>, String> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        let at = at.map_or_else(String::new, |line| format!("line {line}: "));
        format!("{at}{}", error.message())
    })
}

fn text(option: &Option<String>) -> Option<&str> {
    option.as_deref().filter(|text| !text.is_empty())
}

fn shy(option: &Option<Shy>) -> Option<&str> {
    option.as_ref().map(|shy| shy.0.as_str()).filter(|text| !text.is_empty())
}

#[cfg(unix)]
fn others_can_read(file: &std::fs::File) -> bool {
    use std::os::unix::fs::PermissionsExt;

    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_file: &std::fs::File) -> bool {
    false
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
