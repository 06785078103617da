//! The consumers of a stream for enhanced fan-out: registering, finding and deregistering them.

use std::collections::BTreeMap;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::consumer::Consumer;
use crate::testing::model::limits::ConsumerCall;
use crate::testing::model::listing::page_length;
use crate::testing::model::service::{Service, StreamRef, name_in_arn};
use crate::testing::model::status::{Change, Status};
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;
use crate::testing::model::token::{ConsumersToken, LIFETIME};

/// The maximum number of consumers of a stream.
const MAX_CONSUMERS: usize = 20;
/// The maximum number of consumers of a stream that are `CREATING`.
const MAX_CREATING: usize = 5;
/// The maximum number of consumers in one response to `ListStreamConsumers`.
const PAGE_LENGTH: usize = 100;
const ARN_PATTERN: &str = "satisfy regular expression pattern: \
                           ^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/\
                           [a-zA-Z0-9_.-]+:[0-9]+";

/// A reference to a consumer: its ARN, or its name and the ARN of its stream, or all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConsumerRef<'a> {
    pub(crate) arn: Option<&'a str>,
    pub(crate) stream_arn: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

impl<'a> ConsumerRef<'a> {
    /// Returns the names of the stream and of the consumer.
    pub(crate) fn resolve(self, service: &Service) -> Result<(&'a str, &'a str), ApiError> {
        let of_arn = self.arn.map(|arn| names_in_arn(arn, service)).transpose()?;
        let stream = self.stream_arn.map(|arn| name_in_arn(arn, service)).transpose()?;
        match (of_arn, stream, self.name) {
            (None, Some(stream), Some(name)) => Ok((stream, name)),
            (None, ..) => Err(ApiError::invalid(
                "Either ConsumerARN, or both StreamARN and ConsumerName should be provided.",
            )),
            (Some(names), stream, name)
                if stream.is_some_and(|stream| stream != names.0)
                    || name.is_some_and(|name| name != names.1) =>
            {
                Err(ApiError::invalid(
                    "ConsumerARN does not match the given StreamARN and ConsumerName.",
                ))
            }
            (Some(names), ..) => Ok(names),
        }
    }

    fn not_found(self, stream: &str, name: &str, account: &str) -> ApiError {
        ApiError::not_found(match self.arn {
            Some(arn) => format!("Consumer {arn} not found."),
            None => {
                format!("Consumer {name} of stream {stream} under account {account} not found.")
            }
        })
    }
}

/// Returns the names of the stream and of the consumer in a consumer's ARN.
fn names_in_arn<'a>(arn: &'a str, service: &Service) -> Result<(&'a str, &'a str), ApiError> {
    let invalid = || ApiError::constraint(arn, "consumerARN", ARN_PATTERN);
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let (stream_arn, consumer) = arn.split_once("/consumer/").ok_or_else(invalid)?;
    let (name, created) = consumer.rsplit_once(':').ok_or_else(invalid)?;
    if !is_name(name) || created.is_empty() || !created.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    match name_in_arn(stream_arn, service) {
        Ok(stream) if is_name(stream) => Ok((stream, name)),
        Err(api_error) if api_error.code == Code::ResourceNotFound => {
            Err(ApiError::not_found(format!("Consumer {arn} not found.")))
        }
        Ok(_) | Err(_) => Err(invalid()),
    }
}

impl Stream {
    fn remove_deleted_consumers(&mut self, now: Millis) {
        self.consumers.retain(|_, consumer| !consumer.change.is_deleted(now));
    }

    /// Checks that the stream has room for another consumer.
    fn check_room(&self, now: Millis) -> Result<(), ApiError> {
        let reject = |max: usize, what: &str| {
            let message = format!(
                "Stream {} under account {} has {max} {what} already, which is the maximum.",
                self.name, self.account
            );
            Err(ApiError::new(Code::LimitExceeded, message))
        };
        let is_creating = |consumer: &&Consumer| consumer.status(now) == Status::Creating;
        if self.consumers.len() >= MAX_CONSUMERS {
            return reject(MAX_CONSUMERS, "consumers");
        }
        if self.consumers.values().filter(is_creating).count() >= MAX_CREATING {
            return reject(MAX_CREATING, "consumers in state CREATING");
        }
        Ok(())
    }
}

