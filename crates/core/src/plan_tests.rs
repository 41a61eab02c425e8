//! What is planned, and what refuses a call.

use super::*;
use crate::account::Limits;
use crate::target::InvalidUrl;

fn directory() -> Directory {
    let mut limits = Limits::default();
    limits.per_call.url = 3;
    let account = |state| Account { state, limits: limits.clone() };
    let accounts = [(1, AccountState::Active), (2, AccountState::Active), (3, AccountState::Suspended)]
        .map(|(id, state)| (AccountId(id), account(state)));
    let domain = |name: &str, owner, areas, status| Domain {
        name: DomainName::parse(name).expect("a valid name in a test"),
        owner: AccountId(owner),
        areas,
        status,
        keys: Arc::default(),
    };
    let domains = [
        domain("global.test", 1, AreaSet::Global, DomainStatus::Online),
        domain("inland.test", 1, AreaSet::One(Area::Mainland), DomainStatus::Processing),
        domain("off.test", 1, AreaSet::Global, DomainStatus::Offline),
        domain("locked.test", 1, AreaSet::Global, DomainStatus::Locked),
        domain("other.test", 2, AreaSet::Global, DomainStatus::Online),
    ];
    Directory::new(accounts, domains).expect("a valid directory")
}

fn request(items: &[&str], area: Option<Area>) -> Purge {
    Purge {
        kind: TaskKind::Url,
        mode: Mode::Delete,
        items: items.iter().map(|url| Box::from(*url)).collect(),
        area,
        encode: Encode::AsSubmitted,
        claim: None,
        notify: Vec::new(),
    }
}

fn submit(account: u64, urls: &[&str], area: Option<Area>) -> Result<Plan, PurgeError> {
    plan(&Caller::root(AccountId(account)), request(urls, area), &directory(), UnixMillis(1_000), 7)
}

const fn at(index: usize) -> Place {
    Place { kind: QuotaKind::Url, index }
}

fn host(text: &str) -> HostName {
    HostName::parse(text).expect("a valid host in a test")
}

#[test]
fn each_item_goes_where_its_domain_is_served_and_costs_a_unit_there() {
    let plan = submit(1, &["http://global.test/", "http://inland.test/", "http://global.test/"], None);
    let plan = plan.expect("all are the caller's");
    let areas: Vec<_> = plan.task.items.iter().map(|item| item.areas).collect();
    assert_eq!(areas, [AreaSet::Global, AreaSet::One(Area::Mainland), AreaSet::Global]);
    assert_eq!(plan.toll.charge, PerArea { mainland: 3, overseas: 2 });
}

#[test]
fn area_of_the_call_narrows_a_global_domain() {
    let plan = submit(1, &["http://global.test/"], Some(Area::Overseas)).expect("served there");
    assert_eq!(plan.toll.charge, PerArea { mainland: 0, overseas: 1 });
}

#[test]
fn one_wrong_url_refuses_the_call_and_is_named_by_position() {
    let good = "http://global.test/";
    let check = |wrong: &str, area, expect: PurgeError| {
        assert_eq!(submit(1, &[good, wrong], area), Err(expect), "{wrong}");
    };
    check(
        "http://global.test/\n",
        None,
        PurgeError::InvalidUrl { place: at(1), why: InvalidUrl::ControlCharacter { position: 19 } },
    );
    check("http://nowhere.test/", None, PurgeError::UnknownHost { place: at(1), host: host("nowhere.test") });
    check("http://other.test/", None, PurgeError::UnknownHost { place: at(1), host: host("other.test") });
    check("http://off.test/", None, PurgeError::HostOffline { place: at(1), host: host("off.test") });
    check(
        "http://inland.test/",
        Some(Area::Overseas),
        PurgeError::AreaMismatch {
            place: at(1),
            host: host("inland.test"),
            area: AreaSet::One(Area::Overseas),
            served: AreaSet::One(Area::Mainland),
        },
    );
}

#[test]
fn empty_and_oversized_calls_are_refused() {
    assert_eq!(submit(1, &[], None), Err(PurgeError::Empty { kind: QuotaKind::Url }));
    let four = ["http://global.test/"; 4];
    assert_eq!(submit(1, &four, None), Err(PurgeError::TooMany { kind: QuotaKind::Url, count: 4, limit: 3 }));
    assert_eq!(submit(9, &four[..1], None), Err(PurgeError::AccountState(AccountState::NotActivated)));
}

#[test]
fn account_that_is_suspended_and_domain_that_is_held_are_named() {
    let state = AccountState::Suspended;
    assert_eq!(submit(3, &["http://global.test/"], None), Err(PurgeError::AccountState(state)));
    let held = PurgeError::HostHeld { place: at(0), host: host("locked.test"), status: DomainStatus::Locked };
    assert_eq!(submit(1, &["http://locked.test/"], None), Err(held));
}

struct Only(&'static str);

impl Permits for Only {
    fn permits(&self, domain: &DomainName) -> bool {
        domain.to_string() == self.0
    }
}

#[test]
fn batch_over_several_domains_needs_all_of_them() {
    let scope = Scope::Policies(Arc::new(Only("global.test")));
    let user = Caller { account: AccountId(1), scope };
    let submit = |urls: &[&str]| plan(&user, request(urls, None), &directory(), UnixMillis(1_000), 7);
    assert!(submit(&["http://global.test/1", "http://global.test/2"]).is_ok());
    let denied = PurgeError::HostDenied { place: at(1), host: host("inland.test") };
    assert_eq!(submit(&["http://global.test/", "http://inland.test/"]), Err(denied));
}

#[test]
fn directories_have_limits_of_their_own() {
    let paths = Purge { kind: TaskKind::Path, mode: Mode::Expire, ..request(&["http://global.test/a/"; 4], None) };
    let plan = plan(&Caller::root(AccountId(1)), paths, &directory(), UnixMillis(1_000), 7).expect("four of 500");
    assert_eq!((plan.task.kind, plan.task.mode), (TaskKind::Path, Mode::Expire));
    assert_eq!((plan.toll.kind, plan.toll.quota.mainland), (QuotaKind::Path, 100));
}
