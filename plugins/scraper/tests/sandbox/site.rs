//! A site, its browser, its robots.txt and the task's checkpoints, all in memory, with counts of what was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use buddy_runtime::capabilities::{browser, checkpoint, http};
use buddy_runtime::{HostError, Providers, code};
use serde_json::{Value, json};
use tokio::sync::{Barrier, OwnedSemaphorePermit, Semaphore, watch};

type Answer<T> = Result<T, HostError>;

const ORIGIN: &str = "https://site.example";

/// How a page behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Plain,
    /// Nobody answers.
    Refused,
    /// Nobody answers the first time.
    FailsFirst,
    Status(u16),
    /// The browser dies with all that is open in it.
    KillsBrowser,
    /// Once its fields were read, it is another page.
    MovesWhileRead(&'static str),
    /// Opens a dialog.
    Alerts,
    /// Is not complete in time.
    TimesOut,
    /// Is not complete in time, and does not answer then.
    Hangs,
    /// Never comes to an end.
    Endless,
    /// Its tab does not leave it.
    Stays,
    /// Is shown as it was kept.
    Kept,
}

#[derive(Clone)]
pub(crate) struct Site(Arc<State>);

struct State {
    pages: Mutex<HashMap<String, (Kind, Vec<String>)>>,
    robots: Mutex<Option<String>>,
    visits: watch::Sender<BTreeMap<String, usize>>,
    robots_reads: AtomicUsize,
    contexts: AtomicUsize,
    open_contexts: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// Tabs opened so far.
    tabs: AtomicUsize,
    /// Places for tabs, as a pool has them.
    places: Mutex<Arc<Semaphore>>,
    gate: Mutex<Option<(usize, Arc<Barrier>)>>,
    checkpoints: Mutex<BTreeMap<String, String>>,
    kept: watch::Sender<usize>,
    /// Changes when a browser dies; who was open in it sees that.
    deaths: watch::Sender<u32>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            pages: Mutex::default(),
            robots: Mutex::default(),
            visits: watch::channel(BTreeMap::new()).0,
            robots_reads: AtomicUsize::new(0),
            contexts: AtomicUsize::new(0),
            open_contexts: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            tabs: AtomicUsize::new(0),
            places: Mutex::new(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))),
            gate: Mutex::default(),
            checkpoints: Mutex::default(),
            kept: watch::channel(0).0,
            deaths: watch::channel(0).0,
        }))
    }

    pub(crate) fn page(&self, path: &str, kind: Kind, links: &[&str]) {
        let links = links.iter().map(|link| format!("{ORIGIN}{link}")).collect();
        self.0.pages.lock().unwrap().insert(path.to_owned(), (kind, links));
    }

    pub(crate) fn robots(&self, text: &str) {
        *self.0.robots.lock().unwrap() = Some(text.to_owned());
    }

    /// The pages `/0`, `/1` and so on, so many of them, load only once they are all open.
    pub(crate) fn hold_until_open(&self, together: usize) {
        *self.0.gate.lock().unwrap() = Some((together, Arc::new(Barrier::new(together))));
    }

    pub(crate) fn visits(&self) -> BTreeMap<String, usize> {
        self.0.visits.borrow().clone()
    }

    /// Once a page was gone to so often.
    pub(crate) async fn visited(&self, path: &str, times: usize) {
        self.0.visits.subscribe().wait_for(|visits| visits.get(path) >= Some(&times)).await.unwrap();
    }

    pub(crate) fn checkpoints(&self) -> usize {
        self.0.checkpoints.lock().unwrap().len()
    }

    pub(crate) fn robots_reads(&self) -> usize {
        self.0.robots_reads.load(Ordering::SeqCst)
    }

    pub(crate) fn contexts(&self) -> usize {
        self.0.contexts.load(Ordering::SeqCst)
    }

    pub(crate) fn open_contexts(&self) -> usize {
        self.0.open_contexts.load(Ordering::SeqCst)
    }

    pub(crate) fn open_pages(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    pub(crate) fn most_open_pages(&self) -> usize {
        self.0.most_open.load(Ordering::SeqCst)
    }

    pub(crate) fn opened_tabs(&self) -> usize {
        self.0.tabs.load(Ordering::SeqCst)
    }

    /// So many tabs can be open at once; one more waits.
    pub(crate) fn places(&self, places: usize) {
        *self.0.places.lock().unwrap() = Arc::new(Semaphore::new(places));
    }

    /// Once so many checkpoints are kept.
    pub(crate) async fn checkpointed(&self, count: usize) {
        self.0.kept.subscribe().wait_for(|kept| *kept >= count).await.unwrap();
    }

    pub(crate) fn providers(&self) -> Providers {
        Providers {
            browser: Some(Arc::new(self.clone())),
            http: Some(Arc::new(self.clone())),
            checkpoint: Some(Arc::new(self.clone())),
            ..Providers::default()
        }
    }
}

