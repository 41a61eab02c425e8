//! `catharsis webhook`: where an account's tasks are reported, and what could not be delivered.

use http::Method;
use serde::Serialize;

use super::Operator;
use super::client::path;
use super::options::{Name, Uin};
use super::present::Columns;
use crate::console::Console;
use crate::ended::Ended;

/// Where an account's tasks are reported.
#[derive(Clone, Debug, clap::Args)]
pub struct Webhook {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List an account's webhooks, without their secrets
    List { account: Uin },
    /// Show a webhook, without its secret
    Show { account: Uin, name: Name },
    /// Create a webhook; the secret that signs its messages is printed once
    Create {
        account: Uin,
        name: Name,
        /// Where messages are sent
        #[arg(long)]
        url: String,
    },
    /// Delete a webhook
    Delete { account: Uin, name: Name },
    /// List what could not be delivered
    Failures { account: Uin, name: Name },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: Name,
    url: String,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(webhook: Webhook, console: &mut Console) -> Result<(), Ended> {
    let mut session = webhook.operator.open(console)?;
    match webhook.verb {
        Verb::List { account } => {
            let answer = session.client.list(&path(&[&"accounts", &account, &"webhooks"])).await?;
            session.show(&answer, Columns::Only(&["Name", "Url", "CreatedAt"]));
        }
        Verb::Show { account, name } => {
            let answer = session.client.get(&path(&[&"accounts", &account, &"webhooks", &name])).await?;
            session.show(&answer, Columns::Only(&["Name", "Url", "CreatedAt"]));
        }
        Verb::Create { account, name, url } => {
            let remedy = format!("catharsis webhook delete {account} {name}");
            let path = path(&[&"accounts", &account, &"webhooks"]);
            let answer = session.client.change(Method::POST, &path, &Create { name, url }).await?;
            session.show_once(&answer, Columns::First(&["Name", "Url", "Secret"]), &remedy)?;
        }
        Verb::Delete { account, name } => {
            let path = path(&[&"accounts", &account, &"webhooks", &name]);
            let answer = session.client.touch(Method::DELETE, &path).await?;
            session.done(&answer, &format!("webhook {name} deleted"));
        }
        Verb::Failures { account, name } => {
            let path = path(&[&"accounts", &account, &"webhooks", &name, &"failures"]);
            let answer = session.client.list(&path).await?;
            session.show(&answer, Columns::First(&["TaskId", "Attempts", "NextAttempt", "Reason"]));
        }
    }
    Ok(())
}
