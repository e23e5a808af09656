//! From an input to a result: check everything, read the other sides of joins, then let the records run through.

use crate::error::{Fault, Problems};
use crate::host::Host;
use crate::input::{Input, Step};
use crate::needed::needed;
use crate::ops::dedupe::Dedupe;
use crate::ops::explode::Explode;
use crate::ops::filter::Filter;
use crate::ops::group_by::GroupBy;
use crate::ops::join::Join;
use crate::ops::limit::Limit;
use crate::ops::select::Select;
use crate::ops::sort::Sort;
use crate::ops::top_k::TopK;
use crate::ops::{Budget, Next, Shared, Stage};
use crate::output::{Output, Sink, columns_of};
use crate::sources::{Notes, Reading};
use crate::value::{Key, Value};

/// More steps than anyone writes by hand; each costs a call for every row.
const MOST_STEPS: usize = 64;
/// What `max_rows` may be raised to: a table of this size is still looked at, above it a file is wanted.
pub(crate) const MOST_ROWS: u32 = 10_000;

/// An input, checked, ready to run.
pub(crate) struct Plan {
    from: Reading,
    steps: Vec<Ready>,
    max_rows: u32,
    /// The fields of `from` that the steps can look at; `None`: all.
    needed: Option<Vec<Key>>,
    /// The columns of the result, where the steps alone say them.
    columns: Option<Vec<Key>>,
}

enum Ready {
    Alone(Box<dyn Stage>),
    /// A join, and how to read its other side.
    Join(Box<Join>, Reading),
}

impl Plan {
    /// Checks an input; the fault tells everything that is wrong with it, each with its place.
    pub(crate) fn new(input: &Input) -> Result<Self, Fault> {
        let mut problems = Problems::default();
        let from = Reading::new(&input.from, "/from", &mut problems);
        if input.steps.len() > MOST_STEPS {
            problems.add("/steps", format!("There are {} steps; at most {MOST_STEPS} are taken.", input.steps.len()));
        }
        if input.max_rows == 0 || input.max_rows > MOST_ROWS {
            problems.add("/max_rows", format!("`max_rows` is between 1 and {MOST_ROWS}."));
        }
        let mut columns = None;
        let mut steps = Vec::new();
        for (n, step) in input.steps.iter().take(MOST_STEPS).enumerate() {
            steps.extend(ready(step, &format!("/steps/{n}"), &mut columns, &mut problems));
        }
        let from = problems.into_result(from)?;
        // A source that is refused has left its reason among the problems.
        let from = from.ok_or_else(|| Fault::invalid("/from", "The source cannot be used."))?;
        Ok(Self { from, steps, max_rows: input.max_rows, needed: needed(input), columns })
    }

    /// Runs the plan of `input` to its end.
    pub(crate) async fn run<H: Host>(self, mut input: Input, host: &H) -> Result<Output, Fault> {
        let mut notes = Notes::default();
        let mut budget = Budget::default();
        let mut stages: Vec<Box<dyn Stage>> = Vec::with_capacity(self.steps.len());
        for (step, given) in self.steps.into_iter().zip(&mut input.steps) {
            stages.push(match step {
                Ready::Alone(stage) => stage,
                Ready::Join(mut join, reading) => {
                    if let Some(given) = &mut given.join {
                        let mut emit = |record| join.add(record, &mut budget).map(|()| crate::ops::Flow::More);
                        reading.feed(&mut given.with, host, &mut notes, None, &mut emit).await?;
                    }
                    join
                }
            });
        }
        let mut shared =
            Shared { sink: Sink::new(self.max_rows), warnings: crate::output::Warnings::default(), budget };
        let mut first = Next { rest: &mut stages, shared: &mut shared };
        let input_rows = self
            .from
            .feed(&mut input.from, host, &mut notes, self.needed.as_deref(), &mut |record| first.push(record))
            .await?;
        for n in 0..stages.len() {
            let (done, rest) = stages.split_at_mut(n + 1);
            done[n].finish(&mut Next { rest, shared: &mut shared })?;
        }
        let rows = shared.sink.into_rows();
        let columns = self.columns.unwrap_or_else(|| columns_of(&rows));
        let mut warnings = notes.warnings.into_list();
        warnings.extend(shared.warnings.into_list());
        Ok(Output {
            columns: columns.iter().map(ToString::to_string).collect(),
            row_count: rows.len() as u64,
            rows,
            input_rows,
            skipped: notes.skipped,
            warnings,
        })
    }
}

