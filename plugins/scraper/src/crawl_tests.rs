#![allow(clippy::unwrap_used)]

use super::*;
use buddy_plugin::serde_json::{Value, from_value, json};
use proptest::prelude::*;

/// A site without a network: where each address leads, and the links of each page.
#[derive(Clone, Debug, Default)]
struct Site {
    redirects: HashMap<String, String>,
    links: HashMap<String, Vec<String>>,
    dead: HashSet<String>,
    forbidden: HashSet<String>,
    body: HashMap<String, usize>,
}

impl Site {
    fn visit(&self, job: &Job) -> Outcome {
        if self.forbidden.contains(&job.url) {
            return Outcome::Disallowed;
        }
        let url = self.redirects.get(&job.url).unwrap_or(&job.url).clone();
        if self.dead.contains(&url) {
            let failure = PageFailure {
                url: job.url.clone(),
                code: "connect".into(),
                reason: "nobody answers".into(),
                attempts: 3,
            };
            return Outcome::Failed { failure, retryable: true };
        }
        let page = Page {
            requested_url: job.url.clone(),
            depth: job.depth,
            article: self.body.get(&url).map(|&bytes| "x".repeat(bytes)),
            attempt: 1,
            url: url.clone(),
            ..Page::default()
        };
        Outcome::Page(Box::new(page), self.links.get(&url).cloned().unwrap_or_default())
    }
}

fn at(path: &str) -> String {
    format!("https://example.com/{path}")
}

fn plan(input: Value) -> Plan {
    Plan::new(&from_value(input).unwrap()).unwrap()
}

fn crawl_plan(max_depth: u32, max_pages: u32) -> Plan {
    plan(json!({ "start_urls": [at("0")], "follow": { "max_depth": max_depth, "max_pages": max_pages } }))
}

/// Crawls, completing each wave in the order that `order` gives its jobs; also the addresses that were gone to.
fn crawl_bounded(plan: &Plan, site: &Site, order: &dyn Fn(&Job) -> u64, max_output: usize) -> (Crawl, Vec<String>) {
    crawl_with(plan, site, order, max_output, false)
}

fn crawl_with(
    plan: &Plan,
    site: &Site,
    order: &dyn Fn(&Job) -> u64,
    max_output: usize,
    keep_the_new: bool,
) -> (Crawl, Vec<String>) {
    let mut crawl = Crawl::new(plan);
    crawl.max_output = max_output;
    let mut visited = Vec::new();
    loop {
        let mut wave = crawl.next_wave();
        if wave.is_empty() {
            return (crawl, visited);
        }
        visited.extend(wave.iter().map(|job| job.url.clone()));
        wave.sort_by_key(|job| order(job));
        for job in wave {
            let mut outcome = site.visit(&job);
            if let (Outcome::Page(_, links), true) = (&mut outcome, keep_the_new) {
                crawl.keep_the_new(job.depth, links);
            }
            crawl.complete(job.index, outcome);
        }
    }
}

fn crawl(plan: &Plan, site: &Site) -> (Vec<Page>, Vec<PageFailure>, Stats, Vec<String>) {
    let (crawl, visited) = crawl_bounded(plan, site, &|job| job.index as u64, bounds::OUTPUT_BYTES);
    let (pages, failures, stats) = crawl.finish();
    (pages, failures, stats, visited)
}

fn urls(pages: &[Page]) -> Vec<&str> {
    pages.iter().map(|page| page.url.strip_prefix("https://example.com/").unwrap_or(&page.url)).collect()
}

fn site(links: &[(&str, &[&str])]) -> Site {
    let links = links.iter().map(|(from, to)| (at(from), to.iter().map(|to| at(to)).collect())).collect();
    Site { links, ..Site::default() }
}

#[test]
fn pages_come_level_by_level_and_link_by_link() {
    let site = site(&[("0", &["b", "a"]), ("b", &["c", "a"]), ("a", &["d", "0"])]);
    let (pages, ..) = crawl(&crawl_plan(3, 100), &site);
    assert_eq!(urls(&pages), ["0", "b", "a", "c", "d"]);
    assert_eq!(pages.iter().map(|page| page.depth).collect::<Vec<_>>(), [0, 1, 1, 2, 2]);
}

