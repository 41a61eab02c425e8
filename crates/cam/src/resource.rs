//! What a request acts on, and the patterns that describe it: `*`, or six segments `qcs:project_id:service_type:region:account:resource`.
//!
//! | segment | empty means | otherwise |
//! |---|---|---|
//! | project | it must be empty | refused |
//! | service | all services | a name, wildcards allowed; the service of the request's action is compared |
//! | region | all regions | a domain has no region, so a named one describes none; with service `cdn` it is refused |
//! | account | the root account of the policy's owner | `*`, `uin/<root>`, `uin/*`; `uid/<appid>` describes no domain, with service `cdn` it is refused |
//! | resource | refused | `domain/<host>`, with wildcards and variables |
//!
//! Invariants: no pattern reaches a domain of another root account than the caller's, `*` in the account's place neither, since access across accounts
//! exists for COS only. An action that names no resource is described by `*` alone, or by six segments that end in `*`, but not by `domain/*`.
//! ASCII case is ignored. `*` is the only way to describe more than one: `domain/a.com` does not describe `domain/a.com.cn`.

use std::fmt::{self, Display};

use crate::error::{Problem, ResourceFault};
use crate::evaluate::{Context, Request};
use crate::shown::Shown;
use crate::template::Template;
use crate::wildcard::{self, Text};

const DOMAIN: &str = "domain/";

/// What a request acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The action names no resource, as DescribePurgeQuota.
    Any,
    /// An acceleration domain.
    Domain {
        /// The root account that owns it.
        owner_uin: u64,
        /// Its host name in ASCII form.
        name: &'a str,
    },
}

impl<'a> Resource<'a> {
    /// Reads what a person writes: `*`, a host, `domain/<host>`, or six segments of CDN. An empty account means `owner_uin`.
    ///
    /// # Errors
    /// [`ResourceFault`], also for a wildcard inside: a request acts on one domain. The leading `*.` of a wildcard domain is part of its name.
    pub fn parse(text: &'a str, owner_uin: u64) -> Result<Self, ResourceFault> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let (owner_uin, last) = if text.starts_with("qcs:") {
            let [project, service, region, account, last] = segments(text)?;
            if !project.is_empty() {
                return Err(ResourceFault::Project);
            }
            if !matches!(service, "" | "cdn") || !region.is_empty() {
                return Err(ResourceFault::Form);
            }
            let owner = match Account::parse(account)? {
                Account::Owner => owner_uin,
                Account::Root(uin) => uin,
                Account::Every | Account::AppId => return Err(ResourceFault::Account),
            };
            if last == "*" {
                return Ok(Self::Any);
            }
            (owner, last.strip_prefix(DOMAIN).ok_or(ResourceFault::Empty)?)
        } else {
            (owner_uin, text.strip_prefix(DOMAIN).unwrap_or(text))
        };
        let host = last.strip_prefix("*.").unwrap_or(last);
        if host.is_empty() {
            Err(ResourceFault::Empty)
        } else if host.contains(char::is_whitespace) {
            Err(ResourceFault::Blank)
        } else if !host.is_ascii() {
            Err(ResourceFault::NotAscii)
        } else if host.contains(['*', ':', '/']) {
            Err(ResourceFault::Form)
        } else {
            Ok(Self::Domain { owner_uin, name: last })
        }
    }
}

/// A request made ready for matching: action and resource in lower case, as all patterns are.
pub(crate) struct Asked {
    action: Text,
    /// Length of the action's part before the colon.
    service: usize,
    /// `None` where it names no resource.
    domain: Option<AskedDomain>,
}

struct AskedDomain {
    owner_uin: u64,
    /// `domain/<host>`.
    last: Text,
}

impl Asked {
    pub(crate) fn new(request: Request<'_>) -> Self {
        let domain = match request.resource {
            Resource::Any => None,
            Resource::Domain { owner_uin, name } => Some(AskedDomain { owner_uin, last: Text::new(DOMAIN, name) }),
        };
        Self { action: Text::new(request.action, ""), service: request.service().len(), domain }
    }

