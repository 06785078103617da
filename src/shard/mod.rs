//! A shard, as its consumer sees it: its stream, its handle, its start position, and its end.

pub(crate) mod completion;
pub(crate) mod end_claim;
pub(crate) mod handle;
pub(crate) mod offer;
pub(crate) mod outcome;
pub(crate) mod position;
pub(crate) mod sdk_shard;
pub(crate) mod sequence_number;
pub(crate) mod stream_context;
pub(crate) mod stream_id;

pub use handle::ShardHandle;
pub use outcome::{OnDrop, ParentOutcome};
pub use position::{Progress, StartAt, StartPosition};
pub use stream_id::StreamId;
