//! The page cache: a page that was fetched is not fetched again, for the plugin that fetched it.

use buddy_tests::{Host, HostBuilder, Site};
use serde_json::{Value, json};

use crate::docs::LONG;

/// An hour.
const SECONDS: u64 = 3600;

fn run(host: &Host, task_type: &str, input: &Value) -> Value {
    let id = host.submit(task_type, input, &[]);
    let task = host.finished(&id, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    host.result(&id)
}

#[test]
fn a_page_that_one_plugin_keeps_is_not_given_to_another_that_may_visit_the_same_host() {
    let site = Site::pages([("/prices.html", "<!doctype html><title>Prices</title>")]);
    let granted = |plugin: &str| format!("    {plugin}:\n      browser: [\"{}\"]\n", site.grant());
    let yaml = format!("plugins:\n  grants:\n{}{}", granted("scraper"), granted("testing"));
    let host = HostBuilder::default().plugin("scraper").plugin("testing").yaml(&yaml).start();
    let url = site.url("/prices.html");

    // Whether the page came from the cache, and how often the site was asked for it by then.
    let scraped = || {
        let input = json!({ "urls": [url], "max_age_seconds": SECONDS, "respect_robots": false });
        let page = run(&host, "web_navigate", &input)["pages"][0].clone();
        assert_eq!(page["title"], "Prices", "{page:#}");
        (page["from_cache"] == true, site.page_hits()["/prices.html"])
    };
    let visited = || {
        let page = run(&host, "browser_title", &json!({ "url": url, "max_age_ms": SECONDS * 1000 }));
        assert_eq!(page["title"], "Prices", "{page:#}");
        (page["from-cache"] == true, site.page_hits()["/prices.html"])
    };
    assert_eq!(scraped(), (false, 1));
    assert_eq!(visited(), (false, 2), "the scraper's copy is not for others");
    assert_eq!(scraped(), (true, 2), "the scraper has its own");
    assert_eq!(visited(), (true, 2), "and so has the other");
}

/// Scrapes one page with an hour's cache: its title, its field `.ready`, and whether it came from the cache.
fn scraped(host: &Host, url: &str, more: &Value) -> (Value, Value, bool) {
    let mut input = json!({
        "urls": [url], "fields": { "ready": ".ready" }, "max_age_seconds": SECONDS, "respect_robots": false, "retries": 0,
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let page = run(host, "web_navigate", &input)["pages"][0].clone();
    (page["title"].clone(), page["fields"]["ready"].clone(), page["from_cache"] == true)
}

fn scraper(site: &Site) -> Host {
    let yaml = format!("plugins:\n  grants:\n    scraper:\n      browser: [\"{}\"]\n", site.grant());
    HostBuilder::default().plugin("scraper").yaml(&yaml).start()
}

#[test]
fn a_page_is_kept_only_for_runs_that_would_see_the_same_and_only_when_it_has_loaded() {
    let page = "<!doctype html><title>plain</title><script>document.title = 'scripted'</script>";
    let site = Site::pages([("/a.html", page), ("/b.html", page)]);
    let host = scraper(&site);
    let title = |path: &str, more: Value| {
        let (title, _, from_cache) = scraped(&host, &site.url(path), &more);
        (title.as_str().unwrap().to_owned(), from_cache)
    };
    let (plain, scripted) = (|kept| ("plain".to_owned(), kept), |kept| ("scripted".to_owned(), kept));
    let off = || json!({ "javascript": false });
    let blocked = || json!({ "block": ["image", "script"] });
    assert_eq!(title("/a.html", off()), plain(false));
    assert_eq!(title("/a.html", json!({})), scripted(false), "not the one that was kept without scripts");
    assert_eq!(title("/a.html", off()), plain(true), "and each has its own");
    assert_eq!(title("/a.html", json!({})), scripted(true));
    assert_eq!(title("/a.html", json!({ "block": ["image"] })), scripted(false));
    assert_eq!(
        title("/a.html", json!({ "wait_until": "network_idle" })),
        scripted(false),
        "more may have come by then"
    );
    assert!(!title("/a.html", blocked()).1);
    assert!(title("/a.html", json!({ "block": ["script", "image"] })).1, "a set has no order");

    for wait_until in ["commit", "dom_content_loaded"] {
        assert!(!title("/b.html", json!({ "wait_until": wait_until })).1, "nothing was kept before {wait_until}");
    }
    assert!(!title("/b.html", json!({})).1, "what had not loaded was not kept");
    assert!(title("/b.html", json!({ "wait_until": "commit" })).1, "what has loaded is as good");
}

#[test]
fn a_page_that_is_waited_for_is_kept_with_what_was_waited_for_and_fetched_when_it_was_kept_without() {
    // Long after the page has loaded, and read by a run that does not wait for it.
    let page = "<!doctype html><title>late</title><script>
        setTimeout(() => { document.body.innerHTML = '<p class=ready>ready</p>'; }, 4000)</script>";
    let site = Site::pages([("/a.html", page)]);
    let (host, url) = (scraper(&site), site.url("/a.html"));
    let wait = || json!({ "wait_for": ".ready" });
    let (late, ready) = (json!("late"), json!("ready"));
    assert_eq!(scraped(&host, &url, &json!({})), (late.clone(), Value::Null, false));
    assert_eq!(scraped(&host, &url, &json!({})), (late.clone(), Value::Null, true));
    assert_eq!(scraped(&host, &url, &wait()), (late.clone(), ready.clone(), false), "it was kept without");
    assert_eq!(scraped(&host, &url, &wait()), (late, ready, true));
    assert_eq!(site.page_hits()["/a.html"], 2);
}
