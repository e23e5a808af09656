#![allow(clippy::unwrap_used, clippy::expect_used)]
//! How sources are laid over each other, and how mistakes are told.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// The configuration file of the product's first description, unchanged.
const SEED: &str = r#"# buddy_local_config.yaml
agent:
  name: "Buddy-Local-Desktop"
  mode: worker
  capabilities:
    - web_navigation
    - data_processing
    - file_operations
    - local_storage
  
resources:
  max_browsers: 10
  max_memory_gb: 8
  temp_storage_gb: 50

sync:
  interval_seconds: 60
  batch_size: 50
  retry_failed: true
  
firebase:
  project_id: "buddy-aeabf"
  task_queue: "tasks/local_queue"
  results_path: "results/local_agent"
"#;

/// The `.env` of the same description.
const SEED_ENV: &str = "# .env (Local Agent)
BUDDY_MODE=local_agent
FIREBASE_CREDENTIALS_PATH=./buddy-firebase-credentials.json
LOCAL_DB_PATH=./buddy_local.db
MAX_CONCURRENT_BROWSERS=10
SYNC_INTERVAL_SECONDS=60
CLOUD_FALLBACK_ENABLED=true
";

struct Case {
    folder: TempDir,
    environment: Environment,
    overrides: Overrides,
}

impl Case {
    fn new(yaml: Option<&str>, dot_env: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(yaml) = yaml {
            fs::write(folder.path().join(FILE_NAME), yaml).unwrap();
        }
        if let Some(dot_env) = dot_env {
            fs::write(folder.path().join(".env"), dot_env).unwrap();
        }
        let environment = Environment {
            current_dir: folder.path().to_owned(),
            config_dir: Some(folder.path().join("config")),
            ..Environment::default()
        };
        Self { folder, environment, overrides: Overrides::default() }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.insert(name.into(), value.into());
        self
    }

    fn set(mut self, option: &str) -> Self {
        self.overrides.set.push(option.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.environment, &self.overrides)
    }

    /// The error as a person sees it, without the machine's folder.
    fn error(&self) -> String {
        let error = self.load().expect_err("a mistake");
        let text = match error.help() {
            Some(help) => format!("{error}\nhelp: {help}"),
            None => error.to_string(),
        };
        text.replace(&self.folder.path().display().to_string(), "FOLDER").replace('\\', "/")
    }
}

fn source(loaded: &Loaded, key: &str) -> String {
    loaded.effective.iter().find(|effective| effective.key == key).unwrap().source.short()
}

#[test]
fn the_first_description_loads_as_it_stands() {
    let case = Case::new(Some(SEED), Some(SEED_ENV));
    let loaded = case.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.agent.name, "Buddy-Local-Desktop");
    assert_eq!(config.agent.mode, Mode::Desktop);
    assert_eq!(config.agent.capabilities.len(), 4);
    assert_eq!(config.resources.max_browsers, 10);
    assert!((config.resources.max_memory_gb - 8.0).abs() < f64::EPSILON);
    assert_eq!(config.firebase.project_id.as_deref(), Some("buddy-aeabf"));
    assert_eq!(config.firebase.task_queue, "tasks/local_queue");
    assert_eq!(config.storage.path, case.folder.path().join("buddy_local.db"));
    assert_eq!(
        config.firebase.credentials_path.as_deref(),
        Some(case.folder.path().join("buddy-firebase-credentials.json").as_path())
    );
    assert!(config.cloud.fallback_enabled);
    assert_eq!(source(&loaded, "resources.max_browsers"), ".env:5 MAX_CONCURRENT_BROWSERS");
    assert_eq!(source(&loaded, "sync.batch_size"), "buddy.yaml:18");
}

#[test]
fn each_source_wins_over_those_below_it() {
    let key = "resources.max_browsers";
    let yaml = "resources:\n  max_browsers: 2\n";
    let dot_env = "MAX_CONCURRENT_BROWSERS=3\n";
    let browsers = |case: Case| {
        let loaded = case.load().unwrap();
        (loaded.config.resources.max_browsers, source(&loaded, key))
    };
    let with_env = |case: Case| case.env("MAX_CONCURRENT_BROWSERS", "4");
    assert_eq!(browsers(Case::new(None, None)), (10, "default".to_owned()));
    assert_eq!(browsers(Case::new(Some(yaml), None)), (2, "buddy.yaml:2".to_owned()));
    assert_eq!(browsers(Case::new(Some(yaml), Some(dot_env))), (3, ".env:1 MAX_CONCURRENT_BROWSERS".to_owned()));
    assert_eq!(browsers(with_env(Case::new(Some(yaml), Some(dot_env)))), (4, "env MAX_CONCURRENT_BROWSERS".to_owned()));
    let systematic = with_env(Case::new(Some(yaml), Some(dot_env))).env("BUDDY_RESOURCES_MAX_BROWSERS", "5");
    assert_eq!(browsers(systematic), (5, "env BUDDY_RESOURCES_MAX_BROWSERS".to_owned()));
    let option = with_env(Case::new(Some(yaml), Some(dot_env))).set("resources.max_browsers=6");
    assert_eq!(browsers(option), (6, "--set resources.max_browsers".to_owned()));
}

