//! What dies, and what goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::time::Duration;

use buddy_browser::{ContextOptions, GotoOptions, RetireLimits, RetireReason, WaitUntil};
use common::{Site, eventually, kill, pool, processes_with, within};

#[tokio::test]
async fn b7_a_page_out_of_memory_fails_alone() {
    let site = Site::start().await;
    // A small heap, so that the page dies of its own greed and not the machine of it.
    let pool =
        pool(|options| options.launch.extra_arguments.push("--js-flags=--max-old-space-size=64".to_owned())).await;
    // In contexts of their own the two pages never share a renderer.
    let sibling = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    sibling.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let greedy = context.new_page().await.unwrap();
    let error = greedy.goto(&site.url("/memory"), &within(60, WaitUntil::Load)).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("page-crashed", true), "{error}");
    assert_eq!(greedy.title().await.unwrap_err().code(), "page-crashed");
    let stats = pool.stats();
    assert_eq!((stats.active_pages, stats.crashed_pages, stats.crashed_processes), (1, 1, 0));
    assert_eq!(sibling.title().await.unwrap(), "page 1");
    let next = context.new_page().await.unwrap();
    next.goto(&site.url("/page/2"), &GotoOptions::default()).await.unwrap();
    assert_eq!(next.title().await.unwrap(), "page 2");
    pool.close().await;
}

#[tokio::test]
async fn b8_a_killed_browser_fails_its_calls_frees_its_places_and_is_replaced() {
    let site = Site::start().await;
    let pool = pool(|options| options.max_pages = 1).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let page = context.new_page().await.unwrap();
    let waiting = tokio::spawn({
        let (page, url) = (page.clone(), site.url("/hang"));
        async move { page.goto(&url, &within(60, WaitUntil::Load)).await }
    });
    eventually("the navigation is under way", || pool.stats().navigations == 1).await;
    kill(pool.stats().processes[0].pid);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("browser-lost", true), "{error}");
    assert_eq!(context.new_page().await.unwrap_err().code(), "browser-lost");
    // `page` is still held, and its place is free all the same.
    let page_again = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    page_again.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page_again.title().await.unwrap(), "page 1");
    eventually("the dead process is counted", || pool.stats().crashed_processes == 1).await;
    assert_eq!(pool.stats().launched, 2);
    drop(page);
    pool.close().await;
}

#[tokio::test]
async fn b9_a_process_is_retired_after_its_pages_and_its_last_context() {
    let site = Site::start().await;
    let pool = pool(|options| options.retire = RetireLimits { pages: 3, ..RetireLimits::default() }).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    for number in 0..3 {
        let page = context.new_page().await.unwrap();
        page.goto(&site.url(&format!("/page/{number}")), &GotoOptions::default()).await.unwrap();
        page.close().await.unwrap();
    }
    let old = pool.stats().processes[0].clone();
    assert_eq!(old.retiring, Some(RetireReason::Pages));
    let fresh = pool.open(ContextOptions::default()).await.unwrap();
    assert_eq!(pool.stats().processes.len(), 2, "the old process has a context left");
    context.close().await.unwrap();
    eventually("the old process is gone", || pool.stats().processes.iter().all(|process| process.pid != old.pid)).await;
    assert_eq!(pool.stats().retired.get(&RetireReason::Pages), Some(&1));
    assert_eq!(pool.stats().crashed_processes, 0);
    fresh.new_page().await.unwrap().goto(&site.url("/page/9"), &GotoOptions::default()).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn b9_a_process_is_retired_after_the_loads_of_one_page_too() {
    let site = Site::start().await;
    let pool = pool(|options| options.retire = RetireLimits { pages: 3, ..RetireLimits::default() }).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let page = context.new_page().await.unwrap();
    for number in 0..3 {
        assert_eq!(pool.stats().processes[0].retiring, None, "after {number}");
        page.goto(&site.url(&format!("/page/{number}")), &GotoOptions::default()).await.unwrap();
        page.goto("about:blank", &GotoOptions::default()).await.unwrap();
    }
    let process = pool.stats().processes[0].clone();
    assert_eq!((process.pages, process.retiring), (3, Some(RetireReason::Pages)));
    assert_eq!(pool.stats().pages, 1);
    pool.close().await;
}

#[tokio::test]
async fn b9_a_process_above_its_memory_bound_is_retired() {
    let pool = pool(|options| options.retire.memory = 1 << 20).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    eventually("the process is measured and judged", || {
        pool.stats().processes.first().is_some_and(|process| process.retiring == Some(RetireReason::Memory))
    })
    .await;
    assert!(pool.stats().memory > 1 << 20);
    drop(context);
    eventually("the process is gone", || pool.stats().processes.is_empty()).await;
    pool.close().await;
}

#[tokio::test]
async fn b9_above_the_pools_memory_bound_new_pages_are_told_busy() {
    let pool = pool(|options| {
        options.max_memory = Some(1 << 20);
        options.wait = Duration::from_secs(1);
    })
    .await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    eventually("the process is measured", || pool.stats().memory > 1 << 20).await;
    let error = context.new_page().await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("busy", true), "{error}");
    assert_eq!(pool.stats().active_pages, 0);
    pool.close().await;
}

