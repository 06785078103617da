//! The output of the example `tail`.

use super::*;

#[path = "../../examples/tail/line.rs"]
mod line;

#[tokio::test(start_paused = true)]
async fn a_record_is_one_line_without_control_characters() {
    let (_, orders, client) = fake(1);
    orders.put_to(FIRST, "an\torder\n\u{1b}[2J\u{9b}1m – 鍵");
    orders.put_to(FIRST, [0xff, 0x00]);
    let records = first(all_shards(&client, "orders")).await.records(&client);
    let records: Vec<Record> = records.take(2).map(Result::unwrap).collect().await;

    let text = line::text(&records[0], Some(Duration::from_millis(61_500)));
    assert!(
        text.ends_with('\n')
            && !text.trim_end_matches('\n').contains(|c: char| c.is_control() && c != '\t')
    );
    let columns: Vec<_> = text.trim_end_matches('\n').split('\t').collect();
    assert_eq!(columns[..3], ["2026-01-01T00:00:00.000Z", FIRST, "1m01s"]);
    assert_eq!(columns[4], "an\\torder\\n\\u{1b}[2J\\u{9b}1m – 鍵");
    assert!(line::text(&records[1], None).ends_with("\tbase64:/wA=\n"));

    let json: serde_json::Value =
        serde_json::from_str(&line::json(&records[0], Some(Duration::from_secs(2)))).unwrap();
    assert_eq!((json["stream"].as_str(), json["shard_id"].as_str()), (Some("orders"), Some(FIRST)));
    assert_eq!(json["sequence_number"], records[0].sequence_number());
    assert_eq!((&json["encoding"], &json["lag_ms"]), (&"text".into(), &2_000.into()));
    assert_eq!(json["data"].as_str().unwrap().as_bytes(), records[0].data());
    assert_eq!(json.get("sub_sequence_number"), None);
    let binary = line::json(&records[1], None);
    assert_eq!(binary.matches('\n').count(), 1);
    let binary: serde_json::Value = serde_json::from_str(&binary).unwrap();
    assert_eq!((&binary["encoding"], &binary["data"]), (&"base64".into(), &"/wA=".into()));
}

#[test]
fn a_lag_of_zero_is_no_lag() {
    assert_eq!(units::lag(None), "lag unknown");
    assert_eq!(units::lag(Some(Duration::ZERO)), "no lag");
    assert_eq!(units::lag(Some(Duration::from_secs(65))), "lag up to 1m05s");
}

#[tokio::test(start_paused = true)]
async fn each_user_record_is_one_line() {
    let (_, orders, client) = fake(1);
    orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    let records = first(all_shards(&client, "orders")).await.records(&client);
    let records = records.with_options(ReadOptions::new().deaggregate()).take(3);
    let lines: Vec<String> =
        records.map(|record| line::json(&record.unwrap(), None)).collect().await;
    let third: serde_json::Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!((&third["data"], &third["sub_sequence_number"]), (&"third".into(), &2.into()));
}
