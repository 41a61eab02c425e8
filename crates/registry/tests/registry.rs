//! The registry over a store: what may be changed, what is refused, and what outlives a restart.

use std::future::Future as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use catharsis_core::account::{AccountState, Limits};
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::{Tick, UnixMillis};
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::ports::{Clock, Store};
use catharsis_core::quota::{QuotaDay, QuotaKind};
use catharsis_core::task::AccountId;
use catharsis_registry::change::{AccountPatch, NewDomain, Seed, SeedAccount, SeedDomain, SeedKey, Wish, token_digest};
use catharsis_registry::error::StateProblem;
use catharsis_registry::record::Switch;
use catharsis_registry::snapshot::{Principal, QuotaId};
use catharsis_registry::vault::Vault;
use catharsis_registry::{Defaults, Registry, RegistryError};
use catharsis_testkit::mem_store::MemStore;

#[derive(Debug, Default)]
struct Hand(AtomicU64);

#[async_trait]
impl Clock for Hand {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }

    fn tick(&self) -> Tick {
        Tick::default()
    }

    async fn sleep_until(&self, _until: Tick) {
        std::future::pending().await
    }

    fn random(&self) -> u64 {
        0
    }
}

struct World {
    store: MemStore,
    clock: Arc<Hand>,
}

impl World {
    fn new() -> Self {
        let clock = Hand::default();
        clock.0.store(1_700_000_000_000, Ordering::SeqCst);
        Self { store: MemStore::new().0, clock: Arc::new(clock) }
    }

    async fn try_open(&self, key: u8) -> Result<Registry, RegistryError> {
        let defaults = Defaults { limits: Limits::default(), requests_per_second: 20 };
        let store: Arc<dyn Store> = Arc::new(self.store.clone());
        Registry::open(store, Arc::clone(&self.clock) as Arc<dyn Clock>, Vault::new(&[key; 32]), defaults).await
    }

    async fn open(&self) -> Registry {
        self.try_open(1).await.expect("readable records")
    }

    fn after(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn now(&self) -> UnixMillis {
        self.clock.wall()
    }
}

async fn account(registry: &Registry) -> AccountId {
    registry.create_account(None, &AccountPatch::default()).await.expect("a free number").value
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).expect("a valid name")
}

fn domain(account: AccountId, text: &str) -> NewDomain {
    let service_type = "web".to_owned();
    NewDomain {
        account,
        name: name(text),
        areas: AreaSet::Global,
        service_type,
        project_id: 0,
        origin: None,
        keys: KeyRules::default(),
    }
}

#[tokio::test]
async fn key_works_until_it_is_disabled_deleted_or_its_user_is() {
    let world = World::new();
    let registry = world.open().await;
    let root = account(&registry).await;
    let user = registry.create_user(root, "editor").await.expect("a free name").value;
    let key = registry.create_key(Principal(user)).await.expect("the first").value;
    let works = || registry.snapshot().key(&key.secret_id, world.now()).is_some();
    assert!(works());
    registry.switch_key(&key.secret_id, Switch::Disabled).await.expect("known");
    assert!(!works());
    registry.switch_key(&key.secret_id, Switch::Enabled).await.expect("known");
    registry.switch_user(user, Switch::Disabled).await.expect("known");
    assert!(!works());
    registry.switch_user(user, Switch::Enabled).await.expect("known");
    assert!(works());
    registry.create_key(Principal(user)).await.expect("the second");
    let third = registry.create_key(Principal(user)).await;
    assert!(matches!(third, Err(RegistryError::TooMany { limit: 2, .. })));
    registry.delete_user(user).await.expect("known");
    assert!(!works());
    assert_eq!(registry.snapshot().keys.len(), 0, "its keys went with it");
}

#[tokio::test]
async fn temporary_pair_ends_by_itself_and_is_forgotten() {
    let world = World::new();
    let registry = world.open().await;
    let root = account(&registry).await;
    let token = registry.create_token(Principal(root.0), 60).await.expect("short enough").value;
    let snapshot = registry.snapshot();
    let key = snapshot.key(&token.key.secret_id, world.now()).expect("it works");
    let temporary = key.record.temporary.as_ref().expect("it is one");
    assert_eq!(temporary.token_sha256, token_digest(&token.token));
    world.after(60);
    assert!(registry.snapshot().key(&token.key.secret_id, world.now()).is_none());
    registry.create_token(Principal(root.0), 60).await.expect("another");
    assert_eq!(registry.snapshot().keys.len(), 1);
    let too_long = registry.create_token(Principal(root.0), 36 * 3_600 + 1).await;
    assert!(matches!(too_long, Err(RegistryError::Invalid { field: "DurationSeconds", .. })));
}

