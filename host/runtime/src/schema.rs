//! JSON Schemas of plugins: draft 2020-12, complete in themselves.
//!
//! A schema is a hostile input like everything of a plugin's: it cannot make the host fetch anything, its patterns run in
//! linear time, and its references cannot run in a circle.

mod explain;

use crate::text::shorten;
use crate::wit::types::Invalid;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use std::collections::HashMap;

/// A compiled schema.
pub struct Schema {
    text: String,
    validator: Validator,
}

/// Bytes of what the validator says of a schema.
const MAX_MESSAGE: usize = 300;

/// Compiled size of one pattern, in bytes; regex-automata's own default is 10 MiB.
const MAX_PATTERN: usize = 1 << 20;

impl Schema {
    /// Compiles `text`.
    ///
    /// # Errors
    /// Half a sentence.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({error})"))?;
        check_references(&value)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN))
            // `artifact-id` and `task-result` are formats of the host's own; they are checked where they are resolved.
            .should_validate_formats(false)
            .build(&value)
            .map_err(|error| shorten(&error.to_string().replace('\n', " "), MAX_MESSAGE))?;
        Ok(Self { text: text.to_owned(), validator })
    }

    /// The schema itself, as JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks a JSON text.
    ///
    /// # Errors
    /// What is wrong with it, each fault with the JSON Pointer to its place, and as half a sentence. Never empty.
    pub fn check(&self, text: &str) -> Result<(), Vec<Invalid>> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| vec![Invalid { path: String::new(), message: format!("this is not JSON: {error}") }])?;
        // Cheaper than collecting faults that are not there.
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        // Only a wrong input pays for having the schema at hand as a tree.
        let schema: Value = serde_json::from_str(&self.text).unwrap_or_default();
        Err(explain::faults(&schema, self.validator.iter_errors(&value)))
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// References and branches that may apply to one place of an instance. Schemas that people write stay below 30; each is
/// a stack frame of the validator at least.
const MAX_BRANCHES: u32 = 500;

/// Keywords whose subschemas apply to the same place of the instance as they themselves.
const SAME_PLACE: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];

