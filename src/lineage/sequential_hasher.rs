//! A hasher that keeps consecutive numbers together in a table.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Builds [`SequentialHasher`]s with a random key, so that no server can choose shard ids that
/// collide.
#[derive(Clone, Debug)]
pub(crate) struct BuildSequential {
    key: u64,
}

impl Default for BuildSequential {
    fn default() -> Self {
        Self { key: RandomState::new().hash_one(0_u64) }
    }
}

impl BuildHasher for BuildSequential {
    type Hasher = SequentialHasher;

    fn build_hasher(&self) -> SequentialHasher {
        SequentialHasher(self.key)
    }
}

/// A hasher that scatters runs of consecutive numbers over the table, with the numbers of a run in
/// order.
///
/// Shards that are listed together have consecutive numbers. Spreading them over the whole table
/// would cost a cache miss per shard, several times the rest of the work for it.
///
/// Runs that share a place push the rest of their numbers far away, so consecutive runs of one
/// block never do: a product with an odd number is different for each of them in any low bits. The
/// blocks themselves are placed at random, against numbers that are far apart.
#[derive(Debug)]
pub(crate) struct SequentialHasher(u64);

/// How many consecutive numbers stay together: few enough to keep probing short when runs of two
/// blocks collide.
const RUN: u64 = 64;
/// How many runs make a block: 131,072 numbers. In a table with fewer places, this many times fewer
/// numbers of a block may share a place, if they are chosen for it.
const RUNS: u64 = 1 << 11;
/// An odd number whose bits look random, from the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for SequentialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = fold(self.0 ^ u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let (run, offset) = (n / RUN, n % RUN);
        let place = fold(self.0 ^ (run / RUNS)).wrapping_add(run.wrapping_mul(MULTIPLIER));
        // The table takes the place from the low bits, and a tag for a first comparison from the
        // seven highest.
        self.0 = place.wrapping_mul(RUN).wrapping_add(offset) ^ (offset << 57);
    }
}

/// Mixes the bits: each bit of the two halves of the product depends on the whole number.
fn fold(n: u64) -> u64 {
    let product = u128::from(n ^ MULTIPLIER.rotate_left(32)) * u128::from(MULTIPLIER);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Returns how many groups of 16 places the standard library's table probes to insert these
    /// numbers, at its load of 7 numbers in 8 places.
    fn groups_probed(numbers: &[u64]) -> usize {
        let places = (numbers.len() * 8).div_ceil(7).next_power_of_two();
        let mask = u64::try_from(places - 1).unwrap();
        let build = BuildSequential::default();
        let mut taken = vec![false; places];
        let mut probed = 0;
        for number in numbers {
            let mut at = usize::try_from(build.hash_one(number) & mask).unwrap();
            for stride in 1.. {
                probed += 1;
                if let Some(free) =
                    (at..at + 16).map(|place| place % places).find(|place| !taken[*place])
                {
                    taken[free] = true;
                    break;
                }
                at = (at + 16 * stride) % places;
            }
        }
        probed
    }

    #[test]
    fn no_pattern_of_numbers_makes_the_table_slow() {
        for count in [1_000, 14_000, 28_000] {
            for step in (0..40).map(|shift| 1_u64 << shift).chain([3, 63, 64, 65, 1_000, 999_999]) {
                let numbers: Vec<u64> = (0..count).map(|n| 7 + n * step).collect();
                let probed = groups_probed(&numbers);
                assert!(
                    probed < 6 * numbers.len(),
                    "{count} numbers, {step} apart: {probed} groups"
                );
            }
            // Shards that are split repeatedly: runs with gaps.
            let numbers: Vec<u64> = (0..count).map(|n| n + (n / 100) * 10_000).collect();
            assert!(groups_probed(&numbers) < 6 * numbers.len());
        }
    }

    #[test]
    fn consecutive_numbers_are_adjacent_and_differ_in_their_tags() {
        let build = BuildSequential::default();
        let hashes: Vec<u64> = (0..64_000_u64).map(|n| build.hash_one(n)).collect();
        let mask = (1 << 20) - 1;
        let is_adjacent = |pair: &&[u64]| (pair[1] & mask) == (pair[0] & mask) + 1;
        let adjacent = hashes.windows(2).filter(is_adjacent).count();
        assert!(adjacent > 62_500, "{adjacent}");
        let same_tag = hashes.windows(2).filter(|pair| pair[0] >> 57 == pair[1] >> 57).count();
        assert!(same_tag < 100, "{same_tag}");
    }

    #[test]
    fn names_that_differ_hash_differently() {
        let build = BuildSequential::default();
        let names = (0..20_000).map(|n| build.hash_one(format!("shard-{n}")));
        assert_eq!(names.collect::<HashSet<_>>().len(), 20_000);
    }

    #[test]
    fn two_tables_hash_differently() {
        let [a, b] = [BuildSequential::default(), BuildSequential::default()];
        let same = (0..1_000_u64).filter(|n| a.hash_one(n) == b.hash_one(n)).count();
        assert!(same < 10, "{same}");
        let same = (0..1_000_u64)
            .filter(|n| a.hash_one(n.to_string()) == b.hash_one(n.to_string()))
            .count();
        assert!(same < 10, "{same}");
    }
}
