//! `catharsis user`: the users (sub-accounts) of an account.

use http::Method;
use serde::Serialize;

use super::Operator;
use super::client::path;
use super::options::{Name, SetSwitch, Switch, Uin};
use super::present::Columns;
use crate::console::Console;
use crate::ended::Ended;

/// Users (sub-accounts) of an account.
#[derive(Clone, Debug, clap::Args)]
pub struct User {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List an account's users
    List { account: Uin },
    /// Show a user
    Show { uin: Uin },
    /// Create a user; without a policy it may do nothing
    Create { account: Uin, name: Name },
    /// Let a user's keys work again
    Enable { uin: Uin },
    /// Refuse all of a user's keys
    Disable { uin: Uin },
    /// Delete a user with its keys
    Delete { uin: Uin },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: Name,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(user: User, console: &mut Console) -> Result<(), Ended> {
    const COLUMNS: Columns = Columns::First(&["Uin", "Name", "State", "Account"]);
    let mut session = user.operator.open(console)?;
    let (uin, state) = match user.verb {
        Verb::List { account } => {
            let answer = session.client.list(&path(&[&"accounts", &account, &"users"])).await?;
            session.show(&answer, COLUMNS);
            return Ok(());
        }
        Verb::Show { uin } => {
            let answer = session.client.get(&path(&[&"users", &uin])).await?;
            session.show(&answer, COLUMNS);
            return Ok(());
        }
        Verb::Create { account, name } => {
            let path = path(&[&"accounts", &account, &"users"]);
            let answer = session.client.change(Method::POST, &path, &Create { name }).await?;
            session.show(&answer, COLUMNS);
            return Ok(());
        }
        Verb::Delete { uin } => {
            let answer = session.client.touch(Method::DELETE, &path(&[&"users", &uin])).await?;
            session.done(&answer, &format!("user {uin} deleted"));
            return Ok(());
        }
        Verb::Enable { uin } => (uin, Switch::Enabled),
        Verb::Disable { uin } => (uin, Switch::Disabled),
    };
    let answer = session.client.change(Method::PATCH, &path(&[&"users", &uin]), &SetSwitch { state }).await?;
    session.done(&answer, &format!("user {uin} {}", state.as_str()));
    Ok(())
}
