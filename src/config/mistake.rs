//! What is wrong with the configuration, said so that it can be put right without reading code.

use std::fmt;

/// One mistake: which setting, what is wrong with it, and how to set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting as its writer knows it: `GITHUB_APP_ID`, `track.toml line 3: limits.runs`.
    pub setting: String,
    /// What is wrong, as a predicate of the setting. Never contains a secret's value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Mistake {
    /// A mistake in `setting`.
    pub fn new(setting: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}\n    -> {}", self.setting, self.problem, self.remedy)
    }
}

/// All mistakes of a configuration, told at once. The command line exits with 2 on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// `Ok(value)` where nothing is wrong.
    pub fn none_or<T>(found: Vec<Mistake>, value: T) -> Result<T, Self> {
        if found.is_empty() { Ok(value) } else { Err(Self(found)) }
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "one mistake in the configuration:")?,
            n => writeln!(f, "{n} mistakes in the configuration:")?,
        }
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
