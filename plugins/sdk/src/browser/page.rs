//! [`Page`]: one tab, and all that can be done in it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::buddy::plugin::browser as raw;
use crate::error::HostError;
use crate::{ArtifactId, host};

use super::{ClickOptions, Dialog, Exchange, Field, GotoOptions, Navigation, PointerStep, State};

/// One tab of a context. Dropped, it is closed by the host.
///
/// A `timeout` of `None` is the contract's 30 s. A `frame` is a selector chain to an iframe; `None` is the main frame.
/// Every method may answer `page-crashed`, `browser-lost`, `cancelled` or `denied` besides what it documents.
#[derive(Debug)]
pub struct Page(raw::Page);

impl Page {
    pub(super) fn new(raw: raw::Page) -> Self {
        Self(raw)
    }

    /// Goes to an address, and on with redirects by server and by script.
    ///
    /// Going to `about:blank` makes the tab as good as a new one, at a fifth of the cost: its document is left
    /// without its scripts having a say, and its `sessionStorage`, the window's name and the history are forgotten. What
    /// belongs to the context stays: cookies, `localStorage`, caches.
    ///
    /// # Errors
    /// `dns`, `connect`, `tls`, `redirects`, `policy`, and `timed-out` when there is no document at all by then.
    pub async fn goto(&self, url: &str, options: GotoOptions) -> Result<Navigation, HostError> {
        host!("page.goto", self.0.goto(url.to_owned(), options.into_raw()))
    }

    /// One step back in the tab's history.
    ///
    /// # Errors
    /// Like [`Page::goto`].
    pub async fn back(&self) -> Result<Navigation, HostError> {
        host!("page.back", self.0.back())
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// Like [`Page::goto`].
    pub async fn reload(&self, options: GotoOptions) -> Result<Navigation, HostError> {
        host!("page.reload", self.0.reload(options.into_raw()))
    }

    /// Where the page is now.
    ///
    /// # Errors
    /// The host's own.
    pub async fn url(&self) -> Result<String, HostError> {
        host!("page.url", self.0.url())
    }

    /// The document's title.
    ///
    /// # Errors
    /// The host's own.
    pub async fn title(&self) -> Result<String, HostError> {
        host!("page.title", self.0.title())
    }

    /// The document as HTML, at most the plugin's bound.
    ///
    /// # Errors
    /// The host's own.
    pub async fn html(&self, frame: Option<&str>) -> Result<String, HostError> {
        host!("page.html", self.0.html(frame.map(str::to_owned)))
    }

    /// The main text, as a reader view would show it.
    ///
    /// # Errors
    /// The host's own.
    pub async fn article(&self, frame: Option<&str>) -> Result<String, HostError> {
        host!("page.article", self.0.article(frame.map(str::to_owned)))
    }

    /// All fields in one round trip: an object by field name. With `each`, a list of such objects, one for each element
    /// that `each` selects.
    ///
    /// # Errors
    /// `invalid` for a selector that cannot be read.
    pub async fn extract(
        &self,
        each: Option<&str>,
        fields: impl IntoIterator<Item = Field>,
    ) -> Result<Value, HostError> {
        let fields = fields.into_iter().map(Field::into_raw).collect();
        let json = host!("page.extract", self.0.extract(each.map(str::to_owned), fields))?;
        serde_json::from_str(&json).map_err(|error| HostError::json("the extract cannot be read", &error))
    }

    /// The text of the first match, as a person reads it.
    ///
    /// # Errors
    /// `timed-out` when there is none.
    pub async fn text(&self, selector: &str) -> Result<String, HostError> {
        host!("page.text", self.0.text(selector.to_owned()))
    }

    /// An attribute of the first match, as written: `href` may be relative. [`Field::attribute`] makes it absolute.
    ///
    /// # Errors
    /// `timed-out` when there is no match.
    pub async fn attribute(&self, selector: &str, name: &str) -> Result<Option<String>, HostError> {
        host!("page.attribute", self.0.attribute(selector.to_owned(), name.to_owned()))
    }

    /// How many elements match now.
    ///
    /// # Errors
    /// `invalid` for a selector that cannot be read.
    pub async fn count(&self, selector: &str) -> Result<u32, HostError> {
        host!("page.count", self.0.count(selector.to_owned()))
    }

    /// Runs a JavaScript expression or function body; it finds `argument` under that name. The value comes back as a
    /// type.
    ///
    /// A page that redirects itself can take its document away before the script has a value. The script is then run
    /// again in the next document, so **it may run more than once**: one that changes something elsewhere should look
    /// first whether that is done.
    ///
    /// # Errors
    /// `failed` for a script that throws, `invalid` for a value of another shape.
    pub async fn evaluate<A: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        frame: Option<&str>,
        script: &str,
        argument: &A,
    ) -> Result<T, HostError> {
        let argument = serde_json::to_string(argument)
            .map_err(|error| HostError::json("the script's argument cannot be written", &error))?;
        let json = host!("page.evaluate", self.0.evaluate(frame.map(str::to_owned), script.to_owned(), argument))?;
        serde_json::from_str(&json).map_err(|error| HostError::json("the script's value cannot be read", &error))
    }