/// Keywords that name a schema in a way that [`Places`] does not follow.
const INDIRECT: [&str; 5] = ["$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// For every schema object, by its JSON Pointer, what it applies to the same place of the instance. References inside
/// `properties`, `items` and the like descend into the instance, which is finite, and so are fine.
#[derive(Default)]
struct Places(HashMap<String, Vec<String>>);

/// Refuses a schema whose references would make a validator run for ever or deeper than its stack: a circle of
/// references at one place of the instance, or branches that multiply.
fn check_references(schema: &Value) -> Result<(), String> {
    let mut places = Places::default();
    places.collect(schema, String::new())?;
    let mut costs = HashMap::new();
    for place in places.0.keys() {
        places.cost(place, &mut costs)?;
    }
    Ok(())
}

impl Places {
    fn collect(&mut self, node: &Value, place: String) -> Result<(), String> {
        match node {
            Value::Object(map) => {
                let mut here = Vec::new();
                for (key, value) in map {
                    let below = format!("{place}/{}", escape(key));
                    match (key.as_str(), value) {
                        ("$ref", Value::String(target)) => here.push(inside(target)?.to_owned()),
                        ("$id", Value::String(_)) if !place.is_empty() => {
                            return Err(format!(
                                "`$id` stands at {:?}: only the outermost schema may have one",
                                shorten(&place, 100)
                            ));
                        }
                        (key, Value::String(_)) if INDIRECT.contains(&key) => {
                            return Err(format!(
                                "it uses `{key}`: use `$ref` with a JSON Pointer (`#/$defs/…`) instead"
                            ));
                        }
                        (key, Value::Array(all)) if SAME_PLACE.contains(&key) => {
                            here.extend((0..all.len()).map(|n| format!("{below}/{n}")));
                        }
                        ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                            here.extend(all.keys().map(|key| format!("{below}/{}", escape(key))));
                        }
                        (key, _) if SAME_PLACE.contains(&key) => here.push(below.clone()),
                        _ => {}
                    }
                    self.collect(value, below)?;
                }
                self.0.insert(place, here);
            }
            Value::Array(all) => {
                for (n, value) in all.iter().enumerate() {
                    self.collect(value, format!("{place}/{n}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How many schemas are applied in all where `place` is.
    fn cost(&self, place: &str, costs: &mut HashMap<String, Option<u32>>) -> Result<u32, String> {
        match costs.get(place) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(format!("its references run in a circle through {:?}", shorten(place, 100))),
            None => {}
        }
        costs.insert(place.to_owned(), None); // on the present path
        let mut cost = 1_u32;
        for target in self.0.get(place).into_iter().flatten() {
            cost = cost.saturating_add(self.cost(target, costs)?);
        }
        if cost > MAX_BRANCHES {
            return Err(format!(
                "more than {MAX_BRANCHES} references and branches apply at {:?} at once",
                shorten(place, 100)
            ));
        }
        costs.insert(place.to_owned(), Some(cost));
        Ok(cost)
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The JSON Pointer of a reference inside of the schema.
fn inside(target: &str) -> Result<&str, String> {
    match target.strip_prefix('#') {
        // An encoded pointer could hide a circle.
        Some(pointer) if (pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%') => Ok(pointer),
        _ => Err(format!(
            "its reference {:?} is none of `#` and `#/…`: a schema must be complete in itself",
            shorten(target, 100)
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fmt::Write;

    #[test]
    fn a_recursive_schema_that_descends_is_fine() {
        let tree = r##"{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}}}"##;
        let schema = Schema::compile(tree).unwrap();
        assert!(schema.check(r#"{"children":[{"children":[]}]}"#).is_ok());
        let faults = schema.check(r#"{"children":[{"children":7}]}"#).unwrap_err();
        assert_eq!(faults[0].path, "/children/0/children");
    }

    #[test]
    fn references_in_a_circle_are_refused_and_never_followed() {
        for schema in [
            r##"{"$ref":"#"}"##,
            r##"{"allOf":[{"$ref":"#"}]}"##,
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}}}"##,
            r##"{"$defs":{"a/b~":{"not":{"$ref":"#/$defs/a~1b~0"}}}}"##,
            r##"{"if":{"$ref":"#/then"},"then":{"else":{"$ref":"#/if"}}}"##,
            r##"{"dependentSchemas":{"x":{"$ref":"#"}}}"##,
        ] {
            let error = Schema::compile(schema).unwrap_err();
            assert!(error.contains("circle"), "{schema}: {error}");
        }
    }

    #[test]
    fn ways_around_that_are_refused() {
        for schema in [
            r##"{"$ref":"#/%24defs/a","$defs":{"a":{"$ref":"#/%24defs/a"}}}"##,
            r#"{"$id":"http://h/a","$ref":"http://h/a"}"#,
            r##"{"$defs":{"a":{"$id":"http://h/a","$ref":"#"}}}"##,
            r##"{"$anchor":"a","$ref":"#a"}"##,
            r##"{"$dynamicRef":"#"}"##,
        ] {
            assert!(Schema::compile(schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn branches_that_multiply_are_refused() {
        let mut defs = String::from(r#""d0":{"type":"null"}"#);
        for n in 1..40 {
            let below = n - 1;
            let twice = format!(r##"{{"$ref":"#/$defs/d{below}"}},{{"$ref":"#/$defs/d{below}"}}"##);
            write!(defs, r#","d{n}":{{"allOf":[{twice}]}}"#).unwrap();
        }
        let error = Schema::compile(&format!(r#"{{"$defs":{{{defs}}}}}"#)).unwrap_err();
        assert!(error.contains("at once"), "{error}");
    }

    #[test]
    fn faults_name_their_place_and_are_few() {
        let schema = Schema::compile(r#"{"type":"array","items":{"type":"string"}}"#).unwrap();
        let faults = schema.check(&serde_json::json!(vec![1; 100]).to_string()).unwrap_err();
        assert_eq!(faults.len(), explain::MAX_FAULTS);
        assert_eq!((faults[0].path.as_str(), faults[0].message.as_str()), ("/0", "must be a string, not 1"));
        assert_eq!(schema.check("[1,").unwrap_err()[0].path, "");
    }

    #[test]
    fn a_pattern_that_backtracks_for_ever_elsewhere_runs_in_linear_time() {
        let schema = Schema::compile(r#"{"pattern":"^(a+)+$"}"#).unwrap();
        assert!(schema.check(&format!("\"{}!\"", "a".repeat(10_000))).is_err());
    }

    #[test]
    fn input_nested_deeper_than_any_sane_one_is_refused() {
        let schema = Schema::compile("{}").unwrap();
        assert!(schema.check(&"[".repeat(100_000)).is_err());
    }
}
