//! Consumers: their lifecycle, their limits, and the checks of their operations.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::describe_stream_consumer::DescribeStreamConsumerError;
use aws_sdk_kinesis::operation::register_stream_consumer::RegisterStreamConsumerError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{
    Consumer, ConsumerDescription, ConsumerStatus, ShardIteratorType, StartingPosition,
};
use kinesis_shards::testing::{FakeKinesis, Limits};

use crate::arguments::{INVALID, NOT_FOUND, Table, VALIDATION};
use crate::{FIRST, HOUR, SECOND, one_stream};

const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";

async fn register(client: &Client, name: &str) -> Result<Consumer, RegisterStreamConsumerError> {
    let request = client.register_stream_consumer().stream_arn(STREAM).consumer_name(name);
    let response = request.send().await.map_err(SdkError::into_service_error)?;
    Ok(response.consumer.expect("always given"))
}

async fn describe(
    client: &Client,
    name: &str,
) -> Result<ConsumerDescription, DescribeStreamConsumerError> {
    let request = client.describe_stream_consumer().stream_arn(STREAM).consumer_name(name);
    let response = request.send().await.map_err(SdkError::into_service_error)?;
    Ok(response.consumer_description.expect("always given"))
}

fn latest() -> StartingPosition {
    StartingPosition::builder().r#type(ShardIteratorType::Latest).build().expect("complete")
}

