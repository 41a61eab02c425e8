//! `catharsis domain`: acceleration domains and their states, of any account.

use http::Method;
use serde::Serialize;

use super::Operator;
use super::client::path;
use super::options::{Name, Uin};
use super::present::Columns;
use crate::console::Console;
use crate::ended::Ended;

/// Acceleration domains.
#[derive(Clone, Debug, clap::Args)]
pub struct Domain {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List all domains, or those of an account
    List {
        #[arg(long, value_name = "UIN")]
        account: Option<Uin>,
    },
    /// Show a domain
    Show { name: Name },
    /// Create a domain for an account
    Create {
        account: Uin,
        name: Name,
        /// Where it is served
        #[arg(long, value_enum)]
        area: Area,
        /// What it serves. Default: web
        #[arg(long, value_enum)]
        service_type: Option<Service>,
        #[command(flatten)]
        origin: Origin,
        /// What its caches take for the same resource, such as "query=drop case=folded". Default: as sent
        #[arg(long, value_name = "RULES")]
        key_rules: Option<String>,
    },
    /// Say what its caches take for the same resource, such as "query=only:id,v order=sorted", or default
    SetKeys { name: Name, rules: String },
    /// Set a domain's status
    SetStatus {
        name: Name,
        #[arg(value_enum)]
        status: Status,
    },
    /// Delete a domain
    Delete { name: Name },
}

/// Where the edges fetch a domain. Without an origin: as their own files say.
#[derive(Clone, Debug, Serialize, clap::Args)]
#[serde(rename_all = "PascalCase")]
struct Origin {
    /// HOST[:PORT[:WEIGHT]] of an origin; may be given again
    #[arg(long = "origin", value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<String>,
    /// The Host that origins are asked for. Default: the domain
    #[arg(long, value_name = "HOST", requires = "origins")]
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    /// How origins are asked. Default: http
    #[arg(long, value_enum, requires = "origins")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_protocol: Option<Protocol>,
}

/// What a domain serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Service {
    Web,
    Download,
    Media,
    Hybrid,
    Dynamic,
}

/// How origins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Http,
    Https,
    /// As the client asked.
    Follow,
}

/// Where a domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Area {
    Mainland,
    Overseas,
    Global,
}

/// The status of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Status {
    Online,
    Offline,
    Processing,
    Locked,
    Rejected,
    Closing,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: Name,
    area: Area,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_type: Option<Service>,
    #[serde(flatten)]
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_rules: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetKeys {
    key_rules: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetStatus {
    status: Status,
}

const ROW: Columns = Columns::Only(&["Name", "Account", "Area", "Status", "Origins", "UpdatedAt"]);
const WHOLE: Columns = Columns::First(&["Name", "Account", "Area", "Status", "ServiceType", "Origins", "KeyRules"]);

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(domain: Domain, console: &mut Console) -> Result<(), Ended> {
    let mut session = domain.operator.open(console)?;
    match domain.verb {
        Verb::List { account } => {
            let query = account.map(|uin| format!("?account={uin}")).unwrap_or_default();
            let answer = session.client.list(&(path(&[&"domains"]) + &query)).await?;
            session.show(&answer, ROW);
        }
        Verb::Show { name } => {
            let answer = session.client.get(&path(&[&"domains", &name])).await?;
            session.show(&answer, WHOLE);
        }
        Verb::Create { account, name, area, service_type, origin, key_rules } => {
            let body = Create { name: name.clone(), area, service_type, origin, key_rules };
            let path = path(&[&"accounts", &account, &"domains"]);
            let answer = session.client.change(Method::POST, &path, &body).await?;
            session.done(&answer, &format!("domain {name} created"));
        }
        Verb::SetKeys { name, rules } => {
            let path = path(&[&"domains", &name]);
            let answer = session.client.change(Method::PATCH, &path, &SetKeys { key_rules: rules }).await?;
            session.done(&answer, &format!("domain {name} changed"));
        }
        Verb::SetStatus { name, status } => {
            let path = path(&[&"domains", &name]);
            let answer = session.client.change(Method::PATCH, &path, &SetStatus { status }).await?;
            session.done(&answer, &format!("domain {name} changed"));
        }
        Verb::Delete { name } => {
            let answer = session.client.touch(Method::DELETE, &path(&[&"domains", &name])).await?;
            session.done(&answer, &format!("domain {name} deleted"));
        }
    }
    Ok(())
}
