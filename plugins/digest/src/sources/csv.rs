//! CSV: separated columns with a header, tolerant of line ends, strict about shape.
//!
//! A row whose number of columns is not the header's, or that is not UTF-8, is left out and noted by its line. So is a
//! quote that is never closed: it would swallow the rest of the file without a word.

use std::collections::HashSet;
use std::sync::Arc;

use ::csv::{ByteRecord, ReaderBuilder, Trim};

use super::infer::infer;
use super::{Intake, without_mark};
use crate::error::{Fault, Problems};
use crate::input::CsvOptions;
use crate::ops::Flow;
use crate::value::{Key, Record, Value, intern};

/// More columns than any honest table; each is a name in every row.
const MOST_COLUMNS: usize = 10_000;

/// The options, checked.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of the input
pub(super) struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    header: bool,
    columns: Option<Vec<Key>>,
    trim: bool,
    infer: bool,
    given: bool,
}

impl Dialect {
    /// Checks the options at `at`; without any it is the common dialect.
    pub(super) fn new(options: Option<&CsvOptions>, at: &str, problems: &mut Problems) -> Option<Self> {
        let fallback = CsvOptions::default();
        let given = options.is_some();
        let options = options.unwrap_or(&fallback);
        let delimiter = one_char(&options.delimiter);
        if delimiter.is_none() {
            problems.add(
                format!("{at}/delimiter"),
                "`delimiter` is one ASCII character other than a line end, for example \";\" or \"\\t\".",
            );
        }
        let quote = one_char(&options.quote);
        let quote_is_sound = options.quote.is_empty() || (quote.is_some() && quote != delimiter);
        if !quote_is_sound {
            problems.add(
                format!("{at}/quote"),
                "`quote` is one ASCII character other than the delimiter, or empty for none.",
            );
        }
        let mut columns_are_sound = true;
        if let Some(names) = &options.columns {
            let unique: HashSet<&String> = names.iter().collect();
            if names.is_empty() || names.iter().any(String::is_empty) || unique.len() != names.len() {
                problems.add(format!("{at}/columns"), "`columns` names each column once; none is empty.");
                columns_are_sound = false;
            }
        }
        (quote_is_sound && columns_are_sound).then_some(())?;
        Some(Self {
            delimiter: delimiter?,
            quote,
            header: options.header,
            columns: options.columns.as_ref().map(|names| names.iter().map(|name| intern(name)).collect()),
            trim: options.trim,
            infer: options.infer,
            given,
        })
    }

    /// Whether the input gives options of CSV.
    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    fn value(&self, text: &str) -> Value {
        if self.infer { infer(text) } else { Value::text(text) }
    }
}

fn one_char(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Some(*byte),
        _ => None,
    }
}

