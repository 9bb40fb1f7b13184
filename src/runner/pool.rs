//! The machines that are configured, by name, and which of them are out of service.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::join_all;
use tracing::{error, warn};

use super::hostkeys::{self, HostKey, Pin};
use super::keys::{self, KeyPair};
use super::ssh::{self, Ssh, SshSettings, check_control_dir};
use super::{Host, Local, Machine};
use crate::config::{Jump, RunnerConfig, Transport};
use crate::model::Millis;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a machine that does not answer is passed over by the queue, by the number of times; the last one is repeated.
const PASSED_OVER: &[Millis] = &[5_000, 10_000, 20_000, 30_000];

/// A machine as the queue sees it.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Its name.
    pub name: String,
    /// Runs at once.
    pub total: u32,
    /// Whether it is in service.
    pub in_service: bool,
    /// It did not answer lately: until then others are asked.
    pub silent_until: Option<Millis>,
    /// It answers, and refuses the bot's login.
    pub refuses_login: bool,
    /// It is being drained: what is on it goes on, and nothing new comes.
    pub draining: bool,
}

/// The configured machines.
pub struct Pool {
    home: PathBuf,
    instance: String,
    /// What agents on this very machine must not see.
    own: Vec<PathBuf>,
    machines: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    machine: Arc<Machine>,
    out_of_service: Option<String>,
    silence: Option<Silence>,
    draining: bool,
}

/// Attempts in a row that a machine did not let the bot in, until when it is passed over, and whether it answered at all.
#[derive(Clone, Copy)]
struct Silence {
    attempts: usize,
    until: Millis,
    refuses_login: bool,
}

impl Pool {
    /// An empty pool; keys and pinned host keys lie below `home`, everything on the machines below `<root>/<instance>`.
    pub fn new(home: &Path, instance: &str) -> Self {
        Self {
            home: home.to_owned(),
            instance: instance.to_owned(),
            own: vec![home.to_owned()],
            machines: Mutex::default(),
        }
    }

    /// The same with further files that agents on this very machine must not see.
    pub fn hiding(mut self, secret_files: &[PathBuf]) -> Self {
        self.own.extend_from_slice(secret_files);
        self
    }

    /// Adds a machine, or replaces the one of the same name.
    pub async fn add(&self, config: RunnerConfig) -> Result<()> {
        let name = config.name.clone();
        let (host, own): (Arc<dyn Host>, &[PathBuf]) = match config.transport {
            Transport::Local => (Arc::new(Local), &self.own),
            Transport::Ssh => (Arc::new(Ssh::new(self.ssh_settings(&config).await?)?), &[]),
        };
        let hidden = own.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let machine = Arc::new(Machine::new(config, host, self.instance.clone()).hiding(hidden));
        let before = {
            let mut machines = self.lock();
            // Whoever drains a machine wants the place empty, whatever is changed of the way there.
            let draining = machines.get(&name).is_some_and(|before| before.draining);
            machines.insert(name, Entry { machine, out_of_service: None, silence: None, draining })
        };
        if let Some(before) = before {
            before.machine.host().close().await;
        }
        Ok(())
    }

    /// Changes what is configured for a machine without the way there, so that its connections stay; false if there is none of the name.
    pub fn revise(&self, config: RunnerConfig) -> bool {
        let own: &[PathBuf] = if config.transport == Transport::Local { &self.own } else { &[] };
        let hidden = own.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let mut machines = self.lock();
        let Some(entry) = machines.get_mut(&config.name) else { return false };
        let host = entry.machine.host().clone();
        entry.machine = Arc::new(Machine::new(config, host, self.instance.clone()).hiding(hidden));
        true
    }

    /// Has the queue give a machine nothing new, or again something; false if there is none of the name.
    pub fn set_draining(&self, name: &str, draining: bool) -> bool {
        self.lock().get_mut(name).map(|entry| entry.draining = draining).is_some()
    }