impl Service {
    /// Registers a consumer as a request does: it stays `CREATING` for the transition time.
    pub(crate) fn register_consumer(
        &mut self,
        stream: StreamRef<'_>,
        name: &str,
        now: Millis,
    ) -> Result<&Consumer, ApiError> {
        self.changeable(stream, now)?;
        let stream_id = self.stream(stream, now)?.id;
        self.meters.admit_consumer_call(stream_id, ConsumerCall::Register, now)?;
        let has_maximum = self.meters.limits.consumers;
        let until = now.plus(self.transition);
        self.add_consumer(stream, name, until, has_maximum, now)
    }

    /// Registers a consumer that is `ACTIVE` at once.
    pub(crate) fn register_active_consumer(
        &mut self,
        stream: StreamRef<'_>,
        name: &str,
        now: Millis,
    ) -> Result<&Consumer, ApiError> {
        self.add_consumer(stream, name, now, false, now)
    }

    fn add_consumer(
        &mut self,
        stream: StreamRef<'_>,
        name: &str,
        active_from: Millis,
        has_maximum: bool,
        now: Millis,
    ) -> Result<&Consumer, ApiError> {
        let id = self.new_number();
        let stream = self.stream_mut(stream, now)?;
        stream.remove_deleted_consumers(now);
        if stream.consumers.contains_key(name) {
            return Err(ApiError::new(
                Code::ResourceInUse,
                format!(
                    "Consumer {name} of stream {} under account {} already exists.",
                    stream.name, stream.account
                ),
            ));
        }
        if has_maximum {
            stream.check_room(now)?;
        }
        let consumer = Consumer {
            name: name.to_owned(),
            arn: format!("{}/consumer/{name}:{}", stream.arn, now.0 / 1000),
            id,
            created: now,
            change: Change::Creating(active_from),
            subscriptions: BTreeMap::new(),
        };
        Ok(stream.consumers.entry(name.to_owned()).or_insert(consumer))
    }

    /// Deregisters a consumer as a request does: it stays `DELETING` for the transition time, and
    /// its subscriptions end at once.
    pub(crate) fn deregister_consumer(
        &mut self,
        consumer: ConsumerRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        let stream_id = self.stream_of_consumer(consumer, now)?;
        self.meters.admit_consumer_call(stream_id, ConsumerCall::Deregister, now)?;
        let until = now.plus(self.transition);
        self.remove_consumer(consumer, until, now)
    }

    /// Deregisters a consumer, which is gone at once.
    pub(crate) fn deregister_consumer_at_once(
        &mut self,
        consumer: ConsumerRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        self.remove_consumer(consumer, now, now)
    }

    fn remove_consumer(
        &mut self,
        consumer: ConsumerRef<'_>,
        until: Millis,
        now: Millis,
    ) -> Result<(), ApiError> {
        let consumer = self.consumer_mut(consumer, now)?;
        if consumer.status(now) != Status::Deleting {
            consumer.change = Change::Deleting(until);
            consumer.subscriptions.clear();
        }
        Ok(())
    }

    pub(crate) fn describe_consumer(
        &mut self,
        consumer: ConsumerRef<'_>,
        now: Millis,
    ) -> Result<(&Stream, &Consumer), ApiError> {
        let stream_id = self.stream_of_consumer(consumer, now)?;
        self.meters.admit_consumer_call(stream_id, ConsumerCall::Describe, now)?;
        let (stream, name) = consumer.resolve(self)?;
        self.consumer_mut(consumer, now)?;
        let stream = &self.streams[stream];
        Ok((stream, &stream.consumers[name]))
    }

