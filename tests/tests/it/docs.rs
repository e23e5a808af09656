//! The Rust documentation on loopback, and the scrape of it that several tests run.

use std::path::PathBuf;
use std::time::Duration;

use buddy_tests::{Host, HostBuilder, Site, rust_docs};
use serde_json::{Value, json};

/// Pages at once in every scrape of the documentation.
pub(crate) const CONCURRENCY: u32 = 6;

/// Far above what 200 pages take; a scrape that hangs fails the test all the same.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The documentation, served.
pub(crate) struct Docs {
    pub(crate) folder: PathBuf,
    pub(crate) site: Site,
}

impl Docs {
    pub(crate) fn serve() -> Self {
        let folder = rust_docs::folder();
        let site = Site::folder(&folder);
        Self { folder, site }
    }

    /// A host whose scraper may reach this site.
    pub(crate) fn host(&self) -> Host {
        HostBuilder::default().plugin("scraper").yaml(&grants(&self.site.grant())).start()
    }

    /// The chapters of the book that only send the reader on, in the order of their names.
    pub(crate) fn stubs(&self) -> Vec<PathBuf> {
        let book = std::fs::read_dir(self.folder.join("book")).unwrap().map(|entry| entry.unwrap().path());
        let mut stubs: Vec<PathBuf> = book
            .filter(|path| path.extension().is_some_and(|extension| extension == "html") && rust_docs::is_stub(path))
            .collect();
        stubs.sort();
        stubs
    }

    /// Where a file of the documentation is served.
    pub(crate) fn url_of(&self, file: &std::path::Path) -> String {
        let path = file.strip_prefix(&self.folder).unwrap().to_str().unwrap().replace('\\', "/");
        self.site.url(&format!("/{path}"))
    }

    /// The file behind an address.
    pub(crate) fn file_of(&self, url: &str) -> PathBuf {
        let path = url.strip_prefix(&self.site.url("/")).unwrap_or_else(|| panic!("{url} is not of this site"));
        let file = self.folder.join(path);
        if file.is_dir() { file.join("index.html") } else { file }
    }

    /// A scrape of so many pages of the Book and the Reference, by following links from their first pages, and from
    /// `more`.
    pub(crate) fn scrape(&self, max_pages: usize, more: &[String]) -> Value {
        let starts = ["/book/index.html", "/reference/index.html"].map(|path| self.site.url(path));
        let starts: Vec<&String> = starts.iter().chain(more).collect();
        // The documentation of the library is another program's work (rustdoc), whose script rewrites its headings; the
        // printable pages are each a whole book.
        let exclude: Vec<String> = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "book" && name != "reference")
            .map(|name| self.site.url(&format!("/{name}/*")))
            .chain(["*/print.html".to_owned()])
            .collect();
        json!({
            "start_urls": starts,
            "follow": {
                "max_depth": 3,
                "max_pages": max_pages,
                "pattern": self.site.url("/*/*"),
                "exclude": exclude,
            },
            "fields": {
                "headings": { "selector": "main h1, main h2, main h3", "many": true },
                "code_blocks": { "selector": "main pre > code", "take": "@class", "many": true },
            },
            "concurrency": CONCURRENCY,
        })
    }
}

/// What the scraper needs for one site.
pub(crate) fn grants(site: &str) -> String {
    format!(
        "plugins:\n  grants:\n    scraper:\n      browser: [\"{site}\"]\n      http: [\"{site}\"]\n      checkpoint: true\n"
    )
}
