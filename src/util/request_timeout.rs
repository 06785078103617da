//! The timeout of a request. The SDK has none by default, and a connection may die silently.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::error::SdkError;
use pin_project::pin_project;
use tokio::time::{Duration, Instant, Sleep, sleep};

/// Fails a request that gets no response within 60 s. Only time spent being polled counts.
pub(crate) fn request_timeout<F: Future>(request: F) -> PolledTimeout<F> {
    polled_timeout(TIMEOUT_SECONDS, request)
}

/// Fails a request that gets no response within this many seconds. Only time spent being polled
/// counts.
pub(crate) fn polled_timeout<F: Future>(seconds: u32, request: F) -> PolledTimeout<F> {
    polled_ticks(seconds, TICK, request)
}

/// Fails a request that gets no response within this many ticks. With long ticks, a response that
/// comes sooner costs no timer. Only time spent being polled counts.
pub(crate) fn polled_ticks<F: Future>(
    ticks: u32,
    length: Duration,
    request: F,
) -> PolledTimeout<F> {
    PolledTimeout { request, tick: None, length, ticks_left: ticks }
}

const TICK: Duration = Duration::from_secs(1);
pub(crate) const TIMEOUT_SECONDS: u32 = 60;

/// A request with a timeout that counts only time spent being polled: a consumer that was busy for
/// long still gets its response.
///
/// The time is counted in ticks. Each begins when the end of the one before is polled.
#[pin_project]
pub(crate) struct PolledTimeout<F> {
    #[pin]
    request: F,
    /// Created at the first `Pending`, since many responses are ready at once.
    #[pin]
    tick: Option<Sleep>,
    length: Duration,
    ticks_left: u32,
}

/// No response came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoResponse;

impl<F: Future> Future for PolledTimeout<F> {
    type Output = Result<F::Output, NoResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(response) = this.request.poll(cx) {
            return Poll::Ready(Ok(response));
        }
        loop {
            let Some(mut tick) = this.tick.as_mut().as_pin_mut() else {
                this.tick.set(Some(sleep(*this.length)));
                continue;
            };
            ready!(tick.as_mut().poll(cx));
            *this.ticks_left = this.ticks_left.saturating_sub(1);
            if *this.ticks_left == 0 {
                return Poll::Ready(Err(NoResponse));
            }
            tick.reset(Instant::now() + *this.length);
        }
    }
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response within {TIMEOUT_SECONDS} s")
    }
}

impl std::error::Error for NoResponse {}

impl<E, R> From<NoResponse> for SdkError<E, R> {
    fn from(no_response: NoResponse) -> Self {
        Self::timeout_error(no_response)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use futures::FutureExt;
    use futures::channel::oneshot;
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_fails_after_a_minute() {
        let begun = Instant::now();
        assert_eq!(request_timeout(pending::<()>()).await, Err(NoResponse));
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert_eq!(request_timeout(ready(7)).await, Ok(7));
        let late = request_timeout(sleep(Duration::from_millis(59_900)));
        assert_eq!(late.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_came_between_polls_is_kept() {
        let (response, request) = oneshot::channel();
        let mut request = Box::pin(request_timeout(request));
        assert!(request.as_mut().now_or_never().is_none());
        advance(Duration::from_hours(1)).await;
        response.send("late").unwrap();
        assert_eq!(request.await, Ok(Ok("late")));
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_polls_counts_as_one_tick() {
        let mut request = Box::pin(request_timeout(pending::<()>()));
        for _ in 0..10 {
            assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            advance(Duration::from_hours(1)).await;
        }
        assert!(timeout(Duration::from_secs(49), request.as_mut()).await.is_err());
        assert_eq!(timeout(Duration::from_secs(3), request).await, Ok(Err(NoResponse)));
    }
}
