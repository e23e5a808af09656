//! A runtime, the testing plugin, and capabilities that live in memory.

use buddy_runtime::capabilities::{artifacts, browser, checkpoint, http, log, progress, store};
use buddy_runtime::{EngineConfig, Grants, HostError, Plugin, Providers, RunRequest, Runtime, RuntimeConfig, code};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a crowded machine, short enough to notice a hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Fails the test when `future` hangs.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}

pub(crate) fn config() -> RuntimeConfig {
    // Tests run side by side in processes of their own; they share compiled code, as two hosts on one buffer would.
    let mut config = RuntimeConfig::with_cache(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    config.engine = engine(64);
    config
}

pub(crate) fn engine(max_instances: u32) -> EngineConfig {
    let mut engine = EngineConfig::default();
    engine.max_instances = max_instances;
    engine
}

pub(crate) fn runtime() -> Runtime {
    Runtime::new(&config()).unwrap()
}

/// The testing plugin's file.
pub(crate) fn testing_wasm() -> PathBuf {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join("testing.wasm");
    assert!(path.exists(), "{} is missing: run scripts/build-plugins", path.display());
    path
}

pub(crate) async fn testing(runtime: &Runtime) -> Arc<Plugin> {
    in_time(runtime.load(&testing_wasm())).await.unwrap()
}

/// A runtime with the testing plugin loaded.
pub(crate) async fn loaded() -> (Runtime, Arc<Plugin>) {
    let runtime = runtime();
    let plugin = testing(&runtime).await;
    (runtime, plugin)
}

pub(crate) fn grants(of: &[(&str, &[&str])]) -> Arc<Grants> {
    let scopes: BTreeMap<String, Vec<String>> =
        of.iter().map(|(name, all)| ((*name).to_owned(), all.iter().map(|s| (*s).to_owned()).collect())).collect();
    Arc::new(Grants::new("testing", scopes))
}

/// A request with everything granted and memory behind it.
pub(crate) fn request(task_type: &str, input: &str) -> RunRequest {
    let mut request = RunRequest::new(task_type, input);
    request.task.task_id = "task-1".into();
    request.grants = grants(&[
        ("checkpoint", &[]),
        ("store", &[]),
        ("artifacts", &[]),
        ("http", &["127.0.0.1"]),
        ("browser", &["127.0.0.1"]),
        ("secrets", &["b", "a"]),
    ]);
    request.providers = Memory::default().providers();
    request.limits.wall = PATIENCE;
    request
}

/// All that the capabilities keep.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Kept>);

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) reports: Mutex<Vec<(u64, Option<u64>, String)>>,
    pub(crate) checkpoints: Mutex<BTreeMap<String, String>>,
    pub(crate) values: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) artifacts: Mutex<Vec<(String, String, Vec<u8>)>>,
    /// Writers, contexts and pages that exist now.
    pub(crate) alive: AtomicUsize,
}

impl Memory {
    pub(crate) fn providers(&self) -> Providers {
        Providers {
            log: Some(Arc::new(self.clone())),
            progress: Some(Arc::new(self.clone())),
            checkpoint: Some(Arc::new(self.clone())),
            store: Some(Arc::new(self.clone())),
            artifacts: Some(Arc::new(self.clone())),
            http: Some(Arc::new(Loopback)),
            browser: Some(Arc::new(self.clone())),
            ..Providers::default()
        }
    }

    pub(crate) fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    fn guard(&self) -> Alive {
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        Alive(self.clone())
    }
}

/// Counts an object while it exists.
struct Alive(Memory);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl log::Log for Memory {
    fn write(&self, level: log::Level, message: &str, _: &[(String, String)]) {
        self.0.lines.lock().unwrap().push(format!("{level:?} {message}"));
    }
}

impl progress::Progress for Memory {
    fn report(&self, done: u64, total: Option<u64>, message: &str) {
        self.0.reports.lock().unwrap().push((done, total, message.to_owned()));
    }
}

