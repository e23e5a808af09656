//! Pictures and printed pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chromiumoxide::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, GetLayoutMetricsParams, PrintToPdfParams, Viewport,
};

use crate::error::BrowserError;
use crate::page::{Page, default_deadline};
use crate::types::{Picture, Rect};

/// Largest side of a picture in pixels: the largest surface Chromium paints.
const SIDE_MAX: f64 = 16_384.0;

/// Largest area of a picture in pixels: 256 MiB of memory while it is being made.
const AREA_MAX: f64 = 64.0 * 1024.0 * 1024.0;

impl Page {
    /// A picture as PNG.
    ///
    /// # Errors
    /// `invalid` for an empty clip; `timed-out` when the page does not paint.
    pub async fn screenshot(&self, picture: Picture) -> Result<Bytes, BrowserError> {
        let deadline = default_deadline();
        let area = match picture {
            Picture::Viewport => None,
            Picture::Clip(rect) => Some(rect),
            Picture::FullPage => {
                let size =
                    self.session().call_until(GetLayoutMetricsParams::default(), deadline).await?.css_content_size;
                Some(Rect { x: 0.0, y: 0.0, width: size.width, height: size.height })
            }
        };
        let clip = area.map(bounded_clip).transpose()?;
        let command = CaptureScreenshotParams {
            format: Some(CaptureScreenshotFormat::Png),
            capture_beyond_viewport: Some(clip.is_some()),
            // A little larger, several times faster to make.
            optimize_for_speed: Some(true),
            clip,
            ..CaptureScreenshotParams::default()
        };
        let answer = self.session().call_until(command, deadline).await?;
        decode("picture", answer.data.as_ref())
    }

    /// The page as it prints, as PDF with its backgrounds.
    ///
    /// # Errors
    /// `unavailable` with a visible browser, which cannot print to a file.
    pub async fn pdf(&self) -> Result<Bytes, BrowserError> {
        let command = PrintToPdfParams { print_background: Some(true), ..PrintToPdfParams::default() };
        match self.session().call_until(command, default_deadline()).await {
            Ok(answer) => decode("PDF", answer.data.as_ref()),
            Err(BrowserError::Failed(words)) if words.contains("not implemented") => Err(BrowserError::Unavailable(
                "a browser with a window cannot print to PDF; run it headless".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }
}

fn bounded_clip(rect: Rect) -> Result<Viewport, BrowserError> {
    let fits = [rect.x, rect.y, rect.width, rect.height].iter().all(|number| number.is_finite());
    if !fits || rect.width < 1.0 || rect.height < 1.0 {
        return Err(BrowserError::Invalid(format!(
            "a picture of {} × {} pixels would be empty; the element has no visible size",
            rect.width, rect.height
        )));
    }
    let width = rect.width.min(SIDE_MAX);
    let height = rect.height.min(SIDE_MAX).min(AREA_MAX / width);
    Ok(Viewport { x: rect.x, y: rect.y, width, height, scale: 1.0 })
}

fn decode(what: &str, data: &[u8]) -> Result<Bytes, BrowserError> {
    STANDARD
        .decode(data)
        .map(Bytes::from)
        .map_err(|error| BrowserError::Failed(format!("the browser's {what} could not be decoded: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_picture_is_bounded_in_side_and_area() {
        let clip = bounded_clip(Rect { x: 0.0, y: 0.0, width: 10_000.0, height: 1e9 }).unwrap();
        assert!(clip.width * clip.height <= AREA_MAX && clip.height <= SIDE_MAX);
        for rect in
            [Rect { x: 0.0, y: 0.0, width: 0.0, height: 5.0 }, Rect { x: f64::NAN, y: 0.0, width: 5.0, height: 5.0 }]
        {
            assert_eq!(bounded_clip(rect).unwrap_err().code(), "invalid");
        }
    }
}