#[test]
fn depth_and_page_count_bound_the_crawl() {
    let site = site(&[("0", &["a", "b", "c"]), ("a", &["d"])]);
    assert_eq!(urls(&crawl(&crawl_plan(1, 100), &site).0), ["0", "a", "b", "c"]);
    assert_eq!(urls(&crawl(&crawl_plan(0, 100), &site).0), ["0"]);
    assert_eq!(urls(&crawl(&crawl_plan(3, 3), &site).0), ["0", "a", "b"]);
}

#[test]
fn two_stubs_that_redirect_to_one_page_are_that_page_once_with_both_addresses() {
    let mut site = site(&[("0", &["old", "older", "a", "new", "b"])]);
    site.redirects.insert(at("old"), at("new"));
    site.redirects.insert(at("older"), at("new"));
    let (pages, _, stats, visited) = crawl(&crawl_plan(1, 4), &site);
    assert_eq!(urls(&pages), ["0", "new", "a", "b"], "an alias does not use up max_pages");
    assert_eq!(pages[1].requested_url, at("old"));
    assert_eq!(pages[1].aliases, [at("older")]);
    assert_eq!(stats.aliases, 2);
    assert!(!visited.contains(&at("new")), "where a stub led is not fetched again");
}

#[test]
fn a_link_with_another_fragment_is_the_same_page() {
    let site = Site { links: [(at("0"), vec![at("a#x"), at("a#y"), at("0#z"), at("a")])].into(), ..Site::default() };
    assert_eq!(urls(&crawl(&crawl_plan(3, 100), &site).0), ["0", "a"]);
}

#[test]
fn a_dead_page_is_a_failure_and_uses_up_a_place() {
    let mut site = site(&[("0", &["a", "b", "c"])]);
    site.dead.insert(at("a"));
    let (pages, failures, stats, _) = crawl(&crawl_plan(1, 3), &site);
    assert_eq!(urls(&pages), ["0", "b"]);
    assert_eq!(failures[0].url, at("a"));
    assert_eq!((stats.requested, stats.succeeded, stats.failed, stats.retries), (3, 2, 1, 2));
}

#[test]
fn a_forbidden_link_is_counted_and_a_forbidden_start_page_is_a_failure() {
    let mut linked = site(&[("0", &["a", "b"])]);
    linked.forbidden.insert(at("a"));
    let (pages, failures, stats, _) = crawl(&crawl_plan(1, 2), &linked);
    assert_eq!(urls(&pages), ["0", "b"], "what is skipped does not use up max_pages");
    assert_eq!((failures.len(), stats.skipped_by_robots), (0, 1));

    linked.forbidden.insert(at("0"));
    let (_, failures, _, _) = crawl(&crawl_plan(1, 2), &linked);
    assert_eq!((failures[0].code.as_str(), failures[0].attempts), ("robots", 0));
}

#[test]
fn a_link_that_leads_off_the_site_by_redirect_is_a_failure_and_a_start_page_that_does_moves_the_site() {
    let mut site = site(&[("0", &["a"])]);
    site.redirects.insert(at("a"), "https://elsewhere.example/".into());
    let (pages, failures, ..) = crawl(&crawl_plan(2, 10), &site);
    assert_eq!(urls(&pages), ["0"]);
    assert_eq!(failures[0].code, "off-host");

    let moved = "https://www.example.com/".to_owned();
    site.redirects.insert(at("0"), moved.clone());
    site.links.insert(moved.clone(), vec!["https://www.example.com/x".into()]);
    let (pages, ..) = crawl(&crawl_plan(2, 10), &site);
    assert_eq!(urls(&pages), [moved.as_str(), "https://www.example.com/x"]);
}

#[test]
fn a_list_is_scraped_as_it_stands_each_page_once_and_no_link_is_followed() {
    let list = plan(json!({ "urls": [at("b"), at("a"), at("b#top")] }));
    let (pages, ..) = crawl(&list, &site(&[("b", &["c"])]));
    assert_eq!(urls(&pages), ["b", "a"]);
}

