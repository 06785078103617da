//! The name or ARN of a stream.

use std::fmt;

/// A data stream, by its name or by its ARN.
///
/// A string that starts with `arn:` is an ARN, since a stream's name cannot hold a colon; any other
/// is a name. An ARN is needed for a stream of another account, and is optional otherwise.
///
/// The ARN of the change stream of a DynamoDB table names a stream too, whose shards
/// [`parents_first`](crate::lineage::parents_first) offers from lists that you make.
/// [`all_shards`](crate::all_shards) refuses it, since Kinesis does not list such a stream.
///
/// Conversion from a string never fails, so that [`all_shards`](crate::all_shards) takes a plain
/// `&str`. The first listing reports an invalid one as
/// [`ListError::InvalidStream`](crate::ListError::InvalidStream), without a request;
/// [`parse`](str::parse) reports it at once.
///
/// ```
/// use kinesis_shards::StreamId;
///
/// let orders = StreamId::from("arn:aws:kinesis:eu-west-1:123456789012:stream/orders");
/// assert_eq!(orders.name(), "orders");
/// assert_eq!(orders.arn(), Some("arn:aws:kinesis:eu-west-1:123456789012:stream/orders"));
/// assert_eq!(StreamId::from("orders").arn(), None);
///
/// let changes =
///     "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000";
/// assert_eq!(changes.parse::<StreamId>()?.name(), "orders/stream/2026-01-01T00:00:00.000");
///
/// assert!("arn:aws:s3:::bucket".parse::<StreamId>().is_err());
/// assert!("no spaces, please".parse::<StreamId>().is_err());
/// # Ok::<(), kinesis_shards::ListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(String);

impl StreamId {
    /// Returns the stream's name: of an ARN, the part after `stream/`, and of that of a DynamoDB
    /// stream, the part after `table/`. The latter is no name of a Kinesis stream, since it holds
    /// slashes.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.arn() {
            Some(arn) => {
                let prefix = if self.is_table_stream() { ":table/" } else { ":stream/" };
                arn.split_once(prefix).map_or(arn, |(_, name)| name)
            }
            None => &self.0,
        }
    }

    /// Returns the ARN, if this is one.
    #[must_use]
    pub fn arn(&self) -> Option<&str> {
        self.0.starts_with("arn:").then_some(self.0.as_str())
    }

    /// Returns the ARN if this is one, else the name: the key of the stream in a store of
    /// checkpoints.
    ///
    /// No response to this crate's requests holds the ARN of the stream, so it is known only if it
    /// was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the checkpoints of this stream differ from those in a store. `kept` are the
    /// [keys](Self::as_str) of the streams that have checkpoints there.
    ///
    /// Two ARNs with one name are two streams. A bare name and an ARN with that name may be one
    /// stream, or two in different regions or accounts: a stream with no checkpoints yet is refused
    /// then. Implementations of
    /// [`CheckpointStore::load`](crate::checkpoint::CheckpointStore::load) call it.
    ///
    /// ```
    /// use kinesis_shards::StreamId;
    ///
    /// let (ireland, ohio) = (
    ///     "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    ///     "arn:aws:kinesis:us-east-2:123456789012:stream/orders",
    /// );
    /// assert!(StreamId::from(ireland).check_unambiguous([ohio, "payments"]).is_ok());
    /// assert!(StreamId::from("orders").check_unambiguous([ohio, "payments"]).is_err());
    /// assert!(StreamId::from("orders").check_unambiguous([ohio, "orders"]).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If `kept` does not name this stream, but names one that may be this stream by another name.
    pub fn check_unambiguous<'a>(
        &self,
        kept: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), AmbiguousStream> {
        let mut other = None;
        for kept in kept {
            if kept == self.as_str() {
                return Ok(());
            }
            let kept = Self::from(kept);
            if kept.name() == self.name() && kept.arn().is_some() != self.arn().is_some() {
                other = Some(kept);
            }
        }
        other.map_or(Ok(()), |kept| Err(AmbiguousStream { stream: self.clone(), kept }))
    }

    /// Returns the request parameters `StreamName` and `StreamARN`, of which exactly one is set.
    pub(crate) fn name_or_arn(&self) -> (Option<String>, Option<String>) {
        match self.arn() {
            Some(arn) => (None, Some(arn.to_owned())),
            None => (Some(self.0.clone()), None),
        }
    }

    /// Returns whether this is the ARN of something in DynamoDB, of which only the change stream
    /// of a table is [valid](Self::validate).
    pub(crate) fn is_table_stream(&self) -> bool {
        self.arn().and_then(|arn| arn.split(':').nth(2)) == Some("dynamodb")
    }

    /// Checks that Kinesis can list the stream.
    pub(crate) fn validate_for_kinesis(&self) -> Result<(), &'static str> {
        self.validate()?;
        if self.is_table_stream() {
            return Err("the stream of a DynamoDB table: pass lists of its shards to \
                        lineage::parents_first, as the example dynamodb_streams does");
        }
        Ok(())
    }

    /// Checks the patterns of `StreamName` and `StreamARN` in the API references of Kinesis and
    /// DynamoDB Streams.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        if let Some(arn) = self.arn() {
            let fields: Vec<&str> = arn.splitn(6, ':').collect();
            let &[_, partition, service, region, account, resource] = fields.as_slice() else {
                return Err("an ARN has six fields: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME");
            };
            if !partition.starts_with("aws") || !matches!(service, "kinesis" | "dynamodb") {
                return Err("not a Kinesis ARN, which begins with arn:aws:kinesis:");
            }
            if region.is_empty()
                || account.len() != 12
                || !account.bytes().all(|b| b.is_ascii_digit())
            {
                return Err("the ARN lacks its region or its account of 12 digits");
            }
            if service == "dynamodb" {
                return validate_table_stream(resource);
            }
            if !resource.starts_with("stream/") {
                return Err("the ARN of a data stream ends with stream/NAME");
            }
        }
        let name = self.name();
        if name.is_empty() {
            return Err("the stream's name is empty");
        }
        if name.len() > 128 {
            return Err("a stream's name has at most 128 characters");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            return Err("a stream's name consists of letters, digits, '_', '.' and '-'");
        }
        Ok(())
    }
}

