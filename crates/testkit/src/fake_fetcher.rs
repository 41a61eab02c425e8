//! A fetcher whose answers are a script.
//!
//! What this is: a node as the prefetch sees it: it answers what a test tells it, at once or never, and
//! remembers what it was asked, with the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use catharsis_core::push::Playlist;
use catharsis_core::push::ports::{Fetch, Fetched, Fetcher};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a node does when it is asked for a URL.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It answers.
    Says(Fetched),
    /// It never answers.
    Hangs,
}

#[derive(Debug)]
struct Asked {
    url: String,
    at: Instant,
    playlist: Playlist,
}

/// A scripted node. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct FakeFetcher {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    answers: Mutex<HashMap<String, Vec<Answer>>>,
    asked: watch::Sender<Vec<Asked>>,
}

impl FakeFetcher {
    /// Answers a URL with these, one after another; the last one again and again. What is not scripted is
    /// fetched with 200.
    pub fn script(&self, url: &str, answers: impl IntoIterator<Item = Answer>) {
        let mut script: Vec<Answer> = answers.into_iter().collect();
        script.reverse();
        self.inner.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(url.to_owned(), script);
    }

    /// What it was asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.borrow().iter().map(|asked| asked.url.clone()).collect()
    }

    /// When it was asked for a URL.
    #[must_use]
    pub fn asked_at(&self, url: &str) -> Vec<Instant> {
        let asked = self.inner.asked.borrow();
        asked.iter().filter(|asked| asked.url == url).map(|asked| asked.at).collect()
    }

    /// What was to be done about playlists when it was asked for a URL.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn asked_as(&self, url: &str) -> Playlist {
        let asked = self.inner.asked.borrow();
        asked.iter().find(|asked| asked.url == url).expect("it was asked for that").playlist
    }

    /// Waits until it was asked so many times.
    ///
    /// # Panics
    /// Never: the sender lives as long as this.
    pub async fn asked_times(&self, count: usize) {
        let mut asked = self.inner.asked.subscribe();
        let come = asked.wait_for(|asked| asked.len() >= count).await;
        assert!(come.is_ok(), "the sender lives in self");
    }

    fn next(&self, url: &str) -> Answer {
        let mut answers = self.inner.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = Answer::Says(Fetched::Complete { status: 200, bytes: 1, links: Vec::new() });
        match answers.get_mut(url) {
            None => whole,
            Some(script) if script.len() > 1 => script.pop().unwrap_or(whole),
            Some(script) => script.last().cloned().unwrap_or(whole),
        }
    }
}

#[async_trait]
impl Fetcher for FakeFetcher {
    async fn fetch(&self, fetch: &Fetch) -> Fetched {
        let url = fetch.url.to_string();
        let asked = Asked { url: url.clone(), at: Instant::now(), playlist: fetch.playlist };
        self.inner.asked.send_modify(|all| all.push(asked));
        match self.next(&url) {
            Answer::Says(fetched) => fetched,
            Answer::Hangs => std::future::pending().await,
        }
    }
}
