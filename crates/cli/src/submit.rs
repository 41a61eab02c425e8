//! A list of any length, split into calls, sent, and waited for if asked.
//!
//! What this is: all that purging URLs, purging directories and prefetching have in common.
//! Invariant: a task that was accepted is always told, whatever happens to the rest of the list.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::{CallOptions, ClientToken, DryRun};
use catharsis_tcapi::code::ErrorCode;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::Connection;
use crate::client::Client;
use crate::console::Console;
use crate::ended::{Complaint, Ended};
use crate::list::List;

/// First and longest pause between two questions while waiting; four tasks at a time stay below the
/// 20 calls a second that an account has.
const POLL_FIRST: Duration = Duration::from_millis(200);
const POLL_MAX: Duration = Duration::from_secs(5);

/// Longer than any service goes on with a task.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What to send, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Submission {
    /// The URLs, each with http:// or https://; `-` reads a list from standard input
    #[arg(value_name = "URL", required_unless_present = "file")]
    urls: Vec<String>,
    /// A list: a URL a line, `#` begins a comment line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Percent-encode non-ASCII characters, and mean only that spelling
    #[arg(long)]
    pub url_encode: bool,
    /// Wait until every node has settled every URL
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = waiting_time)]
    timeout: Duration,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    beyond: Beyond,
    #[command(flatten)]
    connection: Connection,
}

/// What the contract does not know; nothing of it is sent unless it is asked for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Catharsis only")]
struct Beyond {
    /// Name the intention: the same name with the same list does nothing twice
    #[arg(long, value_name = "NAME")]
    client_token: Option<String>,
    /// Have everything checked and nothing done
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Tell this webhook of the account when a task has ended
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
}

/// How a row of a task stands, in words that purges and prefetches share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Process,
    Done,
    Fail,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Done => "done",
            Self::Fail => "fail",
        }
    }
}

/// What is done with a list.
pub(crate) trait Work {
    /// Sends one call.
    ///
    /// # Errors
    /// [`Ended`].
    async fn send(&self, client: &Client, urls: &[String], options: CallOptions<'_>) -> Result<String, Ended>;

    /// Counts the rows of a task that stand so.
    ///
    /// # Errors
    /// [`Ended`].
    async fn count(&self, client: &Client, task_id: &str, standing: Standing) -> Result<u64, Ended>;

    /// Lines that say why a task failed.
    async fn why(&self, client: &Client, task_id: &str) -> Vec<String>;
}

/// What became of one call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    task_id: String,
    urls: u64,
    /// Absent unless waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Standing>,
}

/// What would have become of one call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tried {
    urls: u64,
    message: String,
}

/// The whole result, for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'a> {
    tasks: &'a [Sent],
    #[serde(skip_serializing_if = "<[Tried]>::is_empty")]
    tried: &'a [Tried],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Complaint>,
}

/// Carries it out, at most `batch` URLs a call.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run(
    work: &impl Work,
    submission: &Submission,
    batch: u32,
    console: &mut Console,
) -> Result<(), Ended> {
    let mut ledger = Ledger { console, json: submission.json, sent: Vec::new(), tried: Vec::new(), told: 0 };
    let result = carry_out(work, submission, batch, &mut ledger).await;
    ledger.close(result.as_ref().err());
    result
}

async fn carry_out(
    work: &impl Work,
    submission: &Submission,
    batch: u32,
    ledger: &mut Ledger<'_>,
) -> Result<(), Ended> {
    let tokens = Tokens::parse(submission.beyond.client_token.as_deref())?;
    let list = List::open(&submission.urls, submission.file.as_deref())?;
    let client = Client::new(&submission.connection, ledger.console)?;
    send(&client, work, submission, (list, batch, &tokens), ledger).await?;
    if submission.wait { wait(&client, work, submission.timeout, ledger).await } else { Ok(()) }
}

/// The tasks that were accepted, and how many of them have been told.
struct Ledger<'a> {
    console: &'a mut Console,
    json: bool,
    sent: Vec<Sent>,
    tried: Vec<Tried>,
    told: usize,
}

impl Ledger<'_> {
    /// Tells people of the tasks up to `end`; nothing will change about them.
    fn tell(&mut self, end: usize) {
        if self.json {
            return;
        }
        for task in &self.sent[self.told..end] {
            let status = task.status.map_or("accepted", Standing::as_str);
            self.console.line(&format!("{}  {status}  {} URLs", task.task_id, task.urls));
        }
        self.told = end;
    }

    /// A call that was only tried.
    fn tried(&mut self, urls: u64, message: String) {
        if self.json {
            self.tried.push(Tried { urls, message });
        } else {
            self.console.line(&format!("dry run  {urls} URLs  {message}"));
        }
    }

    /// Tells what has not been told yet.
    fn close(&mut self, ended: Option<&Ended>) {
        if self.json {
            let error = ended.map(Ended::complaint);
            self.console.json(&Report { tasks: &self.sent, tried: &self.tried, error });
        } else {
            self.tell(self.sent.len());
        }
    }
}

/// The names of the calls' intentions. One list may be several calls, and each is an intention of
/// its own: the second has `.2` behind the name, and so on, so that the same list in the same
/// batches has the same names again.
struct Tokens(Option<String>);

impl Tokens {
    fn parse(text: Option<&str>) -> Result<Self, Ended> {
        // Room for the number of the last call of any list.
        let fits = text.is_none_or(|text| ClientToken::parse(&format!("{text}.1234567")).is_some());
        if !fits || text == Some("") {
            return Err(Ended::Usage("--client-token: 1 to 56 visible ASCII characters".to_owned()));
        }
        Ok(Self(text.map(str::to_owned)))
    }

