//! A runner as a form says it: text as it was typed, so that it comes back with what is wrong with it. Pure.

use serde::{Deserialize, Serialize};

use crate::config::{Jump, Mistake, Network, RunnerConfig, Sandbox, Transport};
use crate::fleet::RunnerChange;

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerForm {
    /// Its name.
    pub name: String,
    /// `ssh` or `local`.
    pub transport: String,
    /// Host name or address.
    pub host: String,
    /// Account there.
    pub user: String,
    /// Port of sshd; empty: 22.
    pub port: String,
    /// Machines on the way, with commas between.
    pub proxy_jump: String,
    /// The bot's folder there.
    pub root: String,
    /// Runs at once.
    pub slots: String,
    /// Its default agent; empty: the bot's.
    pub agent: String,
    /// Shell text before agents. Of a runner that is there it is never shown, because it may hold secrets.
    pub prelude: String,
    /// Set where the prelude of a runner that is there is to go.
    pub no_prelude: String,
    /// `bubblewrap` or `none`.
    pub sandbox: String,
    /// `open` or `none`.
    pub network: String,
    /// Paths, one a line.
    pub read_only: String,
    /// Paths, one a line.
    pub read_write: String,
    /// Host keys that were confirmed: those of the machines on the way in their order, then the runner's, one a line.
    pub keys: String,
    /// The host key that was shown for confirmation.
    pub offered: String,
    /// The fingerprint that the machine itself prints, where somebody copied it here.
    pub printed: String,
    /// Set by whoever goes back to the form.
    pub back: String,
}

impl RunnerForm {
    /// An empty form, with what a new runner is like unless something else is typed.
    pub fn new() -> Self {
        let mut form = Self::of(&RunnerConfig::named("", Transport::Ssh));
        form.port = String::new();
        form
    }

    /// A form that says what a runner is like; its prelude is left out.
    pub fn of(runner: &RunnerConfig) -> Self {
        Self {
            name: runner.name.clone(),
            transport: match runner.transport {
                Transport::Ssh => "ssh",
                Transport::Local => "local",
            }
            .to_owned(),
            host: runner.host.clone().unwrap_or_default(),
            user: runner.user.clone().unwrap_or_default(),
            port: runner.port.map(|port| port.to_string()).unwrap_or_default(),
            proxy_jump: runner.proxy_jump.join(", "),
            root: runner.root.clone(),
            slots: runner.slots.to_string(),
            agent: runner.agent.clone().unwrap_or_default(),
            sandbox: match runner.sandbox {
                Sandbox::Bubblewrap => "bubblewrap",
                Sandbox::None => "none",
            }
            .to_owned(),
            network: match runner.network {
                Network::Open => "open",
                Network::Relay => "relay",
                Network::None => "none",
            }
            .to_owned(),
            read_only: runner.read_only.join("\n"),
            read_write: runner.read_write.join("\n"),
            ..Self::default()
        }
    }

    /// The runner that is described, as far as text can be read; what else is wrong with it, the configuration's own rules say.
    pub fn runner(&self) -> Result<RunnerConfig, Vec<Mistake>> {
        let mut wrong = Vec::new();
        let transport = match self.transport.as_str() {
            "local" => Transport::Local,
            _ => Transport::Ssh,
        };
        let mut runner = RunnerConfig::named(self.name.trim(), transport);
        runner.slots = number(&self.slots, "slots", "set how many runs may go on at once there, 1 to 256", &mut wrong)
            .unwrap_or(runner.slots);
        runner.port = number(&self.port, "port", "set the port of sshd, or leave it empty for 22", &mut wrong);
        runner.host = text(&self.host);
        runner.user = text(&self.user);
        runner.agent = text(&self.agent);
        runner.prelude = shell(&self.prelude);
        runner.sandbox = self.sandbox(&mut wrong);
        runner.network = self.network(&mut wrong);
        runner.root = text(&self.root).unwrap_or(runner.root);
        runner.proxy_jump = list(&self.proxy_jump, &[',', '\n']);
        runner.read_only = list(&self.read_only, &['\n']);
        runner.read_write = list(&self.read_write, &['\n']);
        let mut keys = self.keys();
        runner.jump_host_keys = keys.drain(..keys.len().min(runner.proxy_jump.len())).collect();
        runner.host_key = keys.into_iter().next();
        if wrong.is_empty() { Ok(runner) } else { Err(wrong) }
    }

