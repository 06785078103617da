//! Which requests a stream's status allows, and how long a change takes that a request has made.
//!
//! The changes themselves ignore the status: a test's own changes are complete when they return.

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::service::{Service, StreamRef, not_found};
use crate::testing::model::status::{Change, Status};
use crate::testing::model::stream::{Mode, Stream};
use crate::testing::model::time::Millis;

impl Service {
    /// Returns a stream that takes reads and writes.
    ///
    /// A stream that is `CREATING` is not found, as at AWS. AWS says that one that is `DELETING`
    /// might still take reads and writes. Here it is not found either, because a client has to
    /// expect that.
    pub(crate) fn live_stream(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<&mut Stream, ApiError> {
        match self.stream(stream, now)?.status(now) {
            Status::Active | Status::Updating => self.stream_mut(stream, now),
            Status::Creating | Status::Deleting => {
                Err(not_found(stream.resolve(self)?, &self.account))
            }
        }
    }

    /// Checks that a request may change the stream: AWS allows one change at a time.
    pub(crate) fn changeable(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        let stream = self.stream(stream, now)?;
        match stream.status(now) {
            Status::Active => Ok(()),
            status => Err(ApiError::new(
                Code::ResourceInUse,
                format!(
                    "Stream {} under account {} not ACTIVE, instead in state {}",
                    stream.name,
                    stream.account,
                    status.as_str()
                ),
            )),
        }
    }

    /// Checks that a request may reshard the stream: AWS alone reshards one in on-demand mode.
    pub(crate) fn reshardable(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        self.changeable(stream, now)?;
        let stream = self.stream(stream, now)?;
        if stream.mode == Mode::OnDemand {
            let message = format!(
                "Request is invalid. Stream {} under account {} is in On-Demand mode.",
                stream.name, stream.account
            );
            return Err(ApiError::new(Code::Validation, message));
        }
        Ok(())
    }

    /// Puts the stream into the status of `change` for the configured transition time. A request
    /// calls this after it has created or changed the stream.
    pub(crate) fn linger(
        &mut self,
        stream: StreamRef<'_>,
        change: fn(Millis) -> Change,
        now: Millis,
    ) -> Result<(), ApiError> {
        let until = now.plus(self.transition);
        self.stream_mut(stream, now)?.change = change(until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);
    const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

    #[test]
    fn stream_in_transition_rejects_another_change() {
        let mut service = Service::default();
        service.transition = std::time::Duration::from_secs(1);
        service.create_stream("orders", Mode::Provisioned, 1, NOW).expect("a new stream");
        service.reshardable(ORDERS, NOW).expect("ACTIVE");
        service.linger(ORDERS, Change::Updating, NOW).expect("the stream exists");
        assert_eq!(
            service.reshardable(ORDERS, Millis(NOW.0 + 999)).expect_err("rejected").code,
            Code::ResourceInUse
        );
        assert!(service.live_stream(ORDERS, NOW).is_ok());
        service.reshardable(ORDERS, Millis(NOW.0 + 1000)).expect("ACTIVE again");
        for change in [Change::Creating, Change::Deleting] {
            service.linger(ORDERS, change, NOW).expect("the stream exists");
            assert_eq!(
                service.live_stream(ORDERS, NOW).expect_err("rejected").code,
                Code::ResourceNotFound
            );
        }
    }

    #[test]
    fn requests_cannot_reshard_an_on_demand_stream() {
        let mut service = Service::default();
        service.create_stream("orders", Mode::OnDemand, 4, NOW).expect("a new stream");
        service.changeable(ORDERS, NOW).expect("ACTIVE");
        assert_eq!(service.reshardable(ORDERS, NOW).expect_err("rejected").code, Code::Validation);
    }
}
