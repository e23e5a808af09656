//! Which configuration is in effect, where that is not plain to see.

use std::path::Path;

use crate::config::{FILE_NAME, Loaded};

/// What to tell who works in the folder `current` when the settings come from elsewhere: from a file in another folder,
/// or from nowhere. Nothing where the file lies in `current`.
pub fn note(loaded: &Loaded, current: &Path) -> Option<String> {
    match &loaded.file {
        Some(file) if file.parent() == Some(current) => None,
        Some(file) => Some(format!("the configuration file is {}", file.display())),
        None => {
            // Without a settings folder relative paths start here.
            let elsewhere =
                if loaded.folder == current { String::new() } else { format!(" or in {}", loaded.folder.display()) };
            Some(format!(
                "there is no {FILE_NAME} here{elsewhere}: the defaults are used, with the data in {}; `buddy-host init` \
                 writes one here",
                loaded.config.storage.path.display()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::fs;

    use super::*;
    use crate::config::{Environment, Overrides, load};

    #[test]
    fn settings_from_elsewhere_are_told_and_those_of_the_folder_are_not() {
        let above = tempfile::tempdir().unwrap();
        let (here, home) = (above.path().join("work"), above.path().join("settings/buddy"));
        for folder in [&here, &home] {
            fs::create_dir_all(folder).unwrap();
        }
        let mut environment = Environment { current_dir: here.clone(), ..Environment::default() };
        let told = |environment: &Environment| {
            let loaded = load(environment, &Overrides::default()).unwrap();
            note(&loaded, &here).map(|note| note.replace(above.path().to_str().unwrap(), "ABOVE").replace('\\', "/"))
        };
        let mut notes = vec![told(&environment)];
        environment.config_dir = Some(above.path().join("settings"));
        notes.push(told(&environment));
        fs::write(home.join(FILE_NAME), "").unwrap();
        notes.push(told(&environment));
        fs::write(here.join(FILE_NAME), "").unwrap();
        notes.push(told(&environment));
        insta::assert_debug_snapshot!(notes);
    }
}
