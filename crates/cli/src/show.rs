//! `quota`, `domains` and `nodes`: what the service knows, for people or as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catharsis_tcapi::cdn::{
    Action, BriefDomain, CacheNode, DescribeCacheNodesRequest, DescribeCacheNodesResponse, DescribeDomainsRequest,
    DescribeDomainsResponse, DescribePurgeQuotaRequest, DescribePurgeQuotaResponse, DescribePushQuotaRequest,
    DescribePushQuotaResponse,
};

use crate::client::Client;
use crate::console::Console;
use crate::ended::Ended;
use crate::pages::{self, PAGE, Rows};
use crate::{Connection, admin};

/// How to show the quota, or what to do with that of any account.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Quota {
    #[command(subcommand)]
    verb: Option<admin::quota::Verb>,
    /// Of prefetches instead of purges
    #[arg(long)]
    push: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Quota {
    /// Whether a document was asked for, with or without a verb.
    pub(crate) fn prints_json(&self) -> bool {
        self.verb.as_ref().map_or(self.json, |verb| verb.operator().json)
    }
}

/// How to show the account's domains.
#[derive(Clone, Debug, clap::Args)]
pub struct Domains {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// How to show the caches.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Shows today's quota, or manages that of any account.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn quota(options: Quota, console: &mut Console) -> Result<(), Ended> {
    if let Some(verb) = options.verb {
        return admin::quota::run(verb, console).await;
    }
    let client = Client::new(&options.connection, console)?;
    let kinds = if options.push {
        let request = DescribePushQuotaRequest {};
        let quota: DescribePushQuotaResponse = client.call(Action::DescribePushQuota, &request).await?;
        if options.json {
            console.json(&quota);
            return Ok(());
        }
        vec![("push", quota.url_push)]
    } else {
        let request = DescribePurgeQuotaRequest {};
        let quota: DescribePurgeQuotaResponse = client.call(Action::DescribePurgeQuota, &request).await?;
        if options.json {
            console.json(&quota);
            return Ok(());
        }
        vec![("url", quota.url_purge), ("path", quota.path_purge)]
    };
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .flat_map(|(kind, quotas)| quotas.iter().map(move |it| (kind, it)))
        .map(|(kind, it)| {
            let numbers = [it.available, it.total, it.batch].map(|number| number.to_string());
            [vec![(*kind).to_owned(), it.area.as_str().to_owned()], numbers.to_vec()].concat()
        })
        .collect();
    console.table(&["KIND", "AREA", "AVAILABLE", "A DAY", "A CALL"], &rows);
    Ok(())
}

/// Shows the account's domains, all of them.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn domains(options: Domains, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let ask = async |offset| {
        let request = DescribeDomainsRequest { offset, limit: PAGE, ..DescribeDomainsRequest::default() };
        let page: DescribeDomainsResponse = client.call(Action::DescribeDomains, &request).await?;
        Ok(Rows { rows: page.domains, total: page.total_number })
    };
    let Rows { rows, total } = pages::all(ask).await?;
    let shown = DescribeDomainsResponse { domains: rows, total_number: total };
    if options.json {
        console.json(&shown);
        return Ok(());
    }
    let heading = ["DOMAIN", "STATUS", "AREA", "SERVICE", "CHANGED (UTC+8)", "CNAME"];
    console.table(&heading, &shown.domains.iter().map(domain_row).collect::<Vec<_>>());
    Ok(())
}

fn domain_row(domain: &BriefDomain) -> Vec<String> {
    vec![
        domain.domain.clone(),
        domain.status.as_str().to_owned(),
        domain.area.as_str().to_owned(),
        domain.service_type.as_str().to_owned(),
        domain.update_time.clone(),
        domain.cname.clone(),
    ]
}

/// Shows where the caches stand.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn nodes(options: Nodes, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let request = DescribeCacheNodesRequest {};
    let answer: DescribeCacheNodesResponse = client.call(Action::DescribeCacheNodes, &request).await?;
    if options.json {
        console.json(&answer);
        return Ok(());
    }
    let heading =
        ["NODE", "AREA", "TIER", "KIND", "FENCE", "ROTATION", "STATE", "LEASE", "CURSOR", "LAG", "LAST RECEIPT"];
    console.table(&heading, &answer.nodes.iter().map(node_row).collect::<Vec<_>>());
    for node in &answer.nodes {
        let cannot = node.abilities.iter().filter(|(_, ability)| *ability == "none").map(|(scope, _)| scope.as_str());
        let cannot: Vec<&str> = cannot.filter(|scope| *scope != "tag").collect();
        if !cannot.is_empty() {
            console.line(&format!("{}: refuses {}: this kind of cache cannot do it", node.node, cannot.join(", ")));
        }
        if let Some(trouble) = &node.trouble {
            console.line(&format!("{}: {trouble}", node.node));
        }
        if let Some(proof) = node.proof.as_ref().filter(|proof| *proof != "proven") {
            console.line(&format!("{}: proof {proof}", node.node));
        }
    }
    Ok(())
}

fn node_row(node: &CacheNode) -> Vec<String> {
    let last = node.last_receipt_ms.map_or_else(|| "never".to_owned(), |at| ago(now_ms().saturating_sub(at)));
    vec![
        node.node.clone(),
        node.area.clone(),
        node.tier.clone(),
        node.kind.clone(),
        node.fence.clone(),
        node.rotation.clone(),
        node.state.clone(),
        lease(node.lease_end_ms, now_ms()),
        node.cursor.to_string(),
        node.lag.to_string(),
        last,
    ]
}

/// What is left of a node's lease.
fn lease(end: Option<u64>, now: u64) -> String {
    match end {
        None => "-".to_owned(),
        Some(end) if end <= now => "ended".to_owned(),
        Some(end) => span(end - now),
    }
}

pub(crate) fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..100_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string(),
    }
}

fn ago(millis: u64) -> String {
    format!("{} ago", span(millis))
}

pub(crate) fn now() -> i64 {
    i64::try_from(now_ms() / 1_000).unwrap_or(i64::MAX)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_is_shown_by_what_is_left_of_it() {
        assert_eq!([None, Some(5_000), Some(7_500)].map(|end| lease(end, 5_000)), ["-", "ended", "2.5 s"]);
    }

    #[test]
    fn spans_are_short_and_exact_enough() {
        assert_eq!([3, 2_345, 3_723_000].map(span), ["3 ms", "2.3 s", "1h 2m 3s"]);
    }
}
