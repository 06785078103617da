//! The modules of the example `dynamodb_streams`.

#[path = "../../examples/common/mod.rs"]
pub(crate) mod common;
#[path = "../../examples/dynamodb_streams/demo.rs"]
pub(crate) mod demo;
#[path = "../../examples/dynamodb_streams/follow.rs"]
pub(crate) mod follow;
#[path = "../../examples/dynamodb_streams/lists.rs"]
pub(crate) mod lists;
#[path = "../../examples/dynamodb_streams/model.rs"]
pub(crate) mod model;
#[path = "../../examples/dynamodb_streams/print.rs"]
pub(crate) mod print;
#[path = "../../examples/dynamodb_streams/read.rs"]
pub(crate) mod read;
#[path = "../../examples/dynamodb_streams/retry.rs"]
pub(crate) mod retry;
#[path = "../../examples/dynamodb_streams/table_stream.rs"]
pub(crate) mod table_stream;
