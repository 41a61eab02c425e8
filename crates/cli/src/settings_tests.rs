//! Where settings come from, and that secrets stay out of sight.

use std::io::Write;

use super::*;

const PROFILES: &str = "[default]\nendpoint = \"http://profile.test\"\nsecret_id = \"AKIDprofile\"\nsecret_key = \"hunter2\"\n\
    token = \"profile-token\"\n[other]\nsecret_id = \"AKIDother\"\nsecret_key = \"hunter3\"\n";

fn connection(profile_file: &Path) -> Connection {
    Connection {
        endpoint: None,
        secret_id: None,
        secret_key: None,
        token: None,
        profile: None,
        profile_file: Some(profile_file.to_owned()),
        ca_file: None,
    }
}

fn profile(text: &str) -> tempfile::NamedTempFile {
    // Created with mode 600.
    let mut file = tempfile::NamedTempFile::new().expect("a directory for temporary files");
    file.write_all(text.as_bytes()).expect("room for a few bytes");
    file
}

/// The settings, and what was said about them.
fn resolve(connection: &Connection) -> (Result<Settings, String>, String) {
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
    let settings = connection.resolve(&mut Terminal::plain(&mut out, &mut err, &mut input));
    (settings.map_err(|ended| ended.to_string()), String::from_utf8(err).expect("UTF-8"))
}

#[test]
fn endpoint_is_a_scheme_a_host_and_a_port() {
    let parse = |text: &str| Endpoint::parse(text).map(|it| it.to_string()).ok();
    for (text, expected) in [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("HTTPS://a.test", "https://a.test"),
        ("cdn.tencentcloudapi.com", "https://cdn.tencentcloudapi.com"),
        ("purge.a.test:8443", "https://purge.a.test:8443"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:80", "http://localhost:80"),
        ("[::1]:80", "http://[::1]:80"),
    ] {
        assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
    }
    for bad in ["", "http://", "ftp://a", "http://a/b", "http://u@a", "http://a b", "a:", "a:0", "a:99999", "a?b"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

#[test]
fn option_wins_over_profile_and_profile_over_default() {
    let file = profile(PROFILES);
    let (settings, said) = resolve(&connection(file.path()));
    let settings = settings.expect("a whole profile");
    assert_eq!(settings.endpoint.to_string(), "http://profile.test");
    assert_eq!(settings.credentials.secret_id.as_str(), "AKIDprofile");
    assert!(settings.credentials.token.is_some());
    assert_eq!(said, "");

    let mut given = connection(file.path());
    given.endpoint = Some("http://option.test".to_owned());
    given.secret_id = Some("AKIDoption".to_owned());
    let settings = resolve(&given).0.expect("the rest comes from the profile");
    assert_eq!(settings.endpoint.to_string(), "http://option.test");
    assert_eq!(settings.credentials.secret_id.as_str(), "AKIDoption");
    assert!(settings.credentials.token.is_none(), "the token belongs to the profile's key");

    let mut other = connection(file.path());
    (other.profile, other.endpoint) = (Some("other".to_owned()), Some(String::new()));
    let settings = resolve(&other).0.expect("a whole profile");
    assert_eq!(settings.endpoint.to_string(), DEFAULT_ENDPOINT);
    assert_eq!(settings.credentials.secret_id.as_str(), "AKIDother");
}

#[test]
fn profile_that_is_named_has_to_be_there() {
    assert!(resolve(&connection(Path::new("/nonexistent/profile.toml"))).0.is_err());
    let file = profile(PROFILES);
    let mut absent = connection(file.path());
    absent.profile = Some("absent".to_owned());
    assert!(resolve(&absent).0.expect_err("no such section").contains("no section [absent]"));
}

#[cfg(unix)]
#[test]
fn profile_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let file = profile(PROFILES);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("its owner may");
    let (settings, said) = resolve(&connection(file.path()));
    assert!(settings.is_ok());
    assert!(said.contains("warning: others can read"), "{said}");
}

#[test]
fn secrets_do_not_show_themselves() {
    let file = profile(PROFILES);
    let mut given = connection(file.path());
    given.secret_key = Some(Shy("hunter2".to_owned()));
    let shown = format!("{given:?} {:?} {:?}", resolve(&given).0, sections(PROFILES));
    assert!(!shown.contains("hunter") && !shown.contains("profile-token"), "{shown}");
}

#[test]
fn complaint_about_a_profile_names_the_line_and_no_secret() {
    for wrong in [
        "[default]\nsecret_key = 8675309\n",
        "[default]\nsecret_key = hunter2\n",
        "[default]\nsecret_key = \"hunter2\n",
        "[default]\nsecret_key = [\"hunter2\"]\n",
        "[default]\ntoken = {a = \"hunter2\"}\n",
    ] {
        let file = profile(wrong);
        let why = resolve(&connection(file.path())).0.expect_err(wrong);
        assert!(!why.contains("hunter2") && !why.contains("8675309"), "{why}");
        assert!(why.contains("line 2"), "{why}");
    }
    let unknown = sections("[default]\nsecret = \"x\"\n").expect_err("no such key");
    assert!(unknown.contains("secret_key"), "{unknown}");
}
