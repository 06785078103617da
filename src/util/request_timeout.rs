//! How long an answer is waited for. The SDK has no timeout by default, and a connection may die
//! without a word.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::error::SdkError;
use pin_project::pin_project;
use tokio::time::{Duration, Instant, Sleep, sleep};

/// Waits for a request's answer for a minute at the most.
///
/// Only the time counts in which it is polled: a consumer that was busy for long finds its answer,
/// and does not lose it. So the time is counted in ticks, each of which begins when the one before
/// was seen.
pub(crate) fn request_timeout<F: Future>(request: F) -> PolledTimeout<F> {
    patiently_for(PATIENCE, request)
}

/// Waits for a request's answer for this many seconds at the most, of which only the time counts in
/// which it is polled.
pub(crate) fn patiently_for<F: Future>(seconds: u32, request: F) -> PolledTimeout<F> {
    PolledTimeout { request, tick: None, ticks_left: seconds }
}

const TICK: Duration = Duration::from_secs(1);
/// In seconds.
pub(crate) const PATIENCE: u32 = 60;

#[pin_project]
pub(crate) struct PolledTimeout<F> {
    #[pin]
    request: F,
    /// Made when it is first needed: many an answer is there at once.
    #[pin]
    tick: Option<Sleep>,
    ticks_left: u32,
}

/// No answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoResponse;

impl<F: Future> Future for PolledTimeout<F> {
    type Output = Result<F::Output, NoResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.request.poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        loop {
            let Some(mut tick) = this.tick.as_mut().as_pin_mut() else {
                this.tick.set(Some(sleep(TICK)));
                continue;
            };
            ready!(tick.as_mut().poll(cx));
            *this.ticks_left = this.ticks_left.saturating_sub(1);
            if *this.ticks_left == 0 {
                return Poll::Ready(Err(NoResponse));
            }
            tick.reset(Instant::now() + TICK);
        }
    }
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer came within {PATIENCE} s")
    }
}

impl std::error::Error for NoResponse {}

impl<E, R> From<NoResponse> for SdkError<E, R> {
    fn from(no_answer: NoResponse) -> Self {
        Self::timeout_error(no_answer)
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
    async fn an_answer_is_waited_for_for_a_minute() {
        let begun = Instant::now();
        assert_eq!(request_timeout(pending::<()>()).await, Err(NoResponse));
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert_eq!(request_timeout(ready(7)).await, Ok(7));
        let late = request_timeout(sleep(Duration::from_millis(59_900)));
        assert_eq!(late.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_nobody_looked_is_not_lost() {
        let (answer, answered) = oneshot::channel();
        let mut request = Box::pin(request_timeout(answered));
        assert!(request.as_mut().now_or_never().is_none());
        advance(Duration::from_hours(1)).await;
        answer.send("late").unwrap();
        assert_eq!(request.await, Ok(Ok("late")));
    }

    #[tokio::test(start_paused = true)]
    async fn hours_in_which_nobody_looked_are_one_tick() {
        let mut request = Box::pin(request_timeout(pending::<()>()));
        for _ in 0..10 {
            assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            advance(Duration::from_hours(1)).await;
        }
        assert!(timeout(Duration::from_secs(49), request.as_mut()).await.is_err());
        assert_eq!(timeout(Duration::from_secs(3), request).await, Ok(Err(NoResponse)));
    }
}
