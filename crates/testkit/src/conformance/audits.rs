//! Rules for what auditors saw.

use catharsis_core::area::Area;
use catharsis_core::audit::{Audit, Verdict};
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::Seq;
use catharsis_core::receipt::Reason;

use super::{Fixture, MAINLAND, submit};
use crate::plans::{node, plan};

/// A look is found by its position, once however often it is kept, after a restart too, and is pruned with the position.
///
/// # Panics
/// When it is not.
pub async fn audits_are_kept_once_and_go_with_their_positions(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    for id in 1..=3 {
        submit(&pair, plan(id, &["http://a.test/1", "http://a.test/2"], MAINLAND)).await;
    }
    let audit = |seq: u64, at: u64, verdict: Verdict| Audit {
        node: node("n").id,
        area: Area::Mainland,
        seq: Seq(seq),
        at: UnixMillis(at),
        verdict,
        why: Reason::new("Age: 7"),
    };
    let [younger, older, nocopy, untold] = Verdict::ALL.map(|verdict| audit(4, 10 + verdict as u64, verdict));
    let late = audit(2, 9, Verdict::Younger);
    for one in [&older, &late, &younger, &nocopy, &untold, &older] {
        pair.store.keep_audit(one.clone()).await.expect("writable");
    }
    let all = [&late, &younger, &older, &nocopy, &untold].map(Audit::clone).to_vec();
    assert_eq!(pair.store.audits(Area::Mainland, Seq(1), Seq(6)).await, Ok(all.clone()));
    assert_eq!(pair.store.audits(Area::Mainland, Seq(3), Seq(4)).await, Ok(all[1..].to_vec()));
    assert_eq!(pair.store.audits(Area::Mainland, Seq(5), Seq(6)).await, Ok(Vec::new()));
    assert_eq!(pair.store.audits(Area::Overseas, Seq(1), Seq(6)).await, Ok(Vec::new()));
    // The first task goes, and with it positions 1 and 2.
    fixture.prune(UnixMillis(1_700_000_000_000 + 2 * 1_000)).await;
    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(pair.store.audits(Area::Mainland, Seq(1), Seq(6)).await, Ok(all[1..].to_vec()));
}
