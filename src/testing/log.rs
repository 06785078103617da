//! The request log, and what its requests have read.

use crate::testing::request::Request;
use crate::testing::wire::reply::Read;

/// The requests in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<Request>,
    /// The number of requests that were logged, with those that were removed since.
    logged: u64,
    /// The number of responses to reads, and of events, so far.
    turns: u64,
}

impl Log {
    /// Adds a request and what its response reads. Returns the number of the request.
    pub(crate) fn push(&mut self, mut request: Request, read: Option<Read>) -> u64 {
        request.number = self.logged;
        if let Some(read) = read {
            request.add_read(read, self.next_turn());
        }
        self.requests.push(request);
        self.logged += 1;
        self.logged - 1
    }

    /// Adds an event of the subscription of a request, unless the request was removed.
    pub(crate) fn add_event(&mut self, number: u64, read: Read) {
        let turn = self.next_turn();
        let at = self.requests.binary_search_by_key(&number, |request| request.number);
        if let Ok(at) = at {
            self.requests[at].add_read(read, turn);
        }
    }

    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}
