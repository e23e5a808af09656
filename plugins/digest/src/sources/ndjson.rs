//! NDJSON: one JSON value a line, read piece by piece. Blank lines are passed over, a line that is no JSON is noted.

use serde::de::DeserializeSeed;

use super::{Intake, without_mark};
use crate::error::Fault;
use crate::ops::Flow;
use crate::value::Picked;

/// A line longer than this is not a record but a file of another format.
const MOST_LINE_BYTES: usize = 16 << 20;

/// The lines of a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The begin of a line whose end has not come.
    carry: Vec<u8>,
    /// Lines ended so far.
    line: u64,
}

impl Lines {
    /// Takes a piece of any length; it may begin and end inside a character.
    pub(super) fn push(&mut self, mut piece: &[u8], intake: &mut Intake<'_>) -> Result<Flow, Fault> {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end);
            piece = &rest[1..];
            let flow = if self.carry.is_empty() {
                self.read(line, intake)?
            } else {
                self.carry.extend_from_slice(line);
                let whole = std::mem::take(&mut self.carry);
                let flow = self.read(&whole, intake)?;
                self.carry = whole;
                self.carry.clear();
                flow
            };
            if flow == Flow::Enough {
                return Ok(flow);
            }
        }
        if self.carry.len() + piece.len() > MOST_LINE_BYTES {
            return Err(intake.fault(&format!(
                "Line {} is longer than {} MiB; is this NDJSON? A whole JSON document has the format `json`.",
                self.line + 1,
                MOST_LINE_BYTES >> 20
            )));
        }
        self.carry.extend_from_slice(piece);
        Ok(Flow::More)
    }

    /// The text is over; its last line may have no end.
    pub(super) fn finish(mut self, intake: &mut Intake<'_>) -> Result<Flow, Fault> {
        let last = std::mem::take(&mut self.carry);
        self.read(&last, intake)
    }

    fn read(&mut self, line: &[u8], intake: &mut Intake<'_>) -> Result<Flow, Fault> {
        self.line += 1;
        let line = if self.line == 1 { without_mark(line) } else { line };
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(Flow::More);
        }
        let mut reader = serde_json::Deserializer::from_slice(line);
        let value = Picked(intake.needed).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        match value {
            Ok(value) => intake.record(value),
            Err(why) => {
                intake.bad(self.line, format!("This is no JSON value: {why}."))?;
                Ok(Flow::More)
            }
        }
    }
}