#[tokio::test]
async fn b9_what_others_hold_of_the_memory_is_not_the_browsers_and_an_idle_one_makes_room() {
    let (others, held) = tokio::sync::watch::channel(0);
    let pool = pool(|options| {
        options.max_memory = Some(64 << 30);
        options.other_memory = Some(held);
        options.wait = Duration::from_secs(3);
    })
    .await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    drop(context.new_page().await.unwrap());
    others.send_replace(64 << 30);
    let error = context.new_page().await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("busy", true), "{error}");
    others.send_replace(0);
    drop(context.new_page().await.unwrap());
    others.send_replace(64 << 30);
    drop(context);
    eventually("the browser that has nothing to do ends for the others", || {
        pool.stats().retired.get(&RetireReason::PoolMemory) == Some(&1)
    })
    .await;
    pool.close().await;
}

#[tokio::test]
async fn b25_closing_a_pool_leaves_no_process_and_no_folder() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    let root = pool.root.to_string_lossy().into_owned();
    assert!(!processes_with(&root).is_empty());
    pool.close().await;
    eventually("no process is left", || processes_with(&root).is_empty()).await;
    assert_eq!(std::fs::read_dir(&pool.root).unwrap().count(), 0);
    assert_eq!(pool.open(ContextOptions::default()).await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn b26_a_burst_beyond_capacity_is_queued_and_then_told_busy() {
    let site = Site::start().await;
    let pool = pool(|options| {
        options.max_pages = 2;
        options.max_waiting = 3;
    })
    .await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let held = (context.new_page().await.unwrap(), context.new_page().await.unwrap());
    let queued: Vec<_> = (0..3)
        .map(|number| {
            let (context, url) = (context.clone(), site.url(&format!("/page/{number}")));
            tokio::spawn(async move {
                let page = context.new_page().await?;
                page.goto(&url, &GotoOptions::default()).await?;
                page.title().await
            })
        })
        .collect();
    eventually("three callers wait", || pool.stats().waiting == 3).await;
    let turned_away = context.new_page().await.unwrap_err();
    assert_eq!((turned_away.code(), turned_away.retryable()), ("busy", true), "{turned_away}");
    drop(held);
    for (number, page) in queued.into_iter().enumerate() {
        assert_eq!(page.await.unwrap().unwrap(), format!("page {number}"));
    }
    eventually("all places are free", || pool.stats().active_pages == 0).await;
    pool.close().await;
}

#[tokio::test]
async fn a_cancelled_task_leaves_neither_page_nor_context() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let task = tokio::spawn({
        let (pool, url) = (pool.pool.clone(), site.url("/hang"));
        async move {
            let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
            page.goto(&url, &within(60, WaitUntil::Load)).await
        }
    });
    eventually("the task is on its way", || pool.stats().navigations == 1).await;
    task.abort();
    eventually("its page and context are gone", || {
        let stats = pool.stats();
        (stats.active_pages, stats.active_contexts) == (0, 0)
    })
    .await;
    assert_eq!(pool.stats().processes[0].contexts, 0);
    pool.close().await;
}

