//! Shows the figures over HTTP, for Prometheus to scrape.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Creates the exporter. Durations are summed up in buckets, so that Prometheus can add those of
/// several processes.
pub(crate) fn builder() -> PrometheusBuilder {
    const BUCKETS: [f64; 12] =
        [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
    PrometheusBuilder::new().set_buckets(&BUCKETS).expect("the buckets are not empty")
}

/// Responds to each request with the figures, whatever its path.
pub(crate) async fn serve(listener: TcpListener, figures: PrometheusHandle) {
    loop {
        let Ok((connection, _)) = listener.accept().await else { continue };
        let page = figures.render();
        // A client that sends nothing must not keep others waiting.
        tokio::spawn(async move {
            if let Err(error) = respond(connection, &page).await {
                eprintln!("a scrape has failed: {error}");
            }
        });
    }
}

async fn respond(connection: TcpStream, page: &str) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    // The end of the headers is an empty line.
    while connection.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        page.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(page.as_bytes()).await?;
    connection.shutdown().await
}
