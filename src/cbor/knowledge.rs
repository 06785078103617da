//! What the responses of a server have shown about its CBOR.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use aws_smithy_schema::serde::SerdeError;

/// Whether a server knows CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Knowledge {
    Unknown,
    /// A response was in CBOR.
    Cbor,
    /// The server knows no CBOR: requests are sent in JSON.
    JsonOnly,
}

/// The knowledge of all clones of a protocol.
#[derive(Clone, Debug)]
pub(crate) struct SharedKnowledge(Arc<AtomicU8>);

impl SharedKnowledge {
    pub(crate) fn new(knowledge: Knowledge) -> Self {
        Self(Arc::new(AtomicU8::new(knowledge as u8)))
    }

    pub(crate) fn get(&self) -> Knowledge {
        match self.0.load(Ordering::Relaxed) {
            0 => Knowledge::Unknown,
            1 => Knowledge::Cbor,
            _ => Knowledge::JsonOnly,
        }
    }

    pub(crate) fn note_cbor(&self) {
        let (from, to) = (Knowledge::Unknown as u8, Knowledge::Cbor as u8);
        if self.0.load(Ordering::Relaxed) == from {
            // If this fails, another response has shown that the server knows no CBOR.
            let _ = self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Sends requests in JSON from now on.
    pub(crate) fn note_json_only(&self) {
        if self.switch_to_json() {
            tracing::debug!("the server knows no CBOR; requests are sent in JSON from now on");
        }
    }

    /// Sends requests in JSON from now on. kinesalite cuts its CBOR off after 16 KiB.
    pub(crate) fn note_unreadable(&self, error: &SerdeError) {
        if self.switch_to_json() {
            tracing::debug!(
                %error,
                "the server's CBOR is invalid; requests are sent in JSON from now on"
            );
        }
    }

    /// Returns whether requests were sent in CBOR until now.
    fn switch_to_json(&self) -> bool {
        let json_only = Knowledge::JsonOnly as u8;
        self.0.swap(json_only, Ordering::Relaxed) != json_only
    }
}