#[async_trait]
impl checkpoint::Checkpoint for Site {
    async fn save(&self, key: String, value: String) -> Answer<()> {
        let mut all = self.0.checkpoints.lock().unwrap();
        all.insert(key, value);
        self.0.kept.send_replace(all.len());
        Ok(())
    }
    async fn load(&self, key: String) -> Answer<Option<String>> {
        Ok(self.0.checkpoints.lock().unwrap().get(&key).cloned())
    }
    async fn entries(&self, prefix: String) -> Answer<Vec<(String, String)>> {
        let all = self.0.checkpoints.lock().unwrap();
        Ok(all
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

#[async_trait]
impl http::Http for Site {
    async fn fetch(&self, request: http::Request) -> Answer<http::Response> {
        assert_eq!(request.url, format!("{ORIGIN}/robots.txt"));
        self.0.robots_reads.fetch_add(1, Ordering::SeqCst);
        let robots = self.0.robots.lock().unwrap().clone();
        Ok(http::Response {
            status: if robots.is_some() { 200 } else { 404 },
            url: request.url,
            headers: Vec::new(),
            body: robots.unwrap_or_default().into_bytes(),
            artifact: None,
            truncated: false,
            charset: None,
            more: Vec::new(),
        })
    }
}

#[async_trait]
impl browser::Browser for Site {
    async fn open(&self, _: browser::ContextOptions) -> Answer<Arc<dyn browser::BrowserContext>> {
        self.0.contexts.fetch_add(1, Ordering::SeqCst);
        self.0.open_contexts.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Window { site: self.clone(), born: *self.0.deaths.borrow(), killed: AtomicBool::new(false) }))
    }
}

struct Window {
    site: Site,
    /// Deaths before this browser began.
    born: u32,
    killed: AtomicBool,
}

impl Drop for Window {
    fn drop(&mut self) {
        self.site.0.open_contexts.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl browser::BrowserContext for Window {
    async fn new_page(&self) -> Answer<Arc<dyn browser::Page>> {
        let state = &self.site.0;
        if *state.deaths.borrow() != self.born {
            return Err(lost());
        }
        let places = Arc::clone(&state.places.lock().unwrap());
        let place = places.acquire_owned().await.unwrap();
        let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_open.fetch_max(open, Ordering::SeqCst);
        state.tabs.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Tab {
            site: self.site.clone(),
            born: self.born,
            path: Mutex::default(),
            read: AtomicU32::new(0),
            spoilt: AtomicBool::new(false),
            _place: place,
        }))
    }
    async fn cookies(&self, _: Vec<String>) -> Answer<Vec<browser::Cookie>> {
        unasked()
    }
    async fn set_cookies(&self, _: Vec<browser::Cookie>) -> Answer<()> {
        unasked()
    }
    async fn close(&self) -> Answer<()> {
        assert!(!self.killed.swap(true, Ordering::SeqCst), "a context is closed once");
        Ok(())
    }
}

struct Tab {
    site: Site,
    born: u32,
    /// Empty: a blank page.
    path: Mutex<String>,
    read: AtomicU32,
    /// Something happened in it after which it must not be used again.
    spoilt: AtomicBool,
    _place: OwnedSemaphorePermit,
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.site.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tab {
    fn alive(&self) -> Answer<()> {
        if *self.site.0.deaths.borrow() == self.born { Ok(()) } else { Err(lost()) }
    }

    fn kind(&self) -> (Kind, Vec<String>) {
        self.site
            .0
            .pages
            .lock()
            .unwrap()
            .get(&*self.path.lock().unwrap())
            .cloned()
            .unwrap_or((Kind::Status(404), Vec::new()))
    }

    fn leave(&self) -> Answer<browser::Navigation> {
        if matches!(self.kind().0, Kind::Stays) {
            self.spoilt.store(true, Ordering::SeqCst);
            return Err(HostError::retryable(code::TIMED_OUT, "The page does not leave."));
        }
        self.path.lock().unwrap().clear();
        Ok(arrival("about:blank".to_owned(), None))
    }

    fn value(&self, name: &str) -> Value {
        json!(format!("The {name} of {}", self.path.lock().unwrap()))
    }
}

fn arrival(url: String, status: Option<u16>) -> browser::Navigation {
    browser::Navigation {
        url,
        status,
        timed_out: false,
        download: None,
        from_cache: false,
        headers: Vec::new(),
        more: Vec::new(),
    }
}

fn lost() -> HostError {
    HostError::retryable(code::BROWSER_LOST, "The browser died.")
}

fn unasked<T>() -> Answer<T> {
    Err(HostError::new(code::FAILED, "The scraper does not ask for this."))
}

#[async_trait]
impl browser::Page for Tab {
    async fn goto(&self, url: String, _: browser::GotoOptions) -> Answer<browser::Navigation> {
        self.alive()?;
        assert!(!self.spoilt.load(Ordering::SeqCst), "used again for {url}");
        if url == "about:blank" {
            return self.leave();
        }
        let Some(path) = url.strip_prefix(ORIGIN).map(str::to_owned) else {
            return Err(HostError::new(code::DENIED, format!("Grant it: `browser: [\"{url}\"]`.")));
        };
        let before = std::mem::replace(&mut *self.path.lock().unwrap(), path.clone());
        assert_eq!(before, "", "a tab goes from page to page by way of a blank one");
        self.read.store(0, Ordering::SeqCst);
        let state = &self.site.0;
        state.visits.send_modify(|visits| *visits.entry(path.clone()).or_default() += 1);
        let visits = self.site.visits()[&path];
        let gate = state.gate.lock().unwrap().clone();
        if let Some((together, gate)) = gate
            && path[1..].parse::<usize>().is_ok_and(|i| i < together)
        {
            gate.wait().await;
        }
        let status = match self.kind().0 {
            Kind::Refused => return Err(HostError::retryable(code::CONNECT, "Nobody answers.")),
            Kind::FailsFirst if visits == 1 => return Err(HostError::retryable(code::CONNECT, "Nobody answers yet.")),
            Kind::KillsBrowser => {
                state.deaths.send_modify(|deaths| *deaths += 1);
                return Err(lost());
            }
            Kind::Status(status) => status,
            Kind::Endless => return std::future::pending().await,
            Kind::Alerts | Kind::TimesOut | Kind::Hangs => {
                self.spoilt.store(true, Ordering::SeqCst);
                200
            }
            _ => 200,
        };
        // A turn for the others, so that pages overlap; who is open when the browser dies sees it.
        for _ in 0..5 {
            tokio::task::yield_now().await;
            self.alive()?;
        }
        let kind = self.kind().0;
        Ok(browser::Navigation {
            timed_out: matches!(kind, Kind::TimesOut | Kind::Hangs),
            from_cache: matches!(kind, Kind::Kept),
            ..arrival(url, Some(status))
        })
    }

