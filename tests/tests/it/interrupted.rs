//! What befalls a host in the middle of a scrape: its browser dies, it dies itself, its computer sleeps.

use std::time::Duration;

use buddy_tests::{Host, HostBuilder, Site, until};
use serde_json::{Value, json};

use crate::docs::{LONG, grants};

/// The list and the pages that it names.
const PAGES: usize = 30;

/// Pages at once.
const CONCURRENCY: usize = 4;

/// A list of pages, one of which is not there.
fn site() -> Site {
    let path = |number: usize| if number == 0 { "/index.html".to_owned() } else { format!("/{number}.html") };
    let links: Vec<String> = (1..PAGES).map(|number| format!("<a href=\"{}\">{number}</a>", path(number))).collect();
    let links = links.join("\n");
    Site::pages((0..PAGES).filter(|number| *number != 20).map(|number| {
        let links = if number == 0 { links.as_str() } else { "" };
        (path(number), format!("<!doctype html><title>Page {number}</title><h1>Heading {number}</h1>{links}"))
    }))
}

fn host(site: &Site) -> HostBuilder {
    HostBuilder::default().plugin("scraper").yaml(&grants(&site.grant()))
}

fn scrape(site: &Site) -> Value {
    json!({
        "start_urls": [site.url("/index.html")],
        "follow": { "max_depth": 1, "max_pages": PAGES },
        "fields": { "heading": "h1" },
        "concurrency": CONCURRENCY,
    })
}

fn requests(site: &Site) -> usize {
    site.page_hits().values().sum::<u32>() as usize
}

/// What a scrape that succeeded has found. How often a page was tried is the run's own.
fn output(host: &Host, id: &str) -> Value {
    let task = host.finished(id, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    assert_eq!(task["attempt"], 1, "it went on within one try: {task:#}");
    let mut result = host.result(id);
    for page in result["pages"].as_array_mut().unwrap() {
        page.as_object_mut().unwrap().remove("attempt");
    }
    for failure in result["failures"].as_array_mut().unwrap() {
        failure.as_object_mut().unwrap().remove("attempts");
    }
    json!({ "pages": result["pages"], "failures": result["failures"] })
}

/// Scrapes the site twice, the second time with `interruption` when half of the pages were asked for: the output is the
/// same, and nothing was fetched again but what was under way. The id of the second.
fn comes_through(host: &Host, site: &Site, interruption: impl FnOnce(&Host)) -> String {
    let undisturbed = host.submit("web_navigate", &scrape(site), &[]);
    let expected = output(host, &undisturbed);
    let counts = ["pages", "failures"].map(|part| expected[part].as_array().unwrap().len());
    assert_eq!(counts, [PAGES - 1, 1], "{expected:#}");
    let before = requests(site);
    assert_eq!(before, PAGES, "{:#?}", site.page_hits());

    let id = host.submit("web_navigate", &scrape(site), &[]);
    until("half of the pages are asked for", LONG, || (requests(site) >= before + PAGES / 2).then_some(()));
    interruption(host);
    let seen = requests(site) - before;
    assert!(seen < PAGES, "the scrape was over before it could be interrupted");
    assert_eq!(output(host, &id), expected);
    let asked = requests(site) - before;
    assert!(asked <= PAGES + CONCURRENCY, "finished pages were fetched again: {:#?}", site.page_hits());
    id
}

#[test]
fn b8_a_scrape_whose_chromium_is_killed_half_way_ends_the_same_and_fetches_no_finished_page_again() {
    let site = site();
    let host = host(&site).start();
    let id = comes_through(&host, &site, |host| assert_eq!(host.kill_browsers(), 1));
    let stats = &host.result(&id)["stats"];
    assert!(stats["retries"].as_u64().unwrap() >= 1, "the pages that were open were tried again: {stats:#}");
    assert_eq!(host.kill_browsers(), 1, "another browser has its place");
}

/// Three heartbeats are missed, after which others take a host for dead.
#[cfg(unix)]
#[test]
fn q1_a_scrape_whose_host_sleeps_half_way_until_it_counts_as_dead_goes_on_and_ends_the_same() {
    let site = site();
    let host = host(&site).yaml("sync:\n  heartbeat_seconds: 5\n").start();
    comes_through(&host, &site, |host| host.sleep(Duration::from_secs(16)));
    assert_eq!(host.run(&["status", "--json"]).ok().json()["status"], "ONLINE");
}

/// Nobody starts this host again, so nobody else would clean up.
#[test]
fn b25_a_host_that_is_killed_takes_its_chromium_with_it() {
    let site = site();
    let mut host = host(&site).start();
    host.submit("web_navigate", &scrape(&site), &[]);
    until("the scrape is under way", LONG, || (requests(&site) >= PAGES / 3).then_some(()));
    assert!(!host.processes().is_empty(), "the browser is found by its profile's folder");
    host.kill();
    until("no process of its browser lives", Duration::from_secs(20), || host.processes().is_empty().then_some(()));
}
