//! Throttling, missing responses, and empty responses.

use std::collections::BTreeMap;

use super::*;

/// One write in eight succeeds. A write of a row that is known to exist would use it up.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_is_saved_where_one_write_in_eight_succeeds() {
    let world = World::new(1);
    world.orders.put_to(&id(0), "0");
    let (left, right) = world.orders.split(&id(0));
    world.orders.put_to(&left, "1");
    world.orders.put_to(&right, "2");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    checkpoints.flush().await;
    let mut writes = 0;
    world.table.on_request(move |operation, _| {
        if operation != "UpdateItem" {
            return None;
        }
        writes += 1;
        (writes % 8 != 0).then_some(Fault::Throttled)
    });
    first.ack();
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(text(&next(&mut records).await.ack()));
    }
    seen.sort();
    assert_eq!(seen, ["1", "2"]);
    assert_eq!(world.table.text(&id(0), "checkpoint"), "SHARD_END");
    let mut succeeded = BTreeMap::<_, u32>::new();
    let requests = world.table.requests();
    let end = requests.iter().rposition(|request| request.key == id(0)).unwrap();
    for request in &requests[..=end] {
        if request.operation == "UpdateItem" && request.fault.is_none() {
            *succeeded.entry(request.key.clone()).or_default() += 1;
        }
    }
    // The start and the end of the shard, and the row of each child.
    assert_eq!(succeeded, [(id(0), 2), (left, 1), (right, 1)].into());
}

/// Another consumer has created the rows of the children.
#[tokio::test(start_paused = true)]
async fn a_child_row_that_is_known_to_exist_is_not_written_again() {
    let world = World::new(1);
    world.orders.put_to(&id(0), "0");
    let store = world.loaded_store().await;
    world.save(&store, &after("7")).await.unwrap();
    let (left, right) = world.orders.split(&id(0));
    for child in [&left, &right] {
        world.table.put_lease(child, "TRIM_HORIZON", &[&id(0)]);
    }
    let child = |child: &String| {
        let shards = world.orders.shards();
        let range = shards
            .iter()
            .find(|shard| shard.shard_id() == child)
            .unwrap()
            .hash_key_range()
            .cloned();
        let child =
            aws_sdk_kinesis::types::ChildShard::builder().shard_id(child).parent_shards(id(0));
        child.set_hash_key_range(range).build().unwrap()
    };
    let children = [child(&left), child(&right)];
    let (stream, shards) = (StreamId::from("orders"), world.orders.shards());
    let end = Save::new(&stream, &shards[0], &Checkpoint::End).with_children(&children);
    let parent = id(0);
    world.table.on_request(move |_, key| (key == parent).then_some(Fault::Throttled));
    for _ in 0..3 {
        store.save(end).await.unwrap_err();
    }
    world.table.heal();
    store.save(end).await.unwrap();
    let writes =
        |key: &str| world.table.requests().iter().filter(|request| request.key == key).count();
    assert_eq!((writes(&left), writes(&right)), (1, 1));
}

/// The refusal of a conditional write shows the row, so that no `GetItem` is needed.
#[tokio::test(start_paused = true)]
async fn a_refused_write_shows_the_row() {
    let world = World::new(1);
    let store = world.loaded_store().await;
    world.save(&store, &after("7")).await.unwrap();
    world.table.put_lease(&id(0), "9", &[]);
    world.table.fail_always("GetItem", Fault::Throttled);
    let error = world.save(&store, &after("8")).await.unwrap_err();
    assert!(error.to_string().contains("worker-of-java"), "{error}");
    let error = store.forget(&StreamId::from("orders"), &id(0)).await.unwrap_err();
    assert!(error.to_string().contains("worker-of-java"), "{error}");
}

/// An empty `200` is not an empty table: the run would start over.
#[tokio::test(start_paused = true)]
async fn an_empty_response_to_a_scan_is_not_an_empty_table() {
    let world = World::new(1);
    world.table.put_lease(&id(0), "7", &[]);
    // The first page, or the second.
    for at in [0, 1] {
        for n in 1..4 {
            world.table.put_lease(&id(n), "7", &[]);
        }
        let mut scans = 0;
        world.table.on_request(move |operation, _| {
            scans += 1;
            (operation == "Scan" && scans > at && scans <= at + 2).then_some(Fault::Empty)
        });
        assert_eq!(world.load().await.progress().count(), 4, "the page was not requested again");
    }
    world.table.fail_always("Scan", Fault::Empty);
    let error = Checkpoints::load(world.store(), "orders").await.unwrap_err();
    let error = chain(&error);
    assert!(error.contains("Scan on DynamoDB table orders-application"), "{error}");
    assert!(error.contains("empty response"), "{error}");
    // The response for an empty table has a count.
    world.table.heal();
    let empty = World::new(1);
    assert_eq!(empty.load().await.progress().count(), 0);
}

