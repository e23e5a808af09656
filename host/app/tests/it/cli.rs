//! The program where no host is needed: help, mistakes, `init`, `doctor`.

use std::fmt::Write as _;

use crate::program::Program;

#[test]
fn help_names_every_command_and_exit_code() {
    insta::assert_snapshot!(Program::new().run(&["--help"]).stdout);
}

#[test]
fn without_a_command_the_help_is_shown_and_it_is_a_usage_error() {
    let program = Program::new();
    let ran = program.run(&[]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stdout, program.run(&["--help"]).stdout);
}

#[test]
fn mistakes_give_one_clear_sentence_and_their_own_exit_code() {
    let with = |yaml: &str| {
        let program = Program::new();
        program.write("buddy.yaml", yaml);
        program
    };
    let plain = Program::new;
    let cases: Vec<(&str, Program, &[&str], i32)> = vec![
        ("no host", plain(), &["status"], 4),
        ("no host, as JSON", plain(), &["status", "--json"], 4),
        ("no host for a task", plain(), &["submit", "web_navigate", "{}"], 4),
        ("no host to stop", plain(), &["stop"], 4),
        ("bad JSON", plain(), &["submit", "web_navigate", "{\"urls\": [}"], 3),
        ("an input file that is not there", plain(), &["submit", "web_navigate", "@nowhere.json"], 3),
        ("an input file that is no JSON", with("{"), &["submit", "web_navigate", "@buddy.yaml"], 3),
        ("empty standard input", plain(), &["submit", "web_navigate", "-"], 3),
        ("a digest without a type", plain(), &["submit", "web_navigate", "{}", "--digest", "{}"], 3),
        ("a digest that is no JSON", plain(), &["submit", "web_navigate", "{}", "--digest", "data_processing:{"], 3),
        ("an unknown key", with("resources:\n  max_browser: 3\n"), &["run"], 3),
        ("no browsers on a desktop", with("resources:\n  max_browsers: 0\n"), &["doctor"], 3),
        ("no host, past a fault elsewhere", with("resources:\n  max_browser: 3\n"), &["status"], 4),
        ("a configuration that cannot be read", with("agent:\n  name: \"a\n"), &["stop"], 3),
        (
            "a data folder whose place is known all the same",
            with("agent:\n  name: \"a\n"),
            &["stop", "--set", "storage.path=data"],
            4,
        ),
        ("a data folder that is a file", with("storage:\n  path: buddy.yaml\n"), &["run"], 5),
        ("a folder for a configuration", plain(), &["--config", ".", "run"], 3),
        ("a configuration that is not there", plain(), &["--config", "nowhere.yaml", "run"], 3),
        ("an unknown mode", plain(), &["run", "--mode", "laptop"], 3),
        ("an unknown setting", plain(), &["run", "--set", "sync.batchsize=1"], 3),
        ("a plugin file that is not there", plain(), &["exec", "nowhere.wasm", "a", "{}"], 3),
        ("an unknown command", plain(), &["statsu"], 2),
        ("an unknown state", plain(), &["task", "list", "--state", "sleepy"], 2),
    ];
    let mut told = String::new();
    for (what, program, arguments, code) in cases {
        let ran = program.run(arguments);
        assert_eq!(ran.code, code, "{what}: {}", ran.all());
        assert_eq!(ran.stdout, "", "{what}");
        let _ = write!(told, "# {what}: buddy-host {}\n{}\n", arguments.join(" "), ran.stderr);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn init_writes_a_file_that_doctor_reads_and_a_second_init_keeps_it() {
    let program = Program::new();
    let first = program.run(&["init"]);
    assert_eq!(first.code, 0, "{}", first.all());
    let written = std::fs::read_to_string(program.path().join("buddy.yaml")).unwrap();
    assert_eq!(written, buddy_host::config::template());
    assert!(program.path().join("buddy-data").is_dir() && program.path().join("plugins").is_dir());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(program.path().join("buddy-data")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "what will be kept there is its owner's alone");
    }
    program.write("buddy.yaml", "agent:\n  name: mine\n");
    let second = program.run(&["--init"]);
    assert_eq!(second.code, 0, "{}", second.all());
    assert_eq!(std::fs::read_to_string(program.path().join("buddy.yaml")).unwrap(), "agent:\n  name: mine\n");
    insta::assert_snapshot!(format!("{}\n{}", first.all(), second.all()));
}

#[cfg(unix)]
#[test]
fn init_brings_no_commands_for_the_terminal() {
    let program = Program::new();
    let ran = program.run(&["--config", "a\u{1b}[2Jb/buddy.yaml", "init"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.stdout.contains("a[2Jb/buddy.yaml"), "{}", ran.all());
}

#[test]
fn doctor_says_what_is_missing_and_ends_accordingly() {
    let program = Program::new();
    program.write("buddy.yaml", "agent:\n  name: mine\nresources:\n  temp_storage_gb: 0.1\nsync:\n  batch_size: 7\n");
    program.write(".env", "MAX_CONCURRENT_BROWSERS=3\n");
    // Neither PATH nor CHROMIUM is set; a configured program that is not there is not replaced by another.
    let mut command = program.command(&["doctor", "--set", "browser.path=no-such-browser"]);
    command.env("BUDDY_LOG_LEVEL", "debug").env("BUDDY_STRANGE", "1");
    let ran = program.ran(&command.output().unwrap());
    assert_eq!(ran.code, 5, "{}", ran.all());
    insta::with_settings!({filters => vec![
        (r"[0-9.]+ [KMGT]iB free", "SIZE free"),
        // The columns are as wide as this machine's folder names.
        (r" {2,}", "  "),
    ]}, {
        insta::assert_snapshot!(ran.stdout);
    });
}

#[test]
fn doctor_and_run_say_which_configuration_they_use_when_it_is_not_the_folders_own() {
    let program = Program::new();
    let settings = if cfg!(windows) { "home/buddy" } else { "home/.config/buddy" };
    let none = program.run(&["doctor"]);
    assert!(none.stdout.starts_with("configuration file: none here or in FOLDER"), "{}", none.stdout);
    let run = program.run(&["run", "--mode", "cloud"]);
    assert!(run.stderr.contains("there is no buddy.yaml here or in FOLDER"), "{}", run.stderr);
    std::fs::create_dir_all(program.path().join(settings)).unwrap();
    program.write(&format!("{settings}/buddy.yaml"), "");
    let run = program.run(&["run", "--mode", "cloud"]);
    assert!(run.stderr.contains("the configuration file is FOLDER"), "{}", run.stderr);
    // Where no person looks, other commands say nothing of it.
    let status = program.run(&["status"]);
    assert!(!status.stderr.contains("configuration"), "{}", status.stderr);
    program.write("buddy.yaml", "");
    let run = program.run(&["run", "--mode", "cloud"]);
    assert!(!run.stderr.contains("configuration file"), "{}", run.stderr);
}

#[test]
fn every_command_has_a_help_page() {
    let mut pages = String::new();
    for command in [
        "init",
        "doctor",
        "run",
        "start",
        "status",
        "stop",
        "submit",
        "task list",
        "task show",
        "task logs",
        "task result",
        "task cancel",
        "task retry",
        "task answer",
        "plugin list",
        "plugin show",
        "exec",
        "sample-site",
        "completions",
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ran = Program::new().run(&arguments);
        assert_eq!(ran.code, 0, "{command}");
        // These are the same everywhere.
        let (own, shared) = ran.stdout.split_once("Options of every command:\n").unwrap();
        let examples = shared.split_once("\n\n").map(|(_, examples)| examples).unwrap_or_default();
        let _ = write!(pages, "# {command}\n{own}{examples}\n");
    }
    insta::assert_snapshot!(pages);
}

#[test]
fn doctor_in_json_has_every_setting_with_its_source() {
    let program = Program::new();
    program.write("buddy.yaml", "agent:\n  name: mine\n");
    let ran = program.run(&["test-connection", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let settings = report["settings"].as_array().unwrap();
    assert_eq!(settings.len(), buddy_host::config::keys::all().count());
    let name = settings.iter().find(|setting| setting["key"] == "agent.name").unwrap();
    assert_eq!(name["value"], "mine");
    assert_eq!(name["source"], "buddy.yaml:2");
    assert_eq!(report["ok"], ran.code == 0);
}

/// A program that says its version as a browser does.
#[cfg(unix)]
fn browser_in(program: &Program) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    program.write("browser", "#!/bin/sh\necho Chromium 156.0\n");
    let browser = program.path().join("browser");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    browser
}

#[cfg(unix)]
#[test]
fn doctor_finds_a_chromium_by_path_and_asks_its_version() {
    let program = Program::new();
    browser_in(&program);
    let ran = program.run(&["--test-connection", "--set", "browser.path=./browser"]);
    // Without a file, relative paths start from the user's settings folder.
    assert_eq!(ran.code, 5, "{}", ran.all());
    program.write("buddy.yaml", "browser:\n  path: browser\n");
    let ran = program.run(&["--test-connection"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.stdout.contains("ok     Chromium: Chromium 156.0 (FOLDER/browser)"), "{}", ran.stdout);
}

#[cfg(unix)]
#[test]
fn doctor_looks_for_the_browser_where_the_host_does_in_the_variable_chromium() {
    let program = Program::new();
    let browser = browser_in(&program);
    let doctor = |browser: &std::path::Path| {
        let mut command = program.command(&["doctor"]);
        program.ran(&command.env("CHROMIUM", browser).output().unwrap())
    };
    let ran = doctor(&browser);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.stdout.contains("Chromium: Chromium 156.0 (FOLDER/browser)"), "{}", ran.stdout);
    let ran = doctor(&program.path().join("nowhere"));
    assert_eq!(ran.code, 5, "{}", ran.all());
    assert!(ran.stdout.contains("FOLDER/nowhere that the variable CHROMIUM names does not exist"), "{}", ran.stdout);
}

#[cfg(unix)]
#[test]
fn doctor_takes_no_other_program_for_a_browser() {
    let program = Program::new();
    browser_in(&program);
    program.write("browser", "#!/bin/sh\necho true 9.1\n");
    let ran = program.run(&["doctor", "--set", &format!("browser.path={}/browser", program.path().display())]);
    assert_eq!(ran.code, 5, "{}", ran.all());
    let expected = "WRONG  Chromium: FOLDER/browser is no Chromium: asked for its version, it says `true 9.1`";
    assert!(ran.stdout.contains(expected), "{}", ran.stdout);
}

#[cfg(unix)]
#[test]
fn doctor_is_red_where_start_refuses_and_ends_as_it_does() {
    let cases = [
        (
            "plugins:\n  grants:\n    scraper: {browser: [\"http://x/\"]}\n",
            3,
            "plugins.grants.scraper.browser: `http://x/`",
        ),
        ("agent: {mode: cloud}\n", 3, "this version has no cloud role"),
        ("plugins: {folder: buddy.yaml}\n", 5, "plugins.folder: FOLDER/buddy.yaml is a file, not a folder"),
    ];
    for (yaml, code, expected) in cases {
        let program = Program::new();
        let browser = browser_in(&program);
        program.write("buddy.yaml", yaml);
        for command in ["doctor", "start", "run"] {
            let ran = program.ran(&program.command(&[command]).env("CHROMIUM", &browser).output().unwrap());
            assert_eq!(ran.code, code, "{command}: {}", ran.all());
            assert!(ran.all().contains(expected), "{command}: {}", ran.all());
        }
    }
}

#[test]
fn doctor_says_which_names_in_the_configuration_mean_nothing() {
    let program = Program::new();
    program.write(
        "buddy.yaml",
        "agent: {capabilities: [web_navigatoin, data_processing]}\nplugins: {grants: {scrapper: {artifacts: true}}}\n",
    );
    std::fs::create_dir(program.path().join("plugins")).unwrap();
    let ran = program.run(&["doctor"]);
    for expected in [
        "note   settings: plugins.grants: there is no plugin `scrapper` in FOLDER/plugins\n",
        "note   settings: agent.capabilities: `web_navigatoin` is no kind of work and no task type of a plugin here; did \
         you mean `web_navigation`?\n",
    ] {
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    }
}

#[test]
fn a_damaged_control_file_is_told_from_a_host_that_is_not_there() {
    let program = Program::new();
    std::fs::create_dir(program.path().join("buddy-data")).unwrap();
    program.write("buddy-data/control.json", "{").write("buddy.yaml", "");
    let ran = program.run(&["status"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.starts_with("error: no host is running on FOLDER/buddy-data, and control.json in it is damaged: "),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("help: the next start replaces it: `buddy-host start`\n"), "{}", ran.stderr);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = Program::new().run(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("buddy-host"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let program = Program::new();
    let mut command = program.command(&["completions", "bash"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
}
