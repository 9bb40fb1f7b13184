//! How agents are logged in on a machine, as the script tells it.

use base64::Engine as _;

use super::*;

// B79, T45: how an agent is logged in is told, and nothing of the login itself.
#[tokio::test]
async fn logins_are_seen_as_the_agent_sees_them() {
    const SECRET: &str = "sk-secret-canary";
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"iss":"x","exp":1900000000,"s":"??>"}"#);
    let auth = |key: &str, refresh: &str| {
        format!(
            "{{\n \"OPENAI_API_KEY\": {key},\n \"tokens\": {{\"id_token\":\"{SECRET}\", \"access_token\": \"{SECRET}.{claims}.x\", \"refresh_token\": \"{refresh}\"}}}}"
        )
    };
    let claude = |refresh: &str| {
        format!(
            "{{\"claudeAiOauth\":{{\"accessToken\":\"{SECRET}\",\"refreshToken\":\"{refresh}\",\"expiresAt\":1748658860401,\"scopes\":[]}}}}"
        )
    };
    let account = |until, renewal| Some(Login::Account { until: Some(until), renewal });
    let (codex_until, claude_until) = (1_900_000_000_000, 1_748_658_860_401);
    let key = format!("\"{SECRET}\"");
    for (file, text, bound, prelude, codex, claude) in [
        ("nothing", String::new(), "rw", "", Some(Login::None), Some(Login::None)),
        ("codex/auth.json", auth("null", SECRET), "rw", "", account(codex_until, Renewal::Renews), Some(Login::None)),
        ("codex/auth.json", auth("null", SECRET), "ro", "", account(codex_until, Renewal::Stuck), Some(Login::None)),
        ("codex/auth.json", auth("null", ""), "rw", "", account(codex_until, Renewal::Ends), Some(Login::None)),
        ("codex/auth.json", auth(&key, ""), "ro", "", Some(Login::Key), Some(Login::None)),
        ("codex/auth.json", "not JSON at all".to_owned(), "ro", "", Some(Login::None), Some(Login::None)),
        (
            "codex/config.toml",
            "a = 1\nmodel_provider = \"x\"".to_owned(),
            "ro",
            "",
            Some(Login::Provider),
            Some(Login::None),
        ),
        (
            "claude/.credentials.json",
            claude(SECRET),
            "rw",
            "",
            Some(Login::None),
            account(claude_until, Renewal::Renews),
        ),
        ("claude/.credentials.json", claude(""), "ro", "", Some(Login::None), account(claude_until, Renewal::Ends)),
        (
            "claude/settings.json",
            "{\"apiKeyHelper\": \"/x\"}".to_owned(),
            "ro",
            "",
            Some(Login::None),
            Some(Login::Provider),
        ),
        (
            "nothing",
            String::new(),
            "ro",
            "export ANTHROPIC_API_KEY=sk-secret-canary",
            Some(Login::None),
            Some(Login::Key),
        ),
    ] {
        let lab = Lab::with(Sandbox::Bubblewrap, |config| {
            let folder = Path::new(&config.root).with_file_name("logins");
            for part in ["codex", "claude", "bin"] {
                std::fs::create_dir_all(folder.join(part)).unwrap();
            }
            for agent in ["codex", "claude"] {
                let program = folder.join("bin").join(agent);
                std::fs::write(&program, "#!/bin/sh\necho 1.2.3\n").unwrap();
                std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            std::fs::write(folder.join(file), text).unwrap();
            let shown = folder.display().to_string();
            config.prelude = format!(
                "export PATH=\"{shown}/bin:$PATH\" CODEX_HOME={shown}/codex CLAUDE_CONFIG_DIR={shown}/claude; {prelude}"
            );
            let paths = if bound == "rw" { &mut config.read_write } else { &mut config.read_only };
            paths.push(shown);
        })
        .await;
        let probes = ["codex", "claude"].map(|name| AgentProbe { name: name.to_owned(), program: name.to_owned() });
        let seen = lab.machine.look(&probes, &mut |_| ()).await.unwrap();
        let logins: Vec<_> = seen.agents.iter().map(|agent| (agent.name.as_str(), agent.login)).collect();
        assert_eq!(logins, [("codex", codex), ("claude", claude)], "{file} {bound}: {seen:?}");
        assert!(!format!("{seen:?}").contains(SECRET), "{seen:?}");
    }
}
