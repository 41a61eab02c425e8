//! From a submission to a plan (pure).
//!
//! What this is: [`plan`], which checks every URL against the domains and works out the task, where
//! its items go and what they cost. Invariant: all or nothing; the first wrong URL refuses the call.

use crate::area::{Area, AreaSet, PerArea};
use crate::clock::UnixMillis;
use crate::domain::{Directory, DomainStatus, PurgeLimits};
use crate::error::PurgeError;
use crate::quota::{Charge, QuotaDay};
use crate::target::{CacheUrl, Encode};
use crate::task::{AccountId, Item, Task, TaskId, TaskKind};

/// Whoever signed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
}

/// A call to purge URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeUrls {
    /// The URLs, as submitted.
    pub urls: Vec<Box<str>>,
    /// Where to purge; absent: where each domain is served.
    pub area: Option<Area>,
    /// How they are spelled for the caches.
    pub encode: Encode,
}

/// A task that may be accepted, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The task.
    pub task: Task,
    /// The day whose quota it draws on.
    pub day: QuotaDay,
    /// What it takes from each area's quota, a unit an item.
    pub charge: Charge,
    /// The account's daily quota in each area.
    pub quota: PerArea<u32>,
}

/// Plans a submission.
///
/// # Errors
/// [`PurgeError`], naming the position in the list of the URL that refuses the call.
pub fn plan(
    caller: Caller,
    request: PurgeUrls,
    directory: &Directory,
    now: UnixMillis,
    random: u64,
) -> Result<Plan, PurgeError> {
    let limits = directory.limits(caller.account).ok_or(PurgeError::NotActivated)?;
    check_count(request.urls.len(), limits)?;
    let mut charge = Charge::default();
    let mut items = Vec::with_capacity(request.urls.len());
    for (index, url) in request.urls.into_iter().enumerate() {
        let areas = areas_of(&url, index, caller, request.area, request.encode, directory)?;
        areas.iter().for_each(|area| *charge.get_mut(area) += 1);
        items.push(Item { url, areas });
    }
    let task = Task {
        id: TaskId::new(now, random),
        account: caller.account,
        kind: TaskKind::Url,
        encode: request.encode,
        accepted_at: now,
        items,
    };
    Ok(Plan { task, day: QuotaDay::of(now), charge, quota: limits.urls_per_day })
}

fn check_count(count: usize, limits: &PurgeLimits) -> Result<(), PurgeError> {
    if count == 0 {
        return Err(PurgeError::NoUrls);
    }
    if count > limits.urls_per_call as usize {
        return Err(PurgeError::TooManyUrls { count, limit: limits.urls_per_call });
    }
    Ok(())
}

fn areas_of(
    url: &str,
    index: usize,
    caller: Caller,
    area: Option<Area>,
    encode: Encode,
    directory: &Directory,
) -> Result<AreaSet, PurgeError> {
    let url = CacheUrl::parse(url, encode).map_err(|why| PurgeError::InvalidUrl { index, why })?;
    let host = url.host();
    // A host of another account is answered like an unknown one: who owns it is not ours to tell.
    let domain = directory
        .domain(host)
        .filter(|domain| domain.owner == caller.account)
        .ok_or_else(|| PurgeError::UnknownHost { index, host: host.clone() })?;
    if domain.status == DomainStatus::Offline {
        return Err(PurgeError::HostOffline { index, host: host.clone() });
    }
    match area {
        None => Ok(domain.areas),
        Some(area) if domain.areas.contains(area) => Ok(AreaSet::One(area)),
        Some(area) => Err(PurgeError::AreaMismatch { index, host: host.clone(), area, served: domain.areas }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Domain, DomainName};
    use crate::target::{HostName, InvalidUrl};

    fn directory() -> Directory {
        let limits = PurgeLimits { urls_per_call: 3, ..PurgeLimits::default() };
        let accounts = [(AccountId(1), limits), (AccountId(2), limits)];
        let domain = |name: &str, owner, areas, status| Domain {
            name: DomainName::parse(name).expect("a valid name in a test"),
            owner: AccountId(owner),
            areas,
            status,
        };
        let domains = [
            domain("global.test", 1, AreaSet::Global, DomainStatus::Online),
            domain("inland.test", 1, AreaSet::One(Area::Mainland), DomainStatus::Online),
            domain("off.test", 1, AreaSet::Global, DomainStatus::Offline),
            domain("other.test", 2, AreaSet::Global, DomainStatus::Online),
        ];
        Directory::new(accounts, domains).expect("a valid directory")
    }

    fn submit(account: u64, urls: &[&str], area: Option<Area>) -> Result<Plan, PurgeError> {
        let urls = urls.iter().map(|url| Box::from(*url)).collect();
        let request = PurgeUrls { urls, area, encode: Encode::AsSubmitted };
        plan(Caller { account: AccountId(account) }, request, &directory(), UnixMillis(1_000), 7)
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
        assert_eq!(plan.charge, PerArea { mainland: 3, overseas: 2 });
    }

    #[test]
    fn area_of_the_call_narrows_a_global_domain() {
        let plan = submit(1, &["http://global.test/"], Some(Area::Overseas)).expect("served there");
        assert_eq!(plan.charge, PerArea { mainland: 0, overseas: 1 });
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
            PurgeError::InvalidUrl { index: 1, why: InvalidUrl::ControlCharacter { position: 19 } },
        );
        check("http://nowhere.test/", None, PurgeError::UnknownHost { index: 1, host: host("nowhere.test") });
        check("http://other.test/", None, PurgeError::UnknownHost { index: 1, host: host("other.test") });
        check("http://off.test/", None, PurgeError::HostOffline { index: 1, host: host("off.test") });
        check(
            "http://inland.test/",
            Some(Area::Overseas),
            PurgeError::AreaMismatch {
                index: 1,
                host: host("inland.test"),
                area: Area::Overseas,
                served: AreaSet::One(Area::Mainland),
            },
        );
    }

    #[test]
    fn empty_and_oversized_calls_are_refused() {
        assert_eq!(submit(1, &[], None), Err(PurgeError::NoUrls));
        let four = ["http://global.test/"; 4];
        assert_eq!(submit(1, &four, None), Err(PurgeError::TooManyUrls { count: 4, limit: 3 }));
        assert_eq!(submit(9, &four[..1], None), Err(PurgeError::NotActivated));
    }
}
