//! What is refused, what it costs, who fetches, and where playlists lead.

use super::*;
use crate::account::{Account, AccountState};
use crate::domain::{DomainName, DomainStatus};
use crate::invalidation::Seq;
use crate::plan::{Claim, Permits};
use crate::push::{PushFields, PushItemId, UserAgent};
use crate::target::Encode;
use crate::task::AccountId;
use crate::topology::{Fence, Join, NodeId, NodeKind};

const OWNER: AccountId = AccountId(1);

fn domain(name: &str, owner: AccountId, areas: AreaSet, status: DomainStatus) -> Domain {
    Domain { name: DomainName::parse(name).expect("a valid name"), owner, areas, status, keys: Arc::default() }
}

fn directory() -> Directory {
    let accounts = [(OWNER, Account::default()), (AccountId(2), Account::default())];
    let domains = [
        domain("a.test", OWNER, AreaSet::Global, DomainStatus::Online),
        domain("inland.test", OWNER, AreaSet::One(Area::Mainland), DomainStatus::Online),
        domain("stopped.test", OWNER, AreaSet::Global, DomainStatus::Offline),
        domain("other.test", AccountId(2), AreaSet::Global, DomainStatus::Online),
    ];
    Directory::new(accounts, domains).expect("names differ")
}

fn node(id: &str, area: Area, tier: Tier, shield: Option<&str>) -> Arc<Node> {
    let name = |text: &str| NodeId::parse(text).expect("a valid name");
    Arc::new(Node {
        id: name(id),
        pop: "p".into(),
        area,
        tier,
        kind: NodeKind::Varnish,
        shield: shield.map(name),
        fence: Fence::Exact,
        join: Join::Empty,
        rotation: crate::topology::Rotation::In,
    })
}

fn nodes() -> Vec<Arc<Node>> {
    vec![
        node("m-edge", Area::Mainland, Tier::Edge, Some("m-shield")),
        node("m-shield", Area::Mainland, Tier::Shield, None),
        node("o-edge", Area::Overseas, Tier::Edge, None),
    ]
}

fn request(urls: &[&str], areas: AreaSet) -> PushUrls {
    PushUrls {
        urls: urls.iter().map(|url| (*url).into()).collect(),
        areas,
        layer: Layer::All,
        user_agent: UserAgent::default(),
        fields: PushFields::default(),
        playlist: Playlist::AsIs,
        encode: Encode::AsSubmitted,
        claim: None,
    }
}

fn planned(request: PushUrls) -> Result<PushPlan, PurgeError> {
    plan_push(&Caller::root(OWNER), request, &directory(), &nodes(), UnixMillis(1_704_124_800_000), 7)
}

fn names(plan: &PushPlan, area: Area) -> Vec<&str> {
    plan.expected.get(area).iter().map(|expected| expected.node.as_str()).collect()
}