/// An empty `200` is neither a write nor a deletion.
#[tokio::test(start_paused = true)]
async fn an_empty_response_to_a_write_is_not_a_write() {
    let world = World::new(1);
    let store = world.loaded_store().await;
    for checkpoint in [after("7"), after("8"), Checkpoint::End] {
        world.table.fail_always("UpdateItem", Fault::Empty);
        let error = chain(&*world.save(&store, &checkpoint).await.unwrap_err());
        assert!(error.contains("UpdateItem on DynamoDB table orders-application"), "{error}");
        world.table.heal();
        world.save(&store, &checkpoint).await.unwrap();
        let row = world.loaded_store().await.load(&StreamId::from("orders")).await.unwrap();
        assert_eq!(row, [(id(0), checkpoint)]);
    }
    let stream = StreamId::from("orders");
    world.table.fail_always("DeleteItem", Fault::Empty);
    let error = chain(&*store.forget(&stream, &id(0)).await.unwrap_err());
    assert!(error.contains("DeleteItem on DynamoDB table orders-application"), "{error}");
    assert_eq!(world.table.keys(), [id(0)]);
    world.table.heal();
    store.forget(&stream, &id(0)).await.unwrap();
    assert_eq!(world.table.keys(), [""; 0]);
}

/// An empty response is also that for a row that does not exist. The next write is conditional.
#[tokio::test(start_paused = true)]
async fn an_empty_response_for_an_existing_row_overwrites_nothing() {
    let world = World::new(1);
    let store = world.loaded_store().await;
    world.table.put_lease(&id(0), "9", &[]);
    world.table.fail_always("GetItem", Fault::Empty);
    world.save(&store, &after("8")).await.unwrap_err();
    assert_eq!(world.table.text(&id(0), "checkpoint"), "9");
}

#[tokio::test(start_paused = true)]
async fn an_empty_description_is_not_an_active_table() {
    let world = World::new(1);
    world.table.remove_table();
    let mut described = 0;
    world.table.on_request(move |operation, _| {
        described += u32::from(operation == "DescribeTable");
        (operation == "DescribeTable" && described < 4).then_some(Fault::Empty)
    });
    world.store().create_table_if_missing().await.unwrap();
    world.load().await;
    world.table.fail_always("DescribeTable", Fault::Empty);
    let error = world.store().create_table_if_missing().await.unwrap_err().to_string();
    assert!(error.contains("DescribeTable on DynamoDB table orders-application"), "{error}");
}

