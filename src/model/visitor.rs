//! Who looks at the admin page, as far as it decides what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::state::{UnknownWord, words};

words!(
    /// What a person may do on the page.
    Role {
        /// Everything.
        Admin => "admin",
        /// Look at the threads of the repositories in which they may write, and cancel their own runs.
        Viewer => "viewer",
    }
);

words!(
    /// How a person signed in.
    Via {
        /// Through GitHub.
        GitHub => "github",
        /// By a link from the bot's own terminal.
        Link => "link",
    }
);
