//! Numbers for members, given once: what still refers to a forgotten member finds nothing, never another.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Serial(u32);

pub(super) type SerialMap<T> = HashMap<Serial, T, BuildNeighbourly>;

pub(super) type BuildNeighbourly = BuildHasherDefault<Neighbourly>;

impl Serial {
    pub(super) fn take_next(&mut self) -> Self {
        let taken = *self;
        self.0 = self.0.wrapping_add(1);
        taken
    }
}

/// A hasher that keeps consecutive numbers beside each other in a table, as shards come: what is listed together is
/// in the cache together. Spreading them out would cost a miss per shard, several times what else is done for it.
#[derive(Debug, Default)]
pub(super) struct Neighbourly(u64);

impl Hasher for Neighbourly {
    fn finish(&self) -> u64 {
        // The table takes its place from the low bits, and a tag for a first comparison from the seven highest.
        self.0 ^ (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) & (0x7F << 57))
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = self.0.wrapping_mul(31) ^ n;
    }
}