/// Reads the rows of `text`.
pub(super) fn read(text: &[u8], dialect: &Dialect, intake: &mut Intake<'_>) -> Result<(), Fault> {
    let text = without_mark(text);
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quoting(dialect.quote.is_some())
        .trim(if dialect.trim { Trim::All } else { Trim::None });
    if let Some(quote) = dialect.quote {
        builder.quote(quote);
    }
    let mut reader = builder.from_reader(text);
    let mut columns = dialect.columns.clone();
    let mut header_is_due = dialect.header;
    let mut row = ByteRecord::new();
    let mut lines = LineCount::default();
    loop {
        let begin = usize::try_from(reader.position().byte()).unwrap_or(text.len());
        // A slice cannot fail to be read, and `flexible` accepts any length.
        if !reader.read_byte_record(&mut row).map_err(|why| intake.fault(&format!("The text is no CSV: {why}.")))? {
            return Ok(());
        }
        let end = usize::try_from(reader.position().byte()).unwrap_or(text.len());
        // The reader passes over blank lines before a row; the row begins after them.
        let blank = text[begin..end].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = lines.at(text, begin + blank);
        if end == text.len()
            && let Some(quote) = dialect.quote
            && !quotes_close(&text[begin + blank..], dialect.delimiter, quote, dialect.trim)
        {
            intake.bad(
                line,
                "A quote is opened in this row and never closed; the rest of the text is inside it.".into(),
            )?;
            return Ok(());
        }
        if header_is_due {
            header_is_due = false;
            if columns.is_none() {
                columns = Some(names(&row, intake)?);
            }
            continue;
        }
        let columns = columns.get_or_insert_with(|| (1..=row.len()).map(|n| intern(&format!("column_{n}"))).collect());
        if row.len() != columns.len() {
            let (has, wants) = (row.len(), columns.len());
            intake.bad(line, format!("The row has {has} column(s) where {wants} are expected."))?;
            continue;
        }
        let mut record = Record::with_capacity(columns.len());
        let mut is_text = true;
        for (name, field) in columns.iter().zip(&row) {
            match std::str::from_utf8(field) {
                Ok(field) if intake.needs(name) => record.push(name, dialect.value(field)),
                Ok(_) => {}
                Err(_) => is_text = false,
            }
        }
        if !is_text {
            intake.bad(line, "The row is not UTF-8.".into())?;
        } else if intake.record(Value::Map(record))? == Flow::Enough {
            return Ok(());
        }
    }
}

/// The names in a header: an empty one is `column_N`, one that is there already gets `_2` and so on.
fn names(header: &ByteRecord, intake: &mut Intake<'_>) -> Result<Vec<Key>, Fault> {
    if header.len() > MOST_COLUMNS {
        return Err(intake.fault(&format!("The header has {} columns; at most {MOST_COLUMNS} are read.", header.len())));
    }
    let mut seen: HashSet<Key> = HashSet::new();
    let mut names = Vec::with_capacity(header.len());
    let mut renamed = Vec::new();
    for (n, field) in header.iter().enumerate() {
        let Ok(text) = std::str::from_utf8(field) else {
            return Err(intake.fault("The header is not UTF-8; store the file in UTF-8."));
        };
        let mut name = if text.is_empty() { intern(&format!("column_{}", n + 1)) } else { intern(text) };
        let mut count = 1_usize;
        while seen.contains(&name) {
            count += 1;
            name = intern(&format!("{text}_{count}"));
        }
        if count > 1 {
            renamed.push(format!("`{name}`"));
        }
        seen.insert(Arc::clone(&name));
        names.push(name);
    }
    if !renamed.is_empty() {
        renamed.truncate(8);
        intake.warn(&format!("The header has names twice; the later ones are {}.", renamed.join(", ")));
    }
    Ok(names)
}

/// Counts lines up to rising places of a text, looking at each byte once.
#[derive(Default)]
struct LineCount {
    place: usize,
    ends: u64,
}

impl LineCount {
    /// The line, from 1, of the byte at `place`.
    fn at(&mut self, text: &[u8], place: usize) -> u64 {
        for (at, &byte) in text.iter().enumerate().take(place).skip(self.place) {
            // CRLF is one end; a lone CR ends a line too.
            let ends = byte == b'\n' || (byte == b'\r' && text.get(at + 1) != Some(&b'\n'));
            self.ends += u64::from(ends);
        }
        self.place = place.max(self.place);
        self.ends + 1
    }
}

/// Whether the quotes of a row are closed at its end. A quote opens at the begin of a field only.
fn quotes_close(row: &[u8], delimiter: u8, quote: u8, trim: bool) -> bool {
    let (mut inside, mut begins) = (false, true);
    for &byte in row {
        if inside {
            // A doubled quote closes and opens again.
            if byte == quote {
                inside = false;
                begins = true;
            }
        } else if byte == quote && begins {
            inside = true;
        } else {
            begins = byte == delimiter || matches!(byte, b'\r' | b'\n') || (begins && trim && byte == b' ');
        }
    }
    !inside
}