    /// Returns one page of the consumers, and the token for the next page.
    pub(crate) fn list_consumers(
        &mut self,
        stream: StreamRef<'_>,
        created: Option<Millis>,
        next_token: Option<&str>,
        max_results: Option<i64>,
        now: Millis,
    ) -> Result<(Vec<&Consumer>, Option<String>), ApiError> {
        let page = page_length(max_results, PAGE_LENGTH)?;
        let token: Option<ConsumersToken> = next_token
            .map(|text| text.parse().map_err(|()| ApiError::invalid("Invalid NextToken.")))
            .transpose()?;
        if token.is_some() && created.is_some() {
            return Err(ApiError::invalid(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        if token.as_ref().is_some_and(|token| now.since(token.issued) > LIFETIME) {
            return Err(ApiError::new(Code::ExpiredNextToken, "The pagination token has expired."));
        }
        let found = self.stream(stream, now)?;
        let stream_id = found.id;
        if token.as_ref().is_some_and(|token| token.stream_id != stream_id)
            || created.is_some_and(|created| created.0 / 1000 != found.created.0 / 1000)
        {
            let message = format!("Stream {} has been created again.", found.name);
            return Err(ApiError::not_found(message));
        }
        let status = found.status(now);
        if matches!(status, Status::Creating | Status::Deleting) {
            let message = format!("Stream {} is {}.", found.name, status.as_str());
            return Err(ApiError::new(Code::ResourceInUse, message));
        }
        self.meters.admit_consumer_call(stream_id, ConsumerCall::List, now)?;
        let stream = self.stream_mut(stream, now)?;
        stream.remove_deleted_consumers(now);
        let after = token.map(|token| token.after).unwrap_or_default();
        let mut rest = stream.consumers.values().filter(|consumer| consumer.name > after);
        let consumers: Vec<_> = rest.by_ref().take(page).collect();
        let next_token = rest.next().and(consumers.last()).map(|last| {
            ConsumersToken { issued: now, stream_id, after: last.name.clone() }.to_string()
        });
        Ok((consumers, next_token))
    }

    /// Returns the id of the consumer's stream. The consumer itself need not exist.
    fn stream_of_consumer(
        &mut self,
        consumer: ConsumerRef<'_>,
        now: Millis,
    ) -> Result<u64, ApiError> {
        let (stream, _) = consumer.resolve(self)?;
        Ok(self.stream(StreamRef::named(stream), now)?.id)
    }

    /// Returns a consumer in any status.
    pub(crate) fn consumer_mut(
        &mut self,
        consumer: ConsumerRef<'_>,
        now: Millis,
    ) -> Result<&mut Consumer, ApiError> {
        let (stream_name, name) = consumer.resolve(self)?;
        let not_found = consumer.not_found(stream_name, name, &self.account);
        let stream = self.stream_mut(StreamRef::named(stream_name), now)?;
        stream.remove_deleted_consumers(now);
        match stream.consumers.get_mut(name) {
            Some(found) if consumer.arn.is_none_or(|arn| found.arn == arn) => Ok(found),
            _ => Err(not_found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_arn_is_rejected() {
        let service = Service::default();
        let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        for arn in [
            "billing".to_owned(),
            stream.to_owned(),
            format!("{stream}/consumer/billing"),
            format!("{stream}/consumer/billing:"),
            format!("{stream}/consumer/billing:+1"),
            format!("{stream}/consumer/:1"),
            format!("{stream}/consumer/a b:1"),
            format!("{stream}/more/consumer/billing:1"),
            "orders/consumer/billing:1".to_owned(),
        ] {
            let error = names_in_arn(&arn, &service).expect_err(&arn);
            assert_eq!(error.code, Code::Validation, "{arn}");
        }
        let arn = format!("{stream}/consumer/billing:1767225600");
        assert_eq!(names_in_arn(&arn, &service), Ok(("orders", "billing")));
    }
}
