//! The answers that a page gets while it runs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chromiumoxide::cdp::browser_protocol::network::{
    EventLoadingFailed, EventLoadingFinished, EventResponseReceived, GetResponseBodyParams,
};
use tokio::time::Instant;

use crate::actions::wait::matches_pattern;
use crate::error::BrowserError;
use crate::navigate::tracker::headers;
use crate::page::Page;
use crate::types::Exchange;

impl Page {
    /// The next answer to a request of the page whose address matches the whole pattern, in which `*` stands for
    /// anything, with its body. Start waiting before what sends the request.
    ///
    /// # Errors
    /// `timed-out` when none came; `limit` when its body is larger than `max_body` bytes, or than Chromium keeps
    /// (8 MiB); `connect` when it broke off half-way.
    pub async fn wait_for_response(
        &self,
        pattern: &str,
        max_body: usize,
        timeout: Duration,
    ) -> Result<Exchange, BrowserError> {
        let deadline = Instant::now() + timeout;
        let session = self.session();
        let mut received = session.subscribe::<EventResponseReceived>();
        let mut finished = session.subscribe::<EventLoadingFinished>();
        let mut failed = session.subscribe::<EventLoadingFailed>();
        let what = || BrowserError::timed_out(&format!("the wait for an answer from {pattern:?}"), timeout);
        let matching = async {
            loop {
                let answer = received.next().await?;
                if matches_pattern(pattern, &answer.response.url) {
                    return Ok(answer);
                }
            }
        };
        let answer = tokio::time::timeout_at(deadline, matching).await.map_err(|_| what())??;
        let complete = async {
            loop {
                tokio::select! {
                    done = finished.next() => if done?.request_id == answer.request_id { return Ok(()) },
                    broken = failed.next() => {
                        let broken = broken?;
                        if broken.request_id == answer.request_id {
                            return Err(BrowserError::Connect(format!(
                                "the answer of {} broke off ({})", answer.response.url, broken.error_text
                            )));
                        }
                    }
                }
            }
        };
        tokio::time::timeout_at(deadline, complete).await.map_err(|_| what())??;
        let too_large =
            || BrowserError::Limit(format!("the answer of {} is too large to be kept", answer.response.url));
        let body = match session.call_until(GetResponseBodyParams::new(answer.request_id.clone()), deadline).await {
            Ok(body) if body.base64_encoded => STANDARD
                .decode(&body.body)
                .map_err(|error| BrowserError::Failed(format!("an answer's body could not be decoded: {error}")))?,
            Ok(body) => body.body.into_bytes(),
            Err(BrowserError::Failed(words)) if words.contains("evicted") => return Err(too_large()),
            // Answers without a body, and those of a document that is gone, have none to hand out.
            Err(BrowserError::Failed(words)) if words.contains("No resource") || words.contains("No data") => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        if body.len() > max_body {
            return Err(too_large());
        }
        Ok(Exchange {
            url: answer.response.url.clone(),
            status: u16::try_from(answer.response.status).unwrap_or_default(),
            headers: headers(answer.response.headers.inner()),
            body: Bytes::from(body),
        })
    }
}
