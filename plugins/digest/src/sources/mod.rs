//! Reading records: which source, in which format, and what to do with rows that cannot be read.
//!
//! NDJSON is read piece by piece, a stored file of any size never being in memory as a whole. A JSON document and CSV
//! are in memory as text, their records one by one. Records go on as they are read.

mod csv;
mod infer;
mod json;
mod ndjson;

use crate::error::{Fault, Problems};
use crate::host::{Host, Stored};
use crate::input::{Format, Source};
use crate::ops::Flow;
use crate::output::{Skipped, Warnings};
use crate::path::Path;
use crate::value::{Key, Record, Value};

use self::csv::Dialect;

/// What a stored file that is read as a whole may have: a quarter of the plugin's memory.
const MOST_DOCUMENT_BYTES: u64 = 64 << 20;
/// How much is asked of the host at once: few calls, and little to hold.
const PIECE: u32 = 256 << 10;
/// Unreadable rows of a source that are passed over when the input does not say.
const DEFAULT_BAD_ROWS: u64 = 100;
/// What stands in the place of a result's id for "the task this digest belongs to", until the host puts the id in.
const SELF: &str = "self";

/// A source, checked.
#[derive(Debug)]
pub(crate) struct Reading {
    at: String,
    origin: Origin,
    format: Option<Format>,
    path: Option<Path>,
    dialect: Dialect,
    max_bad_rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Records,
    Text,
    Result,
    Artifact,
}

impl Reading {
    /// Checks the source at `at`.
    pub(crate) fn new(source: &Source, at: &str, problems: &mut Problems) -> Option<Self> {
        let origins = [
            (source.records.is_some(), Origin::Records),
            (source.text.is_some(), Origin::Text),
            (source.result_of.is_some(), Origin::Result),
            (source.artifact.is_some(), Origin::Artifact),
        ];
        let mut given = origins.iter().filter(|(is, _)| *is).map(|(_, origin)| *origin);
        let (Some(origin), None) = (given.next(), given.next()) else {
            problems.add(at, "A source is exactly one of `records`, `text`, `result_of`, `artifact`.");
            return None;
        };
        for (field, id) in [("result_of", &source.result_of), ("artifact", &source.artifact)] {
            if id.as_deref() == Some("") {
                problems.add(format!("{at}/{field}"), "An id cannot be empty.");
                return None;
            }
        }
        let format = match origin {
            Origin::Records if source.format.is_some() => {
                problems.add(
                    format!("{at}/format"),
                    "`records` are JSON already; `format` goes with `text` or `artifact`.",
                );
                return None;
            }
            Origin::Text if source.format.is_none() => {
                problems.add(at, "`text` needs `format`: json, ndjson or csv.");
                return None;
            }
            Origin::Records => Some(Format::Json),
            Origin::Result => Some(source.format.unwrap_or(Format::Json)),
            Origin::Text | Origin::Artifact => source.format,
        };
        let mut sound = true;
        let unread = origin == Origin::Records;
        if source.path.is_some() && (unread || matches!(format, Some(Format::Csv | Format::Ndjson))) {
            problems.add(
                format!("{at}/path"),
                "`path` finds the records inside a JSON document; to go into each record use the step `explode`.",
            );
            sound = false;
        }
        if source.csv.is_some() && !matches!(format, Some(Format::Csv) | None) {
            problems.add(format!("{at}/csv"), "`csv` needs `format: csv`.");
            sound = false;
        }
        let path = match &source.path {
            Some(text) => match Path::parse(text) {
                Ok(path) => Some(path),
                Err(why) => {
                    problems.add(format!("{at}/path"), why);
                    sound = false;
                    None
                }
            },
            None => None,
        };
        let dialect = Dialect::new(source.csv.as_ref(), &format!("{at}/csv"), problems)?;
        sound.then(|| Self {
            at: at.to_owned(),
            origin,
            format,
            path,
            dialect,
            max_bad_rows: source.max_bad_rows.unwrap_or(DEFAULT_BAD_ROWS),
        })
    }

    /// Reads the records of `source`, the one this was made from, into `emit` until there are no more, or enough. Fields that are not `needed` may be left out.
    /// The number of records read.
    pub(crate) async fn feed<H: Host>(
        &self,
        source: &mut Source,
        host: &H,
        notes: &mut Notes,
        needed: Option<&[Key]>,
        emit: &mut dyn FnMut(Record) -> Result<Flow, Fault>,
    ) -> Result<u64, Fault> {
        let mut intake = Intake {
            at: &self.at,
            inline: self.origin == Origin::Text,
            max_bad_rows: self.max_bad_rows,
            bad_rows: 0,
            rows: 0,
            needed,
            notes,
            emit,
        };
        match self.origin {
            Origin::Records => {
                for value in source.records.take().unwrap_or_default() {
                    if intake.record(value)? == Flow::Enough {
                        break;
                    }
                }
            }
            Origin::Text => {
                let text = source.text.take().unwrap_or_default();
                self.read_whole(text.as_bytes(), self.format.unwrap_or(Format::Json), &mut intake)?;
            }
            Origin::Result => {
                let id = source.result_of.take().unwrap_or_default();
                if id == SELF {
                    return Err(Fault::invalid(
                        format!("{}/result_of", self.at),
                        "`self` stands for the result of the task that a digest belongs to, so it works in the `digest` \
                         of a task only; here give the id of a task.",
                    ));
                }
                self.read_stored(&id, host, &mut intake).await?;
            }
            Origin::Artifact => {
                let id = source.artifact.take().unwrap_or_default();
                self.read_stored(&id, host, &mut intake).await?;
            }
        }
        Ok(intake.rows)
    }