/// Checks the last field of the ARN of a table's stream, `table/NAME/stream/LABEL`. The label is
/// the time when the stream was created.
fn validate_table_stream(resource: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = resource.split('/').collect();
    let is_table = |name: &str| {
        (3..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b":.-".contains(&b))
    };
    match parts.as_slice() {
        ["table", table, "stream", label] if is_table(table) && is_label(label) => Ok(()),
        ["table", table] if is_table(table) => {
            Err("the ARN of a table, not of its stream, which is its LatestStreamArn")
        }
        _ => Err("the ARN of the stream of a table ends with table/NAME/stream/LABEL"),
    }
}

/// The error of a store that keeps checkpoints of another stream with the same name, which may be
/// the same stream: see the example of [`StreamId::check_unambiguous`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store keeps checkpoints of {kept}, which may be another stream than {stream}: {}",
    self.advice()
)]
pub struct AmbiguousStream {
    stream: StreamId,
    kept: StreamId,
}

impl AmbiguousStream {
    fn advice(&self) -> &'static str {
        match self.stream.arn() {
            Some(_) => "load them by the name if they belong to this stream, or use another store",
            None => "name the stream by its ARN",
        }
    }
}

impl From<&str> for StreamId {
    fn from(name_or_arn: &str) -> Self {
        Self(name_or_arn.to_owned())
    }
}

impl From<String> for StreamId {
    fn from(name_or_arn: String) -> Self {
        Self(name_or_arn)
    }
}

impl From<&String> for StreamId {
    fn from(name_or_arn: &String) -> Self {
        Self(name_or_arn.clone())
    }
}

