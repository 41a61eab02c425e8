//! Orders of a batch: how much one holds.

use std::time::Duration;

use catharsis_core::limits::URL_BYTES_MAX;
use catharsis_core::target::Encode;

use super::*;

fn purger() -> EdgePurger {
    let limits =
        HttpLimits { connect: Duration::from_secs(1), answer: Duration::from_secs(1), batch: Duration::from_secs(1) };
    let address = NodeAddress::parse("127.0.0.1:1").expect("an address");
    EdgePurger::new(address, limits, "log", None).expect("a log that can be named")
}

/// A batch of the relay, of URLs that end in this.
fn batch(end: &str) -> Vec<Invalidation> {
    let one = |number: usize| {
        let url = CacheUrl::parse(&format!("http://www.a.test/{number}{end}"), Encode::AsSubmitted).expect("a URL");
        Invalidation {
            seq: Seq(number as u64 + 1),
            task: TaskId::new(UnixMillis(0), 0),
            target: Target::Url(url).into(),
            mode: Mode::Delete,
            accepted_at: UnixMillis(0),
        }
    };
    (0..RELAY_BATCH).map(one).collect()
}

/// How many invalidations each order holds.
fn orders(batch: &[Invalidation]) -> Vec<usize> {
    let purger = purger();
    let mut rest = batch;
    let write = || purger.write(&purger.log, &mut rest);
    let fits = |written: Written| {
        let order = written.order.expect("an order");
        assert!(order.body.len() <= BODY_BYTES_MAX, "{} bytes", order.body.len());
        order.count
    };
    std::iter::from_fn(write).map(fits).collect()
}

#[test]
fn usual_batch_is_one_order() {
    assert_eq!(orders(&batch("/picture.webp")), [RELAY_BATCH]);
}

#[test]
fn batch_of_the_longest_urls_goes_in_orders_that_an_edge_takes() {
    // Two spellings, and characters that JSON escapes.
    let quotes = "\"".repeat((URL_BYTES_MAX - 100) / 2);
    for end in ["x".repeat(URL_BYTES_MAX - 100), format!("é{quotes}")] {
        let orders = orders(&batch(&end));
        assert!(orders.len() > 1, "{orders:?}");
        assert_eq!(orders.iter().sum::<usize>(), RELAY_BATCH);
    }
}
