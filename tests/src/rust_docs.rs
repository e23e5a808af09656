//! The HTML documentation that the Rust toolchain installs: real pages, whose truth is known without a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use scraper::{Html, Selector};

/// What a page of the documentation says, read from its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The document's title.
    pub title: String,
    /// The headings of the main part, spaces folded.
    pub headings: Vec<String>,
    /// Code blocks of the main part.
    pub code_blocks: usize,
}

/// The folder of the installed documentation.
pub fn folder() -> PathBuf {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc is on the PATH");
    let sysroot = String::from_utf8(output.stdout).unwrap();
    let folder = Path::new(sysroot.trim()).join("share/doc/rust/html");
    assert!(folder.join("book").is_dir(), "{} is missing: run `rustup component add rust-docs`", folder.display());
    folder
}

/// Reads the facts of one file.
pub fn facts(file: &Path) -> Facts {
    let document = Html::parse_document(&std::fs::read_to_string(file).unwrap());
    let select = |selector: &str| Selector::parse(selector).unwrap();
    let fold = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Facts {
        title: document.select(&select("title")).next().map(|title| fold(title.text().collect())).unwrap_or_default(),
        headings: document
            .select(&select("main h1, main h2, main h3"))
            .map(|heading| fold(heading.text().collect()))
            .collect(),
        code_blocks: document.select(&select("main pre > code")).count(),
    }
}

/// Whether the file is a stub that only sends the reader on.
pub fn is_stub(file: &Path) -> bool {
    std::fs::read_to_string(file).unwrap().contains("http-equiv=\"refresh\"")
}
