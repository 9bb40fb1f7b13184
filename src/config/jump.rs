//! A machine on the way to a runner, as ssh's ProxyJump has it (ssh_config(5)).

use std::fmt;

use super::{is_host, is_user};

/// `[user@]host[:port]`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The account there; unset: that of the runner.
    pub user: Option<String>,
    /// Host name or address.
    pub host: String,
    /// Port of its sshd.
    pub port: u16,
}

impl Jump {
    /// Reads one; `None` if a part of it is not what it stands for, which ssh or a shell could take for something else (T38).
    pub fn parse(text: &str) -> Option<Self> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, text),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => match rest.split_once(']')? {
                (host, "") => (host, None),
                (host, rest) => (host, Some(rest.strip_prefix(':')?)),
            },
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0)?,
            None => 22,
        };
        let fine = is_host(host) && user.is_none_or(is_user);
        fine.then(|| Self { user: user.map(str::to_owned), host: host.to_owned(), port })
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T38
    #[test]
    fn only_machines_are_jumped_through() {
        for (text, read) in [
            ("bastion", "bastion:22"),
            ("me@bastion.example.org:2200", "me@bastion.example.org:2200"),
            ("me@[fd00::5]", "me@[fd00::5]:22"),
            ("[fd00::5]:2200", "[fd00::5]:2200"),
        ] {
            assert_eq!(Jump::parse(text).expect(text).to_string(), read);
        }
        for text in [
            "",
            "@",
            "me@",
            "@bastion",
            "-oProxyCommand=x",
            "me@-x",
            "-l@bastion",
            "a b",
            "$(id)",
            "a,b",
            "bastion:",
            "bastion:0",
            "bastion:x",
            "bastion:65536",
            "fd00::5",
            "[fd00::5",
            "[fd00::5]2200",
            "[bastion",
            "%h",
            "none;id",
        ] {
            assert_eq!(Jump::parse(text), None, "{text:?}");
        }
    }
}