    fn of_call(&self, number: usize) -> Option<ClientToken> {
        let name = self.0.as_deref()?;
        if number == 1 { ClientToken::parse(name) } else { ClientToken::parse(&format!("{name}.{number}")) }
    }
}

async fn send(
    client: &Client,
    work: &impl Work,
    submission: &Submission,
    (list, batch, tokens): (List, u32, &Tokens),
    ledger: &mut Ledger<'_>,
) -> Result<(), Ended> {
    let bar = bar(list.count(), "sent");
    let dry_run = submission.beyond.dry_run;
    for (number, call) in list.calls(batch as usize).enumerate() {
        let call = call?;
        let urls = call.len() as u64;
        let options = CallOptions {
            client_token: tokens.of_call(number + 1),
            dry_run: if dry_run { DryRun::On } else { DryRun::Off },
            webhook: submission.beyond.webhook.as_deref().map(Into::into),
        };
        match work.send(client, &call, options).await {
            Err(Ended::Refused(refusal)) if dry_run && refusal.code == ErrorCode::DryRunOperation.as_str() => {
                bar.suspend(|| ledger.tried(urls, refusal.message));
            }
            Err(ended) => return Err(unknown(ended)),
            Ok(task_id) => {
                ledger.sent.push(Sent { task_id, urls, status: None });
                if dry_run {
                    let told = "the service does not know dry runs: it carried the call out";
                    return Err(Ended::Failed(vec![told.to_owned()]));
                }
                if !submission.wait {
                    bar.suspend(|| ledger.tell(ledger.sent.len()));
                }
            }
        }
        bar.inc(urls);
    }
    bar.finish_and_clear();
    Ok(())
}

fn unknown(ended: Ended) -> Ended {
    match ended {
        Ended::Network(why) => Ended::Network(format!(
            "{why}. It is unknown whether the last call was accepted; calling again is harmless"
        )),
        ended @ (Ended::Failed(_)
        | Ended::Usage(_)
        | Ended::Refused(_)
        | Ended::TimedOut(_)
        | Ended::Output(_)
        | Ended::NotVerified(_)) => ended,
    }
}

async fn wait(client: &Client, work: &impl Work, timeout: Duration, ledger: &mut Ledger<'_>) -> Result<(), Ended> {
    let deadline = Instant::now() + timeout;
    let bar = bar(ledger.sent.iter().map(|task| task.urls).sum(), "settled everywhere");
    let mut failed = Vec::new();
    for index in 0..ledger.sent.len() {
        let task = ledger.sent[index].clone();
        let before = bar.position();
        let standing = settled(client, work, &task, deadline, &|urls| bar.set_position(before + urls)).await?;
        ledger.sent[index].status = Some(standing);
        bar.suspend(|| ledger.tell(index + 1));
        if standing == Standing::Fail {
            failed.push(task.task_id);
        }
    }
    bar.finish_and_clear();
    if failed.is_empty() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for task_id in failed {
        reasons.push(format!("task {task_id} failed"));
        reasons.extend(work.why(client, &task_id).await);
    }
    Err(Ended::Failed(reasons))
}

/// Waits until the service shows every URL of a task, and none under way.
///
/// A service may show a task, or the last of its rows, only a while after it accepted it: so what
/// is not under way is not done for that, and rows are counted against the URLs that were sent.
async fn settled(
    client: &Client,
    work: &impl Work,
    task: &Sent,
    deadline: Instant,
    progress: &dyn Fn(u64),
) -> Result<Standing, Ended> {
    let mut pause = POLL_FIRST;
    loop {
        let open = work.count(client, &task.task_id, Standing::Process).await?;
        let (mut done, mut failed) = (task.urls.saturating_sub(open), 0);
        if open == 0 {
            failed = work.count(client, &task.task_id, Standing::Fail).await?;
            done = work.count(client, &task.task_id, Standing::Done).await?;
            if done + failed >= task.urls {
                progress(task.urls);
                return Ok(if failed == 0 { Standing::Done } else { Standing::Fail });
            }
        }
        progress(done + failed);
        if Instant::now() >= deadline {
            return Err(Ended::TimedOut(format!(
                "the time is over: {} of {} URLs of task {} are settled everywhere; the service goes on with the others",
                done + failed,
                task.urls,
                task.task_id
            )));
        }
        tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 3 / 2).min(POLL_MAX);
    }
}

/// How long to wait, at most [`WAIT_MAX`]: a clock cannot count further than its type.
fn waiting_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > WAIT_MAX {
        return Err(format!("at most {} days can be waited", WAIT_MAX.as_secs() / 86_400));
    }
    Ok(time)
}

/// A bar on a terminal; nothing elsewhere, where the lines that follow say it all.
fn bar(length: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {msg} {elapsed}");
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_time_beyond_any_clock_is_refused_with_the_limit() {
        assert_eq!(waiting_time("15m"), Ok(Duration::from_secs(900)));
        let told = waiting_time("500000000000y").expect_err("it is long");
        assert!(told.contains("365 days"), "{told}");
        assert!(waiting_time("99999999999999999999999y").is_err());
    }

    #[test]
    fn each_call_of_a_list_has_its_own_name_and_the_same_one_again() {
        let tokens = Tokens::parse(Some("deploy-7")).expect("it is right");
        let names: Vec<String> = (1..=2).filter_map(|n| tokens.of_call(n)).map(|it| it.to_string()).collect();
        assert_eq!(names, ["deploy-7", "deploy-7.2"]);
        for wrong in ["", "a b", &"x".repeat(57)] {
            assert!(Tokens::parse(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(Tokens::parse(Some(&"x".repeat(56))).is_ok());
    }
}