    fn read_whole(&self, text: &[u8], format: Format, intake: &mut Intake<'_>) -> Result<(), Fault> {
        match format {
            Format::Json => json::read(text, self.path.as_ref(), intake),
            Format::Csv => csv::read(text, &self.dialect, intake),
            Format::Ndjson => {
                let mut lines = ndjson::Lines::default();
                match lines.push(text, intake)? {
                    Flow::More => lines.finish(intake).map(|_| ()),
                    Flow::Enough => Ok(()),
                }
            }
        }
    }

    async fn read_stored<H: Host>(&self, id: &str, host: &H, intake: &mut Intake<'_>) -> Result<(), Fault> {
        let stored = host.stat(id).await?;
        let format = self.format.unwrap_or_else(|| format_of(&stored));
        if format != Format::Csv && self.dialect.is_given() {
            return Err(intake
                .fault("`csv` is given, but the artifact is not CSV by its media type or name; add `format: csv`."));
        }
        if format != Format::Json && self.path.is_some() {
            return Err(intake.fault(
                "`path` is given, but the artifact is not a JSON document; leave it out, or add `format: json`.",
            ));
        }
        if format != Format::Ndjson && stored.size > MOST_DOCUMENT_BYTES {
            return Err(intake.fault(&format!(
                "The file has {} MiB; JSON and CSV are read up to {} MiB. NDJSON has no such bound.",
                stored.size >> 20,
                MOST_DOCUMENT_BYTES >> 20
            )));
        }
        let mut lines = ndjson::Lines::default();
        let mut whole = Vec::new();
        let mut offset = 0_u64;
        loop {
            if host.is_cancelled() {
                return Err(Fault::Host {
                    message: "The task was cancelled while its records were read.".into(),
                    retryable: true,
                    after_ms: None,
                });
            }
            let piece = host.read(id, offset, PIECE).await?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            host.progress(offset, stored.size.max(offset), &format!("reading {}", self.at));
            if format == Format::Ndjson {
                if lines.push(&piece, intake)? == Flow::Enough {
                    return Ok(());
                }
            } else {
                // The size may have been told wrong.
                if offset > MOST_DOCUMENT_BYTES {
                    return Err(intake.fault(&format!(
                        "The file is longer than {} MiB, what JSON and CSV are read up to. NDJSON has no such bound.",
                        MOST_DOCUMENT_BYTES >> 20
                    )));
                }
                if whole.is_empty() {
                    whole.reserve_exact(usize::try_from(stored.size).unwrap_or(0).max(piece.len()));
                }
                whole.extend_from_slice(&piece);
            }
        }
        if format == Format::Ndjson {
            lines.finish(intake).map(|_| ())
        } else {
            self.read_whole(&whole, format, intake)
        }
    }
}

/// A stored file's format by its media type, else by its name, else JSON.
fn format_of(stored: &Stored) -> Format {
    let media_type = stored.media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match &*media_type {
        "text/csv" | "text/tab-separated-values" => return Format::Csv,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            return Format::Ndjson;
        }
        "application/json" => return Format::Json,
        _ => {}
    }
    let extension = stored.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    match extension.as_deref() {
        Some("csv" | "tsv") => Format::Csv,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => Format::Json,
    }
}

/// What reading leaves behind for the result.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) skipped: Skipped,
    pub(crate) warnings: Warnings,
}

/// What the readers put records into.
struct Intake<'a> {
    at: &'a str,
    /// The text stands in the input itself, so its faults are faults of the input.
    inline: bool,
    max_bad_rows: u64,
    bad_rows: u64,
    rows: u64,
    /// The fields that the steps can look at; `None`: all. A reader may hand over more.
    needed: Option<&'a [Key]>,
    notes: &'a mut Notes,
    emit: &'a mut dyn FnMut(Record) -> Result<Flow, Fault>,
}

impl Intake<'_> {
    fn needs(&self, name: &Key) -> bool {
        self.needed.is_none_or(|needed| needed.contains(name))
    }

    /// Takes any value as a record.
    fn record(&mut self, value: Value) -> Result<Flow, Fault> {
        self.rows += 1;
        (self.emit)(Record::from_value(value))
    }

    /// Notes a row that cannot be read; an error once there are too many.
    fn bad(&mut self, line: u64, reason: String) -> Result<(), Fault> {
        self.bad_rows += 1;
        if self.bad_rows > self.max_bad_rows {
            return Err(self.fault(&format!(
                "Line {line}: {reason} These are more unreadable rows than `max_bad_rows`, {}, lets pass; check `format` \
                 and the dialect.",
                self.max_bad_rows
            )));
        }
        self.notes.skipped.add(self.at, line, reason);
        Ok(())
    }

    fn warn(&mut self, warning: &str) {
        self.notes.warnings.add(format!("{}: {warning}", self.at));
    }

    /// The whole source cannot be used.
    fn fault(&self, message: &str) -> Fault {
        if self.inline {
            Fault::invalid(format!("{}/text", self.at), message)
        } else {
            Fault::Data(format!("{}: {message}", self.at))
        }
    }
}

/// Text without the byte order mark that some programs put first.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}
