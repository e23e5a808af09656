//! Task type `web_navigate`: scrapes sites in the host's Chromium.
//!
//! The input ([`Input`]) names pages, or start pages and which links to follow, and what to take from each. The output
//! ([`Output`]) has the pages in the order of discovery, the failures each with its reason, and figures. A dead page
//! never fails the run, only a run of nothing but dead pages fails; a run that was killed goes on from its checkpoints and ends with the same output.
//!
//! What decides is apart from what fetches: `crawl` (which page comes next, what is kept), `plan` (checks), `follow`,
//! `robots`, `retry`, `begun`, `pace`, `reading`, `tabs` and `bounds` are pure and tested without a host; `fetch`, `shared`,
//! `sites`, `saved` and `run` obey them.

mod address;
mod begun;
mod bounds;
mod chance;
mod crawl;
mod fetch;
mod follow;
mod glob;
mod input;
mod output;
mod pace;
mod plan;
mod reading;
mod retry;
mod robots;
mod run;
mod saved;
mod shared;
mod sites;
mod tabs;

use buddy_plugin::prelude::*;

pub use input::{FieldSpec, Follow, Input, Resource, WaitUntil};
pub use output::{Link, Metadata, Output, Page, PageFailure, Stats, Table};

use plan::Plan;

/// The task type.
#[derive(Debug)]
pub struct WebNavigate;

impl TaskType for WebNavigate {
    const NAME: &'static str = "web_navigate";
    const SUMMARY: &'static str =
        "Scrapes web pages: fields, article, links, metadata, tables, screenshots; follows links.";
    type Input = Input;
    type Output = Output;

    fn example() -> Value {
        json!({
            "start_urls": ["https://example.com/"],
            "follow": { "max_depth": 1, "max_pages": 10 },
            "fields": {
                "heading": "h1",
                "paragraphs": { "selector": "p", "many": true },
            },
            "metadata": true,
        })
    }

    fn estimate(input: &Input) -> Result<Demand, Failure> {
        Ok(Plan::new(input)?.demand())
    }

    async fn run(input: Input) -> Result<Output, Failure> {
        run::run(&Plan::new(&input)?).await
    }
}

buddy_plugin::export! {
    name: "scraper",
    summary: "Scrapes web pages in a real browser.",
    tasks: [WebNavigate],
    capabilities: [
        browser("*") because "it opens the pages that a task names, and the links that the task says to follow",
        http("*") because "it reads the robots.txt of each site before its pages",
        checkpoint because "a restarted run fetches no finished page again",
        artifacts because "screenshots are kept outside of the result",
    ],
    // Half a day and 20 minutes of computing: 10,000 slow pages of one host, a few seconds apart.
    limits: { memory_mib: 512, cpu_ms: 1_200_000, wall_ms: 43_200_000, pages: 50 },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_manifest_is_sound_and_its_example_is_accepted() {
        buddy_plugin::testing::check::<BuddyPlugin>().unwrap();
    }

    #[test]
    fn a_fault_within_a_field_is_named_with_its_place() {
        let failure = BuddyPlugin::estimate(
            "web_navigate",
            r#"{"urls": ["https://a.example/"], "fields": {"x": {"selctor": "h1"}}}"#,
        );
        assert_eq!(
            failure.unwrap_err().to_string(),
            "the input is not valid: /fields/x/selctor: unknown field `selctor`, expected one of `selector`, `take`, `many`"
        );
        let failure = BuddyPlugin::estimate("web_navigate", r#"{"urls": ["https://a.example/"], "fields": {"x": 1}}"#);
        assert_eq!(
            failure.unwrap_err().to_string(),
            "the input is not valid: /fields/x: invalid type: integer `1`, expected a selector, or an object with \
             `selector`, `take` and `many`"
        );
    }
}