    pub(crate) fn action(&self) -> &[u8] {
        self.action.bytes()
    }

    fn service(&self) -> &[u8] {
        self.action().get(..self.service).unwrap_or_default()
    }
}

/// Which resources a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePattern {
    text: Box<str>,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// `*`.
    Everything,
    Segments {
        /// Empty for all; in lower case.
        service: Box<str>,
        region: Region,
        account: Account,
        last: Last,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Every,
    Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Owner,
    Root(u64),
    Every,
    AppId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Last {
    Everything,
    Described(Template),
}

impl ResourcePattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let whole = text.trim();
        let refused = |why| Problem::Resource { text: Shown(whole).to_string(), why };
        let form = if whole == "*" { Form::Everything } else { Form::parse(whole, refused)? };
        Ok(Self { text: whole.into(), form })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is asked for is described, for this caller.
    pub(crate) fn matches(&self, asked: &Asked, context: &Context<'_>) -> bool {
        let Some(domain) = &asked.domain else { return self.is_everything(asked, context) };
        domain.owner_uin == context.owner_uin
            && match self.last(asked.service(), context) {
                Reach::Nothing => false,
                Reach::Everything => true,
                Reach::Described(pattern) => wildcard::matches(&pattern.expand(context), domain.last.bytes()),
            }
    }

    /// Whether every resource of the service is described.
    pub(crate) fn is_everything(&self, asked: &Asked, context: &Context<'_>) -> bool {
        matches!(self.last(asked.service(), context), Reach::Everything)
    }

    /// Whether some resource of the service may be described; `false` only where none can.
    pub(crate) fn is_something(&self, asked: &Asked, context: &Context<'_>) -> bool {
        !matches!(self.last(asked.service(), context), Reach::Nothing)
    }

    fn last(&self, wanted: &[u8], context: &Context<'_>) -> Reach<'_> {
        let Form::Segments { service, region, account, last } = &self.form else { return Reach::Everything };
        let service = service.is_empty() || wildcard::matches(service, wanted);
        let account = match account {
            Account::Owner | Account::Every => true,
            Account::Root(uin) => *uin == context.owner_uin,
            Account::AppId => false,
        };
        match (region, last) {
            (Region::Every, Last::Everything) if service && account => Reach::Everything,
            (Region::Every, Last::Described(last)) if service && account => Reach::Described(last),
            (Region::Every | Region::Named, Last::Everything | Last::Described(_)) => Reach::Nothing,
        }
    }
}

/// What of one service and one root account a pattern can describe.
enum Reach<'p> {
    Nothing,
    Everything,
    Described(&'p Template),
}

impl Form {
    fn parse(text: &str, refused: impl Fn(ResourceFault) -> Problem) -> Result<Self, Problem> {
        if text.contains(char::is_whitespace) {
            return Err(refused(ResourceFault::Blank));
        }
        let [project, service, region, account, last] = segments(text).map_err(&refused)?;
        if !project.is_empty() {
            return Err(refused(ResourceFault::Project));
        }
        let every_region = region.is_empty() || wildcard::is_everything(region);
        let region = if every_region { Region::Every } else { Region::Named };
        let account = Account::parse(account).map_err(&refused)?;
        // In a description of CDN these can describe nothing, and a deny that describes nothing is a trap.
        if service.eq_ignore_ascii_case("cdn") {
            match (region, account) {
                (Region::Named, _) => return Err(refused(ResourceFault::Region)),
                (Region::Every, Account::AppId) => return Err(refused(ResourceFault::AppId)),
                (Region::Every, Account::Owner | Account::Root(_) | Account::Every) => {}
            }
        }
        let last = match last {
            "" => return Err(refused(ResourceFault::Empty)),
            last if wildcard::is_everything(last) => Last::Everything,
            last if !last.is_ascii() && names_a_domain(last) => return Err(refused(ResourceFault::NotAscii)),
            last => Last::Described(Template::parse(last)?.to_lower()),
        };
        Ok(Self::Segments { service: service.to_ascii_lowercase().into(), region, account, last })
    }
}

/// Whether the last segment begins with `domain/`, in whatever case.
fn names_a_domain(last: &str) -> bool {
    last.get(..DOMAIN.len()).is_some_and(|head| head.eq_ignore_ascii_case(DOMAIN))
}

impl Account {
    fn parse(text: &str) -> Result<Self, ResourceFault> {
        match text {
            "" => Ok(Self::Owner),
            "*" | "uin/*" => Ok(Self::Every),
            text => match (text.strip_prefix("uin/"), text.strip_prefix("uid/")) {
                (Some(uin), _) => number(uin).map(Self::Root),
                (None, Some("*")) => Ok(Self::AppId),
                (None, Some(appid)) => number(appid).map(|_| Self::AppId),
                (None, None) => Err(ResourceFault::Account),
            },
        }
    }
}

fn number(digits: &str) -> Result<u64, ResourceFault> {
    // `parse` alone would take a sign.
    let digits = Some(digits).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(ResourceFault::Account)
}

/// What follows `qcs:`; the last segment may hold colons.
fn segments(text: &str) -> Result<[&str; 5], ResourceFault> {
    let rest = text.strip_prefix("qcs:").ok_or(ResourceFault::Form)?;
    let mut segments = rest.splitn(5, ':');
    let five = [(); 5].map(|()| segments.next());
    let [Some(project), Some(service), Some(region), Some(account), Some(last)] = five else {
        return Err(ResourceFault::Form);
    };
    Ok([project, service, region, account, last])
}

/// How messages name what a request acts on: `qcs::cdn::uin/1:domain/www.a.com`, or `*`.
pub(crate) struct Description<'a> {
    pub(crate) service: &'a str,
    pub(crate) resource: Resource<'a>,
}