#[tokio::test]
async fn secrets_are_sealed_in_the_store_and_open_only_with_their_key() {
    let world = World::new();
    let registry = world.open().await;
    let root = account(&registry).await;
    let key = registry.create_key(Principal(root.0)).await.expect("the first").value;
    let token = registry.create_token(Principal(root.0), 60).await.expect("short").value;
    let hook = registry.create_webhook(root, "w", "https://a.test/x").await.expect("the first").value;
    let stored = format!("{:?}", world.store.records().await.expect("readable").all);
    for secret in [&key.secret_key, &token.key.secret_key, &token.token, &hook.secret] {
        assert!(!stored.contains(secret.as_str()));
    }
    let shown = format!("{:?} {key:?} {token:?} {hook:?}", registry.snapshot());
    assert!(![key.secret_key, token.token, hook.secret].iter().any(|secret| shown.contains(secret.as_str())));
    assert!(world.try_open(1).await.is_ok());
    assert!(matches!(world.try_open(2).await, Err(RegistryError::Vault(_))));
}

#[tokio::test]
async fn domain_goes_from_online_to_offline_to_gone_and_belongs_to_one_account() {
    let world = World::new();
    let registry = world.open().await;
    let (one, two) = (account(&registry).await, account(&registry).await);
    registry.create_domain(&domain(one, "www.a.test")).await.expect("free");
    let again = registry.create_domain(&domain(one, "www.a.test")).await;
    assert!(matches!(again, Err(RegistryError::Exists { .. })));
    let stolen = registry.create_domain(&domain(two, "www.a.test")).await;
    assert!(matches!(stolen, Err(RegistryError::OwnedByOther { .. })));
    let around = registry.create_domain(&domain(two, "*.a.test")).await;
    assert!(matches!(around, Err(RegistryError::Conflict { .. })));
    let foreign = registry.wish(two, &name("www.a.test"), Wish::Stop).await;
    assert!(matches!(foreign, Err(RegistryError::NotFound { .. })));
    let early = registry.wish(one, &name("www.a.test"), Wish::Delete).await;
    assert!(matches!(early, Err(RegistryError::State(StateProblem::NotOffline))));
    registry.wish(one, &name("www.a.test"), Wish::Stop).await.expect("it is online");
    assert_eq!(registry.snapshot().domains["www.a.test"].status, DomainStatus::Offline);
    registry.wish(one, &name("www.a.test"), Wish::Delete).await.expect("it is offline");
    registry.create_domain(&domain(two, "*.a.test")).await.expect("free by now");
}

#[tokio::test]
async fn account_has_no_more_domains_than_it_may() {
    let world = World::new();
    let registry = world.open().await;
    let patch = AccountPatch { domains_max: Some(Some(1)), ..AccountPatch::default() };
    let root = registry.create_account(Some(7), &patch).await.expect("free").value;
    registry.create_domain(&domain(root, "a.test")).await.expect("the first");
    let second = registry.create_domain(&domain(root, "b.test")).await;
    assert!(matches!(second, Err(RegistryError::TooMany { limit: 1, .. })));
}

#[tokio::test]
async fn quota_is_set_for_good_or_raised_for_some_days() {
    let world = World::new();
    let registry = world.open().await;
    let root = account(&registry).await;
    let id = QuotaId { account: root, kind: QuotaKind::Path, area: Area::Overseas };
    let today = QuotaDay::of(world.now());
    registry.set_quota(id, 300, None).await.expect("valid");
    registry.set_quota(id, 900, Some((today, QuotaDay(today.0 + 1)))).await.expect("valid");
    let on =
        |day| registry.snapshot().directory.account(root).expect("known").limits.on(QuotaKind::Path, QuotaDay(day));
    assert_eq!((on(today.0).overseas, on(today.0 + 2).overseas, on(today.0).mainland), (900, 300, 100));
    registry.unset_quota(id, None).await.expect("set");
    assert_eq!(on(today.0 + 2).overseas, 100);
    let backwards = registry.set_quota(id, 1, Some((today, QuotaDay(today.0 - 1)))).await;
    assert!(matches!(backwards, Err(RegistryError::Invalid { field: "To", .. })));
}