    async fn extract(&self, each: Option<String>, fields: Vec<browser::Field>) -> Answer<String> {
        self.alive()?;
        assert!(!matches!(self.kind().0, Kind::Hangs), "a page that hangs is not read");
        assert_eq!(each, None);
        let found: Value = fields
            .iter()
            .map(|field| (field.name.clone(), self.value(&field.name)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        if let Kind::MovesWhileRead(to) = self.kind().0
            && self.read.fetch_add(1, Ordering::SeqCst) == 0
        {
            to.clone_into(&mut self.path.lock().unwrap());
        }
        Ok(found.to_string())
    }

    async fn evaluate(&self, _: Option<String>, _: String, argument: String) -> Answer<String> {
        self.alive()?;
        let want: Value = serde_json::from_str(&argument).unwrap();
        assert_eq!(want["follow"], "", "all links are wanted");
        let url = match self.kind().0 {
            Kind::Kept => "about:blank".to_owned(),
            _ => format!("{ORIGIN}{}", self.path.lock().unwrap()),
        };
        Ok(json!({ "url": url, "title": self.value("title"), "follow": self.kind().1 }).to_string())
    }

    async fn close(&self) -> Answer<()> {
        Ok(())
    }

    async fn back(&self) -> Answer<browser::Navigation> {
        unasked()
    }
    async fn reload(&self, _: browser::GotoOptions) -> Answer<browser::Navigation> {
        unasked()
    }
    async fn url(&self) -> Answer<String> {
        unasked()
    }
    async fn title(&self) -> Answer<String> {
        unasked()
    }
    async fn html(&self, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn article(&self, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn text(&self, _: String) -> Answer<String> {
        unasked()
    }
    async fn attribute(&self, _: String, _: String) -> Answer<Option<String>> {
        unasked()
    }
    async fn count(&self, _: String) -> Answer<u32> {
        unasked()
    }
    async fn wait_for(&self, _: String, _: browser::State, timeout: Option<Duration>) -> Answer<()> {
        assert!(timeout.is_some_and(|timeout| timeout <= Duration::from_secs(5)), "a first look is short");
        match self.kind().0 {
            Kind::Hangs => Err(HostError::retryable(code::TIMED_OUT, "The page does not answer.")),
            _ => Ok(()),
        }
    }
    async fn wait_for_url(&self, _: String, _: Option<Duration>) -> Answer<String> {
        unasked()
    }
    async fn click(&self, _: String, _: browser::ClickOptions) -> Answer<()> {
        unasked()
    }
    async fn hover(&self, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn fill(&self, _: String, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn type_text(&self, _: String, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn press(&self, _: Option<String>, _: String) -> Answer<()> {
        unasked()
    }
    async fn select_option(&self, _: String, _: Vec<String>) -> Answer<Vec<String>> {
        unasked()
    }
    async fn set_checked(&self, _: String, _: bool) -> Answer<()> {
        unasked()
    }
    async fn scroll(&self, _: Option<String>, _: u32) -> Answer<u32> {
        unasked()
    }
    async fn screenshot(&self, _: browser::Picture, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn pdf(&self) -> Answer<String> {
        unasked()
    }
    async fn dialogs(&self) -> Answer<Vec<browser::Dialog>> {
        self.alive()?;
        let alert = || browser::Dialog { kind: "alert".into(), message: "!".into(), answered: "accepted".into() };
        Ok(matches!(self.kind().0, Kind::Alerts).then(alert).into_iter().collect())
    }
}
