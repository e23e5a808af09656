//! The commands around a host of the real program: what `start` warns of, and a host that cannot be found.
#![cfg(unix)]

use std::fs;

use crate::program::{Program, Ran};

/// A folder with a host that `start` has started; ended with the test.
struct Case {
    program: Program,
}

impl Case {
    fn new() -> Self {
        let program = Program::new();
        program.write("buddy.yaml", "storage:\n  path: data\n");
        Self { program }
    }

    /// Without a browser, wherever the tests run.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.program.command(arguments);
        self.program.ran(&command.env("CHROMIUM", "/nowhere/chromium").output().unwrap())
    }

    fn start(&self) -> Ran {
        let ran = self.run(&["start"]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        ran
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        self.program.path().join("data").join(name)
    }

    /// The process that has the data folder.
    fn pid(&self) -> String {
        fs::read_to_string(self.data("buffer.lock")).unwrap().trim().to_owned()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]);
    }
}

#[test]
fn start_warns_once_of_a_missing_browser() {
    let case = Case::new();
    let expected = "no page can be opened, so tasks that need one fail: the browser /nowhere/chromium that the variable \
                    CHROMIUM names does not exist; correct or unset it";
    assert_eq!(case.start().stderr, format!("warning: {expected}\n"));
    let log = fs::read_to_string(case.data("host.log")).unwrap();
    assert_eq!(log.matches(expected).count(), 1, "{log}");
}

#[test]
fn a_queue_that_was_set_aside_is_named_by_start_status_and_doctor() {
    let case = Case::new();
    case.start();
    assert_eq!(case.run(&["stop", "--now"]).code, 0);
    fs::write(case.data("buffer/conf"), "what: is this\nand this").unwrap();
    let started = case.start();
    let aside = fs::read_dir(case.data("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside = aside.into_iter().find(|name| name.starts_with("buffer.broken-")).unwrap();
    let expected = format!(
        "ONLINE: the earlier queue could not be read and lies in FOLDER/data/{aside}; this host began with an empty one"
    );
    assert!(started.stderr.contains(&format!("warning: the host is {expected}\n")), "{}", started.stderr);
    let status = case.run(&["status", "--json"]);
    assert!(status.stdout.contains(&format!("\"status\": \"{expected}\"")), "{}", status.stdout);
    let doctor = case.run(&["doctor"]);
    let expected = format!("note   queue: an earlier one could not be read and was set aside: FOLDER/data/{aside}\n");
    assert!(doctor.stdout.contains(&expected), "{}", doctor.stdout);
}

#[test]
fn a_host_whose_control_file_is_gone_is_named_and_can_be_ended() {
    let case = Case::new();
    for (why, damage) in
        [("is missing", None), ("is damaged (EOF while parsing an object at line 1 column 1)", Some("{"))]
    {
        case.start();
        let pid = case.pid();
        match damage {
            None => fs::remove_file(case.data("control.json")).unwrap(),
            Some(text) => fs::write(case.data("control.json"), text).unwrap(),
        }
        for command in ["status", "stop"] {
            let ran = case.run(&[command]);
            assert_eq!(ran.code, 4, "{}", ran.all());
            let expected = format!(
                "error: a host (process {pid}) uses FOLDER/data and cannot be asked anything: control.json in it {why}\n"
            );
            assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
            assert!(ran.stderr.contains(&format!("`buddy-host stop --now` ends process {pid}")), "{}", ran.stderr);
        }
        let ran = case.run(&["stop", "--now"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "stopped\n"), "{}", ran.all());
    }
}

#[test]
fn stop_now_ends_no_process_that_does_not_hold_the_lock() {
    let case = Case::new();
    case.start();
    let pid = case.pid();
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let control = fs::read(case.data("control.json")).unwrap();
    fs::remove_file(case.data("control.json")).unwrap();
    fs::write(case.data("buffer.lock"), other.id().to_string()).unwrap();
    let ran = case.run(&["stop", "--now"]);
    let untouched = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    fs::write(case.data("buffer.lock"), pid).unwrap();
    fs::write(case.data("control.json"), control).unwrap();
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.stderr.contains(&format!("names process {}, which is not the one", other.id())), "{}", ran.stderr);
    assert!(untouched);
}
