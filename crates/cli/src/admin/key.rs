//! `catharsis key` and `catharsis token`: key pairs, their rotation, and temporary credentials.

use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::Operator;
use super::client::path;
use super::options::{Name, SetSwitch, Switch, Uin};
use super::present::Columns;
use super::session::Session;
use crate::console::Console;
use crate::ended::Ended;

/// Key pairs of an account or a user.
#[derive(Clone, Debug, clap::Args)]
pub struct Key {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List the keys of an account or user, without their secrets
    List { uin: Uin },
    /// Create a key pair; its secret is printed once
    Create { uin: Uin },
    /// Create a second pair, and say how to retire the first
    Rotate { uin: Uin },
    /// Let a key work again
    Enable { id: Name },
    /// Refuse a key
    Disable { id: Name },
    /// Delete a key
    Delete { id: Name },
}

/// Temporary credentials.
#[derive(Clone, Debug, clap::Args)]
pub struct Token {
    #[command(subcommand)]
    verb: TokenVerb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum TokenVerb {
    /// Create a key pair with a token that expires; printed once
    Create {
        #[command(flatten)]
        whose: Whose,
        /// How long it is good, in whole seconds
        #[arg(long, value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
        duration: Duration,
    },
}

/// One of both.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Of this user
    #[arg(long, value_name = "UIN")]
    user: Option<Uin>,
    /// Of this root account
    #[arg(long, value_name = "UIN")]
    account: Option<Uin>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateToken {
    duration_seconds: u64,
}

const LIST: Columns = Columns::Only(&["SecretId", "State", "CreatedAt"]);
const PAIR: Columns = Columns::First(&["SecretId", "SecretKey", "Token", "ExpiresAt"]);

/// Carries out `key`.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(key: Key, console: &mut Console) -> Result<(), Ended> {
    let mut session = key.operator.open(console)?;
    let (id, state) = match key.verb {
        Verb::List { uin } => {
            let answer = session.client.list(&path(&[&"principals", &uin, &"keys"])).await?;
            session.show(&answer, LIST);
            return Ok(());
        }
        Verb::Create { uin } => return create(&mut session, uin).await,
        Verb::Rotate { uin } => return rotate(&mut session, uin).await,
        Verb::Delete { id } => {
            let answer = session.client.touch(Method::DELETE, &path(&[&"keys", &id])).await?;
            session.done(&answer, &format!("key {id} deleted"));
            return Ok(());
        }
        Verb::Enable { id } => (id, Switch::Enabled),
        Verb::Disable { id } => (id, Switch::Disabled),
    };
    let answer = session.client.change(Method::PATCH, &path(&[&"keys", &id]), &SetSwitch { state }).await?;
    session.done(&answer, &format!("key {id} {}", state.as_str()));
    Ok(())
}

async fn create(session: &mut Session<'_>, uin: Uin) -> Result<(), Ended> {
    let answer = session.client.touch(Method::POST, &path(&[&"principals", &uin, &"keys"])).await?;
    let id = answer["SecretId"].as_str().unwrap_or("ID").to_owned();
    session.show_once(&answer, PAIR, &format!("catharsis key delete {id}"))
}

/// The old pair stays good: callers change over one by one, and only then is it retired.
async fn rotate(session: &mut Session<'_>, uin: Uin) -> Result<(), Ended> {
    let before = session.client.list(&path(&[&"principals", &uin, &"keys"])).await?;
    create(session, uin).await?;
    for old in enabled(&before) {
        session.note(&format!("once every caller uses the new pair: catharsis key disable {old}"));
        session.note(&format!("and when nothing has failed for a while: catharsis key delete {old}"));
    }
    Ok(())
}

/// The ids of the enabled keys in a list, which may stand in an object.
fn enabled(answer: &Value) -> Vec<&str> {
    let rows = match answer {
        Value::Array(rows) => rows.as_slice(),
        Value::Object(fields) => fields.values().find_map(Value::as_array).map_or(&[][..], Vec::as_slice),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => &[],
    };
    rows.iter().filter(|row| row["State"] == "enabled").filter_map(|row| row["SecretId"].as_str()).collect()
}

/// Carries out `token`.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run_token(token: Token, console: &mut Console) -> Result<(), Ended> {
    let TokenVerb::Create { whose, duration } = token.verb;
    let Some(uin) = whose.user.or(whose.account) else {
        return Err(Ended::Usage("whose token: --user or --account".to_owned()));
    };
    let body = CreateToken { duration_seconds: duration.as_secs() };
    let mut session = token.operator.open(console)?;
    let answer = session.client.change(Method::POST, &path(&[&"principals", &uin, &"tokens"]), &body).await?;
    let id = answer["SecretId"].as_str().unwrap_or("ID").to_owned();
    session.show_once(&answer, PAIR, &format!("catharsis key delete {id}"))
}
