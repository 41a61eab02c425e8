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
        /// HOST[:PORT] of an origin; may be given again
        #[arg(long = "origin", value_name = "HOST")]
        origins: Vec<String>,
    },
    /// Set a domain's status
    SetStatus {
        name: Name,
        #[arg(value_enum)]
        status: Status,
    },
    /// Delete a domain
    Delete { name: Name },
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetStatus {
    status: Status,
}

const COLUMNS: Columns = Columns::First(&["Name", "Account", "Uin", "Area", "Status"]);

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
            session.show(&answer, COLUMNS);
        }
        Verb::Show { name } => {
            let answer = session.client.get(&path(&[&"domains", &name])).await?;
            session.show(&answer, COLUMNS);
        }
        Verb::Create { account, name, area, origins } => {
            let body = Create { name: name.clone(), area, origins };
            let path = path(&[&"accounts", &account, &"domains"]);
            let answer = session.client.change(Method::POST, &path, &body).await?;
            session.done(&answer, &format!("domain {name} created"));
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