    /// What is to be changed of a runner that is there.
    pub fn change(&self, known: &RunnerConfig) -> Result<RunnerChange, Vec<Mistake>> {
        let typed = RunnerConfig { name: known.name.clone(), transport: known.transport, ..self.runner()? };
        let changed = |new: bool| new.then_some(());
        Ok(RunnerChange {
            host: changed(typed.host != known.host).and(typed.host.clone()),
            user: changed(typed.user != known.user).and(typed.user.clone()),
            port: changed(typed.port.unwrap_or(22) != known.port.unwrap_or(22)).map(|()| typed.port.unwrap_or(22)),
            proxy_jump: changed(typed.proxy_jump != known.proxy_jump).map(|()| typed.proxy_jump),
            host_key: typed.host_key,
            jump_host_keys: (!typed.jump_host_keys.is_empty()).then_some(typed.jump_host_keys),
            root: changed(typed.root != known.root).map(|()| typed.root),
            slots: changed(typed.slots != known.slots).map(|()| typed.slots),
            agent: changed(typed.agent != known.agent).map(|()| typed.agent.unwrap_or_default()),
            prelude: match (self.no_prelude.is_empty(), typed.prelude.is_empty()) {
                (false, _) => Some(String::new()),
                (true, false) => Some(typed.prelude),
                (true, true) => None,
            },
            sandbox: changed(typed.sandbox != known.sandbox).map(|()| typed.sandbox),
            network: changed(typed.network != known.network).map(|()| typed.network),
            read_only: changed(typed.read_only != known.read_only).map(|()| typed.read_only),
            read_write: changed(typed.read_write != known.read_write).map(|()| typed.read_write),
        })
    }

    /// The machine whose host key has to be confirmed next, with the machines on the way to it; `None`: every key is there.
    pub fn next_machine(&self, runner: &RunnerConfig) -> Option<RunnerConfig> {
        if runner.transport == Transport::Local {
            return None;
        }
        let confirmed = self.keys().len();
        let before = |hops: usize| RunnerConfig {
            proxy_jump: runner.proxy_jump.iter().take(hops).cloned().collect(),
            jump_host_keys: runner.jump_host_keys.iter().take(hops).cloned().collect(),
            host_key: None,
            ..runner.clone()
        };
        match runner.proxy_jump.get(confirmed) {
            Some(hop) => {
                // What names no machine is refused before anybody is asked.
                let jump = Jump::parse(hop)?;
                let user = jump.user.or_else(|| runner.user.clone());
                Some(RunnerConfig { host: Some(jump.host), port: Some(jump.port), user, ..before(confirmed) })
            }
            None => (confirmed == runner.proxy_jump.len()).then(|| before(confirmed)),
        }
    }

    /// Takes the offered key over as confirmed.
    pub fn confirm(&mut self) {
        let mut keys = self.keys();
        keys.push(std::mem::take(&mut self.offered));
        self.keys = keys.join("\n");
        self.printed = String::new();
    }

    /// The same without any key, as it is typed anew.
    pub fn unconfirmed(self) -> Self {
        Self { keys: String::new(), offered: String::new(), printed: String::new(), back: String::new(), ..self }
    }

    /// Whether every machine on the way is confirmed, and only the runner itself is left.
    pub fn is_at_the_end(&self) -> bool {
        self.keys().len() >= list(&self.proxy_jump, &[',', '\n']).len()
    }

