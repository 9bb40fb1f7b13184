//! Environment, `.env` and `app.env`, looked up in that order. What the files hold is never exported into the environment of our own process,
//! where agents of a local runner and everything else that we start would inherit it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::app_env::SETTINGS_FILE;
use super::mistake::Mistake;

/// Where values of environment variables come from.
pub struct Sources<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
    /// What setting up stored, and in which folder.
    stored: BTreeMap<String, String>,
    home: PathBuf,
}

impl<'a> Sources<'a> {
    /// `env` first, then `.env` in `cwd` if there is one; whatever is wrong with that file is appended to `mistakes`.
    pub fn open(env: &'a dyn Fn(&str) -> Option<String>, cwd: &Path, mistakes: &mut Vec<Mistake>) -> Self {
        let file = read(&cwd.join(".env"), ".env", mistakes);
        Self { env, file, stored: BTreeMap::new(), home: PathBuf::new() }
    }

    /// Adds what setting up stored in `$TRACK_HOME`, where nothing else says it. Of another App than the one that is named elsewhere
    /// nothing is taken that belongs to the App.
    pub fn add_stored(&mut self, home: &Path, mistakes: &mut Vec<Mistake>) {
        let mut stored = read(&home.join(SETTINGS_FILE), &home.join(SETTINGS_FILE).to_string_lossy(), mistakes);
        if self.get("GITHUB_APP_ID").is_some_and(|id| stored.get("GITHUB_APP_ID") != Some(&id)) {
            stored.retain(|name, _| !name.starts_with("GITHUB_APP_") && name != "GITHUB_WEBHOOK_SECRET");
        }
        (self.stored, self.home) = (stored, home.to_owned());
    }

    /// The value as written, which may be empty.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.by_hand(name).or_else(|| self.stored.get(name).cloned())
    }

    fn by_hand(&self, name: &str) -> Option<String> {
        (self.env)(name).or_else(|| self.file.get(name).cloned())
    }

    /// Whether a value comes from `app.env`.
    fn is_stored(&self, name: &str) -> bool {
        self.by_hand(name).is_none() && self.stored.contains_key(name)
    }

    /// How messages call a setting: with the file, where nobody wrote it by hand.
    pub fn called(&self, name: &str) -> String {
        if self.is_stored(name) {
            format!("{name} in {}", self.home.join(SETTINGS_FILE).display())
        } else {
            name.to_owned()
        }
    }

    /// A path, which is relative to the folder of `app.env` if it stands there, and else as `resolve` says.
    pub fn path(&self, name: &str, resolve: &dyn Fn(&str) -> PathBuf) -> Option<PathBuf> {
        let path = self.get(name)?;
        Some(if self.is_stored(name) { self.home.join(path) } else { resolve(&path) })
    }

    /// The value without blanks around it; an empty one counts as unset, as `NAME=` in a compose file means.
    pub fn get(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

/// The values of a file; one that is not there has none.
fn read(path: &Path, name: &str, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, String> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, name, mistakes),
        Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            mistakes.push(Mistake::new(
                name,
                format!("cannot be read: {error}"),
                "make it a UTF-8 text file that this account may read, or take it away",
            ));
            BTreeMap::new()
        }
    }
}

fn parse(text: &str, name: &str, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((variable, value)) => {
                // The first of two wins, as everywhere where .env files are read.
                values.entry(variable).or_insert(value);
            }
            Err(error) => {
                // The error's own text would repeat the line, and with it a secret.
                let line = match &error {
                    dotenvy::Error::LineParse(line, _) => text.find(line.as_str()).map(|at| line_of(text, at)),
                    _ => None,
                };
                mistakes.push(Mistake::new(
                    line.map_or_else(|| name.to_owned(), |line| format!("{name} line {line}")),
                    "is not NAME=value",
                    "put a value with blanks, quotes or several lines into double quotes, with \\\" for a quote",
                ));
            }
        }
    }
    values
}

/// The line, from 1, in which the byte `at` is.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count()
}
