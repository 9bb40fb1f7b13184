//! Setting up: from no App at all to a running bot, in a browser. While there is no App these pages are all that is served, to whoever has
//! the link on the terminal; afterwards the checklist on the admin page shows what is left to do.

mod checklist;
mod flow;
mod gate;
mod look;
mod manual;
mod pages;
mod wish;

pub use flow::{Begin, Setup};
pub use look::look;
pub use pages::router;

use super::access::{Access, Routes};

/// What is left to do in a bot that has its App.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get(Access::Public, "/setup", checklist::onward)
        .get(Access::Admin, "/admin/setup", checklist::show)
        .get(Access::Admin, "/admin/setup/live", checklist::live)
        .post(Access::Admin, "/admin/setup/look", checklist::look_now)
}
