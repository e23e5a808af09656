//! Case Q18 and the rest of opening: locked, corrupt, newer, not a folder.

use std::{fs, path::Path, time::Duration};

use buddy_buffer::{Buffer, OpenError, Options, SCHEMA};

use crate::kit::{TestClock, fresh, noise, options, task};

type Damage = fn(&Path);

fn quickly(root: &tempfile::TempDir) -> Options {
    Options { lock_wait: Duration::from_millis(100), ..options(root, &TestClock::at(1_700_000_000_000)) }
}

#[tokio::test]
async fn the_session_is_born_with_the_folder_and_stays() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let session = buffer.session().clone();
    drop(buffer);
    let (again, report) = Buffer::open(&options(&root, &clock)).unwrap();
    assert_eq!((again.session(), report.fresh, report.set_aside), (&session, false, None));
    let (_other_root, other) = fresh(&clock);
    assert_ne!(other.session(), &session);
}

#[cfg(unix)]
#[test]
fn the_folder_is_its_owners_alone_wherever_it_lies() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = quickly(&root);
    let (_buffer, _) = Buffer::open(&options).unwrap();
    assert_eq!(fs::metadata(&options.folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn q18_a_folder_in_use_is_refused_with_the_process_that_has_it() {
    let (root, buffer) = fresh(&TestClock::default());
    let error = Buffer::open(&quickly(&root)).unwrap_err();
    assert!(
        matches!(&error, OpenError::InUse { pid, .. } if cfg!(windows) || *pid == Some(std::process::id())),
        "{error}"
    );
    assert!(error.to_string().starts_with("another host (process "), "{error}");
    drop(buffer);
    Buffer::open(&quickly(&root)).unwrap();
}

#[test]
fn who_has_a_folder_can_be_asked_without_taking_it() {
    let (root, buffer) = fresh(&TestClock::default());
    let folder = quickly(&root).folder;
    let holder = buddy_buffer::holder(&folder).expect("it is held");
    assert!(cfg!(windows) || holder.pid == Some(std::process::id()));
    drop(buffer);
    assert_eq!(buddy_buffer::holder(&folder), None);
    assert_eq!(buddy_buffer::holder(&root.path().join("nowhere")), None);
}

#[test]
fn q18_a_lock_that_goes_away_while_waiting_is_waited_for() {
    let (root, buffer) = fresh(&TestClock::default());
    let patient = Options { lock_wait: Duration::from_secs(30), ..quickly(&root) };
    let (opening, started) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        opening.send(()).unwrap();
        Buffer::open(&patient).map(|(_, report)| report)
    });
    started.recv().unwrap();
    drop(buffer);
    assert!(!waiting.join().unwrap().unwrap().fresh);
}

#[tokio::test]
async fn q18_a_damaged_folder_is_set_aside_whole_with_its_name_said_and_a_fresh_one_is_used() {
    // What a bad disk or a hand does to a folder. sled opens the first three without a word, with less in them; the
    // others it answers with errors.
    let damages: [(&str, Damage); 5] = [
        ("noise over the log", |folder| {
            let db = folder.join("db");
            let len = fs::read(&db).unwrap().len();
            fs::write(db, noise(len, 1)).unwrap();
        }),
        ("half of the log cut off", |folder| {
            let db = fs::File::options().write(true).open(folder.join("db")).unwrap();
            db.set_len(db.metadata().unwrap().len() / 2).unwrap();
        }),
        ("no log any more", |folder| fs::File::create(folder.join("db")).map(drop).unwrap()),
        ("a configuration that is none", |folder| fs::write(folder.join("conf"), "what: is this\nand this").unwrap()),
        ("a snapshot that is none", |folder| {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_string_lossy().starts_with("snap") {
                    fs::remove_file(path).unwrap();
                }
            }
            fs::write(folder.join("snap.00000000000FFFFF"), [9; 64]).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let root = tempfile::tempdir().unwrap();
        let (buffer, _) = Buffer::open(&quickly(&root)).unwrap();
        let session = buffer.session().clone();
        for number in 0..200 {
            let mut wanted = task(number, 1);
            wanted.payload = "x".repeat(3000);
            buffer.take_task(wanted).await.unwrap();
        }
        drop(buffer);
        damage(&root.path().join("buffer"));

        let (buffer, report) = Buffer::open(&quickly(&root)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let aside = report.set_aside.unwrap_or_else(|| panic!("{what}: not noticed"));
        assert_eq!(aside.path, root.path().join("buffer.broken-1700000000"), "{what}");
        assert!(aside.path.join("db").is_file(), "{what}");
        assert!(!aside.reason.is_empty() && report.fresh, "{what}");
        assert_eq!(buffer.folder_set_aside(), Some(&aside), "{what}");
        assert_eq!(buddy_buffer::set_aside_folders(&root.path().join("buffer")), [aside.path], "{what}");
        assert_ne!(buffer.session(), &session, "{what}");
        buffer.take_task(task(1, 1)).await.unwrap();
    }
}

#[tokio::test]
async fn q18_two_folders_set_aside_in_one_second_have_two_names() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..2 {
        drop(Buffer::open(&quickly(&root)).unwrap());
        fs::write(root.path().join("buffer/conf"), "what: is this\nand this").unwrap();
        let (_, report) = Buffer::open(&quickly(&root)).unwrap();
        let name = ["buffer.broken-1700000000", "buffer.broken-1700000000-1"][number];
        assert_eq!(report.set_aside.unwrap().path, root.path().join(name));
    }
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("buffer");
    fs::write(&path, "somebody's data").unwrap();
    assert!(matches!(Buffer::open(&quickly(&root)), Err(OpenError::NotAFolder { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's data");
}

#[test]
fn the_schema_of_this_version_is_1_and_a_change_must_bring_a_step() {
    assert_eq!(SCHEMA, 1);
}