#[derive(Debug)]
struct Only(&'static str);

impl Permits for Only {
    fn permits(&self, domain: &DomainName) -> bool {
        domain.to_string() == self.0
    }
}

#[test]
fn global_prefetch_draws_on_both_quotas_and_shields_come_first() {
    let claim = Claim { token: "t".into(), digest: [1; 32] };
    let asked =
        PushUrls { claim: Some(claim.clone()), ..request(&["http://a.test/1", "http://a.test/2"], AreaSet::Global) };
    let plan = planned(asked).expect("valid");
    assert_eq!(plan.toll.charge, PerArea { mainland: 2, overseas: 2 });
    assert_eq!((plan.toll.kind, plan.toll.quota.mainland), (QuotaKind::Push, 1_000));
    assert_eq!(names(&plan, Area::Mainland), ["m-shield", "m-edge"]);
    assert_eq!(names(&plan, Area::Overseas), ["o-edge"]);
    assert_eq!(plan.expected_of(&plan.task.items[0]).count(), 3);
    assert_eq!(plan.claim, Some(claim));
    let one = planned(request(&["http://a.test/1"], AreaSet::One(Area::Overseas))).expect("valid");
    assert_eq!(one.toll.charge, PerArea { mainland: 0, overseas: 1 });
    assert_eq!(one.expected_of(&one.task.items[0]).count(), 1);
}

#[test]
fn shields_only_means_edges_where_there_is_no_shield() {
    let asked = PushUrls { layer: Layer::Shields, ..request(&["http://a.test/1"], AreaSet::Global) };
    let plan = planned(asked).expect("valid");
    assert_eq!(names(&plan, Area::Mainland), ["m-shield"]);
    assert_eq!(names(&plan, Area::Overseas), ["o-edge"]);
}

#[test]
fn first_wrong_url_refuses_the_call() {
    let refusal = |urls: &[&str], areas| planned(request(urls, areas)).expect_err("refused");
    let place = Place { kind: QuotaKind::Push, index: 1 };
    let ok = "http://a.test/";
    for url in ["http://other.test/", "http://nobody.test/"] {
        let error = refusal(&[ok, url], AreaSet::Global);
        assert!(matches!(error, PurgeError::UnknownHost { place: at, .. } if at == place), "{error}");
    }
    let error = refusal(&[ok, "http://stopped.test/"], AreaSet::Global);
    assert!(matches!(error, PurgeError::HostOffline { place: at, .. } if at == place), "{error}");
    let error = refusal(&[ok, "http://a.test/#x"], AreaSet::Global);
    assert!(matches!(error, PurgeError::InvalidUrl { place: at, .. } if at == place), "{error}");
    for areas in [AreaSet::Global, AreaSet::One(Area::Overseas)] {
        let error = refusal(&[ok, "http://inland.test/"], areas);
        assert!(matches!(&error, PurgeError::AreaMismatch { area, .. } if *area == areas), "{error}");
    }
    assert_eq!(refusal(&[], AreaSet::Global), PurgeError::Empty { kind: QuotaKind::Push });
    let many = vec![ok; 501];
    assert!(matches!(refusal(&many, AreaSet::Global), PurgeError::TooMany { limit: 500, .. }));
    assert!(planned(request(&many[1..], AreaSet::Global)).is_ok());
}

#[test]
fn account_that_may_not_change_anything_prefetches_nothing() {
    let account = Account { state: AccountState::Suspended, ..Account::default() };
    let directory = Directory::new([(OWNER, account)], []).expect("valid");
    let asked = request(&["http://a.test/1"], AreaSet::Global);
    let refused = plan_push(&Caller::root(OWNER), asked, &directory, &[], UnixMillis(0), 0);
    assert_eq!(refused, Err(PurgeError::AccountState(AccountState::Suspended)));
}

fn open(links: Links, areas: AreaSet) -> OpenFetch {
    OpenFetch {
        item: PushItemId(1),
        task: TaskId::new(UnixMillis(0), 1),
        account: OWNER,
        accepted_at: UnixMillis(0),
        head: Seq::ZERO,
        how: Arc::new(How { playlist: Playlist::Expand, links, ..How::default() }),
        url: "http://a.test/x.m3u8".into(),
        areas,
        level: 0,
    }
}

fn followed(links: &[&str], from: &OpenFetch) -> Vec<String> {
    let links = links.iter().map(|link| (*link).into()).collect();
    let found = follow(links, from, &directory(), UnixMillis(0));
    found.map(|found| found.urls.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn playlist_leads_only_to_online_domains_of_the_account_in_the_same_areas() {
    let links = [
        "http://a.test/1.ts",
        "http://other.test/1.ts",
        "http://nobody.test/1.ts",
        "http://stopped.test/1.ts",
        "http://inland.test/1.ts",
        "http://a.test/1.ts",
        "data:text/plain,x",
        "http://127.0.0.1:22/",
    ];
    let global = open(Links::Account, AreaSet::Global);
    assert_eq!(followed(&links, &global), ["http://a.test/1.ts"]);
    let inland = open(Links::Account, AreaSet::One(Area::Mainland));
    assert_eq!(followed(&links, &inland), ["http://a.test/1.ts", "http://inland.test/1.ts"]);
    assert_eq!(follow(Vec::new(), &inland, &directory(), UnixMillis(0)), None);
}

#[test]
fn playlist_leads_a_user_no_further_than_its_policies_did() {
    let caller = Caller { account: OWNER, scope: Scope::Policies(Arc::new(Only("a.test"))) };
    let asked = PushUrls { playlist: Playlist::Expand, ..request(&["http://a.test/1"], AreaSet::One(Area::Mainland)) };
    let plan = plan_push(&caller, asked, &directory(), &nodes(), UnixMillis(0), 0).expect("permitted");
    let from = open(plan.task.how.links.clone(), AreaSet::One(Area::Mainland));
    assert_eq!(followed(&["http://a.test/1.ts", "http://inland.test/1.ts"], &from), ["http://a.test/1.ts"]);
}
