//! Imports point one way: a module names only modules that stand below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top down; modules of one row may know each other.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["demo"],
    &["app"],
    &["admin", "api", "cli", "fleet", "inbox", "run", "webhook"],
    &["report"],
    &["queue"],
    &["context"],
    &["agent", "doctor", "event", "git", "http", "logging", "runner", "trigger"],
    &["db", "github"],
    &["config"],
    &["markup", "model"],
];

/// Stands beside the rows: GitHub as it is on the wire must not be made of our own ideas of it.
const SIMULATOR: &str = "sim";

/// Decide and read, and touch nothing: no IO, no clock, no waiting.
const PURE: &[&str] = &["agent", "event", "markup", "model", "trigger"];

/// What a pure module would touch the world with.
const IO: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "reqwest",
    "octocrab",
    "openssh",
    "sqlx",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::io",
    "std::thread",
];

/// The only files of pure modules that may: the clock is where time comes from.
const TIME: &str = "src/model/clock.rs";

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        for imported in imports(&code(&file)) {
            if imported == module || allowed(&module, &imported) {
                continue;
            }
            wrong.push(format!("{}: {module} must not know {imported}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn decisions_and_words_do_no_io() {
    let mut wrong = Vec::new();
    for file in sources().into_iter().filter(|file| PURE.contains(&module_of(file).as_str())) {
        let code = code(&file);
        for io in IO.iter().filter(|io| names(&code, io)) {
            wrong.push(format!("{} uses {io}", file.display()));
        }
        if !file.ends_with(TIME) && ["SystemTime", "Instant::now", "Utc::now"].iter().any(|now| code.contains(now)) {
            wrong.push(format!("{} asks for the time", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_row() {
    for file in sources() {
        let module = module_of(&file);
        assert!(module == "lib" || module == SIMULATOR || row(&module).is_some(), "{module} stands in no row");
    }
}

fn allowed(module: &str, imported: &str) -> bool {
    match (row(module), row(imported)) {
        // The simulator may use the plainest words, and is used by those who stage something.
        _ if module == SIMULATOR => ["markup", "model"].contains(&imported),
        (Some(module), None) => imported == SIMULATOR && module <= 1,
        (Some(module), Some(imported)) => module <= imported,
        (None, _) => module == "lib",
    }
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The first names behind `crate::` and, in the program's own file, `track::`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "track::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(top_level(group)),
                None => found.push(first_name(rest)),
            }
        }
    }
    // Macros of our own are used by name and stand with the words.
    found.retain(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    found.sort();
    found.dedup();
    found
}

/// The names that stand directly in a group of imports.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(first_name(group[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(first_name(group[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Whether a path stands in the code as a name of its own.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') && code[at + path.len()..].starts_with("::")
    })
}

/// What a file says to the compiler outside its tests: without comments, and without `mod tests` at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The module at the top to which a file belongs.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Every source file that is no test.
fn sources() -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !is_test(&path) {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "the sources are not where they should be");
    files
}

fn is_test(path: &Path) -> bool {
    ["tests.rs", "testing.rs", "corpus.rs"].iter().any(|name| path.ends_with(name))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
