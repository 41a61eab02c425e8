//! From a call to prefetch to a plan (pure).
//!
//! What this is: [`plan_push`], which checks every URL against the domains, and names the nodes that
//! are to fetch. Invariant: all or nothing; the first wrong URL refuses the call.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Expected, Found, How, Layer, Links, OpenFetch, Playlist, PushItem, PushPlan, PushTask, PushUrls};
use crate::area::{Area, AreaSet, PerArea};
use crate::clock::UnixMillis;
use crate::domain::{Directory, Domain};
use crate::error::{Place, PurgeError};
use crate::plan::{Caller, Gate, Scope, Toll, check_count, usable};
use crate::quota::{Charge, QuotaDay, QuotaKind};
use crate::target::{CacheUrl, HostName};
use crate::task::TaskId;
use crate::topology::{Node, Tier};

const KIND: QuotaKind = QuotaKind::Push;

/// Plans a prefetch by these nodes.
///
/// # Errors
/// [`PurgeError`], naming the position in the list of the URL that refuses the call.
pub fn plan_push(
    caller: &Caller,
    request: PushUrls,
    directory: &Directory,
    nodes: &[Arc<Node>],
    now: UnixMillis,
    random: u64,
) -> Result<PushPlan, PurgeError> {
    let account = usable(caller, directory)?;
    check_count(request.urls.len(), account, KIND)?;
    let mut gate = Gate::new(caller, directory);
    let mut items = Vec::with_capacity(request.urls.len());
    for (index, url) in request.urls.into_iter().enumerate() {
        let place = Place { kind: KIND, index };
        let parsed = CacheUrl::parse(&url, request.encode).map_err(|why| PurgeError::InvalidUrl { place, why })?;
        check_areas(gate.pass(place, parsed.host())?, place, parsed.host(), request.areas)?;
        items.push(PushItem { url, areas: request.areas, level: 0 });
    }
    let units = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let charge: Charge = PerArea::from_fn(|area| if request.areas.contains(area) { units } else { 0 });
    let day = QuotaDay::of(now);
    let how = How {
        encode: request.encode,
        user_agent: request.user_agent,
        fields: request.fields,
        playlist: request.playlist,
        links: links(caller, request.playlist, directory),
    };
    Ok(PushPlan {
        task: PushTask {
            id: TaskId::new(now, random),
            account: caller.account,
            accepted_at: now,
            how: Arc::new(how),
            items,
        },
        expected: PerArea::from_fn(|area| expected(nodes, area, request.layer)),
        toll: Toll { kind: KIND, day, charge, quota: account.limits.on(KIND, day) },
        claim: request.claim,
    })
}

fn check_areas(domain: &Domain, place: Place, host: &HostName, areas: AreaSet) -> Result<(), PurgeError> {
    if serves(domain, areas) {
        return Ok(());
    }
    Err(PurgeError::AreaMismatch { place, host: host.clone(), area: areas, served: domain.areas })
}

fn serves(domain: &Domain, areas: AreaSet) -> bool {
    areas.iter().all(|area| domain.areas.contains(area))
}

/// What a user may reach by playlists is fixed with the call: the policies are not at hand later.
fn links(caller: &Caller, playlist: Playlist, directory: &Directory) -> Links {
    match (playlist, &caller.scope) {
        (Playlist::AsIs, _) | (Playlist::Expand, Scope::Account) => Links::Account,
        (Playlist::Expand, Scope::Policies(policies)) => {
            let domains = directory.domains_of(caller.account).map(|domain| &domain.name);
            Links::Among(domains.filter(|name| policies.permits(name)).cloned().collect())
        }
    }
}

/// The nodes of an area that fetch, shields first.
fn expected(nodes: &[Arc<Node>], area: Area, layer: Layer) -> Vec<Expected> {
    let of = |tier: Tier| nodes.iter().filter(move |node| node.area == area && node.tier == tier);
    let expect = |node: &Arc<Node>| Expected { node: node.id.clone(), shield: node.shield.clone() };
    let shields: Vec<Expected> = of(Tier::Shield).map(expect).collect();
    match layer {
        Layer::Shields if !shields.is_empty() => shields,
        Layer::Shields | Layer::All => shields.into_iter().chain(of(Tier::Edge).map(expect)).collect(),
    }
}

/// The URLs of a playlist that may be fetched like the item that led to them: of online domains of the
/// account, within what the call could reach, served in all of the item's areas. Each once, in order.
/// `None` when there is none.
#[must_use]
pub fn follow(links: Vec<Box<str>>, from: &OpenFetch, directory: &Directory, now: UnixMillis) -> Option<Found> {
    let caller = Caller { account: from.account, scope: from.how.links.scope() };
    let account = usable(&caller, directory).ok()?;
    let mut gate = Gate::new(&caller, directory);
    let mut seen = HashSet::new();
    let mut urls = Vec::new();
    for link in links {
        let place = Place { kind: KIND, index: 0 };
        let Ok(url) = CacheUrl::parse(&link, from.how.encode) else { continue };
        let allowed = gate.pass(place, url.host()).is_ok_and(|domain| serves(domain, from.areas));
        if allowed && seen.insert(link.clone()) {
            urls.push(link);
        }
    }
    let day = QuotaDay::of(now);
    (!urls.is_empty()).then(|| Found { urls, day, quota: account.limits.on(KIND, day) })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
