//! The agent itself: orders in, store ids out.
//!
//! What this is: the orders of the control protocol turned into marks, and the listener where Squid's
//! helper asks for names. What this is not: the helper (`forward`), or the disk (`journal`).
//!
//! Invariants: marks are on disk before they are seen, and seen before the order is answered. So a
//! request that Squid begins after the answer gets the new name. A change of key rules is a purge of
//! everything: what was kept by other rules could lie under a name that now means something else.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::domain::DomainMap;
use catharsis_core::keys::KeyRules;
use catharsis_edge::control::{Orders, Refused};
use catharsis_edge::protocol::{
    DomainRules, DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, KeyHost, LogId,
    StatusResponse, WireOutcome, WirePrefix, WireSeq, WireTarget, WireUrl,
};
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::{Found, Journal};
use crate::marks::{Key, Mark, Marks, Scope, Told};
use crate::name::{Asked, Resource, sites, text};

/// Helpers that ask at a time: Squid starts one, and another while it reads its configuration anew.
const HELPERS_MAX: usize = 64;
/// Bytes of a request's line: Squid's longest URL is 8 KiB, and the header field behind it can be longer.
const LINE_BYTES_MAX: u64 = 128 << 10;
/// Pause after a failed accept: out of file descriptors, trying at once again only burns.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Clone, Debug)]
pub struct SquidAgent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: String,
    seen: RwLock<Seen>,
    /// Held by the one order that is being carried out.
    writing: Mutex<Writing>,
}

#[derive(Debug)]
struct Seen {
    marks: Marks,
    listed: Vec<DomainRules>,
    by_host: DomainMap<Arc<KeyRules>>,
}

#[derive(Debug)]
struct Writing {
    journal: Journal,
    reached: Option<(LogId, WireSeq)>,
    table: Option<(LogId, u64)>,
}

/// Why an agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenAgent {
    /// Its journal.
    #[error("the journal {path}: {error}")]
    Journal {
        /// Where it is.
        path: String,
        /// What is wrong.
        error: std::io::Error,
    },
}

impl SquidAgent {
    /// An agent with this journal and room for so many marks. Reads and writes the disk.
    ///
    /// # Errors
    /// [`OpenAgent`].
    pub fn open(journal: &Path, marks_max: NonZeroUsize) -> Result<Self, OpenAgent> {
        let opened = Journal::open(journal, marks_max);
        let failed = |error| OpenAgent::Journal { path: journal.display().to_string(), error };
        let (journal, kept, found) = opened.map_err(failed)?;
        match found {
            Found::Whole => tracing::info!(marks = kept.marks.len(), "the journal is whole"),
            Found::Absent => tracing::info!("a new journal: whatever Squid holds is found no more"),
            Found::Damaged => tracing::error!("the journal is damaged: whatever Squid holds is found no more"),
        }
        let by_host = DomainRules::by_host(&kept.rules);
        Ok(Self(Arc::new(Inner {
            epoch: journal.epoch().to_owned(),
            seen: RwLock::new(Seen { marks: kept.marks, listed: kept.rules, by_host }),
            writing: Mutex::new(Writing { journal, reached: None, table: None }),
        })))
    }

    /// The answer to a line of Squid's helper protocol; `None` for a line that asks for nothing.
    #[must_use]
    pub fn answer(&self, line: &[u8]) -> Option<String> {
        let (line, coding) = text(line);
        let asked = Asked::parse(&line, coding)?;
        let host = KeyHost::parse(asked.host).ok();
        let seen = self.0.read();
        let rules = host.as_ref().and_then(|host| seen.by_host.of(host.name()));
        let resource = match rules {
            Some(rules) => asked.resource(rules, host.as_ref()),
            None => asked.resource(&KeyRules::default(), host.as_ref()),
        };
        let id = resource.store_id(&self.0.epoch, seen.marks.point(&resource));
        Some(format!("{} OK store-id=\"{id}\" catharsis=named\n", asked.channel))
    }

    /// Serves Squid's helpers until `stop`.
    pub async fn serve_helpers(&self, listener: TcpListener, stop: CancellationToken) {
        let (places, connections) = (Arc::new(Semaphore::new(HELPERS_MAX)), TaskTracker::new());
        loop {
            // Stopping may drop a connection that was not served yet: the helper answers by itself then.
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) } => accepted,
            };
            let (Ok(place), Ok((stream, _helper))) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let (agent, stop) = (self.clone(), stop.clone());
            connections.spawn(async move {
                // An answer that is cut off by the stop is made up by the helper.
                tokio::select! {
                    () = stop.cancelled() => {}
                    ended = agent.helper(stream) => if let Err(why) = ended {
                        tracing::debug!(%why, "a helper's connection ended early");
                    }
                }
                drop(place);
            });
        }
        connections.close();
        connections.wait().await;
    }

    async fn helper(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        let (mut line, mut answers) = (Vec::new(), String::new());
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
            if read == 0 || line.last() != Some(&b'\n') {
                return Ok(());
            }
            if let Some(answer) = self.answer(&line) {
                answers.push_str(&answer);
            } else if let Some(channel) = text(&line).0.split_ascii_whitespace().next() {
                // No URL of a cache: not named, so Squid keeps no such thing.
                answers.push_str(channel);
                answers.push_str(" ERR\n");
            }
            // Several requests that came together are answered together.
            if reader.buffer().is_empty() || answers.len() > 1 << 16 {
                writer.write_all(answers.as_bytes()).await?;
                answers.clear();
            }
        }
    }
}

