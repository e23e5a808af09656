//! The grants, as a table.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// The line of YAML that a denial ends with.
fn last(error: &HostError) -> &str {
    error.message.lines().last().unwrap().trim()
}

fn grants(http: &[&str]) -> Grants {
    let scopes = http.iter().map(|s| (*s).to_owned()).collect();
    Grants::new("scraper", BTreeMap::from([("http".to_owned(), scopes)]))
}

#[test]
fn p5_nothing_is_granted_by_default_and_the_message_has_the_lines_to_add() {
    let error =
        Grants::new("scraper", BTreeMap::new()).allow_some_host(Capability::Http, "https://example.com/a").unwrap_err();
    assert_eq!((error.code, error.retryable), (code::DENIED, false));
    insta::assert_snapshot!(error.message, @r#"
    the plugin `scraper` may not use `http` for "example.com"; these lines in buddy.yaml would let it:
    plugins:
      grants:
        scraper:
          http: ["example.com"]
    "#);
}

#[test]
fn p5_the_line_to_add_keeps_what_is_granted_already() {
    let error = grants(&["a.org", "b.org:8080"]).denied(Capability::Http, &["c.org".into(), "a.org".into()]);
    assert_eq!(last(&error), r#"http: ["a.org", "b.org:8080", "c.org"]"#);
}

#[test]
fn p5_what_a_plugin_wants_cannot_break_out_of_the_line() {
    let error = grants(&[]).denied(Capability::Http, &["a\"]\nx: [\"".into()]);
    assert_eq!(last(&error), r#"http: ["a\"]\nx: [\""]"#);
    assert_eq!(error.message.lines().count(), 5);
}

#[test]
fn p5_a_capability_without_scopes_is_granted_as_a_whole_or_by_an_empty_list() {
    let none = Grants::new("scraper", BTreeMap::new());
    let error = none.allow(Capability::Store, &[]).unwrap_err();
    assert_eq!(last(&error), "store: true");
    assert!(error.message.starts_with("the plugin `scraper` may not use `store`; "), "{error}");
    let whole = none.allow(Capability::Browser, &["*".to_owned()]).unwrap_err();
    assert!(whole.message.starts_with("the plugin `scraper` may not use `browser`; "), "{whole}");
    assert_eq!(last(&whole), r#"browser: ["*"]"#);
    let granted = Grants::new("scraper", BTreeMap::from([("store".to_owned(), Vec::new())]));
    assert!(granted.allow(Capability::Store, &[]).is_ok());
    assert!(granted.allow(Capability::Checkpoint, &[]).is_err(), "one capability does not bring another");
}

#[test]
fn an_empty_list_of_hosts_grants_no_host() {
    let error = grants(&[]).allow_some_host(Capability::Http, "http://[::1]:80/").unwrap_err();
    assert_eq!(last(&error), r#"http: ["[::1]"]"#);
    assert!(grants(&["a.org"]).allow_some_host(Capability::Http, "http://a.org/").is_ok());
}

#[test]
fn other_schemes_and_broken_addresses_are_invalid_whatever_is_granted() {
    for url in
        ["file:///etc/passwd", "ftp://example.com/", "javascript:alert(1)", "data:text/html,x", "/path", "", "http://"]
    {
        let error = grants(&["*"]).allow_some_host(Capability::Http, url).unwrap_err();
        assert_eq!(error.code, code::INVALID, "{url}");
    }
}

#[test]
fn names_match_whole_or_by_star() {
    let of = |scope: &str| Grants::new("p", BTreeMap::from([("firestore".to_owned(), vec![scope.to_owned()])]));
    assert!(of("orders").allow_name(Capability::Firestore, "orders").is_ok());
    assert!(of("*").allow_name(Capability::Firestore, "orders").is_ok());
    let error = of("orders").allow_name(Capability::Firestore, "customers").unwrap_err();
    assert_eq!(last(&error), r#"firestore: ["orders", "customers"]"#);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_nothing_granted_allows_nothing(scope in ".{0,40}", url in ".{0,60}") {
        for url in [url.clone(), format!("http://{url}/")] {
            let _ = grants(&[&scope]).allow_some_host(Capability::Http, &url);
            prop_assert!(grants(&[]).allow_some_host(Capability::Http, &url).is_err());
        }
    }
}