#[test]
fn every_key_can_be_set_by_its_systematic_variable() {
    for key in keys::all() {
        let text = match key.kind {
            keys::Kind::Name | keys::Kind::Text | keys::Kind::Collection | keys::Kind::Path => "word".to_owned(),
            keys::Kind::Choice(words) => words.last().unwrap().0.to_owned(),
            keys::Kind::Whole(_, most) => most.to_string(),
            keys::Kind::Number(_, most) => most.to_string(),
            keys::Kind::Switch => "off".to_owned(),
            keys::Kind::Words => "one, two".to_owned(),
            keys::Kind::Grants => "{scraper: {browser: true}}".to_owned(),
        };
        let loaded = Case::new(None, None).env(&key.env_name(), &text).load().unwrap();
        assert_eq!(source(&loaded, key.path), format!("env {}", key.env_name()));
    }
}

#[test]
fn every_word_for_the_desktop_means_the_desktop() {
    for word in ["desktop", "worker", "local_agent", "local", "Worker"] {
        let loaded = Case::new(None, None).env("BUDDY_MODE", word).load().unwrap();
        assert_eq!(loaded.config.agent.mode, Mode::Desktop, "{word}");
    }
    let mut case = Case::new(Some("agent:\n  mode: worker\n"), None);
    case.overrides.mode = Some("cloud".to_owned());
    assert_eq!(case.load().unwrap().config.agent.mode, Mode::Cloud);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let loaded = Case::new(Some(""), Some("BUDDY_MODE=\n")).env("LOCAL_DB_PATH", "").load().unwrap();
    assert_eq!(loaded.config.agent.mode, Mode::Desktop);
    assert_eq!(source(&loaded, "storage.path"), "default");
}

#[test]
fn the_file_is_found_by_option_then_variable_then_folder_then_user() {
    let case = Case::new(None, None);
    let write = |path: &Path, name: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("agent:\n  name: {name}\n")).unwrap();
    };
    let root = case.folder.path();
    let name =
        |environment: &Environment, overrides: &Overrides| load(environment, overrides).unwrap().config.agent.name;
    let mut environment = case.environment.clone();
    let mut overrides = Overrides::default();
    write(&root.join("config/buddy/buddy.yaml"), "user");
    assert_eq!(name(&environment, &overrides), "user");
    write(&root.join("buddy.yaml"), "here");
    assert_eq!(name(&environment, &overrides), "here");
    write(&root.join("other/variable.yaml"), "variable");
    environment.variables.insert("BUDDY_CONFIG".into(), "other/variable.yaml".into());
    assert_eq!(name(&environment, &overrides), "variable");
    write(&root.join("other/option.yaml"), "option");
    overrides.file = Some("other/option.yaml".into());
    assert_eq!(name(&environment, &overrides), "option");
    let storage = load(&environment, &overrides).unwrap().config.storage.path;
    assert_eq!(storage, root.join("other/buddy-data"), "relative to the file, not to the current folder");
}

#[test]
fn the_file_that_init_writes_is_valid_and_gives_the_defaults() {
    let defaults = Case::new(None, None);
    let mut written = Case::new(Some(&template()), None);
    // The same folder, so that paths compare.
    written.environment.config_dir = None;
    let mut bare = Case::new(None, None);
    bare.environment = written.environment.clone();
    bare.overrides.file = None;
    let from_file = written.load().unwrap();
    fs::remove_file(written.folder.path().join(FILE_NAME)).unwrap();
    let from_nothing = bare.load().unwrap();
    assert_eq!(from_file.config, from_nothing.config);
    assert!(from_file.effective.iter().all(|effective| effective.source != Place::Default));
    assert!(defaults.load().unwrap().effective.iter().all(|effective| effective.source == Place::Default));
}

#[test]
fn the_file_that_init_writes_reads_well() {
    insta::assert_snapshot!(template());
}

#[test]
fn grants_are_denied_unless_listed() {
    let yaml = "plugins:\n  grants:\n    scraper:\n      browser: [\"example.com\"]\n      checkpoint: true\n      http: false\n    other:\n";
    let grants = Case::new(Some(yaml), None).load().unwrap().config.plugins.grants;
    assert_eq!(grants.get("scraper", "browser"), Some(&Grant::Scopes(vec!["example.com".to_owned()])));
    assert_eq!(grants.get("scraper", "checkpoint"), Some(&Grant::Whole));
    assert_eq!(grants.of_plugin("scraper")["checkpoint"], ["*"]);
    assert_eq!(grants.of_plugin("scraper").len(), 2);
    assert!(grants.of_plugin("nobody").is_empty());
    assert_eq!(grants.get("scraper", "http"), None);
    assert_eq!(grants.get("other", "browser"), None);
    assert_eq!(grants.get("nobody", "browser"), None);
}

