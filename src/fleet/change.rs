//! Changes of a runner: what is set is changed, all else stays.

use serde::{Deserialize, Serialize};

use crate::config::{Network, RunnerConfig, Sandbox};

/// What is to be changed of a runner; unset stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerChange {
    /// Host name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Account there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Port of sshd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The machine's host key, which a new address needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Machines on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_jump: Option<Vec<String>>,
    /// Their host keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump_host_keys: Option<Vec<String>>,
    /// The bot's folder there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Runs at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Its default agent; empty: that of the whole bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Shell text before agents; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prelude: Option<String>,
    /// How agents are contained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// What they reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Paths that they may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<Vec<String>>,
    /// Paths that they may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_write: Option<Vec<String>>,
}

impl RunnerChange {
    /// The runner as it is after this change.
    pub(super) fn applied(&self, known: &RunnerConfig) -> RunnerConfig {
        let mut runner = known.clone();
        let host_key = self.host_key.clone();
        // A pinned key takes the place of a file that pins.
        if host_key.is_some() {
            runner.known_hosts_path = None;
        }
        for (field, value) in [
            (&mut runner.host, self.host.clone()),
            (&mut runner.user, self.user.clone()),
            (&mut runner.host_key, host_key),
        ] {
            if value.is_some() {
                *field = value;
            }
        }
        if self.port.is_some() {
            runner.port = self.port;
        }
        if let Some(agent) = &self.agent {
            runner.agent = (!agent.is_empty()).then(|| agent.clone());
        }
        set(&mut runner.proxy_jump, &self.proxy_jump);
        set(&mut runner.jump_host_keys, &self.jump_host_keys);
        set(&mut runner.root, &self.root);
        set(&mut runner.slots, &self.slots);
        set(&mut runner.prelude, &self.prelude);
        set(&mut runner.sandbox, &self.sandbox);
        set(&mut runner.network, &self.network);
        set(&mut runner.read_only, &self.read_only);
        set(&mut runner.read_write, &self.read_write);
        runner
    }
}

fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// Where a runner is, and what lies there: changing any of it while runs are live would lose them.
pub(super) fn place(runner: &RunnerConfig) -> impl PartialEq {
    (
        runner.host.clone(),
        runner.user.clone(),
        runner.port.unwrap_or(22),
        runner.root.clone(),
        runner.proxy_jump.clone(),
    )
}

/// All that its connections are made by.
pub(super) fn way(runner: &RunnerConfig) -> impl PartialEq {
    (
        (runner.transport, runner.host.clone(), runner.user.clone(), runner.port.unwrap_or(22)),
        (runner.proxy_jump.clone(), runner.jump_host_keys.clone()),
        (runner.key_path.clone(), runner.known_hosts_path.clone(), runner.host_key.clone()),
    )
}

/// Whether a change leads to another address without saying which host key is there, be it the former one.
pub(super) fn needs_key(known: &RunnerConfig, changed: &RunnerConfig, change: &RunnerChange) -> bool {
    let address = |runner: &RunnerConfig| (runner.host.clone(), runner.port.unwrap_or(22), runner.proxy_jump.clone());
    address(known) != address(changed) && known.known_hosts_path.is_none() && change.host_key.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;

    fn known() -> RunnerConfig {
        RunnerConfig {
            host: Some("10.0.0.5".into()),
            user: Some("agent".into()),
            host_key: Some("ssh-ed25519 AAAA".into()),
            agent: Some("claude".into()),
            prelude: "export A=1".into(),
            ..RunnerConfig::named("build-1", Transport::Ssh)
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let known = known();
        assert_eq!(RunnerChange::default().applied(&known), known);
        let change = RunnerChange { slots: Some(9), agent: Some(String::new()), ..RunnerChange::default() };
        let changed = change.applied(&known);
        assert_eq!((changed.slots, &changed.agent, &*changed.prelude), (9, &None, "export A=1"));
        assert!(place(&known) == place(&changed) && way(&known) == way(&changed));
    }

    // B44, T38
    #[test]
    fn another_place_is_told_from_another_form() {
        let known = known();
        let with = |change: RunnerChange| change.applied(&known);
        let none = RunnerChange::default;
        for (change, moves, lacks_key) in [
            (RunnerChange { prelude: Some(String::new()), ..none() }, false, false),
            (RunnerChange { port: Some(22), ..none() }, false, false),
            (RunnerChange { user: Some("other".into()), ..none() }, true, false),
            (RunnerChange { root: Some("/srv/track".into()), ..none() }, true, false),
            (RunnerChange { port: Some(2222), ..none() }, true, true),
            (RunnerChange { host: Some("10.0.0.6".into()), ..none() }, true, true),
            (RunnerChange { proxy_jump: Some(vec!["bastion".into()]), ..none() }, true, true),
            (RunnerChange { host: Some("b".into()), host_key: Some("ssh-ed25519 BBBB".into()), ..none() }, true, false),
        ] {
            let changed = with(change.clone());
            assert_eq!(
                (place(&known) != place(&changed), needs_key(&known, &changed, &change)),
                (moves, lacks_key),
                "{change:?}"
            );
        }
    }
}
