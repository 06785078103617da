//! A part of the body of a response.

use bytes::Bytes;

/// The place of a member in the body of a response, which is shorter than 4 GiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Place {
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(crate) fn of(self, body: &Bytes) -> &[u8] {
        &body[self.start as usize..self.end as usize]
    }

    /// Returns the text at this place. [`text_place`] has checked that it is UTF-8.
    ///
    /// [`text_place`]: crate::cbor::taker::text_place
    pub(crate) fn text(self, body: &Bytes) -> &str {
        std::str::from_utf8(self.of(body)).unwrap_or_default()
    }
}
