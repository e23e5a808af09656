//! Showing a document that was kept, without fetching or running anything of it.

use chromiumoxide::cdp::browser_protocol::page::SetDocumentContentParams;

use crate::error::BrowserError;
use crate::page::{Page, default_deadline};
use crate::types::GotoOptions;

/// Longest document that is shown, in bytes.
const MAX_HTML: usize = 16 * 1024 * 1024;

impl Page {
    /// Puts a kept document in the place of the page's own: relative addresses in it are below `url`; its scripts do not
    /// run and it loads nothing, by a content security policy that stands before everything else in it. A document that
    /// was there before is left first, as its scripts would go on in this one; [`Page::url`] is `about:blank` then.
    ///
    /// # Errors
    /// `limit` for a document above 16 MiB; `timed-out` when the page does not leave its document.
    pub async fn show(&self, url: &str, html: &str) -> Result<(), BrowserError> {
        if html.len() > MAX_HTML {
            return Err(BrowserError::Limit(format!(
                "a document of {} bytes is not shown: the bound is {MAX_HTML}",
                html.len()
            )));
        }
        if self.url()? != "about:blank" {
            self.goto("about:blank", &GotoOptions::default()).await?;
        }
        let command = SetDocumentContentParams::new(self.main_frame().clone(), guarded(url, html));
        self.session().call_until(command, default_deadline()).await?;
        Ok(())
    }
}

/// The document with its policy and its base address, both before any element of its own.
fn guarded(url: &str, html: &str) -> String {
    const POLICY: &str = r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'">"#;
    let address = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    // A document type must stay first, else the page is laid out by the rules of the nineties.
    let start = html.trim_start();
    let has_type = start.get(..9).is_some_and(|first| first.eq_ignore_ascii_case("<!doctype"));
    let split = if has_type { start.find('>').map_or(0, |end| end + 1) } else { 0 };
    let (doctype, rest) = start.split_at(split);
    format!("{doctype}{POLICY}<base href=\"{address}\">{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_stands_after_the_document_type_and_before_everything_else() {
        let shown = guarded("http://a/?x=\"1\"&y=<2", "\n<!DOCTYPE html><html lang=en><script>1</script>");
        let policy = shown.find("Content-Security-Policy").unwrap_or(usize::MAX);
        assert!(shown.starts_with("<!DOCTYPE html><meta"), "{shown}");
        assert!(policy < shown.find("<html").unwrap_or_default());
        assert!(shown.contains("href=\"http://a/?x=&quot;1&quot;&amp;y=&lt;2\""));
        assert!(guarded("http://a/", "<p>x").starts_with("<meta"));
    }
}
