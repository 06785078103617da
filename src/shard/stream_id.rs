use std::fmt;

/// A data stream, by its name or by its ARN.
///
/// Whatever starts with `arn:` is an ARN (a stream's name cannot hold a colon), anything else a
/// name. An ARN is needed for a stream of another account, and spares nothing otherwise.
///
/// Conversion from a string never fails, so that [`all_shards`](crate::all_shards) takes a plain
/// `&str`: what Kinesis could not have accepted is reported as
/// [`Error::InvalidStream`](crate::ListError::InvalidStream), without a request, by the first
/// listing. To be told at once, [`parse`](str::parse) it.
///
/// ```
/// use kinesis_shards::StreamId;
///
/// let orders = StreamId::from("arn:aws:kinesis:eu-west-1:123456789012:stream/orders");
/// assert_eq!(orders.name(), "orders");
/// assert_eq!(orders.arn(), Some("arn:aws:kinesis:eu-west-1:123456789012:stream/orders"));
/// assert_eq!(StreamId::from("orders").arn(), None);
///
/// assert!("arn:aws:s3:::bucket".parse::<StreamId>().is_err());
/// assert!("no spaces, please".parse::<StreamId>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(String);

impl StreamId {
    /// The stream's name; of an ARN, what follows `stream/`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.arn() {
            Some(arn) => arn.split_once(":stream/").map_or(arn, |(_, name)| name),
            None => &self.0,
        }
    }

    /// The ARN, if this is one.
    #[must_use]
    pub fn arn(&self) -> Option<&str> {
        self.0.starts_with("arn:").then_some(self.0.as_str())
    }

    /// Returns the ARN if this is one, else the name: the key of the stream in a store of
    /// checkpoints.
    ///
    /// No response that this crate asks for tells the ARN of a stream, so it is known only if it
    /// was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the checkpoints of this stream can be told from those that a store keeps. `kept`
    /// are the [keys](Self::as_str) of the streams that it has checkpoints of.
    ///
    /// Two ARNs of one name are two streams. A bare name and an ARN of that name may be one stream,
    /// or two in different regions or accounts: a stream that has no checkpoints yet is refused
    /// beside the other. For [`CheckpointStore::load`](crate::checkpoint::CheckpointStore::load).
    ///
    /// ```
    /// use kinesis_shards::StreamId;
    ///
    /// let (ireland, ohio) = (
    ///     "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    ///     "arn:aws:kinesis:us-east-2:123456789012:stream/orders",
    /// );
    /// assert!(StreamId::from(ireland).check_beside([ohio, "payments"]).is_ok());
    /// assert!(StreamId::from("orders").check_beside([ohio, "payments"]).is_err());
    /// assert!(StreamId::from("orders").check_beside([ohio, "orders"]).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If this stream is not among them, and one of them may be this stream by another name.
    pub fn check_beside<'a>(
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

    /// The two request parameters of which exactly one is set: `StreamName`, `StreamARN`.
    pub(crate) fn name_or_arn(&self) -> (Option<String>, Option<String>) {
        match self.arn() {
            Some(arn) => (None, Some(arn.to_owned())),
            None => (Some(self.0.clone()), None),
        }
    }

    /// Why Kinesis could not accept it at all, by the patterns of `StreamName` and `StreamARN` in
    /// AWS's API reference.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        if let Some(arn) = self.arn() {
            let fields: Vec<&str> = arn.splitn(6, ':').collect();
            let &[_, partition, service, region, account, resource] = fields.as_slice() else {
                return Err("an ARN has six fields: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME");
            };
            if !partition.starts_with("aws") || service != "kinesis" {
                return Err("it is no ARN of Kinesis: those begin with arn:aws:kinesis:");
            }
            if region.is_empty()
                || account.len() != 12
                || !account.bytes().all(|b| b.is_ascii_digit())
            {
                return Err("the ARN lacks its region or its account of 12 digits");
            }
            if !resource.starts_with("stream/") {
                return Err("the ARN names no data stream: its last field is stream/NAME");
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
            return Err("a stream's name is made of letters, digits, '_', '.' and '-'");
        }
        Ok(())
    }
}

/// A store keeps checkpoints of a stream that may be the one asked for, or another of its name: see
/// [`StreamId::check_beside`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store keeps checkpoints of {kept}, which may be another stream than {stream}: {}", self.advice())]
pub struct AmbiguousStream {
    stream: StreamId,
    kept: StreamId,
}

impl AmbiguousStream {
    fn advice(&self) -> &'static str {
        match self.stream.arn() {
            Some(_) => "load them by the name if they are of this stream, or use another store",
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
    fn names_and_arns_that_kinesis_accepts() {
        for good in [
            "orders",
            "a",
            "Orders_2.eu-west",
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b",
        ] {
            assert!(good.parse::<StreamId>().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_bare_name_is_told_from_arns_only_by_its_own_checkpoints() {
        let (here, there) = (
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "arn:aws:kinesis:us-east-1:210987654321:stream/orders",
        );
        let check =
            |stream: &str, kept: &[&str]| StreamId::from(stream).check_beside(kept.iter().copied());
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
        ] {
            assert_eq!(check(stream, kept), Ok(()), "{stream} {kept:?}");
        }
        let by_name = check("orders", &["a", here]).unwrap_err().to_string();
        assert!(by_name.contains(here) && by_name.contains("by its ARN"), "{by_name}");
        let by_arn = check(here, &["orders", there]).unwrap_err().to_string();
        assert!(by_arn.contains("of orders,") && by_arn.contains("by the name"), "{by_arn}");
    }

    #[test]
    fn what_kinesis_could_not_accept_says_why() {
        for (bad, why) in [
            ("", "empty"),
            ("has space", "letters"),
            ("orders/2", "letters"),
            (&"x".repeat(129), "128"),
            ("arn:", "six fields"),
            ("arn:aws:kinesis:us-east-1:123456789012", "six fields"),
            ("arn:aws:sqs:us-east-1:123456789012:orders", "no ARN of Kinesis"),
            ("arn:aws:kinesis::123456789012:stream/orders", "region"),
            ("arn:aws:kinesis:us-east-1:12:stream/orders", "12 digits"),
            ("arn:aws:kinesis:us-east-1:123456789012:consumer/orders", "no data stream"),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/", "empty"),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/a:1", "letters"),
        ] {
            let error = bad.parse::<StreamId>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