    /// Names and values, for a page on which nothing of it is typed.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("name", &self.name),
            ("transport", &self.transport),
            ("host", &self.host),
            ("user", &self.user),
            ("port", &self.port),
            ("proxy_jump", &self.proxy_jump),
            ("root", &self.root),
            ("slots", &self.slots),
            ("agent", &self.agent),
            ("prelude", &self.prelude),
            ("no_prelude", &self.no_prelude),
            ("sandbox", &self.sandbox),
            ("network", &self.network),
            ("read_only", &self.read_only),
            ("read_write", &self.read_write),
            ("keys", &self.keys),
            ("offered", &self.offered),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())).collect()
    }

    fn keys(&self) -> Vec<String> {
        list(&self.keys, &['\n'])
    }

    fn sandbox(&self, wrong: &mut Vec<Mistake>) -> Sandbox {
        match self.sandbox.as_str() {
            "none" => Sandbox::None,
            "" | "bubblewrap" => Sandbox::Bubblewrap,
            other => {
                wrong.push(Mistake::new("sandbox", format!("is {other:?}"), "choose bubblewrap or none"));
                Sandbox::Bubblewrap
            }
        }
    }

    fn network(&self, wrong: &mut Vec<Mistake>) -> Network {
        match self.network.as_str() {
            "none" => Network::None,
            "relay" => Network::Relay,
            "" | "open" => Network::Open,
            other => {
                wrong.push(Mistake::new("network", format!("is {other:?}"), "choose open or none"));
                Network::Open
            }
        }
    }
}

/// A fingerprint in a line that was copied: `ssh-keygen -lf` prints its bits before and a comment behind it.
pub fn same_fingerprint(printed: &str, shown: &str) -> bool {
    printed.split_whitespace().any(|word| word == shown)
}

fn text(typed: &str) -> Option<String> {
    let typed = typed.trim();
    (!typed.is_empty()).then(|| typed.to_owned())
}

/// Browsers send the line ends of text as CR LF, which bash takes for a part of the word before.
fn shell(typed: &str) -> String {
    typed.replace("\r\n", "\n").trim().to_owned()
}

fn list(typed: &str, between: &[char]) -> Vec<String> {
    typed.split(between).filter_map(text).collect()
}

