//! A site on loopback whose pages misbehave in known ways, and a pool of real Chromium to visit it with.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use buddy_browser::{GotoOptions, Pool, PoolOptions, WaitUntil};

/// The site.
pub struct Site {
    address: String,
    pub hits: Arc<AtomicU64>,
}

impl Site {
    pub async fn start() -> Self {
        let hits = Arc::new(AtomicU64::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = routes().with_state(Arc::clone(&hits));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, hits }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn page(Path(number): Path<u32>) -> Html<String> {
    Html(format!(
        "<!doctype html><html><head><title>page {number}</title></head><body><h1>page {number}</h1></body></html>"
    ))
}

/// A page that does nothing but lead on.
async fn stub(Path((kind, number)): Path<(String, u32)>) -> Response {
    let target = format!("/page/{number}");
    let head = match kind.as_str() {
        "meta" | "header" => String::new(),
        "meta-late" => format!("<meta http-equiv=\"refresh\" content=\"1; url={target}\">"),
        "script" => format!("<script>location.replace('{target}')</script>"),
        "parsed" => format!(
            "<script>document.addEventListener('DOMContentLoaded', () => location.replace('{target}'))</script>"
        ),
        "loaded" => format!("<script>addEventListener('load', () => {{ location.href = '{target}' }})</script>"),
        "timer" => format!("<script>setTimeout(() => {{ location.href = '{target}' }}, 0)</script>"),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let head = if kind == "meta" { format!("<meta http-equiv=\"Refresh\" content=\"0; URL={target}\">") } else { head };
    let page =
        Html(format!("<!doctype html><html><head><title>stub</title>{head}</head><body>Redirecting</body></html>"));
    if kind == "header" {
        ([("refresh", format!("0; url={target}"))], page).into_response()
    } else {
        page.into_response()
    }
}

async fn hang() -> Response {
    std::future::pending().await
}

async fn echo(headers: HeaderMap) -> Html<String> {
    let lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?"))).collect();
    Html(format!("<!doctype html><title>echo</title><pre>{}</pre>", lines.join("\n")))
}

async fn count(State(hits): State<Arc<AtomicU64>>) -> Html<String> {
    let hit = hits.fetch_add(1, Ordering::SeqCst) + 1;
    Html(format!("<!doctype html><title>hit {hit}</title>"))
}

async fn empty(State(hits): State<Arc<AtomicU64>>) -> StatusCode {
    hits.fetch_add(1, Ordering::SeqCst);
    StatusCode::NO_CONTENT
}

fn fixed(html: &'static str) -> axum::routing::MethodRouter<Arc<AtomicU64>> {
    get(move || async move { Html(html) })
}

fn routes() -> Router<Arc<AtomicU64>> {
    Router::new()
        .route("/page/{number}", get(page))
        .route("/stub/{kind}/{number}", get(stub))
        .route("/hang", get(hang))
        .route("/echo", get(echo))
        .route("/count", get(count))
        .route(
            "/dead-frame",
            fixed(
                "<!doctype html><title>readable</title><body><p>text</p><iframe src=/hang></iframe><img src=/hang></body>",
            ),
        )
        .route("/redirect", get(|| async { Redirect::temporary("/page/7") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route(
            "/script-loop/{number}",
            get(|Path(number): Path<u64>| async move {
                Html(format!("<!doctype html><script>location.replace('/script-loop/{}')</script>", number + 1))
            }),
        )
        .route(
            "/dialogs",
            fixed(
                "<!doctype html><title>asking</title><script>alert('hello'); const sure = confirm('sure?');
                 const name = prompt('name?', 'x'); document.title = `${sure} ${name}`;</script>",
            ),
        )
        .route(
            "/unload",
            fixed("<!doctype html><title>stay</title><script>addEventListener('beforeunload', e => { e.preventDefault(); e.returnValue = 'x' })</script>"),
        )
        .route(
            "/busy",
            fixed("<!doctype html><title>busy</title><script>addEventListener('load', () => setTimeout(() => { for (;;); }, 300))</script>"),
        )
        .route(
            "/memory",
            fixed("<!doctype html><title>memory</title><script>const all = []; for (;;) all.push(new Array(1e6).fill(all.length))</script>"),
        )
        .route(
            "/data.csv",
            get(|| async {
                ([(header::CONTENT_TYPE, "text/csv"), (header::CONTENT_DISPOSITION, "attachment; filename=\"data.csv\"")], "a,b\n1,2\n")
            }),
        )
        .route("/to-csv", fixed("<!doctype html><title>file</title><script>location.href = '/data.csv'</script>"))
        // Leaves behind all it can.
        .route(
            "/clinging",
            fixed(
                "<!doctype html><title>clinging</title><body>stay</body><script>
                 const mark = () => { window.name = 'mine'; sessionStorage.setItem('seen', 'yes'); };
                 mark();
                 for (let i = 0; i < 3; i++) history.pushState(i, '', '?' + i);
                 addEventListener('beforeunload', e => { mark(); e.preventDefault(); e.returnValue = 'x'; });
                 for (const kind of ['pagehide', 'unload', 'visibilitychange']) addEventListener(kind, mark);
                 setInterval(mark, 1);
                 open('/page/9');</script>",
            ),
        )
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                Html("<!doctype html><title>slow</title>")
            }),
        )
        .route(
            "/asking",
            fixed("<!doctype html><title>asking</title><script>addEventListener('load', () => setInterval(() => alert('still there?'), 1))</script>"),
        )
        .route(
            "/meddling",
            fixed("<!doctype html><title>meddling</title><script>setInterval(() => { document.body.textContent = 'meddled'; }, 1)</script>"),
        )
        .route("/empty", get(empty))
        .route("/missing", get(|| async { (StatusCode::NOT_FOUND, [("x-told", "yes")], Html("<title>missing</title>")) }))
        .route("/set-cookie", get(|| async { ([(header::SET_COOKIE, "visited=1; Path=/; HttpOnly")], Html("<title>set</title>")) }))
        .route("/popups", fixed("<!doctype html><title>opener</title><script>for (let i = 0; i < 5; i++) open('/page/' + i)</script>"))
        .route("/tall", fixed("<!doctype html><title>tall</title><body style='margin:0;height:3000px;background:#0a0'></body>"))
        .route("/scripted", fixed("<!doctype html><title>off</title><script>document.title = 'on'</script>"))
        .route(
            "/asks",
            fixed("<!doctype html><title>asks</title><script>addEventListener('load', () => fetch('/answer?x=1'))</script>"),
        )
        .route("/answer", get(|| async { ([("x-kind", "data")], "{\"n\":1}") }))
}

/// A pool with its folder.
pub struct TestPool {
    pub pool: Pool,
    pub root: PathBuf,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for TestPool {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

/// A pool of real Chromium. A machine without one fails the test with the sentence that says how to get it.
pub async fn pool(adjust: impl FnOnce(&mut PoolOptions)) -> TestPool {
    if let Err(error) = buddy_browser::find_chromium(None) {
        panic!("these tests need a real Chromium: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("browsers");
    let mut options = PoolOptions::new(&root);
    adjust(&mut options);
    TestPool { pool: Pool::new(options).await.unwrap(), root, _folder: folder }
}

/// Options with a timeout in seconds.
pub fn within(seconds: u64, wait_until: WaitUntil) -> GotoOptions {
    GotoOptions { timeout: Duration::from_secs(seconds), wait_until, ..GotoOptions::default() }
}

/// Polls until `condition` holds; a condition that never does fails the test.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes whose command line holds `needle`.
pub fn processes_with(needle: &str) -> Vec<u32> {
    let mut system = sysinfo::System::new();
    system.refresh_processes_specifics(
        sysinfo::ProcessesToUpdate::All,
        true,
        sysinfo::ProcessRefreshKind::nothing().with_cmd(sysinfo::UpdateKind::Always).without_tasks(),
    );
    system
        .processes()
        .values()
        .filter(|process| process.status() != sysinfo::ProcessStatus::Zombie)
        .filter(|process| process.cmd().iter().any(|part| part.to_string_lossy().contains(needle)))
        .map(|process| process.pid().as_u32())
        .collect()
}

/// A proxy that answers every request itself and tells what it was asked for.
pub async fn telling_proxy() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let mut stream = tokio::io::BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                told.lock().unwrap().push(line.trim().to_owned());
                let mut header = String::new();
                while stream.read_line(&mut header).await.unwrap() > 2 {
                    header.clear();
                }
                let body = "<title>from the proxy</title>";
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            });
        }
    });
    (address, asked)
}

/// Kills one process, as a person or the kernel would.
pub fn kill(pid: u32) {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
    assert!(system.process(pid).expect("the process to kill is there").kill());
}
