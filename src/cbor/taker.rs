//! Reads the list that fills a response in place of the SDK, which allocates each text and each
//! blob of an item.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_smithy_schema::serde::SerdeError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use crate::cbor::decoder::{Decoder, invalid, major};
use crate::util::place::Place;

/// An item of the list that fills a response.
pub(crate) trait Item: Send + Sized {
    /// The member of the response that holds the list.
    const LIST: &'static str;

    /// The length of the shortest item. It bounds what is allocated for the number of items that a
    /// list declares.
    const MIN_BYTES: usize;

    /// Reads an item of a body. Fails for one that is not plain: a part of it is missing, or is not
    /// in one piece, or is of an unknown form. The SDK then reads the body.
    fn read(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<Self, SerdeError>;
}

/// The items of a response, which are taken before the SDK reads the rest of it.
pub(crate) struct Taker<T>(Mutex<Option<Vec<T>>>);

/// As many items as AWS puts in a page, of records or of shards.
const MAX_RESERVED: usize = 10_000;

/// A taker of any items.
pub(crate) trait TakeItems: fmt::Debug + Send + Sync {
    /// Takes the items of a response, and returns the part of the body that they fill.
    ///
    /// Returns `None` for any other response, and for one with items that are not plain: the SDK
    /// then reads the whole body, and decides whether it is valid.
    fn take_from(&self, response: &HttpResponse) -> Option<Range<usize>>;

    /// Drops the items of an earlier response, the rest of which may have been invalid.
    fn clear(&self);
}

impl<T> fmt::Debug for Taker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taker").finish_non_exhaustive()
    }
}

impl<T> Default for Taker<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Taker<T> {
    /// Returns the items that were taken since the last call.
    pub(crate) fn taken(&self) -> Option<Vec<T>> {
        self.replace(None)
    }

    fn replace(&self, items: Option<Vec<T>>) -> Option<Vec<T>> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), items)
    }
}

impl<T: Item> TakeItems for Taker<T> {
    fn take_from(&self, response: &HttpResponse) -> Option<Range<usize>> {
        let body = Bytes::from_owner(Body(response.body().try_clone()?));
        let (items, part) = read_list(&body)?;
        self.replace(Some(items));
        Some(part)
    }

    fn clear(&self) {
        self.replace(None);
    }
}

/// A body in memory.
struct Body(SdkBody);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

/// Returns the items of a body, and the part of the body that they fill.
pub(crate) fn read_list<T: Item>(body: &Bytes) -> Option<(Vec<T>, Range<usize>)> {
    u32::try_from(body.len()).ok()?;
    let mut decoder = Decoder::new(body);
    let mut found = None;
    let mut members = decoder.open(major::MAP).ok()?;
    while decoder.has_next(&mut members).ok()? {
        if decoder.text().ok()? != T::LIST {
            decoder.skip().ok()?;
            continue;
        }
        if found.is_some() {
            return None;
        }
        let start = decoder.position();
        let items = read_items(&mut decoder, body).ok()?;
        found = Some((items, start..decoder.position()));
    }
    found
}

fn read_items<T: Item>(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<Vec<T>, SerdeError> {
    let mut remaining = decoder.open(major::ARRAY)?;
    let rest = body.len() - decoder.position();
    let count = remaining.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let mut items = Vec::with_capacity(count.min(rest / T::MIN_BYTES).min(MAX_RESERVED));
    while decoder.has_next(&mut remaining)? {
        items.push(T::read(decoder, body)?);
    }
    Ok(items)
}

/// Reads the members of a map, except those that are `null`.
#[inline]
pub(crate) fn read_members<'a>(
    decoder: &mut Decoder<'a>,
    mut read: impl FnMut(&[u8], &mut Decoder<'a>) -> Result<(), SerdeError>,
) -> Result<(), SerdeError> {
    let mut members = decoder.open(major::MAP)?;
    while decoder.has_next(&mut members)? {
        let name = decoder.member_name()?;
        if decoder.is_null() {
            decoder.skip_member(&name)?;
        } else {
            read(&name, decoder)?;
        }
    }
    Ok(())
}

/// Reads a text, and returns its place. Fails for one that is not in one piece.
pub(crate) fn text_place(decoder: &mut Decoder<'_>) -> Result<Place, SerdeError> {
    if let Some(text) = decoder.short_ascii() {
        return place(decoder, text.len());
    }
    match decoder.text()? {
        Cow::Borrowed(text) => place(decoder, text.len()),
        Cow::Owned(_) => Err(not_plain()),
    }
}

/// Returns the place of the last `len` bytes that were read.
pub(crate) fn place(decoder: &Decoder<'_>, len: usize) -> Result<Place, SerdeError> {
    let end = decoder.position();
    let index = |at: usize| u32::try_from(at).map_err(|_| not_plain());
    Ok(Place { start: index(end - len)?, end: index(end)? })
}

/// Returns the error of an item that the SDK reads.
pub(crate) fn not_plain() -> SerdeError {
    invalid("the item is not plain")
}

#[cfg(test)]
pub(crate) mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::cbor::deserializer::Deserializer;
    use crate::cbor::serializer::{write_head, write_string};

    pub(crate) fn text(body: &mut Vec<u8>, text: &str) {
        write_string(body, major::TEXT, text.as_bytes());
    }

    /// Asserts that a page whose items this crate reads, as with the protocol, equals the page that
    /// the SDK reads. `restore` puts the items into the SDK's output. Every second page is damaged.
    pub(crate) fn assert_equals_whole<T: Item, O: fmt::Debug + PartialEq>(
        write_page: impl Fn(&mut Rng) -> Vec<u8>,
        read: impl Fn(&mut Deserializer<'_>) -> Result<O, SerdeError>,
        restore: impl Fn(&mut O, Vec<T>),
    ) {
        let mut rng = Rng::with_seed(1);
        let (mut plain, mut failed) = (0, 0);
        for input in 0..40_000 {
            let mut body = write_page(&mut rng);
            if input % 2 == 1 {
                let at = rng.usize(0..body.len());
                match rng.u8(0..3) {
                    0 => body.truncate(at),
                    1 => body[at] ^= 1 << rng.u8(0..8),
                    _ => body.insert(at, rng.u8(..)),
                }
            }
            let whole = read(&mut Deserializer::new(&body)).map_err(|error| error.to_string());
            failed += u32::from(whole.is_err());
            if let Some((items, part)) = read_list::<T>(&Bytes::copy_from_slice(&body)) {
                plain += 1;
                let parts = read(&mut Deserializer::new(&body).without(part));
                let parts = parts.map_err(|error| error.to_string()).map(|mut output| {
                    restore(&mut output, items);
                    output
                });
                assert_eq!(parts, whole, "{body:02x?}");
            }
        }
        assert!(plain > 15_000 && failed > 2_000, "{plain} plain, {failed} failed");
    }

    pub(crate) fn assert_declared_is_not_allocated<T: Item>() {
        let mut body = Vec::new();
        write_head(&mut body, major::MAP, 1);
        text(&mut body, T::LIST);
        for count in [1, 1_000_000, u64::MAX] {
            let mut body = body.clone();
            write_head(&mut body, major::ARRAY, count);
            assert!(read_list::<T>(&Bytes::from(body)).is_none(), "{count}");
        }
    }
}
