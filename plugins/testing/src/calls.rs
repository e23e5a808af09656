//! Task types that use one capability as a plugin should.

use crate::wit::buddy::plugin::types::{Error, Failure, Retry};
use crate::wit::buddy::plugin::{
    artifacts, browser, checkpoint, context, firestore, http, human, progress, secrets, store,
};
use futures::future::join_all;
use serde_json::{Map, Value, json};

/// A host error as the failure that a plugin would make of it.
fn failed(error: Error) -> Failure {
    if error.retryable {
        Failure::Retryable(Retry { message: error.message, after_ms: error.after_ms })
    } else {
        Failure::Permanent(format!("{}: {}", error.code, error.message))
    }
}

pub(crate) fn context() -> Value {
    let info = context::get();
    json!({
        "task-id": info.task_id,
        "mission": info.mission,
        "attempt": info.attempt,
        "deadline-ms": info.deadline_ms,
    })
}

pub(crate) fn progress() -> Value {
    for n in 1..=3 {
        progress::report(n, Some(3), &format!("step {n}"));
    }
    json!(progress::is_cancelled())
}

/// Waits until it is told to stop, then returns as told.
pub(crate) fn wait_for_cancel() -> Value {
    while !progress::is_cancelled() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    json!("stopped in time")
}

/// `count` sleeps at once.
pub(crate) async fn sleep_at_once(count: usize, ms: u64) -> Value {
    join_all((0..count).map(|_| context::sleep(ms))).await;
    json!(count)
}

fn request(url: &str) -> http::Request {
    http::Request {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: None,
        timeout_ms: None,
        max_redirects: None,
        max_bytes: None,
        to_artifact: false,
        more: Vec::new(),
    }
}

/// `count` requests at once.
pub(crate) async fn fan_out_http(url: &str, count: usize) -> Result<Value, Failure> {
    let answers = join_all((0..count).map(|_| http::fetch(request(url)))).await;
    let statuses = answers.into_iter().map(|a| a.map(|r| r.status)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(json!({ "statuses": statuses }))
}

/// Counts its own tries.
pub(crate) async fn checkpoint_count() -> Result<Value, Failure> {
    let before = checkpoint::load("count".into()).await.map_err(failed)?;
    let count = before.and_then(|n| n.parse::<u64>().ok()).unwrap_or_default() + 1;
    checkpoint::save("count".into(), count.to_string()).await.map_err(failed)?;
    let entries = checkpoint::entries("co".into()).await.map_err(failed)?;
    Ok(json!({ "count": count, "entries": entries }))
}

pub(crate) async fn checkpoint_save(key: &str, value: &str) -> Result<Value, Failure> {
    checkpoint::save(key.into(), value.into()).await.map_err(failed)?;
    Ok(Value::Null)
}

pub(crate) async fn store_roundtrip(key: &str, value: &str) -> Result<Value, Failure> {
    store::set(key.into(), value.into(), None).await.map_err(failed)?;
    let swapped =
        store::compare_and_set(key.into(), Some(b"another".to_vec()), b"never".to_vec()).await.map_err(failed)?;
    let got = store::get(key.into()).await.map_err(failed)?.unwrap_or_default();
    let keys = store::keys(String::new(), 10).await.map_err(failed)?;
    store::remove(key.into()).await.map_err(failed)?;
    let gone = store::get(key.into()).await.map_err(failed)?;
    Ok(json!({
        "value": String::from_utf8_lossy(&got),
        "keys": keys,
        "swapped": swapped,
        "gone": gone.is_none(),
    }))
}

pub(crate) async fn artifact_roundtrip(body: &str) -> Result<Value, Failure> {
    let writer = artifacts::create("note.txt".into(), "text/plain".into()).await.map_err(failed)?;
    writer.write(body.as_bytes().to_vec()).await.map_err(failed)?;
    let id = writer.finish().await.map_err(failed)?;
    let again = writer.write(b"late".to_vec()).await.map_err(|e| e.code);
    let info = artifacts::stat(id.clone()).await.map_err(failed)?;
    let read = artifacts::read(id, 0, 1024).await.map_err(failed)?;
    Ok(json!({
        "size": info.size,
        "name": info.name,
        "media-type": info.media_type,
        "read": String::from_utf8_lossy(&read),
        "after-finish": again.err(),
    }))
}

fn options() -> browser::ContextOptions {
    browser::ContextOptions {
        profile: None,
        viewport: None,
        user_agent: None,
        locale: None,
        time_zone: None,
        headers: Vec::new(),
        proxy: None,
        javascript: true,
        block: Vec::new(),
        more: Vec::new(),
    }
}

pub(crate) async fn browser_title(url: &str, max_age_ms: Option<u64>) -> Result<Value, Failure> {
    let context = browser::open(options()).await.map_err(failed)?;
    let page = context.new_page().await.map_err(failed)?;
    let goto = browser::GotoOptions {
        wait_until: browser::WaitUntil::Load,
        timeout_ms: None,
        referer: None,
        max_age_ms,
        more: Vec::new(),
    };
    let navigation = page.goto(url.into(), goto).await.map_err(failed)?;
    let title = page.title().await.map_err(failed)?;
    Ok(json!({ "url": navigation.url, "title": title, "from-cache": navigation.from_cache }))
}

/// The parts of the browser interface that come later.
pub(crate) async fn browser_later() -> Result<Value, Failure> {
    let named = browser::ContextOptions { profile: Some("work".into()), ..options() };
    let profile = browser::open(named).await.map(|_| ());
    let context = browser::open(options()).await.map_err(failed)?;
    let page = context.new_page().await.map_err(failed)?;
    let answers = [
        ("profile", profile),
        ("wait-for-page", context.wait_for_page(None).await.map(|_| ())),
        ("drag", page.drag("a".into(), "b".into(), None).await),
        ("pointer", page.pointer(Vec::new()).await),
        ("upload", page.upload("a".into(), Vec::new()).await),
        ("download", page.download("a".into(), None).await.map(|_| ())),
        ("wait-for-response", page.wait_for_response("*".into(), None).await.map(|_| ())),
    ];
    Ok(codes(answers))
}

fn codes<const N: usize>(answers: [(&str, Result<(), Error>); N]) -> Value {
    let one = |answer: Result<(), Error>| match answer {
        Ok(()) => json!({ "code": "ok" }),
        Err(error) => json!({ "code": error.code, "message": error.message }),
    };
    Value::Object(answers.into_iter().map(|(name, answer)| (name.to_owned(), one(answer))).collect::<Map<_, _>>())
}

/// One call of every capability, and what the host answers.
pub(crate) async fn denied_probe() -> Value {
    let query = || firestore::Query {
        collection: "orders".into(),
        filters: Vec::new(),
        order_by: Vec::new(),
        limit: 1,
        start_after: None,
        fields: Vec::new(),
        more: Vec::new(),
    };
    codes([
        ("http", http::fetch(request("https://example.com/x")).await.map(|_| ())),
        ("browser", browser::open(options()).await.map(|_| ())),
        ("store", store::get("k".into()).await.map(|_| ())),
        ("checkpoint", checkpoint::load("k".into()).await.map(|_| ())),
        ("artifacts", artifacts::create("n".into(), "text/plain".into()).await.map(|_| ())),
        ("firestore", firestore::run(query()).await.map(|_| ())),
        ("human", human::ask("q".into(), "May I?".into(), human::Kind::Approval, None, 1000).await.map(|_| ())),
    ])
}

pub(crate) fn secret_names() -> Value {
    json!(secrets::names())
}