impl Inner {
    // A poisoned lock means that a thread died while it held it. Marks only rise, so what was set is right.
    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn scopes(seen: &Seen, target: &WireTarget) -> Vec<Scope> {
        let rules = |host: &KeyHost| seen.by_host.of(host.name()).cloned().unwrap_or_default();
        match target {
            WireTarget::Everything => vec![Scope::Everything],
            WireTarget::Url(url) => url_scopes(&rules(url.host()), url),
            WireTarget::Prefix(prefix) => prefix_scopes(&rules(prefix.host()), prefix),
        }
    }

    /// Marks, first on disk and then for requests to see.
    fn keep(
        &self,
        writing: &mut Writing,
        purges: &[(Scope, Told)],
        rules: Option<&[DomainRules]>,
    ) -> Result<(), Refused> {
        let mut added = Vec::with_capacity(purges.len());
        {
            let seen = self.read();
            for (scope, told) in purges {
                if !seen.marks.knows(*scope, *told) {
                    let point = seen.marks.next() + added.len() as u64;
                    added.push(Mark { point, told: *told, scope: *scope });
                }
            }
            if added.is_empty() && rules.is_none() {
                return Ok(());
            }
            let kept = writing.journal.append(&seen.marks, &seen.listed, &added, rules);
            kept.map_err(|error| Refused(StatusCode::INSUFFICIENT_STORAGE, format!("the journal: {error}")))?;
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = rules {
            seen.by_host = DomainRules::by_host(rules);
            seen.listed = rules.to_vec();
        }
        for mark in added {
            seen.marks.mark(mark);
        }
        Ok(())
    }
}

fn url_scopes(rules: &KeyRules, url: &WireUrl) -> Vec<Scope> {
    let path = |path: &str| rules.target(path).into_owned().into_bytes();
    let scopes = |site: String| {
        let key = move |it: &str| Key::url(&Resource { site: site.clone(), path: path(it) });
        url.paths().iter().map(|it| Scope::Url(key(it.as_str()))).collect::<Vec<_>>()
    };
    sites(rules, url.host(), url.scheme()).into_iter().flat_map(scopes).collect()
}

fn prefix_scopes(rules: &KeyRules, prefix: &WirePrefix) -> Vec<Scope> {
    let scopes = |site: String| {
        let scope = |path: &str| Scope::Prefix {
            host: Key::host(&site),
            directory: Key::directory(&site, &rules.directory(path)),
        };
        prefix.paths().iter().map(|it| scope(it.as_str())).collect::<Vec<_>>()
    };
    sites(rules, prefix.host(), prefix.scheme()).into_iter().flat_map(scopes).collect()
}

/// A log by the hash of its name.
fn log_key(log: &LogId) -> u64 {
    let hash = Sha256::digest(log.as_str());
    hash.iter().take(8).fold(0, |key, byte| (key << 8) | u64::from(*byte))
}

#[async_trait]
impl Orders for SquidAgent {
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        // The disk is waited for: other requests of this thread go on meanwhile.
        block_in_place(|| {
            let mut writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let log = log_key(order.log());
            let purges: Vec<(Scope, Told)> = {
                let seen = self.0.read();
                let told = |scope, seq: u64| (scope, Told { log, seq });
                let each = order.invalidations().iter();
                each.flat_map(|it| Inner::scopes(&seen, &it.target).into_iter().map(move |s| told(s, it.seq.seq().0)))
                    .collect()
            };
            self.0.keep(&mut writing, &purges, None)?;
            let upto = WireSeq::try_from(order.upto());
            let upto = upto.map_err(|it| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))?;
            let position = match &writing.reached {
                Some((known, reached)) if known == order.log() => (*reached).max(upto),
                Some(_) | None => upto,
            };
            writing.reached = Some((order.log().clone(), position));
            // Whether there was a copy nobody knows.
            let outcomes = order.invalidations().iter().map(|_| WireOutcome::Applied).collect();
            Ok(InvalidationsResponse { position, outcomes })
        })
    }

    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused> {
        block_in_place(|| {
            let mut writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let generation = table.generation();
            if let Some((log, known)) = &writing.table
                && log == table.log()
                && *known > generation
            {
                return Err(Refused(StatusCode::CONFLICT, format!("generation {known} is in use")));
            }
            if self.0.read().listed != table.rules() {
                tracing::info!("key rules were changed: what Squid holds is found no more");
                let everything = [(Scope::Everything, Told::default())];
                self.0.keep(&mut writing, &everything, Some(table.rules()))?;
            }
            writing.table = Some((table.log().clone(), generation));
            Ok(DomainsResponse { generation })
        })
    }

    async fn status(&self) -> Result<StatusResponse, Refused> {
        let writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let zero = WireSeq::try_from(0);
        let zero = zero.map_err(|it| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))?;
        let (log, position) = match &writing.reached {
            Some((log, position)) => (Some(log.clone()), *position),
            None => (None, zero),
        };
        let domains = writing.table.as_ref().map(|it| it.1);
        // What Squid holds the agent does not know.
        Ok(StatusResponse { log, position, entries: 0, bytes: 0, marks: self.0.read().marks.len() as u64, domains })
    }
}
