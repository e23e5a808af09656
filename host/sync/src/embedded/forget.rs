//! Forgetting tasks that ended long ago, with everything that belongs to them.

use std::sync::Arc;

use buddy_buffer::{DocWrite, Precondition, Tx};
use buddy_router::{TaskId, UnixMs};

use super::documents::{notices_of, questions_of, result_key, task_key};
use super::{Embedded, Refused, locked, read_task};
use crate::CoordinatorError;

/// Tasks in one transaction: others wait for the writer meanwhile, and a batch is some thousand reads.
const BATCH: usize = 500;

/// Documents in one look at what belongs to a task; there is seldom more than one.
const PAGE: usize = 100;

impl Embedded {
    /// Forgets every task that ended before `moment`, with its result, its questions and its notices; which they were.
    /// A task that somebody tries again meanwhile stays.
    ///
    /// # Errors
    /// When nothing was forgotten because the store failed, or a document cannot be read. A failure after some were
    /// forgotten is logged and their ids are returned: the caller removes what it keeps of them, and meets the failure
    /// at its next call.
    pub async fn forget_before(&self, moment: UnixMs) -> Result<Vec<TaskId>, CoordinatorError> {
        let mut forgotten = Vec::new();
        loop {
            match self.forget_some(moment).await {
                Ok(batch) if batch.is_empty() => return Ok(forgotten),
                Ok(batch) => forgotten.extend(batch),
                Err(error) if forgotten.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, forgotten = forgotten.len(), "not all old tasks could be forgotten");
                    return Ok(forgotten);
                }
            }
        }
    }

    async fn forget_some(&self, moment: UnixMs) -> Result<Vec<TaskId>, CoordinatorError> {
        let shared = Arc::clone(&self.shared);
        let forgot = self.transact(move |tx, effects| {
            let mut forgotten = Vec::new();
            // Looked up in the transaction, during which nobody else writes; the document still has the last word.
            let ended = locked(&shared.index).ended_before(moment, BATCH);
            for id in ended {
                let Some(task) = read_task(tx, &id)? else {
                    effects.forgotten(id);
                    continue;
                };
                if task.value.state.is_final() && task.value.updated < moment {
                    remove(tx, &id)?;
                    effects.forgotten(id.clone());
                    forgotten.push(id);
                }
            }
            Ok(forgotten)
        });
        forgot.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("an old task changed".to_owned()),
        })
    }
}

fn remove(tx: &mut Tx<'_>, id: &TaskId) -> Result<(), Refused> {
    let mut keys = vec![task_key(id), result_key(id)];
    for prefix in [questions_of(id), notices_of(id)] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = tx.scan_docs(&prefix, after.as_deref(), PAGE)?;
            keys.extend(page.docs.iter().map(|doc| doc.key.clone()));
            after = page.docs.last().map(|doc| doc.key.clone());
            if !page.more || after.is_none() {
                break;
            }
        }
    }
    let writes = keys.into_iter().map(|key| DocWrite { key, precondition: Precondition::None, value: None });
    tx.commit_docs(writes.collect())?;
    Ok(())
}
