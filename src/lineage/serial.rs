//! Numbers for members, given once: what still refers to a forgotten member finds nothing, never another.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Serial(u64);

pub(super) type SerialMap<T> = HashMap<Serial, T, BuildHasherDefault<SerialHasher>>;

impl Serial {
    pub(super) fn take_next(&mut self) -> Self {
        let taken = *self;
        self.0 += 1;
        taken
    }
}

/// Serials are ours and consecutive: nobody can make them collide, and one multiplication spreads them.
#[derive(Debug, Default)]
pub(super) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        // 2^64 divided by the golden ratio: Fibonacci hashing.
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
