//! Shard iterators and pagination tokens.
//!
//! Each carries its whole state in its text, so the service stores none of them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::testing::model::time::Millis;

/// How long a shard iterator or a pagination token is valid.
pub(crate) const LIFETIME: Duration = Duration::from_mins(5);

/// The state of a shard iterator: a position in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Whether `GetShardIterator` returned it, and not a read.
    pub(crate) is_new: bool,
    pub(crate) issued: Millis,
    /// Distinguishes the streams that have had this name.
    pub(crate) stream_id: u64,
    pub(crate) shard: u32,
    pub(crate) offset: u64,
    pub(crate) stream: String,
}

/// The state of a `ListShards` token: the shards that the pages so far have not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListToken {
    pub(crate) issued: Millis,
    pub(crate) stream_id: u64,
    /// The index at which the next page starts.
    pub(crate) from: u32,
    pub(crate) selection: Selection,
    pub(crate) stream: String,
}

/// The state of a `ListStreams` token: the streams that the pages so far have not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamsToken {
    pub(crate) issued: Millis,
    /// The last stream that the pages so far have listed.
    pub(crate) after: String,
}

/// The state of a `ListStreamConsumers` token: the consumers that the pages so far have not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumersToken {
    pub(crate) issued: Millis,
    pub(crate) stream_id: u64,
    /// The last consumer that the pages so far have listed.
    pub(crate) after: String,
}

/// The shards that a listing selects: its filter, resolved on the first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// Shards that were open when the stream had this many shards, closed ones included. Only the
    /// number of shards tells apart two changes within one millisecond.
    OpenOf(u32),
    /// Shards that were open at this time.
    OpenAt(Millis),
    /// Shards that were not closed before this time.
    OpenSince(Millis),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_new, issued, stream_id, shard, offset, stream } = self;
        let kind = if *is_new { "iterator" } else { "next" };
        write!(f, "{kind}/{:014}/{stream_id}/{shard}/{offset}/{stream}", issued.0)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('/').collect();
        let [kind @ ("iterator" | "next"), issued, stream_id, shard, offset, stream] = parts[..]
        else {
            return Err(());
        };
        Ok(Self {
            is_new: kind == "iterator",
            issued: Millis(number(issued)?),
            stream_id: number(stream_id)?,
            shard: number(shard)?,
            offset: number(offset)?,
            stream: stream.to_owned(),
        })
    }
}

impl fmt::Display for ListToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bound) = match self.selection {
            Selection::All => ("all", 0),
            Selection::OpenOf(shards) => ("of", u64::from(shards)),
            Selection::OpenAt(time) => ("at", time.0),
            Selection::OpenSince(time) => ("since", time.0),
        };
        let Self { issued, stream_id, from, stream, .. } = self;
        write!(f, "list/{:014}/{stream_id}/{from}/{kind}/{bound}/{stream}", issued.0)
    }
}

impl FromStr for ListToken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('/').collect();
        let ["list", issued, stream_id, from, kind, bound, stream] = parts[..] else {
            return Err(());
        };
        let time = || number(bound).map(Millis);
        let selection = match kind {
            "all" => Selection::All,
            "of" => Selection::OpenOf(number(bound)?),
            "at" => Selection::OpenAt(time()?),
            "since" => Selection::OpenSince(time()?),
            _ => return Err(()),
        };
        Ok(Self {
            issued: Millis(number(issued)?),
            stream_id: number(stream_id)?,
            from: number(from)?,
            selection,
            stream: stream.to_owned(),
        })
    }
}

impl fmt::Display for StreamsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "streams/{:014}/{}", self.issued.0, self.after)
    }
}

impl FromStr for StreamsToken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('/').collect();
        let ["streams", issued, after] = parts[..] else { return Err(()) };
        Ok(Self { issued: Millis(number(issued)?), after: after.to_owned() })
    }
}

impl fmt::Display for ConsumersToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consumers/{:014}/{}/{}", self.issued.0, self.stream_id, self.after)
    }
}

impl FromStr for ConsumersToken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('/').collect();
        let ["consumers", issued, stream_id, after] = parts[..] else { return Err(()) };
        Ok(Self {
            issued: Millis(number(issued)?),
            stream_id: number(stream_id)?,
            after: after.to_owned(),
        })
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, ()> {
    text.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_parse_from_their_text() {
        let cursor = Cursor {
            is_new: true,
            issued: Millis(5),
            stream_id: 9,
            shard: 3,
            offset: 77,
            stream: "or.ders_-1".into(),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert_eq!(cursor.to_string().parse::<ListToken>(), Err(()));
        for selection in [
            Selection::All,
            Selection::OpenOf(7),
            Selection::OpenAt(Millis(8)),
            Selection::OpenSince(Millis(9)),
        ] {
            let token = ListToken {
                issued: Millis(5),
                stream_id: 9,
                from: 3,
                selection,
                stream: "orders".into(),
            };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        let token = StreamsToken { issued: Millis(5), after: "or.ders_-1".into() };
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(token.to_string().parse::<ListToken>(), Err(()));
        let token = ConsumersToken { issued: Millis(5), stream_id: 9, after: "or.ders_-1".into() };
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(token.to_string().parse::<ListToken>(), Err(()));
    }

    #[test]
    fn garbage_does_not_parse() {
        for text in [
            "",
            "iterator",
            "iterator/x/9/3/77/orders",
            "list/1/2/3/some/4/orders",
            "list/1/2/3/all/4",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
            assert_eq!(text.parse::<ListToken>(), Err(()), "{text}");
            assert_eq!(text.parse::<StreamsToken>(), Err(()), "{text}");
            assert_eq!(text.parse::<ConsumersToken>(), Err(()), "{text}");
        }
    }
}
