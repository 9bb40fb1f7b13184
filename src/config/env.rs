//! Environment and `.env`, looked up in that order. What `.env` holds is never exported into the environment of our own process,
//! where agents of a local runner and everything else that we start would inherit it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::mistake::Mistake;

/// Where values of environment variables come from.
pub struct Sources<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
}

impl<'a> Sources<'a> {
    /// `env` first, then `.env` in `cwd` if there is one; whatever is wrong with that file is appended to `mistakes`.
    pub fn open(env: &'a dyn Fn(&str) -> Option<String>, cwd: &Path, mistakes: &mut Vec<Mistake>) -> Self {
        let file = match fs::read_to_string(cwd.join(".env")) {
            Ok(text) => parse(&text, mistakes),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                mistakes.push(Mistake::new(
                    ".env",
                    format!("cannot be read: {error}"),
                    "make it a UTF-8 text file that this account may read, or take it away",
                ));
                BTreeMap::new()
            }
        };
        Self { env, file }
    }

    /// The value as written, which may be empty.
    pub fn raw(&self, name: &str) -> Option<String> {
        (self.env)(name).or_else(|| self.file.get(name).cloned())
    }

    /// The value without blanks around it; an empty one counts as unset, as `NAME=` in a compose file means.
    pub fn get(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

fn parse(text: &str, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                // The first of two wins, as everywhere where .env files are read.
                values.entry(name).or_insert(value);
            }
            Err(error) => {
                // The error's own text would repeat the line, and with it a secret.
                let line = match &error {
                    dotenvy::Error::LineParse(line, _) => text.find(line.as_str()).map(|at| line_of(text, at)),
                    _ => None,
                };
                mistakes.push(Mistake::new(
                    line.map_or_else(|| ".env".to_owned(), |line| format!(".env line {line}")),
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