    /// Waits until the first match is in this state.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn wait_for(&self, selector: &str, state: State, timeout: Option<Duration>) -> Result<(), HostError> {
        host!("page.wait-for", self.0.wait_for(selector.to_owned(), state, timeout.map(crate::millis)))
    }

    /// Waits until the page's address matches the pattern (`*` stands for anything); the address.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn wait_for_url(&self, pattern: &str, timeout: Option<Duration>) -> Result<String, HostError> {
        host!("page.wait-for-url", self.0.wait_for_url(pattern.to_owned(), timeout.map(crate::millis)))
    }

    /// The next answer whose address matches the pattern (`*` stands for anything).
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn wait_for_response(&self, pattern: &str, timeout: Option<Duration>) -> Result<Exchange, HostError> {
        host!("page.wait-for-response", self.0.wait_for_response(pattern.to_owned(), timeout.map(crate::millis)))
    }

    /// Clicks.
    ///
    /// # Errors
    /// `timed-out` with what was in the way.
    pub async fn click(&self, selector: &str, options: ClickOptions) -> Result<(), HostError> {
        host!("page.click", self.0.click(selector.to_owned(), options.into_raw()))
    }

    /// Moves the pointer over an element.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn hover(&self, selector: &str, timeout: Option<Duration>) -> Result<(), HostError> {
        host!("page.hover", self.0.hover(selector.to_owned(), timeout.map(crate::millis)))
    }

    /// Replaces a field's value and reads it back. A [secret's placeholder](crate::secrets::placeholder) is filled in by
    /// the host.
    ///
    /// # Errors
    /// `timed-out`; `failed` when the field does not keep the value.
    pub async fn fill(&self, selector: &str, value: &str, timeout: Option<Duration>) -> Result<(), HostError> {
        host!("page.fill", self.0.fill(selector.to_owned(), value.to_owned(), timeout.map(crate::millis)))
    }

    /// Types at the end of what is there, as a person would.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn type_text(&self, selector: &str, value: &str, timeout: Option<Duration>) -> Result<(), HostError> {
        host!("page.type-text", self.0.type_text(selector.to_owned(), value.to_owned(), timeout.map(crate::millis)))
    }

    /// Presses a key or chord, for example `Enter` or `Control+a`; in the focused element if no selector is given.
    ///
    /// # Errors
    /// `timed-out`; `invalid` for a key that does not exist.
    pub async fn press(&self, selector: Option<&str>, keys: &str) -> Result<(), HostError> {
        host!("page.press", self.0.press(selector.map(str::to_owned), keys.to_owned()))
    }

    /// Chooses in a `select`; the values that are chosen then.
    ///
    /// # Errors
    /// `timed-out`; `not-found` for a value that is none of its options.
    pub async fn select_option<S: Into<String>>(
        &self,
        selector: &str,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Vec<String>, HostError> {
        let values = values.into_iter().map(Into::into).collect();
        host!("page.select-option", self.0.select_option(selector.to_owned(), values))
    }

    /// Sets a check box or radio button.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn set_checked(&self, selector: &str, checked: bool) -> Result<(), HostError> {
        host!("page.set-checked", self.0.set_checked(selector.to_owned(), checked))
    }

    /// Drags one element onto another.
    ///
    /// # Errors
    /// `timed-out`.
    pub async fn drag(&self, source: &str, target: &str, timeout: Option<Duration>) -> Result<(), HostError> {
        host!("page.drag", self.0.drag(source.to_owned(), target.to_owned(), timeout.map(crate::millis)))
    }

    /// Raw pointer input, in CSS pixels of the viewport.
    ///
    /// # Errors
    /// The host's own.
    pub async fn pointer(&self, steps: Vec<PointerStep>) -> Result<(), HostError> {
        host!("page.pointer", self.0.pointer(steps))
    }

    /// Sets the files of a file input.
    ///
    /// # Errors
    /// `timed-out`; `not-found` for an artifact that is not.
    pub async fn upload(&self, selector: &str, files: Vec<ArtifactId>) -> Result<(), HostError> {
        host!("page.upload", self.0.upload(selector.to_owned(), files))
    }

    /// Scrolls down until the page stops growing, `until` is attached, or `max_steps`; the steps taken.
    ///
    /// # Errors
    /// The host's own.
    pub async fn scroll(&self, until: Option<&str>, max_steps: u32) -> Result<u32, HostError> {
        host!("page.scroll", self.0.scroll(until.map(str::to_owned), max_steps))
    }

    /// Clicks, and keeps what that downloads.
    ///
    /// # Errors
    /// `timed-out` when nothing is downloaded.
    pub async fn download(&self, selector: &str, timeout: Option<Duration>) -> Result<ArtifactId, HostError> {
        host!("page.download", self.0.download(selector.to_owned(), timeout.map(crate::millis)))
    }

    /// A picture of what the window shows.
    ///
    /// # Errors
    /// The host's own.
    pub async fn screenshot(&self) -> Result<ArtifactId, HostError> {
        host!("page.screenshot", self.0.screenshot(raw::Picture::Viewport, None))
    }

    /// A picture of the page from top to bottom.
    ///
    /// # Errors
    /// The host's own; `limit` for a page too long for one picture.
    pub async fn screenshot_full_page(&self) -> Result<ArtifactId, HostError> {
        host!("page.screenshot", self.0.screenshot(raw::Picture::FullPage, None))
    }

    /// A picture of one element.
    ///
    /// # Errors
    /// `timed-out` when there is no match.
    pub async fn screenshot_of(&self, selector: &str) -> Result<ArtifactId, HostError> {
        host!("page.screenshot", self.0.screenshot(raw::Picture::Element, Some(selector.to_owned())))
    }

    /// The page as a PDF.
    ///
    /// # Errors
    /// The host's own.
    pub async fn pdf(&self) -> Result<ArtifactId, HostError> {
        host!("page.pdf", self.0.pdf())
    }

    /// Dialogs since the last call; all were answered by policy.
    ///
    /// # Errors
    /// The host's own.
    pub async fn dialogs(&self) -> Result<Vec<Dialog>, HostError> {
        host!("page.dialogs", self.0.dialogs())
    }

    /// Closes the tab.
    ///
    /// # Errors
    /// The host's own.
    pub async fn close(self) -> Result<(), HostError> {
        host!("page.close", self.0.close())
    }
}