#[tokio::test]
async fn changes_at_once_are_all_kept_and_none_breaks_a_limit() {
    let world = World::new();
    let registry = Arc::new(world.open().await);
    let root = account(&registry).await;
    let tries = (0..12).map(|_| {
        let registry = Arc::clone(&registry);
        tokio::spawn(async move { registry.create_key(Principal(root.0)).await })
    });
    let mut made = 0;
    for one in tries.collect::<Vec<_>>() {
        match one.await.expect("no panic") {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, RegistryError::TooMany { .. }), "{error}"),
        }
    }
    assert_eq!((made, registry.snapshot().keys.len()), (2, 2));
}

#[tokio::test]
async fn account_state_is_what_the_engine_sees() {
    let world = World::new();
    let registry = world.open().await;
    let root = account(&registry).await;
    for state in AccountState::ALL {
        let patch = AccountPatch { state: Some(state), ..AccountPatch::default() };
        registry.change_account(root, &patch).await.expect("known");
        assert_eq!(registry.snapshot().directory.account(root).map(|it| it.state), Some(state));
    }
}

fn seed(keys: &[(&str, &str)], domains: &[&str]) -> Seed {
    let key = |(id, secret): &(&str, &str)| SeedKey { secret_id: (*id).into(), secret_key: (*secret).into() };
    let domain = |text: &&str| SeedDomain {
        name: name(text),
        areas: AreaSet::Global,
        status: DomainStatus::Online,
        keys: KeyRules::default(),
    };
    let account = SeedAccount {
        account: AccountId(5),
        per_call: [].into(),
        per_day: [(QuotaKind::Url, 7)].into(),
        keys: keys.iter().map(key).collect(),
        domains: domains.iter().map(domain).collect(),
    };
    Seed { accounts: vec![account] }
}

#[tokio::test]
async fn file_seeds_accounts_and_domains_once_and_its_keys_follow_it() {
    let world = World::new();
    let registry = world.open().await;
    let first = registry.seed(&seed(&[("A", "s1"), ("B", "s2")], &["a.test", "b.test"])).await;
    assert_eq!(first.expect("free"), Vec::<String>::new());
    let generation = registry.snapshot().generation;
    registry.seed(&seed(&[("A", "s1"), ("B", "s2")], &["a.test", "b.test"])).await.expect("the same");
    assert_eq!(registry.snapshot().generation, generation, "nothing to change");
    let limits = registry.snapshot().directory.account(AccountId(5)).expect("seeded").limits.clone();
    assert_eq!(limits.per_day.url.overseas, 7);

    registry.delete_domain(&name("a.test")).await.expect("known");
    let differences = registry.seed(&seed(&[("A", "other")], &["a.test", "b.test"])).await.expect("fine");
    assert_eq!(differences, ["domain a.test was deleted"]);
    let snapshot = registry.snapshot();
    assert!(!snapshot.domains.contains_key("a.test"), "what was deleted does not come back");
    assert!(snapshot.key("B", world.now()).is_none(), "a key that left the file is gone");
    assert!(snapshot.key("A", world.now()).is_some());
}

#[tokio::test]
async fn number_of_a_deleted_account_is_not_given_again() {
    let world = World::new();
    let registry = world.open().await;
    let first = account(&registry).await;
    registry.delete_account(first).await.expect("it is empty");
    let second = world.open().await;
    assert_ne!(account(&second).await, first);
}

#[tokio::test]
async fn change_is_shown_even_if_its_caller_leaves() {
    let world = World::new();
    let registry = world.open().await;
    let patch = AccountPatch::default();
    let mut leaving = Box::pin(registry.create_account(Some(7), &patch));
    // Polled once, so that the change has begun, and never again.
    let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(leaving.as_mut().poll(cx).is_pending()));
    assert!(begun.await, "it is under way");
    drop(leaving);
    let mut generations = registry.generations();
    let shown = generations.wait_for(|generation| *generation > 0);
    tokio::time::timeout(std::time::Duration::from_secs(10), shown).await.expect("in time").expect("it lives");
    assert!(registry.snapshot().accounts.contains_key(&AccountId(7)));
}
