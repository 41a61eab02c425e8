//! Which admin API, with which credential; and the kinds of arguments that its commands share.

use std::ffi::OsString;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::client::{AdminClient, Bearer};
use super::session::Session;
use crate::console::Console;
use crate::ended::Ended;
use crate::settings::{Endpoint, Profile, ProfileChoice, warn_of_readers};
use crate::transport::Transport;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:18081";
const TOKEN_VARIABLE: &str = "CATHARSIS_ADMIN_TOKEN";
/// Bytes of a credential: a JWT fits several times.
const TOKEN_BYTES_MAX: u64 = 8_192;

/// Where the admin API is, and the operator's credential.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Operator")]
pub(crate) struct Operator {
    /// The admin API: http(s)://HOST[:PORT]. Default: http://127.0.0.1:18081
    #[arg(long, value_name = "URL", env = "CATHARSIS_ADMIN", global = true)]
    admin_endpoint: Option<String>,
    /// A file with the operator's credential. Default: $CATHARSIS_ADMIN_TOKEN, then the profile
    #[arg(long, value_name = "FILE", global = true)]
    admin_token_file: Option<PathBuf>,
    #[command(flatten)]
    profile: ProfileChoice,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Print the answer as one JSON document
    #[arg(long, global = true)]
    pub json: bool,
}

impl Operator {
    /// A session with the admin API.
    ///
    /// # Errors
    /// When the settings, the credential or the certificates cannot be used.
    pub(crate) fn open<'a>(&self, console: &'a mut Console) -> Result<Session<'a>, Ended> {
        let profile = self.profile.read(console)?;
        let endpoint = self.admin_endpoint.as_deref().or(profile.admin_endpoint.as_deref()).unwrap_or(DEFAULT_ENDPOINT);
        let endpoint = Endpoint::parse(endpoint)?;
        if endpoint.scheme == "http" && !is_loopback(&endpoint.authority) {
            console.note("catharsis: warning: the credential goes to another machine unencrypted: use https://");
        }
        let bearer = self.bearer(profile, std::env::var_os(TOKEN_VARIABLE), console)?;
        let transport = Transport::new(endpoint, self.ca_file.as_deref())?;
        Ok(Session::new(AdminClient::new(transport, bearer), console, self.json))
    }

    fn bearer(&self, profile: Profile, variable: Option<OsString>, console: &mut Console) -> Result<Bearer, Ended> {
        let (text, source) = if let Some(path) = &self.admin_token_file {
            warn_of_readers(path, console);
            (read_token(path)?, path.display().to_string())
        } else if let Some(variable) = variable.filter(|it| !it.is_empty()) {
            (variable.into_string().unwrap_or_default(), TOKEN_VARIABLE.to_owned())
        } else if let Some(token) = profile.admin_token {
            (token.0, "the profile's admin_token".to_owned())
        } else {
            return Err(Ended::Usage(format!(
                "the operator's credential is missing: set {TOKEN_VARIABLE}, name a file with --admin-token-file, \
                 or write admin_token into a profile"
            )));
        };
        Bearer::parse(text.trim()).ok_or_else(|| Ended::Usage(format!("{source}: it is not a credential")))
    }
}

fn read_token(path: &Path) -> Result<String, Ended> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| Ended::Usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(text)
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.parse::<http::uri::Authority>().map(|it| it.host().to_owned()).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Bearer {
    /// A credential is visible ASCII, which a header can hold.
    fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| fits)?;
        header.set_sensitive(true);
        Some(Self { header, text: text.to_owned() })
    }
}

/// The number of a root account or of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Uin(u64);

impl std::str::FromStr for Uin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self).ok_or("an account's or user's number has digits only")
    }
}

impl std::fmt::Display for Uin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that can be a segment of a path; the service checks the rest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Name(String);

impl std::str::FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text == "." || text == ".." || text.len() > 255 || text.chars().any(char::is_control) {
            return Err("a name has 1 to 255 bytes, no control characters, and is neither . nor ..");
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a user or a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    Enabled,
    Disabled,
}

impl Switch {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// The body that sets it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetSwitch {
    pub state: Switch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Shy;

    fn operator(file: Option<&Path>) -> Operator {
        use clap::{Args, FromArgMatches};
        let mut arguments = vec!["test".into()];
        arguments.extend(file.iter().flat_map(|path| ["--admin-token-file".into(), OsString::from(path)]));
        let matches = Operator::augment_args(clap::Command::new("test")).get_matches_from(arguments);
        Operator::from_arg_matches(&matches).expect("it is right")
    }

    fn chosen(file: Option<&Path>, variable: Option<&str>, profile: Option<&str>) -> Result<String, String> {
        let mut section = Profile::default();
        section.admin_token = profile.map(|text| Shy(text.to_owned()));
        let mut console = Console::new(std::io::sink(), std::io::sink());
        let bearer = operator(file).bearer(section, variable.map(OsString::from), &mut console);
        bearer.map(|bearer| bearer.text).map_err(|ended| ended.to_string())
    }

    #[test]
    fn credential_is_the_files_before_the_environments_before_the_profiles() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "from-file\n").expect("it is writable");
        assert_eq!(chosen(Some(file.path()), Some("from-env"), Some("from-profile")).as_deref(), Ok("from-file"));
        assert_eq!(chosen(None, Some("from-env"), Some("from-profile")).as_deref(), Ok("from-env"));
        assert_eq!(chosen(None, Some(""), Some("from-profile")).as_deref(), Ok("from-profile"));
        assert!(chosen(None, None, None).is_err_and(|told| told.contains(TOKEN_VARIABLE)));
    }

    #[test]
    fn credential_that_no_header_holds_is_refused_and_not_repeated() {
        let told = chosen(None, Some("hunter2\nX-Evil: 1"), None).expect_err("it has two lines");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (authority, here) in [
            ("127.0.0.1:1", true),
            ("localhost", true),
            ("[::1]:80", true),
            ("10.0.0.1", false),
            ("localhost.evil.test", false),
        ] {
            assert_eq!(is_loopback(authority), here, "{authority}");
        }
    }

    #[test]
    fn names_and_numbers_cannot_leave_their_place_in_a_path() {
        assert!(["", ".", "..", "a\nb"].iter().all(|text| text.parse::<Name>().is_err()));
        assert!(["", "+1", "-1", "1/2", "99999999999999999999999"].iter().all(|text| text.parse::<Uin>().is_err()));
    }
}
