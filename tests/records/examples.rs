//! The errors that the examples print.

use kinesis_shards::try_all_shards;

use super::*;

#[path = "../../examples/common/mod.rs"]
#[expect(dead_code, reason = "only the errors are tested")]
mod common;
use common::error::{LastError, with_cause};

#[tokio::test(start_paused = true)]
async fn an_error_is_one_line_without_repetition() {
    let (kinesis, _, client) = fake(1);
    for (fault, code) in [
        (Fault::AccessDenied, "AccessDeniedException"),
        (Fault::Error { status: 400, code: "NewException".to_owned() }, "NewException"),
    ] {
        kinesis.fail_next("ListShards", fault);
        let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
        let text = with_cause(&error);
        assert_eq!(text.matches(code).count(), 1, "{text}");
        assert!(!text.contains(['{', '\n']), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_repeats_is_printed_once() {
    let (kinesis, _, client) = fake(1);
    kinesis.fail_always("ListShards", Fault::AccessDenied);
    let mut shards = try_all_shards(&client, "orders");
    let last_error = LastError::default();
    let (first, second) = (shards.next().await.unwrap(), shards.next().await.unwrap());
    let first = last_error.describe(&first.unwrap_err());
    assert!(first.contains("AccessDeniedException"), "{first}");
    assert_eq!(last_error.describe(&second.unwrap_err()), "the same error again");

    kinesis.clear_faults();
    kinesis.fail_always("ListShards", Fault::Throttled);
    let third = last_error.describe(&shards.next().await.unwrap().unwrap_err());
    assert!(third.contains("LimitExceededException"), "{third}");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_missing_stream_is_one_line() {
    let (_, _, client) = fake(1);
    let error = try_all_shards(&client, "nosuch").ready().await.unwrap_err();
    let text = with_cause(&error);
    assert!(text.contains("nosuch") && !text.contains(['{', '\n']), "{text}");
}
