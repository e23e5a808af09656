//! A scrape and its digest: only the digest is the result, the rest stays on this machine.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use buddy_tests::{HostBuilder, binary};
use serde_json::{Value, json};

use crate::docs::grants;

const LONG: Duration = Duration::from_secs(120);

/// The shop that `buddy-host sample-site` serves.
struct Shop {
    process: Child,
    address: String,
}

impl Shop {
    fn open() -> Self {
        let mut process = Command::new(binary())
            .arg("sample-site")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }

    fn grant(&self) -> &str {
        self.address.trim_start_matches("http://").trim_end_matches('/')
    }

    /// All its articles, by following links from its front page.
    fn scrape(&self) -> Value {
        json!({
            "start_urls": [self.address],
            "follow": { "max_depth": 4 },
            "fields": { "category": ".category", "maker": ".maker", "price": ".price" },
        })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Articles of each category, and makers among them.
fn by_category(from: &Value) -> Value {
    json!({
        "from": from,
        "steps": [
            { "filter": { "field": "fields.price", "op": "matches", "value": "^[0-9]+\\.[0-9]{2}$" } },
            { "group_by": {
                "by": [{ "field": "fields.category", "as": "category" }],
                "aggregates": [
                    { "op": "count", "as": "articles" },
                    { "op": "count_distinct", "field": "fields.maker", "as": "makers" },
                ],
            } },
            { "sort": ["category"] },
        ],
    })
}

fn expected() -> Value {
    json!(["chairs", "clocks", "kettles", "lamps"].map(|category| json!({
        "category": category,
        "articles": 6,
        "makers": 3,
    })))
}

#[test]
fn a_scrape_with_a_digest_gives_the_digest_and_keeps_the_whole_result_here() {
    let shop = Shop::open();
    let yaml = grants(shop.grant()) + "    digest:\n      artifacts: true\n";
    let host = HostBuilder::default().plugin("scraper").plugin("digest").yaml(&yaml).start();
    let digest = format!("data_processing:{}", by_category(&json!({ "result_of": "self", "path": "pages" })));
    let mut scrape = shop.scrape();
    let gone = format!("{}gone", shop.address);
    scrape["start_urls"].as_array_mut().unwrap().push(json!(gone));
    let id = host.submit("web_navigate", &scrape, &["--digest", &digest]);
    let task = host.finished(&id, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    assert_eq!(task["digest"], "data_processing");

    let result = host.run(&["task", "result", &id, "--json"]).ok().json();
    assert_eq!(result["digested"], true);
    assert_eq!(result["data"]["rows"], expected(), "{:#}", result["data"]);

    assert_eq!(task["result_location"], result["location"]);
    let raw = std::fs::read_to_string(task["result_location"].as_str().unwrap()).unwrap();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    // 24 articles and the 3 pages that list them; the front page only redirects to the first of these.
    assert_eq!(raw["pages"].as_array().unwrap().len(), 27, "{:#}", raw["stats"]);
    assert_eq!(raw["failures"][0]["url"], gone, "{:#}", raw["failures"]);

    // The digest has no word of the page that failed: a person is told of it below.
    let shown = host.run(&["task", "result", &id]).ok();
    let told = format!("1 page failed:\n  {gone}: the server answered with status 404\n");
    assert!(shown.out.ends_with(&told), "{}", shown.out);
}

#[test]
fn a_later_task_digests_the_result_of_an_earlier_one_by_its_id_or_the_begin_of_it() {
    let shop = Shop::open();
    let yaml = grants(shop.grant()) + "    digest:\n      artifacts: true\n";
    let host = HostBuilder::default().plugin("scraper").plugin("digest").yaml(&yaml).start();
    let scrape = host.submit("web_navigate", &shop.scrape(), &[]);
    let task = host.finished(&scrape, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());

    for name in [scrape.as_str(), &scrape[..8]] {
        let input = by_category(&json!({ "result_of": name, "path": "pages" }));
        let id = host.submit("data_processing", &input, &[]);
        let task = host.finished(&id, LONG);
        assert_eq!(task["state"], "succeeded", "{task:#}");
        assert_eq!(host.result(&id)["rows"], expected());
    }

    let input = by_category(&json!({ "result_of": "ffffffffffff", "path": "pages" }));
    let refused = host.run(&["submit", "data_processing", &input.to_string(), "--wait"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("ffffffffffff"), "{refused:?}");
}
