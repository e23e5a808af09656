//! Figures of the whole host, as a process: how fast it is ready, what it costs while idle, and how many real pages a
//! second it scrapes. `scripts/bench host` builds what it needs and runs it.
//!
//! Medians of several rounds of whole processes; no criterion, whose many short samples do not fit a Chromium's start.
//! Linux only, where `/proc` has the memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
// Page counts are small: a figure for people loses nothing as a float.
#![allow(clippy::cast_precision_loss)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use buddy_tests::{HostBuilder, Site, rust_docs};
use serde_json::{Value, json};

/// Rounds of each figure; the median is told, with the least and the most.
const STARTS: usize = 11;
const SCRAPES: usize = 5;

/// Pages of the Rust Book, and at once: how the peers of the design's table were measured.
const PAGES: usize = 100;
const AT_ONCE: u32 = 10;

fn spread(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let middle = figures[figures.len() / 2];
    format!("{middle:.1} ({:.1} to {:.1}, {} rounds)", figures[0], figures[figures.len() - 1], figures.len())
}

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc is there: this is for Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).expect("VmRSS is in kB") / 1024.0
}

/// From the start of the process to its first answer to a command, plugins compiled before; and its memory then.
fn start() {
    let mut host = HostBuilder::default().plugin("scraper").plugin("digest").start();
    host.stop();
    let (mut millis, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        host.spawn();
        while host.run(&["status", "--json"]).code != Some(0) {
            assert!(began.elapsed() < Duration::from_secs(60), "the host does not start:\n{}", host.log());
        }
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        memory.push(resident(host.pid()));
        host.stop();
    }
    println!("start to first answer, ms: {}", spread(millis));
    println!("idle memory without Chromium, MiB: {}", spread(memory));
}

/// The Book's pages in the order of their names, without the printable ones; chapters that only redirect are among them.
fn book(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("book"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .filter(|path| !path.ends_with("print.html") && !path.ends_with("toc.html"))
        .collect();
    files.sort();
    files.truncate(PAGES);
    assert_eq!(files.len(), PAGES, "the Book has fewer pages than it had");
    files
}

/// How many of the addresses led to a page that says what its file says.
fn right(result: &Value, urls: &[String], site: &Site, folder: &Path) -> usize {
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let pages = result["pages"].as_array().unwrap();
    let is_right = |url: &&String| {
        pages.iter().any(|page| {
            let asked = page["requested_url"] == ***url
                || page["aliases"]
                    .as_array()
                    .is_some_and(|aliases| aliases.iter().any(|alias| alias.as_str() == Some(url.as_str())));
            let end = page["url"].as_str().unwrap().strip_prefix(&site.url("/")).unwrap_or_default();
            let facts = rust_docs::facts(&folder.join(end.split('#').next().unwrap_or_default()));
            let headings: Vec<String> = page["fields"]["headings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|heading| fold(heading.as_str().unwrap()))
                .collect();
            asked && fold(page["title"].as_str().unwrap()) == facts.title && headings == facts.headings
        })
    };
    urls.iter().filter(is_right).count()
}

/// Pages a second, from `submit` to the result, the launch of Chromium included.
fn pages(isolated: bool) {
    let folder = rust_docs::folder();
    let site = Site::folder(&folder);
    let urls: Vec<String> = book(&folder)
        .iter()
        .map(|file| site.url(&format!("/{}", file.strip_prefix(&folder).unwrap().display())))
        .collect();
    let grant = site.grant();
    let yaml = format!(
        "resources:\n  max_browsers: {AT_ONCE}\nplugins:\n  grants:\n    scraper:\n      browser: [\"{grant}\"]\n      http: [\"{grant}\"]\n      checkpoint: true\n"
    );
    let input = json!({
        "urls": urls,
        "fields": { "headings": { "selector": "main h1, main h2, main h3", "many": true } },
        "concurrency": AT_ONCE,
        "isolated": isolated,
        "respect_robots": false,
    });
    let (mut rates, mut correct) = (Vec::new(), Vec::new());
    for _ in 0..SCRAPES {
        // A host of its own each round: a fresh Chromium, no page cache, no checkpoint.
        let host = HostBuilder::default().plugin("scraper").yaml(&yaml).start();
        let began = Instant::now();
        let id = host.submit("web_navigate", &input, &[]);
        let task = host.finished(&id, Duration::from_secs(600));
        rates.push(PAGES as f64 / began.elapsed().as_secs_f64());
        assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
        correct.push(right(&host.result(&id), &urls, &site, &folder) as f64);
    }
    let mode = if isolated { "a context each" } else { "one context" };
    println!("{PAGES} pages of the Rust Book, {AT_ONCE} at once, {mode}, pages/s: {}", spread(rates));
    println!("  of them right: {}", spread(correct));
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    if runs("start") {
        start();
    }
    if runs("pages") {
        pages(false);
        pages(true);
    }
}
