//! Which paths an agent's work may change: pure rules over a list of changes.

use super::checks::Change;

/// What is refused unless the policy allows it: what runs with the repository's secrets, what decides who must approve, and what steers track
/// and the agents themselves. The agents' prose (CLAUDE.md, AGENTS.md) is not among it: it is text that people review like any other.
pub const REFUSED: &[&str] = &[
    ".github/workflows/**",
    "CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    ".github/track.yml",
    ".github/track.yaml",
    "**/.claude/settings*.json",
    "**/.claude/hooks/**",
    "**/.codex/**",
    "**/.mcp.json",
];

/// A repository's own rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// Patterns that may be changed although [`REFUSED`] names them.
    pub allowed: Vec<String>,
    /// Patterns that are refused as well; stronger than `allowed`.
    pub refused: Vec<String>,
}

/// A change that is not pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The path.
    pub path: String,
    /// The rule that it breaks, in words.
    pub rule: String,
}

/// The changes that the rules refuse.
pub fn refused_paths(changes: &[Change], policy: &PathPolicy) -> Vec<Refusal> {
    let any = |patterns: &[String], path: &str| patterns.iter().find(|pattern| matches(pattern, path)).cloned();
    let rule = |path: &str| {
        any(&policy.refused, path).or_else(|| {
            let default = REFUSED.iter().find(|pattern| matches(pattern, path))?;
            any(&policy.allowed, path).is_none().then(|| (*default).to_owned())
        })
    };
    changes
        .iter()
        .filter_map(|change| {
            Some(Refusal { path: change.path.clone(), rule: format!("{} may not be changed", rule(&change.path)?) })
        })
        .collect()
}

/// Whether a link at `path` leads out of the tree, into git's own folder, or nowhere that could be told.
pub fn leads_outside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return true;
    }
    let mut at: Vec<&str> = path.split('/').collect();
    at.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return true;
                }
            }
            part => at.push(part),
        }
    }
    at.iter().any(|part| part.eq_ignore_ascii_case(".git"))
}

/// Whether a path matches a pattern: `**` stands for any number of folders, `*` for any part of a name. ASCII case does not count,
/// because it does not on the file systems of some who check the branch out.
pub fn matches(pattern: &str, path: &str) -> bool {
    fn folders(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**"], rest) => !rest.is_empty(),
            (["**", pattern @ ..], path) => (0..=path.len()).any(|skipped| folders(pattern, &path[skipped..])),
            ([first, pattern @ ..], [name, path @ ..]) => {
                part(first.as_bytes(), name.as_bytes()) && folders(pattern, path)
            }
            _ => false,
        }
    }
    fn part(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', pattern @ ..], name) => (0..=name.len()).any(|skipped| part(pattern, &name[skipped..])),
            ([p, pattern @ ..], [n, name @ ..]) => p.eq_ignore_ascii_case(n) && part(pattern, name),
            _ => false,
        }
    }
    let pattern: Vec<_> = pattern.trim_start_matches('/').split('/').collect();
    let path: Vec<_> = path.split('/').collect();
    folders(&pattern, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str) -> Change {
        Change { path: path.to_owned(), status: 'M', mode: 0o100_644, blob: None }
    }

    #[test]
    fn what_runs_decides_or_steers_is_refused() {
        // T27, T32
        let policy = PathPolicy::default();
        for path in [
            ".github/workflows/ci.yml",
            ".github/workflows/sub/x.yml",
            ".GitHub/Workflows/ci.yml",
            "CODEOWNERS",
            "docs/CODEOWNERS",
            ".github/track.yml",
            ".claude/settings.json",
            "pkg/.claude/settings.local.json",
            ".claude/hooks/pre.sh",
            ".codex/config.toml",
            ".mcp.json",
        ] {
            assert_eq!(refused_paths(&[changed(path)], &policy).len(), 1, "{path}");
        }
        for path in [
            "src/main.rs",
            "CLAUDE.md",
            "AGENTS.md",
            ".github/dependabot.yml",
            "src/CODEOWNERS",
            ".claude/commands/x.md",
            "a/.github/workflows/x",
        ] {
            assert_eq!(refused_paths(&[changed(path)], &policy), [], "{path}");
        }
    }

    #[test]
    fn policy_allows_and_refuses_more() {
        let policy = PathPolicy {
            allowed: vec![".github/workflows/docs.yml".to_owned(), "infra/**".to_owned()],
            refused: vec!["infra/**".to_owned()],
        };
        let changes = ["infra/x.tf", ".github/workflows/docs.yml", ".github/workflows/ci.yml"].map(changed);
        let refused: Vec<_> = refused_paths(&changes, &policy).into_iter().map(|refusal| refusal.rule).collect();
        assert_eq!(refused, ["infra/** may not be changed", ".github/workflows/** may not be changed"]);
    }

    #[test]
    fn links_stay_in_the_tree() {
        // T35
        for (path, target, outside) in [
            ("a/b", "../c", false),
            ("a/b", "c/d", false),
            ("a/b", "../../c", true),
            ("a", "..", true),
            ("a", "/etc/passwd", true),
            ("a/b/c", "../../.git/config", true),
            ("a", ".GIT/hooks", true),
            ("a", "x/../../y", true),
            ("a", "", true),
        ] {
            assert_eq!(leads_outside(path, target), outside, "{path} -> {target}");
        }
    }
}
