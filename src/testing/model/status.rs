//! What a stream's status lets a request do, and how long the change that a request asks for takes.
//!
//! The changes themselves know nothing of it: those that a test makes itself are complete when they return.

use super::refusal::{Code, Refusal};
use super::service::{Service, StreamRef, not_found};
use super::stream::{Change, Mode, Status, Stream};
use super::time::Millis;

impl Service {
    /// A stream that can be read and written: AWS answers for one that is not there yet as for one that is not. One that
    /// is being removed may still be read and written at AWS, or may not: here it may not, which a client has to expect.
    pub(super) fn live_stream(&mut self, stream: StreamRef<'_>, now: Millis) -> Result<&mut Stream, Refusal> {
        match self.stream(stream, now)?.status(now) {
            Status::Active | Status::Updating => self.stream_mut(stream, now),
            Status::Creating | Status::Deleting => Err(not_found(stream.resolve(self)?, &self.account)),
        }
    }

    /// Whether a request may change the stream: one change at a time.
    pub(crate) fn changeable(&mut self, stream: StreamRef<'_>, now: Millis) -> Result<(), Refusal> {
        let stream = self.stream(stream, now)?;
        match stream.status(now) {
            Status::Active => Ok(()),
            status => Err(Refusal::new(
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

    /// Whether a request may change the stream's shards: those of an on-demand stream are AWS's own to change.
    pub(crate) fn reshardable(&mut self, stream: StreamRef<'_>, now: Millis) -> Result<(), Refusal> {
        self.changeable(stream, now)?;
        let stream = self.stream(stream, now)?;
        if stream.mode == Mode::OnDemand {
            let message = format!(
                "Request is invalid. Stream {} under account {} is in On-Demand mode.",
                stream.name, stream.account
            );
            return Err(Refusal::new(Code::Validation, message));
        }
        Ok(())
    }

    /// Leaves the stream, which a request has just made or changed, in the midst of it for as long as that takes.
    pub(crate) fn linger(
        &mut self,
        stream: StreamRef<'_>,
        change: fn(Millis) -> Change,
        now: Millis,
    ) -> Result<(), Refusal> {
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
    fn one_change_at_a_time_when_changes_take_time() {
        let mut service = Service::default();
        service.transition = std::time::Duration::from_secs(1);
        service.create_stream("orders", Mode::Provisioned, 1, NOW).expect("a new stream");
        service.reshardable(ORDERS, NOW).expect("ACTIVE");
        service.linger(ORDERS, Change::Updating, NOW).expect("there");
        assert_eq!(
            service.reshardable(ORDERS, Millis(NOW.0 + 999)).expect_err("refused").code,
            Code::ResourceInUse
        );
        assert!(service.live_stream(ORDERS, NOW).is_ok());
        service.reshardable(ORDERS, Millis(NOW.0 + 1000)).expect("ACTIVE again");
        for change in [Change::Creating, Change::Deleting] {
            service.linger(ORDERS, change, NOW).expect("there");
            assert_eq!(service.live_stream(ORDERS, NOW).expect_err("refused").code, Code::ResourceNotFound);
        }
    }

    #[test]
    fn no_request_reshards_an_on_demand_stream() {
        let mut service = Service::default();
        service.create_stream("orders", Mode::OnDemand, 4, NOW).expect("a new stream");
        service.changeable(ORDERS, NOW).expect("ACTIVE");
        assert_eq!(service.reshardable(ORDERS, NOW).expect_err("refused").code, Code::Validation);
    }
}