#[test]
fn an_unknown_variable_of_another_program_is_a_warning_only() {
    let case = Case::new(None, None).env("BUDDY_SYNC_BATCH_SIZ", "3").env("BUDDY_FOO", "1").env("BUDDY_MOD", "x");
    let loaded = case.load().unwrap();
    insta::assert_snapshot!(loaded.warnings.join("\n"));
}

#[test]
fn mistakes_are_told_with_file_line_key_and_the_nearest_name() {
    let yaml = |text: &str| Case::new(Some(text), None);
    let cases = [
        ("unknown key", yaml("agent:\n  name: a\nresources:\n  max_browser: 3\n")),
        ("key of another section", yaml("agent:\n  batch_size: 3\n")),
        ("unknown section", yaml("resuorces:\n  max_browsers: 3\n")),
        ("nothing near", yaml("zebra:\n  a: 1\n")),
        ("no browsers on a desktop", yaml("resources:\n  max_browsers: 0\n")),
        ("negative", yaml("sync:\n  batch_size: -1\n")),
        ("absurd", yaml("resources:\n  max_memory_gb: 1e12\n")),
        ("not a number", yaml("resources:\n  max_memory_gb: .nan\n")),
        ("text for a number", yaml("sync:\n  batch_size: many\n")),
        ("number for text", yaml("agent:\n  name: 42\n")),
        ("bad name", yaml("agent:\n  name: \"a/b\"\n")),
        ("bad mode", yaml("agent:\n  mode: laptop\n")),
        ("bad switch", yaml("browser:\n  headless: 1\n")),
        ("section is a list", yaml("agent:\n  - name\n")),
        ("a list at the top", yaml("- agent\n")),
        ("key without a value", yaml("storage:\n  path:\n")),
        ("unknown capability", yaml("plugins:\n  grants:\n    scraper:\n      browsr: true\n")),
        ("grant of the wrong kind", yaml("plugins:\n  grants:\n    scraper:\n      browser: yes please\n")),
        ("same collections", yaml("firebase:\n  task_queue: a\n  results_path: a\n")),
        ("a key file's content", yaml("firebase:\n  credentials_path: '{\"private_key\": \"hush\"}'\n")),
        ("broken YAML", yaml("agent:\n  name: \"a\n")),
        ("a key twice", yaml("agent:\n  name: a\n  name: b\n")),
        ("tab", yaml("agent:\n\tname: a\n")),
        ("bad line in .env", Case::new(None, Some("# fine\nBUDDY_MODE=worker\nthis is hush hush\n"))),
        ("unknown name in .env", Case::new(None, Some("BUDDY_MOD=worker\n"))),
        ("bad value in .env", Case::new(None, Some("\nMAX_CONCURRENT_BROWSERS=lots\n"))),
        ("bad value in the environment", Case::new(None, None).env("SYNC_INTERVAL_SECONDS", "0")),
        ("option without a value", Case::new(None, None).set("sync.batch_size")),
        ("option for an unknown key", Case::new(None, None).set("sync.batchsize=1")),
        ("grants beside the line that `init` wrote", {
            let grants = "  grants:\n    scraper:\n      checkpoint: true\n";
            yaml(&template().replace("  grants: {}\n", &format!("  grants: {{}}\n{grants}")))
        }),
        ("no browsers", yaml("resources:\n  max_browsers: -1\n")),
        ("a folder for the file", {
            let mut case = Case::new(None, None);
            case.overrides.file = Some(".".into());
            case
        }),
        ("named file that is not there", {
            let mut case = Case::new(None, None);
            case.overrides.file = Some("nowhere.yaml".into());
            case
        }),
    ];
    // Without a file the `.env` of the user's settings folder counts, so those cases bring an empty file.
    let told: Vec<String> = cases
        .iter()
        .map(|(what, case)| {
            if case.overrides.file.is_none() && !case.folder.path().join(FILE_NAME).exists() {
                fs::write(case.folder.path().join(FILE_NAME), "").unwrap();
            }
            format!("# {what}\n{}\n", case.error())
        })
        .collect();
    let told = told.join("\n");
    assert!(!told.contains("hush"), "a secret is never echoed");
    insta::assert_snapshot!(told);
}

