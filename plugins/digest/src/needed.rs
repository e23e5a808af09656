//! Which fields of a record the steps can possibly look at, so that the readers pass over the others.
//!
//! Only where the answer is sure: up to the first step that makes new rows of named fields (`select`, `group_by`). A
//! step before it that looks at whole rows (a `dedupe` without a key, a `join`, which checks for fields that clash)
//! needs all of them, and so does a pipeline that ends without such a step.

use crate::input::{Condition, Input};
use crate::path::Path;
use crate::value::{Key, intern};

/// The names of the needed fields; `None`: all.
pub(crate) fn needed(input: &Input) -> Option<Vec<Key>> {
    let mut names = Names::default();
    for step in &input.steps {
        if let Some(condition) = &step.filter {
            names.condition(condition);
        } else if let Some(dedupe) = &step.dedupe {
            dedupe.by.as_ref()?.iter().for_each(|field| names.field(field));
        } else if let Some(keys) = &step.sort {
            for key in keys {
                names.field(&key.0.field);
            }
        } else if let Some(top) = &step.top_k {
            top.by.iter().for_each(|key| names.field(&key.0.field));
        } else if let Some(explode) = &step.explode {
            names.field(&explode.0.field);
        } else if let Some(columns) = &step.select {
            for column in columns {
                names.field(&column.0.field);
            }
            return Some(names.list);
        } else if let Some(group) = &step.group_by {
            for column in &group.by {
                names.field(&column.0.field);
            }
            group
                .aggregates
                .iter()
                .filter_map(|aggregate| aggregate.field.as_ref())
                .for_each(|field| names.field(field));
            return Some(names.list);
        } else if step.limit.is_none() {
            return None;
        }
    }
    None
}

#[derive(Default)]
struct Names {
    list: Vec<Key>,
}

impl Names {
    /// A path looks for its first part, and for a field that is called like the whole.
    fn field(&mut self, text: &str) {
        let Ok(path) = Path::parse(text) else {
            return; // refused elsewhere, with its place
        };
        let first = path.parts().first().map(|part| Key::clone(&part.key));
        for name in first.into_iter().chain([intern(path.text())]) {
            if !self.list.contains(&name) {
                self.list.push(name);
            }
        }
    }

    fn condition(&mut self, condition: &Condition) {
        condition.field.iter().for_each(|field| self.field(field));
        let lists = [&condition.and, &condition.or];
        lists.into_iter().flatten().flatten().for_each(|inner| self.condition(inner));
        condition.not.iter().for_each(|inner| self.condition(inner));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn names(steps: &serde_json::Value) -> Option<Vec<String>> {
        let text = json!({ "from": { "records": [] }, "steps": steps }).to_string();
        let list = needed(&serde_json::from_str(&text).unwrap())?;
        Some(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_fields_up_to_the_first_new_rows_are_needed() {
        let filter = json!({ "filter": { "or": [{ "field": "a.b", "op": "exists" }, { "not": { "field": "/c/d", "op": "exists" } }] } });
        let steps = json!([
            filter, { "sort": ["s"] }, { "limit": 3 }, { "explode": "e" }, { "dedupe": { "by": ["k"] } },
            { "top_k": { "k": 1, "by": ["t"] } },
            { "group_by": { "by": ["g"], "aggregates": [{ "op": "sum", "field": "n" }] } }, { "sort": ["later"] },
        ]);
        let expected = ["a", "a.b", "c", "/c/d", "s", "e", "k", "t", "g", "n"];
        assert_eq!(names(&steps).unwrap(), expected);
    }

    #[test]
    fn all_are_needed_where_whole_rows_are_looked_at() {
        let select = json!({ "select": ["a"] });
        assert_eq!(names(&json!([{ "dedupe": {} }, select])), None);
        assert_eq!(names(&json!([{ "join": { "with": { "records": [] }, "on": ["a"] } }, select])), None);
        assert_eq!(names(&json!([{ "limit": 1 }])), None);
        assert_eq!(names(&json!([])), None);
        assert_eq!(names(&json!([select])).unwrap(), ["a"]);
        assert_eq!(names(&json!([{ "group_by": {} }])).unwrap().len(), 0);
    }
}
