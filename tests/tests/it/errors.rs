//! What goes wrong is told in one clear sentence, with a code that a script can tell apart.
//!
//! The snapshots hold what a person sees; what differs from machine to machine (paths, ports, ids) is filtered.

use std::net::{Ipv4Addr, TcpListener};

use buddy_tests::{Finished, Host, HostBuilder, Site, plugin};

use crate::docs::grants;

/// The exit code and what was said last on standard error, which is where everything but results goes. An error may
/// have lines to paste below its sentence; what comes before it is the log.
fn told(host: &Host, finished: &Finished) -> String {
    let said: Vec<&str> = finished.err.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert_ne!(finished.code, Some(0), "{finished:?}");
    assert_eq!(said.iter().filter(|line| line.starts_with("error: ")).count(), 1, "one sentence: {finished:?}");
    let code = finished.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let text = format!("exit code {code}\n{}", said.join("\n"));
    // The system may spell the temporary folder in two ways.
    let folder = host.folder().canonicalize().unwrap();
    text.replace(folder.to_str().unwrap(), "FOLDER").replace(host.folder().to_str().unwrap(), "FOLDER")
}

/// Compares with the stored text of this name.
fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        filters => [
            (r"127\.0\.0\.1:[0-9]+", "127.0.0.1:PORT"),
            (r"port [0-9]+", "port NUMBER"),
            (r"process [0-9]+", "process NUMBER"),
            (r"\b[0-9a-f]{8,}\b", "TASK"),
            (r"\.rs:[0-9]+:[0-9]+", ".rs:LINE"),
        ],
    }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn what_cannot_be_submitted_is_refused_with_the_place() {
    let host = HostBuilder::default().plugin("scraper").plugin("digest").start();
    let refused = |name: &str, arguments: &[&str]| {
        snapshot(name, &told(&host, &host.run(&[&["submit"], arguments].concat())));
    };
    let page = r#"{"urls": ["https://example.com/"]}"#;
    refused("submit_bad_json", &["web_navigate", r#"{"urls": [}"#]);
    refused("submit_missing_file", &["web_navigate", "@nowhere.json"]);
    refused("submit_missing_field", &["data_processing", r#"{"steps": []}"#]);
    refused("submit_wrong_type", &["web_navigate", r#"{"urls": "https://example.com/"}"#]);
    refused("submit_no_pages", &["web_navigate", "{}"]);
    refused("submit_unknown_key", &["web_navigate", r#"{"urls": ["https://example.com/"], "concurency": 3}"#]);
    let steps = |steps: &str| format!(r#"{{"from": {{"records": []}}, "steps": [{steps}]}}"#);
    refused("submit_unknown_step", &["data_processing", &steps(r#"{"filtr": {"field": "a", "op": "exists"}}"#)]);
    refused("submit_unknown_op", &["data_processing", &steps(r#"{"filter": {"field": "a", "op": "equals"}}"#)]);
    refused("submit_alternative", &["data_processing", &steps(r#"{"sort": [{"order": "asc"}]}"#)]);
    refused("submit_unknown_type", &["web_navigat", page]);
    refused("submit_unknown_digest", &["web_navigate", page, "--digest", "data_procesing:{}"]);
    refused("submit_bad_digest", &["web_navigate", page, "--digest", "data_processing:{}"]);
    snapshot("task_unknown", &told(&host, &host.run(&["task", "show", "ffffffff"])));
    assert_eq!(host.run(&["task", "list", "--json"]).ok().json(), serde_json::json!([]), "nothing was taken in");
}

#[test]
fn without_a_host_there_is_nobody_to_ask() {
    let host = HostBuilder::default().prepare();
    snapshot("no_host", &told(&host, &host.run(&["submit", "echo", "{}"])));
    // A slip in the input is told even so.
    snapshot("no_host_bad_json", &told(&host, &host.run(&["submit", "echo", "{"])));
}

#[test]
fn an_unknown_key_in_the_configuration_names_the_nearest_one() {
    for (name, yaml) in [
        ("config_unknown_key", "resources:\n  max_browser: 3\n"),
        ("config_unknown_section", "resource:\n  max_browsers: 3\n"),
        ("config_wrong_type", "resources:\n  max_browsers: many\n"),
        ("config_not_yaml", "resources: [\n"),
    ] {
        let host = HostBuilder::default().yaml(yaml).prepare();
        snapshot(name, &told(&host, &host.run(&["run"])));
    }
}

#[test]
fn a_port_in_use_is_told_and_nothing_is_left_behind() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = HostBuilder::default().yaml(&format!("control:\n  port: {port}\n")).prepare();
    snapshot("port_in_use", &told(&host, &host.run(&["run"])));
    snapshot("port_in_use_start", &told(&host, &host.run(&["start"])));
    assert_eq!(host.run(&["status"]).code, Some(4));
}

#[test]
fn a_second_host_on_the_same_folder_is_refused() {
    let host = HostBuilder::default().start();
    snapshot("second_host", &told(&host, &host.run(&["run"])));
    let _ = host.run(&["status"]).ok();
}

#[test]
fn a_missing_chromium_is_told_by_the_doctor_and_by_the_task() {
    let site = Site::pages([("/", "<title>t</title>")]);
    let yaml = grants(&site.grant()) + "browser:\n  path: no-such-chromium\n";
    let host = HostBuilder::default().plugin("scraper").yaml(&yaml).start();
    let input = serde_json::json!({ "urls": [site.url("/")] }).to_string();
    snapshot("chromium_missing_task", &told(&host, &host.run(&["submit", "web_navigate", &input, "--wait"])));

    let doctor = host.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, Some(5), "{doctor:?}");
    let report = doctor.json();
    let checks = report["checks"].as_array().unwrap();
    let chromium = checks.iter().find(|check| check["name"] == "Chromium").unwrap();
    assert_eq!(chromium["verdict"], "wrong", "{chromium}");
    let folder = host.folder().canonicalize().unwrap();
    let text = format!("{}\n{}", chromium["found"].as_str().unwrap(), chromium["help"].as_str().unwrap());
    snapshot("chromium_missing_doctor", &text.replace(folder.to_str().unwrap(), "FOLDER"));
}

#[test]
fn p3_a_plugin_that_is_a_text_file_is_named_for_what_it_is() {
    let host = HostBuilder::default().plugin("testing").prepare();
    let text = host.file("plugins/notes.wasm", "Remember to build the plugin.\n");
    snapshot("text_file_exec", &told(&host, &host.run(&["exec", text.to_str().unwrap(), "echo", "{}"])));

    // The host runs all the same, with the plugins that are whole, and says what is wrong with this one.
    let mut host = host;
    host.start();
    let plugins = host.run(&["plugin", "list", "--json"]).ok().json();
    let broken = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "notes").unwrap();
    assert_eq!(broken["state"], "broken");
    let folder = host.folder().canonicalize().unwrap();
    let reason = broken["reason"].as_str().unwrap().replace(folder.to_str().unwrap(), "FOLDER");
    snapshot("text_file_list", &reason);
    let shown = host.run(&["plugin", "list"]).ok().out;
    assert!(shown.contains("notes") && shown.contains("broken"), "{shown}");
    assert!(shown.contains("\nnotes: this is a text file"), "{shown}");
    let answer = host.run(&["submit", "echo", "{}", "--wait", "--json"]).ok().json();
    assert_eq!(answer["data"], serde_json::json!({}));
}

#[test]
fn exec_tells_what_is_wrong_with_a_file_a_type_or_an_input() {
    let host = HostBuilder::default().prepare();
    let testing = plugin("testing");
    let testing = testing.to_str().unwrap();
    snapshot("exec_missing_file", &told(&host, &host.run(&["exec", "nowhere.wasm", "echo", "{}"])));
    snapshot("exec_unknown_type", &told(&host, &host.run(&["exec", testing, "ecko", "{}"])));
    snapshot("exec_missing_field", &told(&host, &host.run(&["exec", testing, "busy", "{}"])));
    snapshot("exec_panic", &told(&host, &host.run(&["exec", testing, "panic", "{}"])));
}

#[test]
fn p5_a_host_that_is_not_granted_is_denied_with_the_lines_to_add() {
    let site = Site::pages([("/", "<title>t</title>")]);
    let host = HostBuilder::default().plugin("scraper").yaml(&grants("127.0.0.1:1")).start();
    let input = serde_json::json!({ "urls": [site.url("/")], "respect_robots": false }).to_string();
    let denied = host.run(&["submit", "web_navigate", &input, "--wait"]);
    snapshot("denied_host", &told(&host, &denied));
    assert!(site.hits().is_empty(), "nothing was asked of it: {:?}", site.hits());

    // The lines, pasted as they stand, are a configuration that lets it through.
    let lines: Vec<&str> = denied.err.lines().skip_while(|line| *line != "plugins:").collect();
    let pasted: Vec<&str> = lines.into_iter().take_while(|line| !line.starts_with("help: ")).collect();
    let host = HostBuilder::default().plugin("scraper").yaml(&(pasted.join("\n") + "\n")).start();
    let granted = host.run(&["submit", "web_navigate", &input, "--wait", "--json"]).ok().json();
    assert_eq!(granted["data"]["pages"].as_array().map(Vec::len), Some(1), "{granted}");
}
