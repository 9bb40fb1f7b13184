//! Bodies of deliveries as they lie in the database: mostly addresses that repeat, a third of the size after LZ4. What is written twice, to the log
//! and to the database, is worth that: the disk and the calls that write to it are what intake is bound by.

use bytes::Bytes;

/// Shorter ones fill part of a page anyway.
const SHORTEST: usize = 1024;
/// Longer ones are rare and would hold a worker thread up.
const LONGEST: usize = 1024 * 1024;

/// A body on its way to the database.
#[derive(Clone, Debug)]
pub struct Packed {
    /// How `bytes` stand for the body.
    pub(super) coding: Coding,
    /// What is stored.
    pub(super) bytes: Bytes,
}

/// How stored bytes stand for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// They are the body.
    Plain,
    /// One LZ4 block behind its size: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>.
    Lz4,
}

impl Coding {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Lz4 => "lz4",
        }
    }
}

impl Packed {
    /// Bytes that will be stored.
    pub fn stored_len(&self) -> usize {
        self.bytes.len()
    }
}

impl From<Bytes> for Packed {
    fn from(body: Bytes) -> Self {
        if (SHORTEST..=LONGEST).contains(&body.len()) {
            let packed = lz4_flex::compress_prepend_size(&body);
            if packed.len() < body.len() {
                return Self { coding: Coding::Lz4, bytes: packed.into() };
            }
        }
        Self { coding: Coding::Plain, bytes: body }
    }
}

/// The body that stored bytes stand for. Damaged ones are given as they are: whoever reads a body compares its checksum before it is used.
pub(super) fn unpack(coding: &str, bytes: Vec<u8>) -> Vec<u8> {
    if coding != Coding::Lz4.as_str() {
        return bytes;
    }
    // A damaged size must not reserve gigabytes.
    match lz4_flex::block::uncompressed_size(&bytes) {
        Ok((size, block)) if size <= LONGEST => lz4_flex::decompress(block, size).unwrap_or(bytes),
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(body: &[u8]) -> (Coding, Vec<u8>) {
        let packed = Packed::from(Bytes::copy_from_slice(body));
        (packed.coding, unpack(packed.coding.as_str(), packed.bytes.to_vec()))
    }

    #[test]
    fn only_what_gains_is_packed() {
        let url = "\"url\":\"https://api.github.com/repos/octo/hello/issues\",";
        for (body, coding) in [
            (String::new(), Coding::Plain),
            (url.to_owned(), Coding::Plain),
            (url.repeat(100), Coding::Lz4),
            (url.repeat(LONGEST / url.len() + 1), Coding::Plain),
        ] {
            assert_eq!(there_and_back(body.as_bytes()), (coding, body.into_bytes()));
        }
        let noise: Vec<u8> = (0..4000u64).map(|n| (n.wrapping_mul(6_364_136_223_846_793_005) >> 56) as u8).collect();
        assert_eq!(there_and_back(&noise).1, noise);
    }

    proptest! {
        #[test]
        fn every_body_comes_back(body in proptest::collection::vec(0u8..4, 0..5000)) {
            prop_assert_eq!(there_and_back(&body).1, body);
        }

        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            unpack("lz4", bytes);
        }
    }
}