#[test]
fn the_data_folder_is_found_past_a_fault_that_has_nothing_to_do_with_it() {
    let found = |case: &Case| match find_storage(&case.environment, &case.overrides) {
        Ok(Found::Part { storage, .. }) => {
            Some(storage.strip_prefix(case.folder.path()).unwrap().display().to_string())
        }
        Ok(Found::Whole(loaded)) => panic!("no fault in {loaded:?}"),
        Err(_) => None,
    };
    let typo = "agent:\n  nam: a\nstorage:\n  path: data\n";
    assert_eq!(found(&Case::new(Some(typo), None)).as_deref(), Some("data"));
    assert_eq!(found(&Case::new(Some("agent:\n  nam: a\n"), None)).as_deref(), Some("buddy-data"));
    assert_eq!(found(&Case::new(Some(typo), Some("LOCAL_DB_PATH=other\n"))).as_deref(), Some("other"));
    assert_eq!(found(&Case::new(Some(typo), None).env("BUDDY_STORAGE_PATH", "third")).as_deref(), Some("third"));
    assert_eq!(found(&Case::new(Some(""), Some("no line\nLOCAL_DB_PATH=other\n"))).as_deref(), Some("other"));
    // Where the file cannot be read the folder can still be named.
    let broken = "agent:\n  name: \"a\n";
    assert_eq!(found(&Case::new(Some(broken), None)), None);
    assert_eq!(found(&Case::new(Some(broken), None).set("storage.path=data")).as_deref(), Some("data"));
    // Another folder than the host's would be worse than none.
    for yaml in ["storge:\n  path: data\n", "storage:\n  pth: data\n", "storage:\n  path: []\n"] {
        assert_eq!(found(&Case::new(Some(yaml), None)), None, "{yaml}");
    }
    // A slip on the command line is told to who made it.
    assert_eq!(found(&Case::new(Some(""), None).set("sync.batchsize=1")), None);
}

#[test]
fn a_file_that_this_user_may_not_read_is_no_fault_of_its_content() {
    let told = |kind: std::io::ErrorKind| {
        let error = ConfigError::Read { path: "buddy.yaml".into(), source: kind.into() };
        crate::failure::Explain::exit(&error)
    };
    assert_eq!(told(std::io::ErrorKind::PermissionDenied), crate::failure::Exit::Missing);
    assert_eq!(told(std::io::ErrorKind::InvalidData), crate::failure::Exit::Input);
}

#[test]
fn keys_that_cannot_work_together_are_refused_or_told_of() {
    let cases: &[(&str, &str)] = &[
        ("the defaults", ""),
        ("memory for nobody", "resources:\n  max_memory_gb: 0.25\n"),
        ("memory without a browser's", "resources:\n  max_memory_gb: 0.6\n"),
        (
            "memory that is enough without a browser",
            "agent:\n  capabilities: [data_processing]\nresources:\n  max_memory_gb: 0.6\n  max_tasks: 1\n",
        ),
        ("memory that is enough for one", "resources:\n  max_memory_gb: 0.7\n  max_tasks: 1\n"),
        ("a plugin larger than all", "tasks:\n  memory_mib: 4096\nresources:\n  max_memory_gb: 4\n"),
        ("more tasks than memory", "resources:\n  max_tasks: 64\n"),
        ("a larger plugin than tasks", "tasks:\n  memory_mib: 2048\n"),
        ("no browser on a desktop", "resources:\n  max_browsers: 0\n"),
        (
            "no browser for web work in the cloud",
            "agent:\n  mode: cloud\n  capabilities: [data_processing, web_navigate]\nresources:\n  max_browsers: 0\n",
        ),
        ("no browser, and whatever can do without", "agent:\n  mode: cloud\nresources:\n  max_browsers: 0\n"),
        ("hardly any disk", "resources:\n  temp_storage_gb: 0.1\n"),
        ("nothing to do", "agent:\n  capabilities: []\n"),
        ("computing for longer than there is time", "tasks:\n  wall_seconds: 60\n  cpu_seconds: 61\n"),
        ("less time than the default computes", "tasks:\n  wall_seconds: 60\n"),
        ("a key file for no project", "firebase:\n  credentials_path: key.json\n"),
        ("one collection for both", "firebase:\n  task_queue: a\n  results_path: a\n"),
        ("an empty batch", "sync:\n  batch_size: 0\n"),
        ("a batch without bytes", "sync:\n  batch_max_bytes: 0\n"),
        ("a heartbeat without end", "sync:\n  heartbeat_seconds: 601\n"),
    ];
    let told = cases.iter().map(|(what, yaml)| {
        let case = Case::new(Some(yaml), None);
        let told = match case.load() {
            Ok(loaded) if loaded.warnings.is_empty() => "fine".to_owned(),
            Ok(loaded) => format!("warning: {}", loaded.warnings.join("\nwarning: ")),
            Err(error) => format!("refused: {error}"),
        };
        let folder = case.folder.path().display().to_string();
        format!("# {what}\n{}\n", told.replace(&folder, "FOLDER").replace('\\', "/"))
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
}