#[test]
fn a_site_that_redirects_everything_to_one_page_is_left_after_a_bounded_number_of_requests() {
    let names: Vec<String> = (0..1_000).map(|i| at(&format!("s{i}"))).collect();
    let mut site = Site::default();
    for name in &names {
        site.redirects.insert(name.clone(), at("0"));
    }
    site.links.insert(at("0"), names);
    let (pages, _, _, visited) = crawl(&crawl_plan(3, 50), &site);
    assert_eq!(pages.len(), 1);
    assert!(visited.len() <= 50 * 2 + SPARE_REQUESTS, "{} requests", visited.len());
}

#[test]
fn beyond_the_output_bound_pages_keep_address_status_and_title() {
    let mut site = site(&[("0", &["a", "b", "c"])]);
    for name in ["0", "a", "b", "c"] {
        site.body.insert(at(name), 1_000);
    }
    let (crawl, _) = crawl_bounded(&crawl_plan(1, 100), &site, &|job| u64::MAX - job.index as u64, 3_000);
    let (pages, _, stats) = crawl.finish();
    let whole: Vec<bool> = pages.iter().map(|page| page.article.is_some()).collect();
    assert_eq!(whole, [true, true, false, false]);
    assert_eq!(pages[3].truncated, ["article"]);
    assert_eq!(stats.truncated, 2);
}

#[test]
fn what_has_no_room_at_all_is_counted_and_its_links_are_followed_all_the_same() {
    let site = site(&[("0", &["a"]), ("a", &["b"])]);
    let mut crawl = Crawl::new(&crawl_plan(3, 100));
    crawl.max_output = 0;
    crawl.light_bytes = bounds::LIGHT_BYTES;
    loop {
        let wave = crawl.next_wave();
        if wave.is_empty() {
            break;
        }
        for job in wave {
            crawl.complete(job.index, site.visit(&job));
        }
    }
    let (pages, _, stats) = crawl.finish();
    assert_eq!((pages.len(), stats.succeeded, stats.left_out), (0, 3, 3));
}

/// Small sites with redirects, dead and forbidden pages, circles and pages of many sizes.
fn any_site() -> impl Strategy<Value = Site> {
    let page = (proptest::collection::vec(0_u8..12, 0..8), 0_u8..10, 0_u8..12, 0_usize..2_000);
    proptest::collection::vec(page, 12).prop_map(|pages| {
        let name = |i: u8| at(&i.to_string());
        let mut site = Site::default();
        for (i, (links, kind, target, bytes)) in (0_u8..).zip(pages) {
            match kind {
                0 | 1 if i > 0 => drop(site.redirects.insert(name(i), name(target))),
                2 if i > 0 => drop(site.dead.insert(name(i))),
                3 if i > 0 => drop(site.forbidden.insert(name(i))),
                _ => {}
            }
            site.links.insert(name(i), links.into_iter().map(name).collect());
            site.body.insert(name(i), bytes);
        }
        site
    })
}

proptest! {
    #[test]
    fn the_output_does_not_depend_on_the_order_of_completion(
        site in any_site(),
        max_pages in 1_u32..15,
        max_depth in 0_u32..5,
        seed in any::<u64>(),
        max_output in 500_usize..20_000,
    ) {
        let plan = crawl_plan(max_depth, max_pages);
        let (in_order, first) = crawl_bounded(&plan, &site, &|job| job.index as u64, max_output);
        let shuffled = |job: &Job| (job.index as u64).wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        let (out_of_order, second) = crawl_with(&plan, &site, &shuffled, max_output, true);
        prop_assert_eq!(first, second);
        prop_assert_eq!(in_order.finish(), out_of_order.finish());
    }

    #[test]
    fn no_address_is_gone_to_twice_and_no_bound_is_exceeded(
        site in any_site(),
        max_pages in 1_u32..15,
        max_depth in 0_u32..5,
    ) {
        let (pages, failures, stats, visited) = crawl(&crawl_plan(max_depth, max_pages), &site);
        let distinct: HashSet<_> = visited.iter().collect();
        prop_assert_eq!(distinct.len(), visited.len());
        prop_assert!(pages.len() + failures.len() <= max_pages as usize);
        prop_assert!(pages.iter().all(|page| page.depth <= max_depth));
        let ends: HashSet<_> = pages.iter().map(|page| &page.url).collect();
        prop_assert_eq!(ends.len(), pages.len(), "a page is there once");
        prop_assert_eq!(stats.succeeded, pages.len() as u64);
    }
}