impl From<&Self> for StreamId {
    fn from(stream: &Self) -> Self {
        stream.clone()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_and_arns_are_accepted() {
        for good in [
            "orders",
            "a",
            "Orders_2.eu-west",
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b",
        ] {
            assert!(good.parse::<StreamId>().is_ok(), "{good}");
            assert_eq!(StreamId::from(good).validate_for_kinesis(), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_stream_of_a_table_is_accepted_but_not_for_kinesis() {
        for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"] {
            for table in ["orders", "Orders_2.eu-west", &"x".repeat(255)] {
                let name = format!("{table}/stream/2026-01-01T00:00:00.000");
                let arn =
                    format!("arn:{partition}:dynamodb:eu-central-1:123456789012:table/{name}");
                let stream: StreamId = arn.parse().unwrap();
                assert_eq!((stream.name(), stream.arn()), (name.as_str(), Some(arn.as_str())));
                let refused = stream.validate_for_kinesis().unwrap_err();
                assert!(refused.contains("parents_first"), "{refused}");
            }
        }
    }

    #[test]
    fn a_bare_name_and_an_arn_with_that_name_are_ambiguous() {
        let (here, there) = (
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "arn:aws:kinesis:us-east-1:210987654321:stream/orders",
        );
        // A stream of Kinesis cannot be meant by the ARN of that of a table.
        let (changes, later) = (
            "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
            "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-02T00:00:00.000",
        );
        let check = |stream: &str, kept: &[&str]| {
            StreamId::from(stream).check_unambiguous(kept.iter().copied())
        };
        for (stream, kept) in [
            ("orders", &[][..]),
            ("orders", &["orders"]),
            (
                "orders",
                &["order", "orders2", "arn:aws:kinesis:us-east-1:123456789012:stream/orders2"],
            ),
            ("orders", &[here, "orders"]),
            (here, &[there]),
            (here, &["orders", here]),
            (here, &["orders2"]),
            ("orders", &[changes]),
            (changes, &["orders", here, later]),
        ] {
            assert_eq!(check(stream, kept), Ok(()), "{stream} {kept:?}");
        }
        let by_name = check("orders", &["a", here]).unwrap_err().to_string();
        assert!(by_name.contains(here) && by_name.contains("by its ARN"), "{by_name}");
        let by_arn = check(here, &["orders", there]).unwrap_err().to_string();
        assert!(by_arn.contains("of orders,") && by_arn.contains("by the name"), "{by_arn}");
    }

    #[test]
    fn an_invalid_stream_is_refused_with_the_reason() {
        for (bad, why) in [
            ("", "empty"),
            ("has space", "letters"),
            ("orders/2", "letters"),
            (&"x".repeat(129), "128"),
            ("arn:", "six fields"),
            ("arn:aws:kinesis:us-east-1:123456789012", "six fields"),
            ("arn:aws:sqs:us-east-1:123456789012:orders", "not a Kinesis ARN"),
            ("arn:aws:kinesis::123456789012:stream/orders", "region"),
            ("arn:aws:kinesis:us-east-1:12:stream/orders", "12 digits"),
            ("arn:aws:kinesis:us-east-1:123456789012:consumer/orders", "ends with stream/NAME"),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/", "empty"),
            ("arn:aws:dynamodb:us-east-1:12:table/orders/stream/2026", "12 digits"),
            ("arn:aws:dynamodb:us-east-1:123456789012:table/orders", "LatestStreamArn"),
            ("arn:aws:dynamodb:us-east-1:123456789012:table/orders/index/a", "table/NAME/stream"),
            ("arn:aws:dynamodb:us-east-1:123456789012:table/or/stream/2026", "table/NAME/stream"),
            ("arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/", "table/NAME/stream"),
            ("arn:aws:dynamodb:us-east-1:123456789012:stream/orders", "table/NAME/stream"),
            ("arn:gcp:dynamodb:us-east-1:123456789012:table/orders/stream/1", "not a Kinesis ARN"),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/a:1", "letters"),
        ] {
            let error = bad.parse::<StreamId>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
