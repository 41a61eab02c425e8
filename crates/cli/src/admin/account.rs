//! `catharsis account`: root accounts, their service state and their limits.

use http::Method;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Operator;
use super::client::path;
use super::options::{Name, Uin};
use super::present::Columns;
use crate::console::Console;
use crate::ended::Ended;

/// Root accounts.
#[derive(Clone, Debug, clap::Args)]
pub struct Account {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List all accounts
    List,
    /// Show an account with its limits
    Show { uin: Uin },
    /// Create an account
    Create {
        name: Name,
        /// Its number. Default: the service chooses one
        #[arg(long)]
        uin: Option<Uin>,
        #[command(flatten)]
        change: Change,
    },
    /// Change an account's name, state or limits; what is not named stays
    Set {
        uin: Uin,
        #[arg(long)]
        name: Option<Name>,
        #[command(flatten)]
        change: Change,
    },
    /// Delete an account
    Delete { uin: Uin },
}

/// What can be set.
#[derive(Clone, Debug, Serialize, clap::Args)]
#[serde(rename_all = "PascalCase")]
struct Change {
    /// The service state
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// URLs in one purge; `default` takes a limit back
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    urls_per_call: Option<Limit>,
    /// Directories in one purge
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_per_call: Option<Limit>,
    /// URLs in one prefetch
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes_per_call: Option<Limit>,
    /// URLs to purge a day and area
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    urls_per_day: Option<Limit>,
    /// Directories to purge a day and area
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    paths_per_day: Option<Limit>,
    /// URLs to prefetch a day and area
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes_per_day: Option<Limit>,
    /// Calls a second and action
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<Limit>,
    /// Domains
    #[arg(long, value_name = "N|default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domains_max: Option<Limit>,
}

/// The service state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum State {
    Active,
    NotActivated,
    AuthPending,
    AuthFailed,
    Suspended,
    Isolated,
    Migrated,
    NotAllowed,
}

/// A limit of its own, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Default,
    Of(u32),
}

impl std::str::FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self::Default),
            number => number.parse().map(Self::Of).map_err(|_| "a limit is a number, or `default`"),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => serializer.serialize_none(),
            Self::Of(number) => serializer.serialize_u32(*number),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    uin: Option<Uin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    #[serde(flatten)]
    change: Change,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(account: Account, console: &mut Console) -> Result<(), Ended> {
    let mut session = account.operator.open(console)?;
    match account.verb {
        Verb::List => {
            let answer = session.client.list(&path(&[&"accounts"])).await?;
            session.show(&answer, Columns::Only(&["Uin", "Name", "State"]));
        }
        Verb::Show { uin } => {
            let answer = session.client.get(&path(&[&"accounts", &uin])).await?;
            session.show(&answer, Columns::First(&["Uin", "Name", "State"]));
        }
        Verb::Create { name, uin, change } => {
            let body = Body { uin, name: Some(name), change };
            let answer = session.client.change(Method::POST, &path(&[&"accounts"]), &body).await?;
            session.show(&answer, Columns::First(&["Uin", "Name", "State"]));
        }
        Verb::Set { uin, name, change } => {
            let body = serde_json::to_value(Body { uin: None, name, change }).unwrap_or_default();
            if body.as_object().is_none_or(serde_json::Map::is_empty) {
                return Err(Ended::Usage("nothing to set: name a state, a name or a limit".to_owned()));
            }
            let answer = session.client.change(Method::PATCH, &path(&[&"accounts", &uin]), &body).await?;
            session.done(&answer, &format!("account {uin} changed"));
        }
        Verb::Delete { uin } => {
            let answer: Value = session.client.touch(Method::DELETE, &path(&[&"accounts", &uin])).await?;
            session.done(&answer, &format!("account {uin} deleted"));
        }
    }
    Ok(())
}
