//! How far setting up has come, and the next step: the code that GitHub gave, the App that it is worth, the files, the start of the bot.
//! Each step is repeated until it succeeds, and what one gave is kept until the next has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};

use super::super::sign_in::secret;
use super::gate::Gate;
use super::wish::Wish;
use crate::config::app_env::{self, StoredApp};
use crate::config::{Config, GitHubConfig, MIN_WEBHOOK_SECRET_BYTES, SignInConfig};
use crate::github::GitHub;
use crate::github::created::{self, NotHanded};
use crate::model::{Clock, Millis};

/// How long somebody may take on GitHub's page; its code is good as long.
const BEGUN_FOR: Millis = 60 * 60_000;

/// Asks the program to begin with what is stored.
pub struct Begin {
    /// Where the browser goes on, or why the bot cannot begin.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// Setting up, while there is no App; cheap to clone.
#[derive(Clone)]
pub struct Setup(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    clock: Clock,
    gate: Gate,
    progress: Mutex<Progress>,
    /// One step at a time: people press buttons twice.
    turn: tokio::sync::Mutex<()>,
    begin: mpsc::Sender<Begin>,
}

#[derive(Default)]
struct Progress {
    begun: Option<Begun>,
    stage: Stage,
}

/// Somebody was sent to GitHub.
struct Begun {
    wish: Wish,
    state: String,
    until: Millis,
}

#[derive(Clone, Default)]
enum Stage {
    #[default]
    Nothing,
    /// GitHub gave a code.
    Code(Wish, String),
    /// The secrets are here, and nowhere else.
    Made(Box<StoredApp>),
    /// They are on disk.
    Stored,
}

/// Why it does not go on.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What is wrong, and what to do.
    pub told: String,
    /// Whether the same step may succeed when it is repeated.
    pub again: bool,
}

impl Trouble {
    fn again(told: impl ToString) -> Self {
        Self { told: told.to_string(), again: true }
    }
}

