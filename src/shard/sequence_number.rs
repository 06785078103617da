//! The order of sequence numbers.

use std::cmp::Ordering;

/// Compares two sequence numbers of one shard.
///
/// They are decimal numbers of 56 digits and more, so the longer number is the greater.
pub(crate) fn compare_sequence_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_compared_as_the_numbers_they_are() {
        let long = "49590338271490256608559692538361571095921575989136588898";
        let longer = "149590338271490256608559692538361571095921575989136588898";
        for (less, greater) in [("9", "10"), ("0009", "10"), (long, longer), ("0", "1"), ("", "1")]
        {
            assert_eq!(compare_sequence_numbers(less, greater), Ordering::Less, "{less} {greater}");
            assert_eq!(
                compare_sequence_numbers(greater, less),
                Ordering::Greater,
                "{less} {greater}"
            );
        }
        assert_eq!(compare_sequence_numbers("010", "10"), Ordering::Equal);
    }
}