fn number<T: std::str::FromStr>(typed: &str, key: &str, remedy: &str, wrong: &mut Vec<Mistake>) -> Option<T> {
    let typed = text(typed)?;
    let number = typed.parse().ok();
    if number.is_none() {
        wrong.push(Mistake::new(key, format!("is {typed:?}, which is no such number"), remedy));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> RunnerForm {
        RunnerForm {
            name: " build-1 ".into(),
            host: "10.0.0.5".into(),
            user: "agent".into(),
            prelude: "export A=1\r\nexport B=2\r\n".into(),
            read_only: "~/.local\r\n\r\n/opt/tools\r\n".into(),
            proxy_jump: "me@bastion:2200, way".into(),
            ..RunnerForm::new()
        }
    }

    #[test]
    fn what_is_typed_becomes_a_runner() {
        let runner = typed().runner().unwrap();
        assert_eq!((runner.name.as_str(), runner.port, runner.slots), ("build-1", None, 4));
        assert_eq!(runner.prelude, "export A=1\nexport B=2");
        assert_eq!(runner.read_only, ["~/.local", "/opt/tools"]);
        assert_eq!(runner.proxy_jump, ["me@bastion:2200", "way"]);
        let wrong = RunnerForm {
            slots: "many".into(),
            port: "70000".into(),
            sandbox: "docker".into(),
            network: "<b>".into(),
            ..typed()
        };
        let wrong: Vec<String> = wrong
            .runner()
            .unwrap_err()
            .iter()
            .map(|m| format!("{} {} -> {}", m.setting, m.problem, m.remedy))
            .collect();
        insta::assert_snapshot!(wrong.join("\n"), @r#"
        slots is "many", which is no such number -> set how many runs may go on at once there, 1 to 256
        port is "70000", which is no such number -> set the port of sshd, or leave it empty for 22
        sandbox is "docker" -> choose bubblewrap or none
        network is "<b>" -> choose open or none
        "#);
    }

    // What a page hands on in hidden fields is all of it.
    #[test]
    fn nothing_is_lost_between_two_pages() {
        let form = RunnerForm {
            keys: "ssh-ed25519 A".into(),
            offered: "ssh-ed25519 B".into(),
            agent: "claude".into(),
            ..typed()
        };
        let sent = serde_urlencoded::to_string(form.fields()).unwrap();
        assert_eq!(serde_urlencoded::from_str::<RunnerForm>(&sent).unwrap(), form);
        assert!(!form.is_at_the_end() && !form.unconfirmed().is_at_the_end());
    }

    // B45, T38
    #[test]
    fn each_machine_is_confirmed_in_the_order_of_the_way() {
        let mut form = typed();
        let mut asked = Vec::new();
        while let Some(machine) = form.next_machine(&form.runner().unwrap()) {
            let (host, user) = (machine.host.unwrap_or_default(), machine.user.unwrap_or_default());
            asked.push(format!(
                "{user}@{host}:{} behind {:?} with {:?}",
                machine.port.unwrap_or(22),
                machine.proxy_jump,
                machine.jump_host_keys
            ));
            form.offered = format!("ssh-ed25519 KEY{}", asked.len());
            form.confirm();
        }
        insta::assert_snapshot!(asked.join("\n"), @r#"
        me@bastion:2200 behind [] with []
        agent@way:22 behind ["me@bastion:2200"] with ["ssh-ed25519 KEY1"]
        agent@10.0.0.5:22 behind ["me@bastion:2200", "way"] with ["ssh-ed25519 KEY1", "ssh-ed25519 KEY2"]
        "#);
        let runner = form.runner().unwrap();
        assert_eq!(runner.jump_host_keys, ["ssh-ed25519 KEY1", "ssh-ed25519 KEY2"]);
        assert_eq!(runner.host_key.as_deref(), Some("ssh-ed25519 KEY3"));
        let local = RunnerForm { transport: "local".into(), ..RunnerForm::new() };
        assert_eq!(local.next_machine(&local.runner().unwrap()), None);
    }

    #[test]
    fn a_form_that_nobody_touched_changes_nothing() {
        let known = RunnerConfig {
            host: Some("10.0.0.5".into()),
            user: Some("agent".into()),
            agent: Some("claude".into()),
            prelude: "export SECRET=1".into(),
            read_write: vec!["~/.claude".into()],
            ..RunnerConfig::named("build-1", Transport::Ssh)
        };
        let form = RunnerForm::of(&known);
        // T45
        assert!(!format!("{form:?}").contains("SECRET"));
        assert_eq!(form.change(&known).unwrap(), RunnerChange::default());
        let change = |form: RunnerForm| form.change(&known).unwrap();
        let none = RunnerChange::default;
        for (typed, changes) in [
            (RunnerForm { slots: "9".into(), ..form.clone() }, RunnerChange { slots: Some(9), ..none() }),
            (
                RunnerForm { agent: String::new(), ..form.clone() },
                RunnerChange { agent: Some(String::new()), ..none() },
            ),
            (RunnerForm { prelude: "x".into(), ..form.clone() }, RunnerChange { prelude: Some("x".into()), ..none() }),
            (
                RunnerForm { no_prelude: "1".into(), ..form.clone() },
                RunnerChange { prelude: Some(String::new()), ..none() },
            ),
            (RunnerForm { port: "22".into(), ..form.clone() }, none()),
            (RunnerForm { port: "2222".into(), ..form.clone() }, RunnerChange { port: Some(2222), ..none() }),
            (RunnerForm { name: "other".into(), ..form.clone() }, none()),
        ] {
            assert_eq!(change(typed.clone()), changes, "{typed:?}");
        }
    }

    #[test]
    fn a_copied_line_is_compared_by_its_fingerprint() {
        let shown = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        for printed in [shown.to_owned(), format!("256 {shown} root@build-1 (ED25519)"), format!(" {shown}\r\n")] {
            assert!(same_fingerprint(&printed, shown), "{printed}");
        }
        for printed in ["", "SHA256:", "SHA256:+diY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU", "256 SHA256:other root"] {
            assert!(!same_fingerprint(printed, shown), "{printed}");
        }
    }
}
