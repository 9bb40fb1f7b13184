//! What names in commands and policies may look like, and what somebody probably meant by a wrong one.

/// What a value has to be like; the error is the rule, to stand behind "X cannot be Y: ".
pub(super) type Rule = fn(&str) -> Result<(), String>;

/// Names of agents, runners and profiles: letters, digits, `.`, `_`, `-`, at most 64, beginning with a letter or digit.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let valid = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if valid {
        Ok(())
    } else {
        Err("a name is up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first".to_owned())
    }
}

/// Names of models, which providers write as paths, with versions and with sizes in brackets.
pub(super) fn check_model(name: &str) -> Result<(), String> {
    let valid = name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/@[]".contains(&b));
    if valid {
        Ok(())
    } else {
        Err("a model is up to 128 letters, digits and `._-:/@[]`, a letter or digit first".to_owned())
    }
}

/// Branch names by the rules of `git check-ref-format --branch`, without any blank or control character of Unicode.
pub(super) fn check_branch(name: &str) -> Result<(), String> {
    let wrong = if name.is_empty() || name.len() > 244 {
        "is empty or longer than 244 bytes"
    } else if name == "@" || name.contains("@{") {
        "is `@` or contains `@{`"
    } else if name.starts_with('-') {
        "begins with `-`"
    } else if name.contains("..") || name.ends_with('.') {
        "contains `..` or ends with `.`"
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        "has a part that is empty, begins with `.` or ends with `.lock`"
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c)) {
        "contains a blank, a control character or one of `~^:?*[\\`"
    } else {
        return Ok(());
    };
    Err(format!("git allows no branch that {wrong}"))
}

/// The candidate that a word was probably meant to be: at most two slips away, and fewer than half of its letters.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= 2 && slips * 2 < candidate.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["codex", "build-1", "a.b_c", "0"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-x", ".x", "a b", "a/b", "ä", "$(id)", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in ["gpt-5.1-codex", "openai/gpt-5", "us.anthropic.claude-v1:0", "sonnet[1m]"] {
            assert_eq!(check_model(good), Ok(()), "{good}");
        }
        for bad in ["", "-m", "--yolo", "a b", "a;b", "`id`"] {
            assert!(check_model(bad).is_err(), "{bad}");
        }
    }

    // T22
    #[test]
    fn branches_obey_gits_rules() {
        for good in ["main", "feature/x", "v1.2", "a@b", "ümlaut", "feat/$(id)", "refs/heads/x"] {
            assert_eq!(check_branch(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "@",
            "-x",
            "a..b",
            "a.",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a@{b",
            "a b",
            "a~b",
            "a^b",
            "a:b",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a\u{7f}b",
            "a\nb",
            "a\u{3000}b",
        ] {
            assert!(check_branch(bad).is_err(), "{bad:?}");
        }
        assert!(check_branch(&"x".repeat(245)).is_err());
    }

    #[test]
    fn slips_are_forgiven_and_other_words_are_not() {
        let verbs = ["dispatch", "cancel", "why"];
        for (word, meant) in [
            ("dispach", Some("dispatch")),
            ("Cancle", Some("cancel")),
            ("way", Some("why")),
            ("review", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, verbs), meant, "{word}");
        }
    }
}
