//! The grammar of one command: `/track`, a verb, options, then free text.

use super::{COMMANDS, Command, Mistake, OptionSpec, Spec};
use crate::trigger::names::nearest;

/// Options by their names in the table, with their values.
type Options = Vec<(&'static str, String)>;

/// What was written after a verb.
pub(super) struct Given {
    options: Options,
    /// The free text, raw Markdown.
    pub text: String,
}

impl Given {
    /// The value of an option that takes one.
    pub fn value(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(given, _)| *given == name)?;
        Some(self.options.swap_remove(at).1)
    }

    /// Whether an option without a value is there.
    pub fn flag(&mut self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// Reads the command that `source` begins with; `source` ends where the next one begins.
pub(super) fn parse(source: &str) -> Result<Command, Mistake> {
    let end = source.find(['\n', '\r']).unwrap_or(source.len());
    let (line, following) = source.split_at(end);
    let (_, rest) = word(line);
    let (verb, rest) = word(rest);
    let is_meant = |spec: &&Spec| {
        spec.verb.eq_ignore_ascii_case(verb) || spec.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(verb))
    };
    let spec = COMMANDS.iter().find(is_meant).ok_or_else(|| unknown_verb(verb))?;
    let (options, rest) = options(spec, rest)?;
    let text = if rest.is_empty() {
        following.trim_start_matches(['\n', '\r']).trim_end().to_owned()
    } else {
        format!("{rest}{following}").trim_end().to_owned()
    };
    if text.is_empty() && spec.text.is_some_and(|text| text.needed) {
        return Err(spec.mistake(format!("`{}` needs a text that says what to do", spec.verb), None));
    }
    Ok((spec.build)(Given { options, text }))
}

/// Options up to the first word that is none. `--` ends them.
fn options<'a>(spec: &Spec, line: &'a str) -> Result<(Options, &'a str), Mistake> {
    let mut rest = line;
    let mut given = Options::new();
    loop {
        let (first, after) = word(rest);
        if first == "--" {
            return Ok((given, after));
        }
        let Some(option) = first.strip_prefix("--") else {
            refuse_other_dashes(spec, first)?;
            return Ok((given, rest));
        };
        let name = option.split('=').next().unwrap_or_default();
        let known = spec.options.iter().find(|known| known.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let meant = nearest(name, spec.options.iter().map(|known| known.name));
            spec.mistake(
                format!("`{}` has no option {}", spec.verb, quoted(&format!("--{name}"))),
                meant.map(|meant| format!("--{meant}")),
            )
        })?;
        if given.iter().any(|(before, _)| *before == known.name) {
            return Err(spec.mistake(format!("`--{}` is there twice", known.name), None));
        }
        // A value may be quoted and contain blanks, so it is read from the line and not from the word.
        let from_value = &rest[2 + name.len()..];
        let (value, after) = value(spec, known, from_value)?;
        given.push((known.name, value));
        rest = after;
    }
}

/// Reads what belongs to an option from just behind its name.
fn value<'a>(spec: &Spec, option: &OptionSpec, rest: &'a str) -> Result<(String, &'a str), Mistake> {
    let missing = || spec.mistake(format!("`--{}` needs a value", option.name), None);
    let assigned = rest.strip_prefix('=');
    let Some((_, check)) = option.value else {
        return match assigned {
            Some(_) => Err(spec.mistake(format!("`--{}` takes no value", option.name), None)),
            None => Ok((String::new(), blank_trimmed(rest))),
        };
    };
    let from = assigned.unwrap_or_else(|| blank_trimmed(rest));
    let (value, after) = match from.chars().next() {
        Some(quote @ ('"' | '\'')) => from[1..].split_once(quote).ok_or_else(|| {
            spec.mistake(format!("the value of `--{}` begins with {quote} and never ends", option.name), None)
        })?,
        _ => {
            let (value, after) = word(from);
            if assigned.is_none() && value.starts_with("--") {
                return Err(missing());
            }
            (value, after)
        }
    };
    if value.is_empty() {
        return Err(missing());
    }
    match check(value) {
        Ok(()) => Ok((value.to_owned(), blank_trimmed(after))),
        Err(rule) => {
            let value = plain(value).unwrap_or_else(|| "that".to_owned());
            Err(spec.mistake(format!("{value} is no value for `--{}`: {rule}", option.name), None))
        }
    }
}

/// Phones and word processors make one long dash of two short ones, and habit makes one short dash.
fn refuse_other_dashes(spec: &Spec, first: &str) -> Result<(), Mistake> {
    let Some(option) = first.strip_prefix(['-', '\u{2013}', '\u{2014}']) else { return Ok(()) };
    let name = option.split('=').next().unwrap_or_default();
    match spec.options.iter().find(|known| known.name.eq_ignore_ascii_case(name)) {
        Some(known) => {
            Err(spec.mistake("options begin with two plain dashes".to_owned(), Some(format!("--{}", known.name))))
        }
        None => Ok(()),
    }
}

fn unknown_verb(verb: &str) -> Mistake {
    let all: Vec<_> = COMMANDS.iter().map(|spec| format!("`/track {}`", spec.verb)).collect();
    let what = match verb {
        "" => "`/track` alone says nothing to do".to_owned(),
        _ => format!("there is no command {}", quoted(verb)),
    };
    let meant = nearest(verb, COMMANDS.iter().map(|spec| spec.verb)).or_else(|| {
        let akin = |spec: &&Spec| spec.akin.iter().any(|akin| akin.eq_ignore_ascii_case(verb));
        COMMANDS.iter().find(akin).map(|spec| spec.verb)
    });
    Mistake { what, nearest: meant.map(|meant| format!("/track {meant}")), usage: all.join(", ") }
}

/// The first word of a line and what follows it, without the blanks between.
fn word(line: &str) -> (&str, &str) {
    let line = blank_trimmed(line);
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    (&line[..end], blank_trimmed(&line[end..]))
}

fn blank_trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Somebody's word as a reply may repeat it.
fn quoted(word: &str) -> String {
    plain(word).unwrap_or_else(|| "like that".to_owned())
}

/// A word as code, if it is plain and short; others are not repeated at all.
fn plain(word: &str) -> Option<String> {
    let plain = !word.is_empty()
        && word.len() <= 60
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/=:".contains(&b));
    plain.then(|| format!("`{word}`"))
}
