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
