//! Many workers share the shards of one stream, by leases in DynamoDB.
#![allow(dead_code, unreachable_pub)]

pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod leases;
pub(crate) mod machine;
pub(crate) mod options;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod simulation;
pub(crate) mod stalls;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod worker;

pub use error::LeaseError;
pub use event::{LeaseEvent, LeaseEventKind};
pub use leases::{LeaseBackend, Leases};
pub use options::LeaseOptions;
pub use status::WorkerStatus;
pub use stream::LeasedShards;

pub use crate::checkpoint::acker::LeaseLost;
pub use crate::checkpoint::lease::{Lease, LeaseEnd};

pub(crate) mod sealed {
    use std::sync::Arc;

    use crate::lease::table::LeaseTables;
    use crate::shard::stream_id::StreamId;

    /// A place of the tables of a fleet.
    pub trait IntoTables {
        fn into_tables(
            self,
            leases: String,
            workers: String,
            stream: &StreamId,
        ) -> Tables;
    }

    /// The tables of a fleet.
    pub struct Tables(pub(crate) Arc<dyn LeaseTables>);
}