impl Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resource {
            Resource::Any => f.write_str("*"),
            Resource::Domain { owner_uin, name } => {
                write!(f, "qcs::{}::uin/{owner_uin}:{DOMAIN}{}", Shown(self.service), Shown(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::context;

    const WWW: Resource<'_> = Resource::Domain { owner_uin: 100, name: "www.test1.com" };

    fn check(pattern: &str, resource: Resource<'_>) -> bool {
        let pattern = ResourcePattern::parse(pattern).expect(pattern);
        let asked = Asked::new(Request { action: "cdn:PurgeUrlsCache", resource });
        pattern.matches(&asked, &Context { uin: 7, owner_uin: 100, ..context() })
    }

    fn fault(pattern: &str) -> Option<ResourceFault> {
        match ResourcePattern::parse(pattern) {
            Err(Problem::Resource { why, .. }) => Some(why),
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn six_segments_describe_domains_of_the_owner() {
        for pattern in [
            "*",
            "qcs::cdn::uin/100:domain/www.test1.com",
            "qcs::cdn::uin/100:domain/*",
            "qcs::cdn::uin/100:*",
            "qcs::cdn::*:domain/*",
            "qcs::cdn::uin/*:domain/*",
            "qcs::cdn:::domain/*.test1.com",
            "qcs::cdn:*::domain/www.*",
            "qcs:::::domain/WWW.Test1.com",
            "qcs::*:::*",
            " qcs::CDN:::domain/* ",
        ] {
            assert!(check(pattern, WWW), "{pattern}");
        }
        for pattern in [
            "qcs::cdn::uin/101:domain/*",
            "qcs::cdn::uin/101:*",
            "qcs::cvm:::*",
            "qcs::ecdn:::domain/*",
            "qcs::cdn:::domain/www.test1.co",
            "qcs::cdn:::domain/test1.com",
            "qcs::cdn:::www.test1.com",
            "qcs::*:ap-guangzhou::*",
            "qcs:::::instance/*",
            "qcs::*::uid/100:*",
        ] {
            assert!(!check(pattern, WWW), "{pattern}");
        }
    }

    #[test]
    fn no_pattern_reaches_another_root_account() {
        let foreign = Resource::Domain { owner_uin: 101, name: "www.test1.com" };
        for pattern in ["*", "qcs::cdn::*:domain/*", "qcs::cdn::uin/101:domain/*", "qcs::cdn:::domain/*"] {
            assert!(!check(pattern, foreign), "{pattern}");
        }
    }

    #[test]
    fn an_action_without_a_resource_needs_a_pattern_for_everything() {
        for pattern in ["*", "qcs::cdn:::*", "qcs::cdn::uin/100:*", "qcs::::*:*", "qcs::cdn:::**"] {
            assert!(check(pattern, Resource::Any), "{pattern}");
        }
        for pattern in ["qcs::cdn:::domain/*", "qcs::cdn::uin/101:*", "qcs::cvm:::*", "qcs::cdn:::d*"] {
            assert!(!check(pattern, Resource::Any), "{pattern}");
        }
    }

    #[test]
    fn the_callers_own_number_may_stand_in_the_last_segment() {
        let own = Resource::Domain { owner_uin: 100, name: "u7.test1.com" };
        assert!(check("qcs::cdn:::domain/u${uin}.*", own));
        assert!(check("qcs::cdn:::domain/u${uin}.test1.com", own));
        assert!(!check("qcs::cdn:::domain/u${uin}.*", WWW));
        assert!(!check("qcs::cdn:::domain/u${owner_uin}.*", own));
        assert!(matches!(ResourcePattern::parse("qcs::cdn:::domain/${app_id}"), Err(Problem::Variable(_))));
    }

    #[test]
    fn a_description_that_could_describe_nothing_is_refused() {
        for (pattern, why) in [
            ("", ResourceFault::Form),
            ("domain/www.test1.com", ResourceFault::Form),
            ("qcs::cdn:uin/100:domain/*", ResourceFault::Form),
            ("QCS::cdn:::*", ResourceFault::Form),
            ("qcs:5:cdn:::*", ResourceFault::Project),
            ("qcs:*:cdn:::*", ResourceFault::Project),
            ("qcs::cdn:ap-guangzhou::domain/*", ResourceFault::Region),
            ("qcs::cdn::100:domain/*", ResourceFault::Account),
            ("qcs::cdn::uin/:domain/*", ResourceFault::Account),
            ("qcs::cdn::uin/+1:domain/*", ResourceFault::Account),
            ("qcs::cdn::uin/${uin}:domain/*", ResourceFault::Account),
            ("qcs::cdn::uin/99999999999999999999:domain/*", ResourceFault::Account),
            ("qcs::cdn::uid/100:domain/*", ResourceFault::AppId),
            ("qcs::cdn:::", ResourceFault::Empty),
            ("qcs::cdn:::domain/ www.test1.com", ResourceFault::Blank),
            ("qcs::cdn:::domain/例子.cn", ResourceFault::NotAscii),
            ("qcs::cdn:::Domain/例子.cn", ResourceFault::NotAscii),
        ] {
            assert_eq!(fault(pattern), Some(why), "{pattern}");
        }
    }

    #[test]
    fn what_a_person_writes_is_read_as_one_resource() {
        for text in [
            "www.test1.com",
            "domain/www.test1.com",
            "qcs::cdn:::domain/www.test1.com",
            " qcs::cdn::uin/100:domain/www.test1.com",
        ] {
            assert_eq!(Resource::parse(text, 100), Ok(WWW), "{text}");
        }
        assert_eq!(Resource::parse("*", 100), Ok(Resource::Any));
        assert_eq!(Resource::parse("qcs::cdn:::*", 100), Ok(Resource::Any));
        assert_eq!(
            Resource::parse("qcs::cdn::uin/5:domain/*.a.com", 100),
            Ok(Resource::Domain { owner_uin: 5, name: "*.a.com" })
        );
        for text in [
            "",
            "domain/",
            "domain/*",
            "w*.a.com",
            "http://a.com",
            "a b",
            "例子.cn",
            "qcs::cdn::*:domain/a.com",
            "qcs::cvm:::domain/a",
        ] {
            assert!(Resource::parse(text, 100).is_err(), "{text}");
        }
    }
}
