//! What an owner lets an agent do (`agent.capabilities`), and what a plugin needs for it.
//!
//! | agent capability | a plugin needs it when it asks for |
//! | --- | --- |
//! | `web_navigation` | `browser` |
//! | `file_operations` | `files` |
//! | `local_storage` | `store` or `artifacts` |
//! | `data_processing` | nothing of the browser: it works on data alone |

/// All names that `agent.capabilities` can hold.
pub const ALL: [&str; 4] = ["web_navigation", "data_processing", "file_operations", "local_storage"];

/// What a plugin that asks for these host capabilities needs its agent to be allowed.
pub fn needed<'a>(asked: impl IntoIterator<Item = &'a str>) -> Vec<&'static str> {
    let (mut browser, mut files, mut local) = (false, false, false);
    for name in asked {
        match name {
            "browser" => browser = true,
            "files" => files = true,
            "store" | "artifacts" => local = true,
            _ => {}
        }
    }
    let mut needed = vec![if browser { "web_navigation" } else { "data_processing" }];
    if files {
        needed.push("file_operations");
    }
    if local {
        needed.push("local_storage");
    }
    needed
}

/// The first needed capability that the owner did not allow. `*` allows everything; a task type's own name allows that
/// task type whatever it needs.
pub fn missing<'a>(
    task_type: &str,
    asked: impl IntoIterator<Item = &'a str>,
    allowed: &[String],
) -> Option<&'static str> {
    if allowed.iter().any(|have| have == "*" || have == task_type) {
        return None;
    }
    needed(asked).into_iter().find(|need| !allowed.iter().any(|have| have == need))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_asks_for_decides_what_its_agent_must_be_allowed() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["browser", "http"], &["web_navigation"]),
            (&["http"], &["data_processing"]),
            (&[], &["data_processing"]),
            (&["artifacts", "files"], &["data_processing", "file_operations", "local_storage"]),
            (&["browser", "store"], &["web_navigation", "local_storage"]),
        ];
        for (asked, expected) in cases {
            assert_eq!(needed(asked.iter().copied()), expected, "{asked:?}");
        }
    }

    #[test]
    fn an_agent_that_is_not_allowed_to_browse_lacks_web_navigation() {
        let allowed = vec!["data_processing".to_owned()];
        assert_eq!(missing("web_navigate", ["browser"], &allowed), Some("web_navigation"));
        assert_eq!(missing("api_call", ["http"], &allowed), None);
        for everything in ["*", "web_navigate"] {
            assert_eq!(missing("web_navigate", ["browser", "files"], &[everything.to_owned()]), None);
        }
    }
}
