//! Accepting, as a root account and as a user with policies, beside the same server without its store, and
//! what the store then answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::Row;
use super::load::Load;
use super::machine::{flushes_a_second, resident_mib};
use super::rows::{ACCEPTED, REFUSED, ROUNDS, Series, cost, folder_beside, purges, say};
use super::server::{Keys, Server, api_config, root, signed};
use super::user;

/// Calls of one URL in a round.
const ONE_URL_CALLS: usize = 40_000;
/// Calls of a thousand URLs in a round: together ten million URLs, which the history then holds.
const THOUSAND_URL_CALLS: usize = 3_280;
/// Accepted calls are as many as the connections share evenly.
const CONNECTIONS: [usize; 2] = [64, 8];

const STORED: usize = ROUNDS * (2 * ONE_URL_CALLS + THOUSAND_URL_CALLS * 1_000);

/// Who calls, and what the last URL's host is, of which it depends whether the store is reached.
struct Kind<'a> {
    keys: &'a Keys,
    host: &'static str,
    expect: &'static str,
}

pub(super) async fn rows(binary: &Path) -> anyhow::Result<Vec<Row>> {
    let folder = folder_beside(binary)?;
    say("the disk's flush rate");
    let flushes = flushes_a_second(folder.path())?;
    // Nobody listens there: what is accepted stays open.
    let away = "[[node]]\nname = \"away\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"127.0.0.1:1\"\n";
    let config = api_config(folder.path(), away);
    // Once for the account, which the user is then made in.
    drop(Server::start(binary, folder.path(), &config)?);
    let user = user::create(folder.path()).await?;
    let server = Server::start(binary, folder.path(), &config)?;
    let root = root();
    let [accepted, refused] = [("www.bench.test", ACCEPTED), ("nowhere.test", REFUSED)];
    let kind = |keys, (host, expect)| Kind { keys, host, expect };
    let mut one =
        [kind(&root, accepted), kind(&user, accepted), kind(&root, refused)].map(|it| (it, Series::default()));
    let mut many = [kind(&root, accepted), kind(&root, refused)].map(|it| (it, Series::default()));
    for round in 1..=ROUNDS {
        say(&format!(
            "round {round} of {ROUNDS}: {ONE_URL_CALLS} calls of 1 URL, {THOUSAND_URL_CALLS} of 1000, each accepted and refused"
        ));
        for (kind, series) in &mut one {
            series.push(send(&server, kind, (1, ONE_URL_CALLS), CONNECTIONS[0]).await?);
        }
        for (kind, series) in &mut many {
            series.push(send(&server, kind, (1_000, THOUSAND_URL_CALLS), CONNECTIONS[1]).await?);
        }
    }
    let [root, user, none] = one.map(|(_, series)| series);
    let [many, many_none] = many.map(|(_, series)| series);
    let disk = format!("the disk: {flushes:.0} flushes/s");
    let mut rows = vec![
        row("as a root account", 1, &root, &format!("{}; {disk}", beside(&none, 1))),
        row(
            "as a user with two policies, one conditional",
            1,
            &user,
            &format!("the root account {:.2} µs", root.micros()),
        ),
        row("as a root account", 1_000, &many, &format!("{}; {disk}", beside(&many_none, 1_000))),
    ];
    rows.push(page(server.api()?).await?);
    rows.push(Row {
        work: format!("memory of the server with {STORED} open items"),
        figure: format!("{} MiB resident", resident_mib(server.process_id())),
        budget: "≤ 256 MB with 10⁶",
        limit: "-".to_owned(),
    });
    Ok(rows)
}

async fn send(
    server: &Server,
    kind: &Kind<'_>,
    (urls, calls): (usize, usize),
    connections: usize,
) -> anyhow::Result<super::rows::Cost> {
    let address = server.api()?;
    // Signed anew for each round: a signature is good for minutes.
    let requests = purges(address, kind.keys, urls, kind.host, 64)?;
    cost(server.process_id(), &Load { address, connections, depth: 1, requests, total: calls, expect: kind.expect })
        .await
}

fn beside(refused: &Series, urls: usize) -> String {
    let (micros, rate) = (refused.micros() / urls as f64, refused.rate());
    format!("refused after all but the store: {micros:.2} µs, {rate:.0} calls/s")
}

fn row(who: &str, urls: usize, series: &Series, limit: &str) -> Row {
    let connections = CONNECTIONS[usize::from(urls > 1)];
    let (unit, budget) = if urls == 1 { ("a call", "≤ 50 µs CPU") } else { ("a URL", "≤ 0.8 µs CPU a URL") };
    Row {
        work: format!(
            "accept a signed {urls}-URL purge {who}, durable, quota and rate counted ({connections} connections)"
        ),
        figure: format!(
            "{:.2} µs CPU {unit}; {:.0} calls/s; {}",
            series.micros() / urls as f64,
            series.rate(),
            series.latency()
        ),
        budget,
        limit: limit.to_owned(),
    }
}

async fn page(api: SocketAddr) -> anyhow::Result<Row> {
    say("pages of the history");
    let parameters = json!({ "StartTime": "2020-01-01 00:00:00", "Offset": 20, "Limit": 20 });
    let requests = Arc::new(vec![signed(api, &root(), "DescribePurgeTasks", &parameters)?]);
    let load = Load { address: api, connections: 1, depth: 1, requests, total: 200, expect: "TotalCount" };
    let mut series = Series::default();
    for _ in 0..ROUNDS {
        // Its processor time is not told.
        series.push(cost(std::process::id(), &load).await?);
    }
    Ok(Row {
        work: format!("DescribePurgeTasks, {STORED} URLs stored, 20 rows from the 20th and the total"),
        figure: series.latency(),
        budget: "p99 ≤ 50 ms with 10 M",
        limit: "-".to_owned(),
    })
}