    /// Whether a machine is given nothing new.
    pub fn is_draining(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|entry| entry.draining)
    }

    /// Forgets a machine and ends its connections; what runs there goes on.
    pub async fn remove(&self, name: &str) -> bool {
        let removed = self.lock().remove(name);
        match removed {
            Some(entry) => {
                entry.machine.host().close().await;
                true
            }
            None => false,
        }
    }

    /// The machine of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Machine>> {
        self.lock().get(name).map(|entry| entry.machine.clone())
    }

    /// Every machine, by name.
    pub fn all(&self) -> Vec<Arc<Machine>> {
        self.lock().values().map(|entry| entry.machine.clone()).collect()
    }

    /// Names and slots, as the queue needs them.
    pub fn slots(&self) -> Vec<Slots> {
        let slots = |(name, entry): (&String, &Entry)| Slots {
            name: name.clone(),
            total: entry.machine.config().slots,
            in_service: entry.out_of_service.is_none(),
            silent_until: entry.silence.map(|silence| silence.until),
            refuses_login: entry.silence.is_some_and(|silence| silence.refuses_login),
            draining: entry.draining,
        };
        self.lock().iter().map(slots).collect()
    }

    /// Names with each one's default agent, as decisions need them.
    pub fn defaults(&self) -> Vec<(String, Option<String>)> {
        self.lock().iter().map(|(name, entry)| (name.clone(), entry.machine.config().agent.clone())).collect()
    }

    /// Takes a machine out of service, loudly: a changed host key may be somebody in between (T38).
    pub fn quarantine(&self, name: &str, why: &str) {
        if let Some(entry) = self.lock().get_mut(name)
            && entry.out_of_service.is_none()
        {
            error!(
                "runner {name} is out of service: {why}. If the machine was set up anew, `track runner add {name}` with its host and user pins the new key, or track.toml if it stands there"
            );
            entry.out_of_service = Some(why.to_owned());
        }
    }

    /// Has the queue pass a machine over for a while that did not answer.
    pub fn no_answer(&self, name: &str, now: Millis) {
        self.pass_over(name, false, now);
    }

    /// The same for a machine that refuses the login: somebody will install the bot's key there.
    pub fn refused_login(&self, name: &str, now: Millis) {
        self.pass_over(name, true, now);
    }

    fn pass_over(&self, name: &str, refuses_login: bool, now: Millis) {
        if let Some(entry) = self.lock().get_mut(name) {
            let attempts = entry.silence.map_or(0, |silence| silence.attempts);
            let until = now + PASSED_OVER[attempts.min(PASSED_OVER.len() - 1)];
            entry.silence = Some(Silence { attempts: attempts + 1, until, refuses_login });
        }
    }

    /// A machine answers (again).
    pub fn answered(&self, name: &str) {
        if let Some(entry) = self.lock().get_mut(name) {
            entry.silence = None;
        }
    }

    /// Why a machine is out of service, if it is.
    pub fn out_of_service(&self, name: &str) -> Option<String> {
        self.lock().get(name)?.out_of_service.clone()
    }

    /// Whether a machine did not answer when it was last asked.
    pub fn is_silent(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|entry| entry.silence.is_some())
    }

    /// Whether a machine refused the login when it was last asked.
    pub fn refuses_login(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|entry| entry.silence.is_some_and(|silence| silence.refuses_login))
    }

    /// The key pair that the bot logs in to a machine with.
    pub async fn key_of(&self, config: &RunnerConfig) -> Result<KeyPair> {
        match &config.key_path {
            Some(path) => keys::given(path).await,
            None => keys::own(&self.home).await,
        }
    }

    /// Ends all connections.
    pub async fn close(&self) {
        let machines = self.all();
        join_all(machines.iter().map(|machine| machine.host().close())).await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host key that a machine shows behind those on the way to it, whose keys are pinned.
    pub async fn host_key_behind(&self, config: &RunnerConfig) -> Result<HostKey> {
        let path = self.home.join("keys").join(format!("known_hosts_{}.way", config.name));
        hostkeys::pin_all(&path, &pins_on_the_way(config)?)?;
        let shown = ssh::shown_host_key(self.settings(config, path.clone()).await?).await;
        let _ = fs::remove_file(path);
        let host = config.host.as_deref().unwrap_or_default();
        match shown {
            Ok(key) => key.parse().with_context(|| format!("the host key of {host}")),
            Err(error) => bail!("{host} behind {} {error}", config.proxy_jump.join(", ")),
        }
    }

    async fn ssh_settings(&self, config: &RunnerConfig) -> Result<SshSettings> {
        let name = &config.name;
        let known_hosts_path = match (&config.host_key, &config.known_hosts_path) {
            (Some(key), _) => {
                let key: HostKey = key.parse().with_context(|| format!("host_key of runner {name}"))?;
                let path = self.home.join("keys").join(format!("known_hosts_{name}"));
                let mut pins = pins_on_the_way(config)?;
                pins.push((config.host.clone().unwrap_or_default(), config.port.unwrap_or(22), key));
                hostkeys::pin_all(&path, &pins)?;
                path
            }
            (None, Some(path)) => path.clone(),
            (None, None) => bail!(
                "runner {name} has no pinned host key: set host_key or known_hosts_path, or add it with `track runner add`, which shows the fingerprint"
            ),
        };
        self.settings(config, known_hosts_path).await
    }

    async fn settings(&self, config: &RunnerConfig, known_hosts_path: PathBuf) -> Result<SshSettings> {
        let name = &config.name;
        let jump =
            |text: &String| Jump::parse(text).with_context(|| format!("proxy_jump of runner {name} has {text:?}"));
        Ok(SshSettings {
            host: config.host.clone().with_context(|| format!("runner {name} has no host"))?,
            user: config.user.clone().with_context(|| format!("runner {name} has no user"))?,
            port: config.port.unwrap_or(22),
            jumps: config.proxy_jump.iter().map(jump).collect::<Result<_>>()?,
            key_path: self.key_of(config).await?.private,
            known_hosts_path,
            control_dir: control_folder(&self.home, &self.instance)?,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }
}

/// The pinned keys of the machines on the way; each has one (B45).
fn pins_on_the_way(config: &RunnerConfig) -> Result<Vec<Pin>> {
    let (name, jumps, keys) = (&config.name, &config.proxy_jump, &config.jump_host_keys);
    ensure!(
        jumps.len() == keys.len(),
        "runner {name} has {} machines in proxy_jump and {} keys in jump_host_keys: each needs its own, or add the runner with `track runner add`, which shows the fingerprints",
        jumps.len(),
        keys.len()
    );
    let pin = |(jump, key): (&String, &String)| {
        let jump = Jump::parse(jump).with_context(|| format!("proxy_jump of runner {name} has {jump:?}"))?;
        Ok((jump.host, jump.port, key.parse().with_context(|| format!("jump_host_keys of runner {name}"))?))
    };
    jumps.iter().zip(keys).map(pin).collect()
}

/// A private folder for control sockets whose path ssh can use.
fn control_folder(home: &Path, instance: &str) -> Result<PathBuf> {
    let folder = check_control_dir(&home.join("ssh")).or_else(|_| {
        let name = format!("track-{}", &instance[instance.len().saturating_sub(10)..]);
        check_control_dir(&std::env::temp_dir().join(name))
    })?;
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).with_context(|| {
        warn!("{} belongs to somebody else", folder.display());
        format!("{} cannot be made private", folder.display())
    })?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sockets_lie_where_ssh_can_use_them() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(control_folder(folder.path(), "0abc1234").unwrap(), folder.path().join("ssh"));
        for name in ["my track", "a-folder-with-a-name-that-is-longer-than-the-path-of-a-socket-may-be-altogether"] {
            let elsewhere = control_folder(&folder.path().join(name), "0abc1234").unwrap();
            assert_eq!(elsewhere, std::env::temp_dir().join("track-0abc1234"));
            fs::remove_dir(elsewhere).unwrap();
        }
    }
}