/// Checks one step; follows what is known of the columns.
fn ready(step: &Step, at: &str, columns: &mut Option<Vec<Key>>, problems: &mut Problems) -> Option<Ready> {
    let given = [
        step.filter.is_some(),
        step.dedupe.is_some(),
        step.group_by.is_some(),
        step.top_k.is_some(),
        step.sort.is_some(),
        step.select.is_some(),
        step.explode.is_some(),
        step.limit.is_some(),
        step.join.is_some(),
    ];
    if given.iter().filter(|&&is| is).count() != 1 {
        problems.add(
            at,
            "A step has exactly one of `filter`, `dedupe`, `group_by`, `top_k`, `sort`, `select`, `explode`, `limit`, \
             `join`; write two steps for two of them.",
        );
        return None;
    }
    let stage: Box<dyn Stage> = if let Some(step) = &step.filter {
        Box::new(Filter::new(step, &format!("{at}/filter"), problems)?)
    } else if let Some(step) = &step.dedupe {
        Box::new(Dedupe::new(step, &format!("{at}/dedupe"), problems)?)
    } else if let Some(step) = &step.group_by {
        let stage = GroupBy::new(step, &format!("{at}/group_by"), problems)?;
        *columns = Some(stage.columns());
        Box::new(stage)
    } else if let Some(step) = &step.top_k {
        Box::new(TopK::new(step, &format!("{at}/top_k"), problems)?)
    } else if let Some(keys) = &step.sort {
        Box::new(Sort::new(keys, &format!("{at}/sort"), problems)?)
    } else if let Some(fields) = &step.select {
        let stage = Select::new(fields, &format!("{at}/select"), problems)?;
        *columns = Some(stage.columns());
        Box::new(stage)
    } else if let Some(step) = &step.explode {
        *columns = None;
        Box::new(Explode::new(&step.0, &format!("{at}/explode"), problems)?)
    } else if let Some(rows) = step.limit {
        Box::new(Limit::new(rows))
    } else if let Some(step) = &step.join {
        *columns = None;
        let at = format!("{at}/join");
        let reading = Reading::new(&step.with, &format!("{at}/with"), problems);
        let join = Join::new(step, &at, problems);
        return Some(Ready::Join(Box::new(join?), reading?));
    } else {
        return None;
    };
    Some(Ready::Alone(stage))
}

/// Bytes of text or JSON that are surely read and worked through in a second, on a slow machine and in the sandbox.
const BYTES_PER_SECOND: u64 = 20_000_000;

/// Checks an input; the bytes that stand in it, and the seconds they will take. What it refers to is not counted.
pub fn estimate(input: &Input) -> Result<(u64, u32), Fault> {
    Plan::new(input)?;
    let bytes = inline_bytes(input);
    let seconds = u32::try_from(bytes / BYTES_PER_SECOND).unwrap_or(u32::MAX).saturating_add(1);
    Ok((bytes, seconds))
}

/// Does what `input` asks for.
pub async fn digest<H: Host>(input: Input, host: &H) -> Result<Output, Fault> {
    Plan::new(&input)?.run(input, host).await
}

fn inline_bytes(input: &Input) -> u64 {
    let joins = input.steps.iter().filter_map(|step| step.join.as_ref()).map(|join| &join.with);
    std::iter::once(&input.from)
        .chain(joins)
        .map(|source| {
            let text = source.text.as_ref().map_or(0, |text| text.len() as u64);
            text + source.records.as_ref().map_or(0, |records| json_bytes(records))
        })
        .sum()
}

/// How long the records are as JSON.
fn json_bytes(records: &[Value]) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Values that came from JSON can be written as JSON, and counting cannot fail.
    let _ = serde_json::to_writer(&mut count, records);
    count.0
}
