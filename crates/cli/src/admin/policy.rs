//! `catharsis policy`: CAM policies, whose they are, and why they allow or deny.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::Operator;
use super::client::path;
use super::options::{Name, Uin};
use super::present::{Columns, cell};
use crate::console::Console;
use crate::ended::Ended;

/// Bytes of a policy; CAM allows some six thousand characters, and the service says so itself.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// CAM policies.
#[derive(Clone, Debug, clap::Args)]
pub struct Policy {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// List the policies of an account, or those attached to a user
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Print a policy's document
    Show { account: Uin, name: Name },
    /// Create or replace a policy
    Put {
        account: Uin,
        name: Name,
        /// The document, JSON; `-` is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete a policy
    Delete { account: Uin, name: Name },
    /// Put a user under a policy
    Attach {
        name: Name,
        #[arg(long, value_name = "UIN")]
        user: Uin,
    },
    /// Take a policy from a user
    Detach {
        name: Name,
        #[arg(long, value_name = "UIN")]
        user: Uin,
    },
    /// Say whether a user may do something, and which statement decides
    Explain(Explain),
}

/// One of both.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// All of this account
    #[arg(long, value_name = "UIN")]
    account: Option<Uin>,
    /// Those attached to this user
    #[arg(long, value_name = "UIN")]
    user: Option<Uin>,
}

/// A question.
#[derive(Clone, Debug, Serialize, clap::Args)]
#[serde(rename_all = "PascalCase")]
struct Explain {
    /// Who
    #[arg(long, value_name = "UIN")]
    user: Uin,
    /// Does what, such as cdn:PurgeUrlsCache
    #[arg(long)]
    action: String,
    /// With what, in six segments, such as qcs::cdn::uin/100:domain/www.example.com
    #[arg(long)]
    resource: String,
    /// From this address
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    /// At this time, such as 2026-01-31T12:00:00+08:00. Default: now
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    document: Value,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(policy: Policy, console: &mut Console) -> Result<(), Ended> {
    let mut session = policy.operator.open(console)?;
    match policy.verb {
        Verb::List { whose } => {
            let path = match (whose.account, whose.user) {
                (Some(account), _) => path(&[&"accounts", &account, &"policies"]),
                (None, Some(user)) => path(&[&"users", &user, &"policies"]),
                (None, None) => return Err(Ended::Usage("whose policies: --account or --user".to_owned())),
            };
            let answer = session.client.list(&path).await?;
            session.show(&answer, Columns::First(&["Name"]));
        }
        Verb::Show { account, name } => {
            let answer = session.client.get(&path(&[&"accounts", &account, &"policies", &name])).await?;
            session.lines(&answer, document_lines(&answer["Document"]));
        }
        Verb::Put { account, name, file } => {
            let body = Put { document: read(&file)? };
            let path = path(&[&"accounts", &account, &"policies", &name]);
            let answer = session.client.change(Method::PUT, &path, &body).await?;
            session.done(&answer, &format!("policy {name} stored"));
        }
        Verb::Delete { account, name } => {
            let path = path(&[&"accounts", &account, &"policies", &name]);
            let answer = session.client.touch(Method::DELETE, &path).await?;
            session.done(&answer, &format!("policy {name} deleted"));
        }
        Verb::Attach { name, user } => {
            let answer = session.client.touch(Method::PUT, &path(&[&"users", &user, &"policies", &name])).await?;
            session.done(&answer, &format!("policy {name} attached to user {user}"));
        }
        Verb::Detach { name, user } => {
            let answer = session.client.touch(Method::DELETE, &path(&[&"users", &user, &"policies", &name])).await?;
            session.done(&answer, &format!("policy {name} detached from user {user}"));
        }
        Verb::Explain(question) => {
            let answer = session.client.change(Method::POST, &path(&[&"explain"]), &question).await?;
            session.lines(&answer, verdict(&answer));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value, Ended> {
    let wrong = |why: &dyn std::fmt::Display| Ended::Usage(format!("{}: {why}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_string(&mut text))
    };
    if read.map_err(|error| wrong(&error))? as u64 > DOCUMENT_BYTES_MAX {
        return Err(wrong(&"a policy has at most 1 MiB"));
    }
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

/// A document as it can be edited and put back; the service may keep it as text.
fn document_lines(document: &Value) -> Vec<String> {
    let parsed = document.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match (parsed, document) {
        (None, Value::String(text)) => text.lines().map(str::to_owned).collect(),
        (parsed, document) => format!("{:#}", parsed.as_ref().unwrap_or(document)).lines().map(str::to_owned).collect(),
    }
}

fn verdict(answer: &Value) -> Vec<String> {
    let word = match answer["Allowed"].as_bool() {
        Some(true) => "allowed",
        Some(false) => "denied",
        None => "undecided",
    };
    let mut lines = vec![format!("{word}: {}", cell(&answer["Decision"]))];
    lines.extend(answer["Trace"].as_array().into_iter().flatten().map(|step| format!("  {}", cell(step))));
    lines
}
