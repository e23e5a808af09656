//! Real pages: the Rust documentation, whose truth is known without a browser.

use std::collections::BTreeSet;

use buddy_tests::rust_docs::{Facts, facts, is_stub};
use serde_json::Value;

use crate::docs::{Docs, LONG};

fn facts_of(page: &Value) -> Facts {
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let headings = page["fields"]["headings"].as_array().unwrap();
    Facts {
        title: fold(page["title"].as_str().unwrap()),
        headings: headings.iter().map(|heading| fold(heading.as_str().unwrap())).collect(),
        code_blocks: page["fields"]["code_blocks"].as_array().unwrap().len(),
    }
}

/// 200 pages at most three links away, a dozen of them asked for by chapters that only redirect: the pages that lose
/// their context while a plain script reads them.
#[test]
fn two_hundred_pages_of_the_rust_documentation_say_what_their_files_say() {
    let docs = Docs::serve();
    let host = docs.host();
    let stubs: Vec<String> = docs.stubs().iter().take(12).map(|stub| docs.url_of(stub)).collect();
    assert_eq!(stubs.len(), 12, "the documentation has fewer redirecting chapters than it had");

    let id = host.submit("web_navigate", &docs.scrape(200, &stubs), &[]);
    let task = host.finished(&id, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    let result = host.result(&id);

    assert_eq!(result["failures"], serde_json::json!([]));
    let pages = result["pages"].as_array().unwrap();
    assert_eq!(pages.len(), 200, "{}", result["stats"]);
    let mut wrong = Vec::new();
    for page in pages {
        let url = page["url"].as_str().unwrap();
        let expected = facts(&docs.file_of(url));
        let found = facts_of(page);
        if found != expected {
            wrong.push((url, found, expected));
        }
    }
    assert!(wrong.is_empty(), "{} pages are not what their files say: {wrong:#?}", wrong.len());

    let ends: BTreeSet<&str> = pages.iter().map(|page| page["url"].as_str().unwrap()).collect();
    assert_eq!(ends.len(), 200, "no page stands there twice");
    assert!(ends.iter().all(|url| !is_stub(&docs.file_of(url))), "nobody wants the text of a redirect");
    for stub in &stubs {
        let ended = pages.iter().any(|page| {
            page["requested_url"] == **stub
                || page["aliases"].as_array().is_some_and(|aliases| aliases.iter().any(|alias| alias == stub))
        });
        assert!(ended, "{stub} led nowhere");
    }
    assert!(pages.iter().all(|page| page["depth"].as_u64().unwrap() <= 3 && page["timed_out"] == false));
}
