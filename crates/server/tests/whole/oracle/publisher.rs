//! The API as the oracle's publisher uses it.

use async_trait::async_trait;
use catharsis_tcapi::cdn::{
    DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, DescribePurgeTasksRequest, DescribePurgeTasksResponse,
    FlushType, PurgePathCacheRequest, PurgePathCacheResponse, PurgeUrlsCacheResponse, TaskFilter, TaskStatus,
};
use catharsis_testkit::oracle::run::{NoAnswer, Purges, Wish};

use crate::support::{Answer, Client, purge_urls};

/// Purges as the test account.
#[derive(Clone, Debug)]
pub(crate) struct Publisher(pub(crate) Client);

impl Publisher {
    /// What each item of a task is shown as.
    pub(crate) async fn statuses(&self, task: &str) -> Result<Vec<TaskStatus>, NoAnswer> {
        let request = DescribePurgeTasksRequest::of(TaskFilter::Task(task.into(), None));
        let answer = self.0.call::<DescribePurgeTasksResponse>("DescribePurgeTasks", &request).await;
        answered(answer).map(|page| page.purge_logs.iter().map(|row| row.status).collect())
    }

    /// A task without items is none that is known.
    pub(crate) fn all_done(statuses: &[TaskStatus]) -> bool {
        !statuses.is_empty() && statuses.iter().all(|status| *status == TaskStatus::Done)
    }
}

/// A refusal is no answer either: the faults of a test cause it, and nothing was accepted then.
fn answered<T>(answer: Answer<T>) -> Result<T, NoAnswer> {
    match answer {
        Answer::Ok(fields) => Ok(fields),
        Answer::Refused { code, message } => Err(NoAnswer(format!("{code}: {message}"))),
        Answer::Silence(why) => Err(NoAnswer(why)),
    }
}

#[async_trait]
impl Purges for Publisher {
    async fn purge(&self, wish: &Wish) -> Result<String, NoAnswer> {
        let directory = |path: &str, how| (vec![path.to_owned().into()], how);
        let (paths, how) = match wish {
            Wish::Urls(urls) => {
                let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
                let answer = self.0.call::<PurgeUrlsCacheResponse>("PurgeUrlsCache", &purge_urls(&urls)).await;
                return answered(answer).map(|answer| answer.task_id);
            }
            Wish::Deleted(path) => directory(path, FlushType::Delete),
            Wish::Flushed(path) => directory(path, FlushType::Flush),
        };
        let request = PurgePathCacheRequest::of(paths, how);
        let answer = self.0.call::<PurgePathCacheResponse>("PurgePathCache", &request).await;
        answered(answer).map(|answer| answer.task_id)
    }

    async fn is_done(&self, task: &str) -> Result<bool, NoAnswer> {
        self.statuses(task).await.map(|statuses| Self::all_done(&statuses))
    }

    async fn why_not(&self, task: &str) -> String {
        let request = DescribePurgeReceiptsRequest::of(task);
        let answer = self.0.call::<DescribePurgeReceiptsResponse>("DescribePurgeReceipts", &request).await;
        format!("{answer:?}")
    }
}
