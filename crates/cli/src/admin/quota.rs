//! `catharsis quota show|set|unset`: the quotas of any account, permanent or for some days.

use catharsis_tcapi::time::parse_utc8;
use http::Method;
use serde::Serialize;

use super::Operator;
use super::client::path;
use super::options::Uin;
use super::present::Columns;
use crate::console::Console;
use crate::ended::Ended;

/// What an operator can do with quotas.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show the quotas of an account (operator)
    Show {
        account: Uin,
        #[command(flatten)]
        operator: Operator,
    },
    /// Set a quota of an account, for good or for some days (operator)
    Set {
        account: Uin,
        /// Number a day
        #[arg(long, value_name = "N")]
        total: u32,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        operator: Operator,
    },
    /// Take back what was set (operator)
    Unset {
        account: Uin,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        operator: Operator,
    },
}

impl Verb {
    pub(crate) const fn operator(&self) -> &Operator {
        match self {
            Self::Show { operator, .. } | Self::Set { operator, .. } | Self::Unset { operator, .. } => operator,
        }
    }
}

/// Which quota, and when.
#[derive(Clone, Debug, Serialize, clap::Args)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Which {
    /// What is counted
    #[arg(long, value_enum)]
    kind: Kind,
    /// Where
    #[arg(long, value_enum)]
    area: Area,
    /// First day, YYYY-MM-DD in UTC+8. Without both days it is permanent
    #[arg(long, value_name = "DAY", value_parser = day, requires = "to")]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Last day
    #[arg(long, value_name = "DAY", value_parser = day, requires = "from")]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Url,
    Path,
    Push,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Area {
    Mainland,
    Overseas,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Set {
    #[serde(flatten)]
    which: Which,
    total: u32,
}

fn day(text: &str) -> Result<String, &'static str> {
    parse_utc8(&format!("{text} 00:00:00")).map_err(|_| "a day is YYYY-MM-DD")?;
    Ok(text.to_owned())
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(verb: Verb, console: &mut Console) -> Result<(), Ended> {
    let mut session = verb.operator().open(console)?;
    match verb {
        Verb::Show { account, .. } => {
            let answer = session.client.get(&path(&[&"accounts", &account, &"quota"])).await?;
            session
                .show(&answer, Columns::First(&["Kind", "Area", "Batch", "Total", "Used", "Available", "From", "To"]));
        }
        Verb::Set { account, total, which, .. } => {
            let path = path(&[&"accounts", &account, &"quota"]);
            let answer = session.client.change(Method::PUT, &path, &Set { which, total }).await?;
            session.done(&answer, &format!("quota of account {account} set"));
        }
        Verb::Unset { account, which, .. } => {
            let path = path(&[&"accounts", &account, &"quota"]);
            let answer = session.client.change(Method::DELETE, &path, &which).await?;
            session.done(&answer, &format!("quota of account {account} unset"));
        }
    }
    Ok(())
}