#[async_trait::async_trait]
impl checkpoint::Checkpoint for Memory {
    async fn save(&self, key: String, value: String) -> Result<(), HostError> {
        self.0.checkpoints.lock().unwrap().insert(key, value);
        Ok(())
    }
    async fn load(&self, key: String) -> Result<Option<String>, HostError> {
        Ok(self.0.checkpoints.lock().unwrap().get(&key).cloned())
    }
    async fn entries(&self, prefix: String) -> Result<Vec<(String, String)>, HostError> {
        let all = self.0.checkpoints.lock().unwrap();
        Ok(all.iter().filter(|(k, _)| k.starts_with(&prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

#[async_trait::async_trait]
impl store::Store for Memory {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.0.values.lock().unwrap().get(&key).cloned())
    }
    async fn set(&self, key: String, value: Vec<u8>, _: Option<Duration>) -> Result<(), HostError> {
        self.0.values.lock().unwrap().insert(key, value);
        Ok(())
    }
    async fn remove(&self, key: String) -> Result<(), HostError> {
        self.0.values.lock().unwrap().remove(&key);
        Ok(())
    }
    async fn keys(&self, prefix: String, limit: u32) -> Result<Vec<String>, HostError> {
        let all = self.0.values.lock().unwrap();
        Ok(all.keys().filter(|k| k.starts_with(&prefix)).take(limit as usize).cloned().collect())
    }
    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, value: Vec<u8>) -> Result<bool, HostError> {
        let mut all = self.0.values.lock().unwrap();
        let same = all.get(&key) == expected.as_ref();
        if same {
            all.insert(key, value);
        }
        Ok(same)
    }
}

struct Writer {
    memory: Memory,
    name: String,
    media_type: String,
    bytes: Vec<u8>,
    _alive: Alive,
}

#[async_trait::async_trait]
impl artifacts::Artifacts for Memory {
    async fn create(&self, name: String, media_type: String) -> Result<Box<dyn artifacts::ArtifactWriter>, HostError> {
        let _alive = self.guard();
        Ok(Box::new(Writer { memory: self.clone(), name, media_type, bytes: Vec::new(), _alive }))
    }
    async fn stat(&self, id: String) -> Result<artifacts::Info, HostError> {
        let all = self.0.artifacts.lock().unwrap();
        let found = id.parse::<usize>().ok().and_then(|n| all.get(n));
        let (name, media_type, bytes) =
            found.ok_or_else(|| HostError::new(code::NOT_FOUND, "There is no such artifact."))?;
        Ok(artifacts::Info {
            size: bytes.len() as u64,
            media_type: media_type.clone(),
            sha256: String::new(),
            name: name.clone(),
        })
    }
    async fn read(&self, id: String, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let all = self.0.artifacts.lock().unwrap();
        let (_, _, bytes) = &all[id.parse::<usize>().unwrap()];
        Ok(bytes.iter().skip(usize::try_from(offset).unwrap()).take(len as usize).copied().collect())
    }
}

#[async_trait::async_trait]
impl artifacts::ArtifactWriter for Writer {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), HostError> {
        self.bytes.extend(bytes);
        Ok(())
    }
    async fn finish(self: Box<Self>) -> Result<String, HostError> {
        let mut all = self.memory.0.artifacts.lock().unwrap();
        all.push((self.name.clone(), self.media_type.clone(), self.bytes.clone()));
        Ok((all.len() - 1).to_string())
    }
}

struct Tab {
    url: Mutex<String>,
    _alive: Alive,
}

struct Window {
    memory: Memory,
    _alive: Alive,
}

#[async_trait::async_trait]
impl browser::Browser for Memory {
    async fn open(&self, _: browser::ContextOptions) -> Result<Arc<dyn browser::BrowserContext>, HostError> {
        Ok(Arc::new(Window { memory: self.clone(), _alive: self.guard() }))
    }
}

#[async_trait::async_trait]
impl browser::BrowserContext for Window {
    async fn new_page(&self) -> Result<Arc<dyn browser::Page>, HostError> {
        Ok(Arc::new(Tab { url: Mutex::default(), _alive: self.memory.guard() }))
    }
    async fn cookies(&self, _: Vec<String>) -> Result<Vec<browser::Cookie>, HostError> {
        Ok(Vec::new())
    }
    async fn set_cookies(&self, _: Vec<browser::Cookie>) -> Result<(), HostError> {
        Ok(())
    }
    async fn close(&self) -> Result<(), HostError> {
        Ok(())
    }
}

fn unasked<T>() -> Result<T, HostError> {
    Err(HostError::new(code::FAILED, "No test asks for this."))
}

#[async_trait::async_trait]
impl browser::Page for Tab {
    async fn goto(&self, url: String, _: browser::GotoOptions) -> Result<browser::Navigation, HostError> {
        self.url.lock().unwrap().clone_from(&url);
        Ok(browser::Navigation {
            url,
            status: Some(200),
            timed_out: false,
            download: None,
            from_cache: false,
            headers: Vec::new(),
            more: Vec::new(),
        })
    }
    async fn title(&self) -> Result<String, HostError> {
        Ok(format!("The title of {}", self.url.lock().unwrap()))
    }
    async fn back(&self) -> Result<browser::Navigation, HostError> {
        unasked()
    }
    async fn reload(&self, _: browser::GotoOptions) -> Result<browser::Navigation, HostError> {
        unasked()
    }
    async fn url(&self) -> Result<String, HostError> {
        unasked()
    }
    async fn html(&self, _: Option<String>) -> Result<String, HostError> {
        unasked()
    }
    async fn article(&self, _: Option<String>) -> Result<String, HostError> {
        unasked()
    }
    async fn extract(&self, _: Option<String>, _: Vec<browser::Field>) -> Result<String, HostError> {
        unasked()
    }
    async fn text(&self, _: String) -> Result<String, HostError> {
        unasked()
    }
    async fn attribute(&self, _: String, _: String) -> Result<Option<String>, HostError> {
        unasked()
    }
    async fn count(&self, _: String) -> Result<u32, HostError> {
        unasked()
    }
    async fn evaluate(&self, _: Option<String>, _: String, _: String) -> Result<String, HostError> {
        unasked()
    }
    async fn wait_for(&self, _: String, _: browser::State, _: Option<Duration>) -> Result<(), HostError> {
        unasked()
    }
    async fn wait_for_url(&self, _: String, _: Option<Duration>) -> Result<String, HostError> {
        unasked()
    }
    async fn click(&self, _: String, _: browser::ClickOptions) -> Result<(), HostError> {
        unasked()
    }
    async fn hover(&self, _: String, _: Option<Duration>) -> Result<(), HostError> {
        unasked()
    }
    async fn fill(&self, _: String, _: String, _: Option<Duration>) -> Result<(), HostError> {
        unasked()
    }
    async fn type_text(&self, _: String, _: String, _: Option<Duration>) -> Result<(), HostError> {
        unasked()
    }
    async fn press(&self, _: Option<String>, _: String) -> Result<(), HostError> {
        unasked()
    }
    async fn select_option(&self, _: String, _: Vec<String>) -> Result<Vec<String>, HostError> {
        unasked()
    }
    async fn set_checked(&self, _: String, _: bool) -> Result<(), HostError> {
        unasked()
    }
    async fn scroll(&self, _: Option<String>, _: u32) -> Result<u32, HostError> {
        unasked()
    }
    async fn screenshot(&self, _: browser::Picture, _: Option<String>) -> Result<String, HostError> {
        unasked()
    }
    async fn pdf(&self) -> Result<String, HostError> {
        unasked()
    }
    async fn dialogs(&self) -> Result<Vec<browser::Dialog>, HostError> {
        unasked()
    }
    async fn close(&self) -> Result<(), HostError> {
        Ok(())
    }
}

/// A real request to a server on loopback.
struct Loopback;

#[async_trait::async_trait]
impl http::Http for Loopback {
    async fn fetch(&self, request: http::Request) -> Result<http::Response, HostError> {
        let failed = |e: std::io::Error| HostError::retryable(code::CONNECT, e.to_string());
        let url = url::Url::parse(&request.url).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.map_err(failed)?;
        let head =
            format!("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", request.method, url.path());
        stream.write_all(head.as_bytes()).await.map_err(failed)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&answer);
        Ok(http::Response {
            status: text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap(),
            url: request.url,
            headers: Vec::new(),
            body: text.split_once("\r\n\r\n").map(|(_, body)| body.into()).unwrap_or_default(),
            artifact: None,
            truncated: false,
            charset: None,
            more: Vec::new(),
        })
    }
}

/// A server that answers nobody until `together` requests are open at once; then all of them.
pub(crate) struct GateServer {
    pub(crate) url: String,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl GateServer {
    pub(crate) async fn start(together: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Self { url, open: Arc::clone(&open), most: Arc::clone(&most) };
        tokio::spawn(async move {
            let gate = Arc::new(tokio::sync::Barrier::new(together));
            while let Ok((mut stream, _)) = listener.accept().await {
                let (gate, open, most) = (Arc::clone(&gate), Arc::clone(&open), Arc::clone(&most));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let mut byte = [0];
                    tokio::select! {
                        _ = gate.wait() => {
                            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                        }
                        // The client hung up.
                        _ = stream.read(&mut byte) => {}
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    /// Requests that are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The most requests that were open at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
