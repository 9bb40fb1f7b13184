//! Whether GitHub can reach the bot with its webhooks.

use std::net::IpAddr;

use hyper::Uri;

/// Where the webhook of a bot leads that GitHub cannot reach: nowhere, by RFC 2606. It has to be active all the same, for GitHub's log of
/// what it could not deliver is what the sweep reads; of an inactive one there is no log.
pub const NOWHERE: &str = "https://no-public-address.invalid";

/// Whether webhooks of a GitHub reach an address: those of GitHub's own servers only over the public Internet.
pub fn reaches(server_url: &str, public_url: &str) -> bool {
    let is_cloud = server_url == "https://github.com" || server_url.ends_with(".ghe.com");
    !is_cloud || is_public(public_url)
}

/// Whether an address is one of the public Internet, as far as it can be seen.
fn is_public(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0b1100_0000 == 64;
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
        Err(_) => {
            let local = [".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".ts.net"];
            host.contains('.') && !local.iter().any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ones_own_are_not_reached_from_outside() {
        for (url, public) in [
            ("https://track.example.org", true),
            ("http://203.0.113.9:3000", true),
            ("http://[2001:db8::1]:3000", true),
            ("http://127.0.0.1:3000", false),
            ("http://localhost:3000", false),
            ("http://[::1]:3000", false),
            ("http://10.0.0.5", false),
            ("http://100.64.0.1", false),
            ("http://[fd00::1]", false),
            ("http://buildbox", false),
            ("http://buildbox.local", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_public(url), public, "{url}");
            assert_eq!(reaches("https://github.com", url), public, "{url}");
            assert_eq!(reaches("https://acme.ghe.com", url), public, "{url}");
            assert!(reaches("http://github.lan", url), "{url}");
        }
    }
}
