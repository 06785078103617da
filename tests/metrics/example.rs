//! The dashboard and the rules of the example `metrics`, and its page.

use std::collections::BTreeSet;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::exporter;

/// Returns the names of this crate's figures in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("kinesis_shards_")).map(str::to_owned).collect()
}

/// Scrapes a page as Prometheus does.
async fn scrape(figures: metrics_exporter_prometheus::PrometheusHandle) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(exporter::serve(listener, figures));
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    server.abort();
    let (head, page) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains(&format!("content-length: {}", page.len())), "{head}");
    page.to_owned()
}

#[tokio::test]
async fn the_page_is_scraped_and_has_every_figure_of_the_dashboard_and_the_rules() {
    let recorder = exporter::builder().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        kinesis_shards::metrics::describe();
        // A recorder shows a description only with a value. These names are the documented ones.
        for name in documented() {
            match name.as_str() {
                name if name.ends_with(".duration") => {
                    metrics::histogram!(name.to_owned()).record(1.0);
                }
                name => metrics::counter!(name.to_owned()).increment(1),
            }
        }
    });
    let page = scrape(recorder.handle()).await;
    let shown = names(&page);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/metrics");
    for file in ["dashboard.json", "alerts.yml"] {
        let used = names(&std::fs::read_to_string(folder.join(file)).unwrap());
        assert!(used.len() > 5, "{file} uses {used:?}");
        let unknown: Vec<_> = used.difference(&shown).collect();
        assert!(unknown.is_empty(), "{file} uses figures that do not exist: {unknown:?}");
    }
    let text = std::fs::read_to_string(folder.join("dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let shown_on_it = names(&text).iter().map(|name| name.replace("_bucket", "")).collect();
    let missing: Vec<_> = documented()
        .iter()
        .map(|name| name.replace('.', "_"))
        // One series for each shard, which few dashboards can show.
        .filter(|name| name != "kinesis_shards_lag")
        .collect::<BTreeSet<_>>()
        .difference(&shown_on_it)
        .cloned()
        .collect();
    assert!(missing.is_empty(), "the dashboard lacks {missing:?}");
    assert_eq!(dashboard["title"], "kinesis-shards");
}

/// Returns the names in the table of the docs.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics.rs");
    let docs = std::fs::read_to_string(path).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("//! | `kinesis_shards."));
    let names: Vec<_> =
        rows.filter_map(|row| Some(format!("kinesis_shards.{}", row.split_once('`')?.0))).collect();
    assert_eq!(names.len(), 24, "{names:?}");
    names
}
