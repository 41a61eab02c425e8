//! `fence` of a node.
//!
//! What this is: which fences a kind of cache can have, so that no receipt rests on one that does not hold there.

use std::time::Duration;

use catharsis_core::topology::{BoundedFence, Fence};

use super::{FenceSection, KindName, Span};

/// The fence of a node of this kind.
pub(super) fn fence(kind: KindName, section: Option<&FenceSection>) -> Result<Fence, String> {
    let exact = match kind {
        KindName::Edge => Some("the built-in edge"),
        KindName::SquidAgent => Some("Squid with an agent"),
        KindName::Varnish | KindName::Nginx | KindName::TrafficServer | KindName::Squid | KindName::NginxAgent => None,
    };
    if let Some(what) = exact {
        return match section {
            None | Some(FenceSection::Exact) => Ok(Fence::Exact),
            Some(FenceSection::Bounded { .. } | FenceSection::Hop | FenceSection::None) => {
                Err(format!("{what} is always exact: leave `fence` out"))
            }
        };
    }
    match section {
        None => bounded(&FenceSection::bounded()),
        Some(bounds @ FenceSection::Bounded { .. }) => bounded(bounds),
        Some(FenceSection::Hop) if kind == KindName::TrafficServer => {
            Err("behind a hop, Traffic Server brings old variants back (docs/caches): use `kind = \"bounded\"`"
                .to_owned())
        }
        Some(FenceSection::Hop) => Ok(Fence::Hop),
        Some(FenceSection::None) => Ok(Fence::None),
        Some(FenceSection::Exact) => Err("this kind of cache has no exact fence: use `kind = \"bounded\"`".to_owned()),
    }
}

fn bounded(section: &FenceSection) -> Result<Fence, String> {
    const USUAL_REPEATS: [Span; 2] = [Span::seconds(2), Span::seconds(10)];
    let FenceSection::Bounded { fetch_max, repeats } = section else { return Ok(Fence::None) };
    let repeats: Vec<Duration> = match repeats {
        Some(repeats) => repeats.iter().map(|span| span.0).collect(),
        None => USUAL_REPEATS.iter().map(|span| span.0).filter(|span| *span < fetch_max.0).collect(),
    };
    BoundedFence::new(repeats, fetch_max.0).map(Fence::Bounded).map_err(|error| format!("fence: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: KindName, section: &str, expect: Result<Fence, &str>) {
        let section: FenceSection = toml::from_str(section).expect("a section");
        match (fence(kind, Some(&section)), expect) {
            (Ok(fence), Ok(expect)) => assert_eq!(fence, expect, "{kind:?}"),
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{kind:?}: {error}"),
            (got, expect) => panic!("{kind:?} {section:?}: {got:?}, not {expect:?}"),
        }
    }

    #[test]
    fn fence_that_does_not_hold_at_a_kind_of_cache_is_refused() {
        for kind in [KindName::Varnish, KindName::Nginx, KindName::Squid, KindName::NginxAgent] {
            check(kind, "kind = \"hop\"", Ok(Fence::Hop));
            check(kind, "kind = \"exact\"", Err("no exact fence"));
        }
        check(KindName::TrafficServer, "kind = \"hop\"", Err("use `kind = \"bounded\"`"));
        check(KindName::TrafficServer, "kind = \"none\"", Ok(Fence::None));
        for kind in [KindName::Edge, KindName::SquidAgent] {
            check(kind, "kind = \"exact\"", Ok(Fence::Exact));
            check(kind, "kind = \"hop\"", Err("always exact"));
        }
    }
}
