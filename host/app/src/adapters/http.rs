//! `http`: requests through the egress module, under the plugin's granted hosts.

use std::sync::Arc;

use async_trait::async_trait;
use buddy_egress::fetch::OverBound;
use buddy_egress::{FetchRequest, Fetcher, Grant};
use buddy_router::TaskId;
use buddy_runtime::capabilities::http::{Http, Request, Response};
use buddy_runtime::{Capability, Grants, HostError};

use super::{artifact_error, egress_error};
use crate::artifacts::ArtifactStore;

/// One run's way out.
pub struct RunHttp {
    /// The client that all runs share.
    pub fetcher: Fetcher,
    /// The plugin's hosts, and what it used of them.
    pub grant: Arc<Grant>,
    /// For the line that a denial names.
    pub grants: Arc<Grants>,
    /// Where a body goes that is asked for as an artifact.
    pub artifacts: ArtifactStore,
    /// Whose artifact it is.
    pub task: TaskId,
}

#[async_trait]
impl Http for RunHttp {
    async fn fetch(&self, request: Request) -> Result<Response, HostError> {
        let to_artifact = request.to_artifact;
        let wanted = FetchRequest {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body.map(Into::into),
            timeout: request.timeout_ms.map(std::time::Duration::from_millis),
            max_redirects: request.max_redirects,
            max_bytes: request.max_bytes,
            over_bound: OverBound::Truncate,
            ..FetchRequest::default()
        };
        let failed = |error| egress_error(&self.grants, Capability::Http, &error);
        if !to_artifact {
            let answer = self.fetcher.fetch(&self.grant, wanted).await.map_err(failed)?;
            return Ok(Response {
                status: answer.status,
                url: answer.url,
                headers: answer.headers,
                body: answer.body.into(),
                artifact: None,
                truncated: answer.truncated,
                charset: answer.charset,
                more: Vec::new(),
            });
        }
        // The body goes through a pipe of 64 KiB, so that a large one is never in memory as a whole.
        let (mut reader, mut sink) = tokio::io::duplex(64 * 1024);
        let name = wanted.url.rsplit('/').next().unwrap_or_default().to_owned();
        let fetched = async {
            let answer = self.fetcher.fetch_to(&self.grant, wanted, &mut sink).await.map_err(failed);
            drop(sink);
            answer
        };
        let kept = async {
            let mut file = self
                .artifacts
                .create(self.task.clone(), &name, "application/octet-stream")
                .await
                .map_err(|error| artifact_error(&error))?;
            let mut piece = vec![0; 64 * 1024];
            loop {
                let read = tokio::io::AsyncReadExt::read(&mut reader, &mut piece).await;
                match read {
                    Ok(0) => return Ok(file),
                    Ok(read) => file.write(&piece[..read]).await.map_err(|error| artifact_error(&error))?,
                    Err(error) => {
                        return Err(HostError::new(
                            buddy_runtime::code::FAILED,
                            format!("the body broke off: {error}"),
                        ));
                    }
                }
            }
        };
        let (answer, file) = tokio::join!(fetched, kept);
        // Its own failure first: an artifact that could not be kept closes the pipe, which the fetch sees as an error.
        let (file, answer) = match (file, answer) {
            (Err(error), _) | (_, Err(error)) => return Err(error),
            (Ok(file), Ok(answer)) => (file, answer),
        };
        let description = file.finish().await.map_err(|error| artifact_error(&error))?;
        Ok(Response {
            status: answer.status,
            url: answer.url,
            headers: answer.headers,
            body: Vec::new(),
            artifact: Some(description.id),
            truncated: answer.truncated,
            charset: answer.charset,
            more: Vec::new(),
        })
    }
}