/// Not a test by itself: what the tests below start as a process of its own.
#[cfg(unix)]
#[tokio::test]
async fn holds_a_browser_until_it_is_killed() {
    let Some(root) = std::env::var_os("BUDDY_TEST_HELD_ROOT") else { return };
    let site = Site::start().await;
    let pool = buddy_browser::Pool::new(buddy_browser::PoolOptions::new(&root)).await.unwrap();
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let (idle, busy) = (context.new_page().await.unwrap(), context.new_page().await.unwrap());
    idle.goto(&site.url("/clinging"), &GotoOptions::default()).await.unwrap();
    idle.click("body", &buddy_browser::actions::ClickOptions::default()).await.unwrap();
    busy.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    busy.evaluate(None, "setTimeout(() => { for (;;); })", &serde_json::Value::Null).await.unwrap();
    let root = std::path::Path::new(&root);
    std::fs::write(root.join("ready"), "").unwrap();
    while !root.join("end").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pool.close().await;
}

/// A program that has a browser with this root, and this place for temporary files, until it is told to end.
#[cfg(unix)]
fn host_of_a_browser(root: &std::path::Path, temporary: &std::path::Path) -> tokio::process::Child {
    tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_browser_until_it_is_killed", "--nocapture"])
        .env("BUDDY_TEST_HELD_ROOT", root)
        .env("TMPDIR", temporary)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// How many files and folders lie directly in a folder.
#[cfg(unix)]
fn entries(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[cfg(unix)]
#[tokio::test]
async fn a_browser_has_its_temporary_files_in_its_own_folder_or_if_that_is_too_deep_in_one_that_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    // Chromium does not start where the path of its socket is too long.
    let deep = folder.path().join("deep".repeat(30));
    let cases = [(folder.path().join("b"), 0, false), (deep.clone(), 1, false), (deep.join("again"), 1, true)];
    for (number, (root, apart, killed)) in cases.into_iter().enumerate() {
        let temporary = folder.path().join(format!("t{number}"));
        std::fs::create_dir(&temporary).unwrap();
        let mut host = host_of_a_browser(&root, &temporary);
        eventually("the host has a browser", || root.join("ready").exists()).await;
        assert_eq!(entries(&temporary), apart, "{}", root.display());
        for entry in std::fs::read_dir(&temporary).unwrap() {
            use std::os::unix::fs::PermissionsExt as _;
            let entry = entry.unwrap();
            assert!(entry.file_name().to_string_lossy().starts_with("buddy-chromium-"), "{entry:?}");
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o700);
            assert!(entries(&entry.path()) > 0, "Chromium uses it");
        }
        if killed {
            host.start_kill().unwrap();
            host.wait().await.unwrap();
            // The next start tidies up.
            let next = buddy_browser::Pool::new(buddy_browser::PoolOptions::new(&root)).await.unwrap();
            next.close().await;
        } else {
            std::fs::write(root.join("end"), "").unwrap();
            assert!(host.wait().await.unwrap().success());
        }
        assert_eq!(entries(&temporary), 0, "{}", root.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn b25_a_killed_host_takes_its_browser_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = host_of_a_browser(folder.path(), &std::env::temp_dir());
    let needle = folder.path().to_string_lossy().into_owned();
    eventually("the host has a browser", || folder.path().join("ready").exists()).await;
    assert!(!processes_with(&needle).is_empty());
    // SIGKILL: it cannot tidy up.
    host.start_kill().unwrap();
    host.wait().await.unwrap();
    eventually("no process of the browser is left", || processes_with(&needle).is_empty()).await;
}