impl Setup {
    /// Setting up below `config.home`; also the token of the link, and what is asked of the program.
    pub fn new(config: Arc<Config>, clock: Clock) -> (Self, String, mpsc::Receiver<Begin>) {
        let (gate, token) = Gate::new();
        let (begin, asked) = mpsc::channel(1);
        let inner =
            Inner { config, clock, gate, progress: Mutex::default(), turn: tokio::sync::Mutex::default(), begin };
        (Self(Arc::new(inner)), token, asked)
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(super) fn now(&self) -> Millis {
        self.0.clock.now()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was wished for last.
    pub(super) fn wish(&self) -> Option<Wish> {
        self.progress().begun.as_ref().map(|begun| begun.wish.clone())
    }

    /// Whether an App was created that is not in place yet.
    pub(super) fn is_on_the_way(&self) -> bool {
        !matches!(self.progress().stage, Stage::Nothing)
    }

    /// Somebody is sent to GitHub with a wish; gives the state that they have to come back with.
    pub(super) fn begin(&self, wish: Wish) -> String {
        let state = secret();
        let until = self.now() + BEGUN_FOR;
        self.progress().begun = Some(Begun { wish, state: state.clone(), until });
        state
    }

    /// They are back: the state is good once. False if it is not theirs, or too old.
    pub(super) fn came_back(&self, state: &str, code: &str) -> bool {
        let now = self.now();
        let mut progress = self.progress();
        let Some(begun) = progress.begun.take_if(|begun| begun.state == state) else { return false };
        if begun.until <= now {
            return false;
        }
        progress.stage = Stage::Code(begun.wish, code.to_owned());
        true
    }

    /// An App that was entered by hand and checked.
    pub(super) fn entered(&self, app: StoredApp) {
        self.progress().stage = Stage::Made(Box::new(app));
    }

    /// Goes on until the bot runs; gives the path by which the browser goes on.
    pub(super) async fn go_on(&self) -> Result<String, Trouble> {
        let _turn = self.0.turn.lock().await;
        loop {
            let stage = self.progress().stage.clone();
            let next = match stage {
                Stage::Nothing => {
                    let told = "No App is on its way here: it was begun in another browser, or longer than an hour ago. Begin again.";
                    return Err(Trouble { told: told.to_owned(), again: false });
                }
                Stage::Code(wish, code) => self.hand_out(wish, &code).await?,
                Stage::Made(app) => {
                    app_env::store(&self.config().home, &app).map_err(Trouble::again)?;
                    tracing::info!("the App {} is stored in {}", app.app_id, self.config().home.display());
                    Stage::Stored
                }
                Stage::Stored => return self.begin_for_good().await,
            };
            self.progress().stage = next;
        }
    }

    async fn hand_out(&self, wish: Wish, code: &str) -> Result<Stage, Trouble> {
        let created = match created::convert(&wish.api_url, code).await {
            Ok(created) => created,
            Err(error @ NotHanded::Refused(_)) => {
                self.progress().stage = Stage::Nothing;
                let list = match &wish.organization {
                    Some(login) => format!("{}/organizations/{login}/settings/apps", wish.server_url),
                    None => format!("{}/settings/apps", wish.server_url),
                };
                let told = format!(
                    "{error}. If {list} shows the App, it exists all the same: enter it by hand, with a private key and a client secret that you generate there, or delete it and begin again."
                );
                return Err(Trouble { told, again: false });
            }
            Err(error @ NotHanded::Unavailable(_)) => {
                let told = format!("{error}. See that this machine reaches {}, and try again.", wish.api_url);
                return Err(Trouble::again(told));
            }
        };
        let (webhook_secret, is_ours) = match created.webhook_secret {
            Some(secret) => (secret, false),
            None => (SecretString::from(secret()), true),
        };
        let app = StoredApp {
            app_id: created.id,
            private_key: created.private_key,
            webhook_secret,
            sign_in: Some(SignInConfig { client_id: created.client_id, client_secret: created.client_secret }),
            api_url: wish.api_url,
            server_url: wish.server_url,
            public_url: Some(wish.public_url),
            admins: wish.admins,
        };
        // The code is used up: from here on the App is kept, whatever happens.
        self.progress().stage = Stage::Made(Box::new(app.clone()));
        if is_ours {
            let set = async {
                created::set_webhook_secret(&self.client(&app)?, &app.webhook_secret).await.map_err(anyhow::Error::from)
            };
            if let Err(error) = set.await {
                tracing::warn!(
                    "GitHub made no webhook secret for the App, and takes none of ours: {error:#}. The sweep finds what it sends"
                );
            }
        }
        Ok(Stage::Made(Box::new(app)))
    }

    /// GitHub, for an App that is not in place yet.
    pub(super) fn client(&self, app: &StoredApp) -> anyhow::Result<GitHub> {
        let config = GitHubConfig {
            app_id: app.app_id,
            private_key: app.private_key.clone(),
            webhook_secret: app.webhook_secret.clone(),
            api_url: app.api_url.clone(),
            server_url: app.server_url.clone(),
        };
        GitHub::new(&config, self.0.clock.clone())
    }

    async fn begin_for_good(&self) -> Result<String, Trouble> {
        let (reply, answer) = oneshot::channel();
        let gone = "The bot ends just now: start it again, it goes on with the App that is stored.";
        self.0.begin.send(Begin { reply }).await.map_err(|_| Trouble::again(gone))?;
        answer.await.map_err(|_| Trouble::again(gone))?.map_err(|why| {
            let home = self.config().home.join(app_env::SETTINGS_FILE);
            Trouble::again(format!("The App is stored in {}, and the bot cannot begin with it: {why}", home.display()))
        })
    }
}

/// Whether a secret is long enough to sign webhooks with.
pub(super) fn is_long_enough(secret: &str) -> bool {
    secret.len() >= MIN_WEBHOOK_SECRET_BYTES
}
