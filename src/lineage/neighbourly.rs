//! A hasher that keeps consecutive numbers beside each other in a table.

use std::hash::{BuildHasherDefault, Hasher};

pub(super) type BuildNeighbourly = BuildHasherDefault<Neighbourly>;

/// Shards that are listed together have consecutive numbers, and so are in the processor's cache together: to spread them
/// over the table would cost a cache miss per shard, several times what else is done for it.
#[derive(Debug, Default)]
pub(super) struct Neighbourly(u64);

impl Hasher for Neighbourly {
    fn finish(&self) -> u64 {
        // The table takes a place from the low bits, and a tag for a first comparison from the seven highest.
        self.0 ^ (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) & (0x7F << 57))
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = self.0.wrapping_mul(31) ^ n;
    }
}