#[tokio::test(start_paused = true)]
async fn consumer_is_created_and_deleted_in_the_transition_time() {
    let (fake, _, client) = one_stream(FakeKinesis::builder().transition(HOUR).build());
    let created = register(&client, "billing").await.expect("registered");
    assert_eq!(created.consumer_status(), &ConsumerStatus::Creating);
    assert_eq!(created.consumer_arn(), format!("{STREAM}/consumer/billing:1767225600"));
    assert_eq!(created.consumer_creation_timestamp(), &DateTime::from(fake.now()));
    let again = register(&client, "billing").await.expect_err("rejected");
    assert!(again.is_resource_in_use_exception(), "{again:?}");

    let subscribe = client.subscribe_to_shard().consumer_arn(created.consumer_arn());
    let subscribe = subscribe.shard_id(FIRST).starting_position(latest());
    let early = subscribe.clone().send().await.expect_err("rejected").into_service_error();
    assert!(early.is_resource_in_use_exception(), "{early:?}");
    fake.advance(HOUR).await;
    subscribe.send().await.expect("ACTIVE");
    let by_name = describe(&client, "billing").await.expect("described");
    assert_eq!(by_name.consumer_status(), &ConsumerStatus::Active);
    assert_eq!((by_name.stream_arn(), by_name.consumer_name()), (STREAM, "billing"));
    let by_arn = client.describe_stream_consumer().consumer_arn(created.consumer_arn()).send();
    assert_eq!(by_arn.await.expect("described").consumer_description, Some(by_name));

    let deregister = client.deregister_stream_consumer().consumer_arn(created.consumer_arn());
    deregister.clone().send().await.expect("deregistered");
    let deleting = describe(&client, "billing").await.expect("described");
    assert_eq!(deleting.consumer_status(), &ConsumerStatus::Deleting);
    fake.advance(HOUR).await;
    assert!(
        describe(&client, "billing").await.expect_err("gone").is_resource_not_found_exception()
    );
    let gone = deregister.send().await.expect_err("gone").into_service_error();
    assert!(gone.is_resource_not_found_exception());
    let new = register(&client, "billing").await.expect("registered");
    assert_ne!(new.consumer_arn(), created.consumer_arn());
    let old = client.describe_stream_consumer().consumer_arn(created.consumer_arn()).send().await;
    assert!(old.expect_err("gone").into_service_error().is_resource_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn stream_takes_its_consumers_along() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    register(&client, "billing").await.expect("registered");
    orders.register_consumer("shipping");
    let summary = client.describe_stream_summary().stream_name("orders").send().await;
    let summary = summary.expect("described").stream_description_summary.expect("always given");
    assert_eq!(summary.consumer_count(), Some(2));
    orders.recreate(1);
    assert!(
        describe(&client, "billing").await.expect_err("gone").is_resource_not_found_exception()
    );
    orders.delete();
    let error = register(&client, "billing").await.expect_err("rejected");
    assert!(error.is_resource_not_found_exception());
    fake.create_stream("orders", 1);
    register(&client, "billing").await.expect("registered");
}

#[tokio::test(start_paused = true)]
async fn stream_has_twenty_consumers_of_which_five_are_created_at_once() {
    let (fake, orders, client) = one_stream(FakeKinesis::builder().transition(HOUR).build());
    for number in 0..5 {
        register(&client, &format!("consumer-{number}")).await.expect("registered");
    }
    fake.advance(SECOND).await;
    let sixth = register(&client, "sixth").await.expect_err("rejected");
    assert!(sixth.is_limit_exceeded_exception());
    assert!(sixth.meta().message().expect("a message").contains("5 consumers in state CREATING"));
    fake.advance(HOUR).await;
    for number in 5..20 {
        orders.register_consumer(&format!("consumer-{number}"));
    }
    let last = register(&client, "last").await.expect_err("rejected");
    assert!(last.is_limit_exceeded_exception());
    assert!(last.meta().message().expect("a message").contains("has 20 consumers"));
    fake.set_limits(Limits::aws().consumers(false));
    register(&client, "last").await.expect("no limit");
}

#[tokio::test(start_paused = true)]
async fn each_operation_on_consumers_has_its_own_rate() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    for number in 0..6 {
        let registered = register(&client, &format!("consumer-{number}")).await;
        assert_eq!(registered.is_ok(), number < 5, "{registered:?}");
    }
    let mut described = 0;
    while describe(&client, "consumer-0").await.is_ok() {
        described += 1;
    }
    assert_eq!(described, 20);
    let list = client.list_stream_consumers().stream_arn(STREAM);
    for number in 0..6 {
        let listed = list.clone().send().await;
        assert_eq!(listed.is_ok(), number < 5, "{listed:?}");
    }
    let error = describe(&client, "consumer-0").await.expect_err("rejected");
    assert!(error.is_limit_exceeded_exception());
    assert!(error.meta().message().expect("a message").starts_with("Rate exceeded"));
    fake.advance(SECOND).await;
    for number in 0..6 {
        let deregister = client.deregister_stream_consumer().stream_arn(STREAM);
        let name = format!("consumer-{}", number.min(4));
        let deregistered = deregister.consumer_name(name).send().await;
        assert_eq!(deregistered.is_ok(), number < 5, "{deregistered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn consumers_are_listed_in_pages() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    for name in ["c", "a", "b"] {
        orders.register_consumer(name);
    }
    let list = || client.list_stream_consumers().stream_arn(STREAM).max_results(2);
    let names = |consumers: &[Consumer]| -> Vec<String> {
        consumers.iter().map(|consumer| consumer.consumer_name().to_owned()).collect()
    };
    let first = list().send().await.expect("a page");
    assert_eq!(names(first.consumers()), ["a", "b"]);
    let token = first.next_token.expect("more");
    let second = list().next_token(&token).send().await.expect("a page");
    assert_eq!((names(second.consumers()), second.next_token), (vec!["c".to_owned()], None));
    fake.advance(301 * SECOND).await;
    let expired = list().next_token(token).send().await.expect_err("expired");
    assert!(expired.into_service_error().is_expired_next_token_exception());
}

#[tokio::test(start_paused = true)]
async fn arguments_are_checked() {
    let fake = FakeKinesis::builder().limits(Limits::none()).build();
    let (_, orders, client) = one_stream(fake);
    let consumer = orders.register_consumer("billing");
    let mut table = Table::default();

    let register = || client.register_stream_consumer();
    table.row("no name", register().stream_arn(STREAM).send().await, VALIDATION);
    let other = "arn:aws:kinesis:us-east-1:123456789012:stream/other";
    for (stream, name, expected) in
        [(STREAM, "", VALIDATION), (STREAM, "a b", VALIDATION), (other, "new", NOT_FOUND)]
    {
        let response = register().stream_arn(stream).consumer_name(name).send().await;
        table.row(format!("register {name} of {stream}"), response, expected);
    }
    let missing = format!("{STREAM}/consumer/missing:1767225600");
    let older = format!("{STREAM}/consumer/billing:1767225599");
    let foreign = consumer.replace("us-east-1", "eu-west-1");
    for (arn, stream, name, expected) in [
        (None, None, None, INVALID),
        (None, Some(STREAM), None, INVALID),
        (None, None, Some("billing"), INVALID),
        (None, Some(STREAM), Some("missing"), NOT_FOUND),
        (None, Some(other), Some("billing"), NOT_FOUND),
        (Some(STREAM), None, None, VALIDATION),
        (Some(missing.as_str()), None, None, NOT_FOUND),
        (Some(older.as_str()), None, None, NOT_FOUND),
        (Some(foreign.as_str()), None, None, NOT_FOUND),
        (Some(consumer.as_str()), Some(other), None, INVALID),
        (Some(consumer.as_str()), None, Some("shipping"), INVALID),
    ] {
        let describe = client.describe_stream_consumer().set_consumer_arn(arn.map(str::to_owned));
        let describe = describe.set_stream_arn(stream.map(str::to_owned));
        let response = describe.set_consumer_name(name.map(str::to_owned)).send().await;
        table.row(format!("describe {arn:?} {stream:?} {name:?}"), response, expected);
    }
    let list = || client.list_stream_consumers().stream_arn(STREAM);
    table.row("no results", list().max_results(0).send().await, VALIDATION);
    table.row("bad token", list().next_token("x").send().await, INVALID);
    let created = list().stream_creation_timestamp(DateTime::from_secs(7));
    table.row("another creation", created.send().await, NOT_FOUND);

    let subscribe = || client.subscribe_to_shard();
    let position = |kind| StartingPosition::builder().r#type(kind);
    let complete = subscribe().consumer_arn(&consumer).shard_id(FIRST).starting_position(latest());
    table.row("no shard", complete.clone().set_shard_id(None).send().await, VALIDATION);
    let without = complete.clone().set_starting_position(None);
    table.row("no position", without.send().await, VALIDATION);
    table.row("another shard", complete.clone().shard_id("7").send().await, NOT_FOUND);
    table.row("missing", complete.clone().consumer_arn(missing).send().await, NOT_FOUND);
    let foreign = "49".to_owned() + &"0".repeat(54);
    let future = DateTime::from_secs(2_000_000_000);
    for (position, expected) in [
        (position("NEWEST".into()), VALIDATION),
        (position(ShardIteratorType::AtTimestamp), INVALID),
        (position(ShardIteratorType::AtTimestamp).timestamp(future), INVALID),
        (position(ShardIteratorType::AfterSequenceNumber), INVALID),
        (position(ShardIteratorType::AtSequenceNumber).sequence_number("x"), VALIDATION),
        (position(ShardIteratorType::AtSequenceNumber).sequence_number(foreign), INVALID),
        (position(ShardIteratorType::Latest).sequence_number("0"), INVALID),
    ] {
        let position = position.build().expect("complete");
        let response = complete.clone().starting_position(position.clone()).send().await;
        table.row(format!("{position:?}"), response, expected);
    }
    assert_eq!(orders.subscribers(FIRST), [""; 0]);
    table.check();
}
