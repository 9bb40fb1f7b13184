//! Counts the connections of each address, so that one of them cannot take all places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// The open connections of each address.
#[derive(Clone)]
pub struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    cap: usize,
}

/// A connection's place in the count, given back when it is dropped.
pub struct Guest {
    peers: Peers,
    address: Option<IpAddr>,
}

impl Peers {
    /// Nobody yet, and at most `cap` of each.
    pub fn new(cap: usize) -> Self {
        Self { open: Arc::default(), cap }
    }

    /// Counts a connection in; `None` if its address has too many. Those without an address (a Unix socket) are not counted.
    pub fn enter(&self, peer: Option<SocketAddr>) -> Option<Guest> {
        let address = peer.map(|peer| party(peer.ip()));
        if let Some(address) = address {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(address).or_default();
            if *count >= self.cap {
                return None;
            }
            *count += 1;
        }
        Some(Guest { peers: self.clone(), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

/// Whom an address belongs to: with IPv6 a single customer has a whole /64.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_its_own_count_and_gets_places_back() {
        let peers = Peers::new(2);
        let from = |text: &str| peers.enter(Some(text.parse().unwrap()));
        let first = from("[2001:db8::1]:1").unwrap();
        let _second = from("[2001:db8::2]:1").unwrap();
        assert!(from("[2001:db8::3]:1").is_none(), "the same /64");
        assert!(from("[2001:db8:0:1::1]:1").is_some(), "another /64");
        assert!(from("192.0.2.1:1").is_some());
        drop(first);
        assert!(from("[2001:db8::4]:1").is_some());
        assert!((0..5).all(|_| peers.enter(None).is_some()), "a Unix socket has no address");
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_ipv6_clothes() {
        assert_eq!(party("::ffff:192.0.2.1".parse().unwrap()), party("192.0.2.1".parse().unwrap()));
    }
}