/// A worker that starts during a short outage would end, if the first failure were the last.
#[tokio::test(start_paused = true)]
async fn the_creation_of_a_table_outlasts_a_short_outage() {
    for operation in ["DescribeTable", "CreateTable"] {
        let world = World::new(1);
        world.table.remove_table();
        let mut failures = 0;
        world.table.on_request(move |requested, _| {
            failures += u32::from(requested == operation);
            (requested == operation && failures <= 10).then_some(Fault::Throttled)
        });
        world.store().create_table_if_missing().await.unwrap();
        let requests = world.table.requests();
        let mut created = requests.iter().filter(|it| it.fault.is_none());
        assert!(created.any(|it| it.operation == "CreateTable"), "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_creation_of_a_table_fails_after_a_long_outage() {
    let world = World::new(1);
    world.table.remove_table();
    world.table.fail_always("DescribeTable", Fault::Throttled);
    let error = world.store().create_table_if_missing().await.unwrap_err().to_string();
    assert!(error.contains("DescribeTable on DynamoDB table orders-application"), "{error}");
    // The SDK alone sends three.
    assert!(world.table.requests().len() > 10, "{:?}", world.table.requests());
}

/// The SDK waits for ever for a response from a dead connection.
#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_fails_with_an_error_that_names_it() {
    let world = World::new(1);
    let stream = StreamId::from("orders");
    let store = world.loaded_store().await;
    world.save(&store, &after("7")).await.unwrap();
    for silent in ["DescribeTable", "CreateTable", "Scan", "GetItem", "UpdateItem", "DeleteItem"] {
        let table = world.table.clone();
        table.heal();
        match silent {
            "CreateTable" => table.remove_table(),
            "GetItem" => table.put_lease(&id(0), "9", &[]),
            _ => {}
        }
        table.fail_always(silent, Fault::NoResponse);
        let error = match silent {
            "DescribeTable" | "CreateTable" => {
                chain(&store.create_table_if_missing().await.unwrap_err())
            }
            "Scan" => chain(&*store.load(&stream).await.unwrap_err()),
            // A store that has not loaded the table knows no row.
            "GetItem" => chain(&*world.store().forget(&stream, &id(0)).await.unwrap_err()),
            "UpdateItem" => chain(&*world.save(&store, &after("8")).await.unwrap_err()),
            _ => chain(&*store.forget(&stream, &id(0)).await.unwrap_err()),
        };
        assert!(
            error.contains(&format!("{silent} on DynamoDB table orders-application")),
            "{error}"
        );
        assert!(error.contains("60 s"), "{error}");
        table.heal();
        store.create_table_if_missing().await.unwrap();
    }
}

/// Such a row would be read as one of an application with several streams, and the consumer would
/// not start.
#[tokio::test(start_paused = true)]
async fn a_shard_id_with_a_colon_is_refused_when_it_is_saved() {
    let world = World::new(1);
    let store = world.loaded_store().await;
    let stream = StreamId::from("orders");
    let shard = aws_sdk_kinesis::types::Shard::builder().shard_id("shard:0").build().unwrap();
    let error = store.save(Save::new(&stream, &shard, &after("7"))).await.unwrap_err();
    assert!(error.to_string().contains("shard:0"), "{error}");

    let shards = world.orders.shards();
    let child = aws_sdk_kinesis::types::ChildShard::builder().shard_id("child:1");
    let child = child.parent_shards(id(0)).set_hash_key_range(shards[0].hash_key_range().cloned());
    let children = [child.build().unwrap()];
    let end = Save::new(&stream, &shards[0], &Checkpoint::End).with_children(&children);
    let error = store.save(end).await.unwrap_err();
    assert!(error.to_string().contains("child:1"), "{error}");

    assert_eq!(world.table.keys(), [""; 0]);
    assert_eq!(world.load().await.progress().count(), 0);
}

/// The table keeps the ARN where it is known, as the key of the stream in every other store.
#[tokio::test(start_paused = true)]
async fn a_table_of_a_stream_with_an_arn_is_refused_to_its_namesakes() {
    let here = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    let there = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    for (kept, others) in
        [(here, [there, "orders", "payments"]), ("orders", [here, there, "payments"])]
    {
        let world = World::new(1);
        let (stream, shards) = (StreamId::from(kept), world.orders.shards());
        let store = world.store();
        store.load(&stream).await.unwrap();
        // The row is created, and then moved.
        for checkpoint in [after("7"), after("8")] {
            store.save(Save::new(&stream, &shards[0], &checkpoint)).await.unwrap();
            assert_eq!(world.table.text(&id(0), "kinesisShardsStream"), kept);
            assert_eq!(world.store().load(&stream).await.unwrap(), [(id(0), checkpoint)]);
        }
        for other in others {
            let error = Checkpoints::load(world.store(), other).await.unwrap_err();
            let error = chain(&error);
            assert!(error.contains(kept), "{other} beside {kept}: {error}");
        }
    }
}

/// Clones of a store write with one mark, so the table does not show the second consumer.
#[tokio::test(start_paused = true)]
async fn a_second_reader_of_a_shard_is_refused_over_a_clone_of_the_store() {
    let world = World::new(1);
    world.orders.put("key", "0");
    let store = world.store();
    let first = Checkpoints::load(store.clone(), "orders").await.unwrap();
    let second = Checkpoints::load(store, "orders").await.unwrap();
    let mut records = world.records(&first);
    next(&mut records).await.ack();
    let refused = timeout(Duration::from_hours(1), world.records(&second).next()).await;
    let error = refused.expect("an item").expect("not the end").expect_err("it is in use");
    assert!(error.is_in_use(), "{error}");
}
