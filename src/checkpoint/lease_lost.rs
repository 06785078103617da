//! The error of an acknowledgement after the lease of its shard has ended.

use std::fmt;

use crate::checkpoint::lease::Lease;

/// The error of [`UnackedRecord::try_ack`](super::UnackedRecord::try_ack),
/// [`UnackedBatch::try_ack`](super::UnackedBatch::try_ack),
/// [`UnackedChunk::try_ack`](super::UnackedChunk::try_ack) and
/// [`Acker::try_ack`](super::Acker::try_ack): the lease of the shard has ended, so that the
/// acknowledgement has no effect. It holds what was to be acknowledged.
///
/// See the example of [`UnackedRecord::try_ack`](super::UnackedRecord::try_ack).
#[derive(Debug)]
pub struct LeaseLost<T> {
    /// Boxed, since records are large and this is rare.
    inner: Box<T>,
    lease: Lease,
}

impl<T> LeaseLost<T> {
    /// Returns `inner`, or the error with it if the lease has ended.
    pub(crate) fn check(lease: Option<Lease>, inner: T) -> Result<T, Self> {
        match lease.filter(|lease| lease.end_reason().is_some()) {
            Some(lease) => Err(Self { inner: Box::new(inner), lease }),
            None => Ok(inner),
        }
    }

    /// Returns the record, or the records of the page. They come again at the new owner.
    #[must_use]
    pub fn into_inner(self) -> T {
        *self.inner
    }

    /// Returns the lease, which has ended.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}

impl<T> fmt::Display for LeaseLost<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = self.lease.shard_id();
        write!(f, "the acknowledgement of a record of shard {shard} has no effect")?;
        self.lease.end_reason().map_or(Ok(()), |end| write!(f, ": {end}"))
    }
}

impl<T: fmt::Debug> std::error::Error for LeaseLost<T> {}
