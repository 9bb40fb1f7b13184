//! Reading a TOML file one key at a time: what is asked for is what is known, what is left over is a mistake, and each mistake has its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::env::line_of;
use super::mistake::Mistake;
use super::nearest::nearest;

/// Where the file is and what its relative paths and `~/` mean.
pub(super) struct Place<'a> {
    /// How messages call the file.
    pub name: String,
    /// Relative paths of keys and known_hosts files begin here: the folder of the file.
    pub folder: &'a Path,
    /// The home of the account that the bot runs under, where it is known.
    pub home: Option<PathBuf>,
}

impl Place<'_> {
    /// A path of the bot's own machine as written in the file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => self.folder.join(path),
        }
    }
}

/// One table of the file: what has not been read yet, and what has been asked for, which is what may be there.
pub(super) struct Table<'i> {
    pub values: DeTable<'i>,
    pub path: String,
    pub asked: Vec<&'static str>,
}

impl Table<'_> {
    /// The full name of a key: `limits.runs`.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Takes values out of tables and files what is wrong with them under its line.
pub(super) struct Reader<'a> {
    pub text: &'a str,
    pub place: &'a Place<'a>,
    /// Each with the place in the text where it was found.
    pub mistakes: Vec<(usize, Mistake)>,
}

impl<'a> Reader<'a> {
    /// What was found, from the top of the file to its end.
    pub fn in_order(mut self) -> impl Iterator<Item = Mistake> {
        self.mistakes.sort_by_key(|(at, _)| *at);
        self.mistakes.into_iter().map(|(_, mistake)| mistake)
    }

    /// The value of `key` and where it is; one of the wrong type is a mistake that shows `example`.
    pub fn take<T: Deserialize<'a>>(
        &mut self,
        table: &mut Table<'a>,
        key: &'static str,
        example: &str,
    ) -> Option<(Range<usize>, T)> {
        table.asked.push(key);
        let (name, value) = table.values.remove_entry(key)?;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some((name.span(), value)),
            Err(error) => {
                let (at, problem) =
                    (error.span().unwrap_or(name.span()), format!("is wrong: {}", in_words(error.message())));
                self.note(at, &table.name(key), problem, &format!("write it like this: {example}"));
                None
            }
        }
    }

    pub fn set<T: Deserialize<'a>>(&mut self, table: &mut Table<'a>, key: &'static str, example: &str, into: &mut T) {
        if let Some((_, value)) = self.take(table, key, example) {
            *into = value;
        }
    }

    pub fn set_some<T>(&mut self, table: &mut Table<'a>, key: &'static str, example: &str, into: &mut Option<T>)
    where
        T: Deserialize<'a>,
    {
        if let Some((_, value)) = self.take(table, key, example) {
            *into = Some(value);
        }
    }

    /// The table `[key]`.
    pub fn table(&mut self, parent: &mut Table<'a>, key: &'static str) -> Option<Table<'a>> {
        parent.asked.push(key);
        let (name, value) = parent.values.remove_entry(key)?;
        self.as_table(name.span(), value, key.to_owned())
    }

    /// The tables `[key.<name>]`, sorted by name.
    pub fn named_tables(
        &mut self,
        parent: &mut Table<'a>,
        key: &'static str,
    ) -> Vec<(Range<usize>, String, Table<'a>)> {
        let Some(tables) = self.table(parent, key) else { return Vec::new() };
        let sorted: BTreeMap<_, _> =
            tables.values.into_iter().map(|(k, v)| (k.get_ref().to_string(), (k.span(), v))).collect();
        sorted
            .into_iter()
            .filter_map(|(name, (at, value))| {
                let table = self.as_table(at.clone(), value, format!("{key}.{name}"))?;
                Some((at, name, table))
            })
            .collect()
    }

    /// The tables `[[key]]`, in order.
    pub fn tables(&mut self, parent: &mut Table<'a>, key: &'static str) -> Vec<(Range<usize>, Table<'a>)> {
        parent.asked.push(key);
        let Some((name, value)) = parent.values.remove_entry(key) else { return Vec::new() };
        match value.into_inner() {
            DeValue::Array(tables) => tables
                .into_iter()
                .filter_map(|value| {
                    let at = value.span();
                    Some((at.clone(), self.as_table(at, value, key.to_owned())?))
                })
                .collect(),
            _ => {
                self.note(
                    name.span(),
                    key,
                    "is not a list of tables".to_owned(),
                    &format!("begin each with [[{key}]]"),
                );
                Vec::new()
            }
        }
    }

    pub fn as_table(&mut self, at: Range<usize>, value: Spanned<DeValue<'a>>, path: String) -> Option<Table<'a>> {
        match value.into_inner() {
            DeValue::Table(values) => Some(Table { values, path, asked: Vec::new() }),
            _ => {
                self.note(at, &path, "is not a table".to_owned(), &format!("begin it with a line [{path}]"));
                None
            }
        }
    }

    /// Whatever nobody asked for, each with its line and the name that was probably meant.
    pub fn unknown_keys(&mut self, table: Table<'a>) {
        let mut left: Vec<_> = table.values.keys().map(|key| (key.span(), key.get_ref().to_string())).collect();
        left.sort_by_key(|(at, _)| at.start);
        for (at, key) in left {
            let remedy = match nearest(&key, table.asked.iter().copied()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known here: {}", table.asked.join(", ")),
            };
            self.note(at, &table.name(&key), "is no setting".to_owned(), &remedy);
        }
    }

    pub fn note(&mut self, at: Range<usize>, setting: &str, problem: String, remedy: &str) {
        self.keep(at, Mistake::new(setting, problem, remedy));
    }

    /// Files the mistake under its line.
    pub fn keep(&mut self, at: Range<usize>, mut mistake: Mistake) {
        let colon = if mistake.setting.is_empty() { "" } else { ": " };
        mistake.setting =
            format!("{} line {}{colon}{}", self.place.name, line_of(self.text, at.start), mistake.setting);
        self.mistakes.push((at.start, mistake));
    }
}

/// serde's words for numbers, as people say them.
fn in_words(message: &str) -> String {
    message.replace("u32", "a whole number").replace("u16", "a port number").replace("f64", "a number")
}
