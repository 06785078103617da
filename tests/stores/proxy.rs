//! A proxy that loses responses of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    port: u16,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let cuts = Arc::<AtomicUsize>::default();
        let task = tokio::spawn({
            let cuts = Arc::clone(&cuts);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(client, server, Arc::clone(&cuts)));
                }
            }
        });
        Self { port, cuts, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes the connection instead of passing on the next `responses` responses. The server has
    /// carried out their requests.
    pub(crate) fn cut(&self, responses: usize) {
        self.cuts.store(responses, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: u16, cuts: Arc<AtomicUsize>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) =
        TcpStream::connect(("127.0.0.1", server)).await?.into_split();
    let requests =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut response = vec![0; 1 << 16];
    loop {
        let len = from_server.read(&mut response).await?;
        let is_cut = cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        if len == 0 || is_cut {
            requests.abort();
            return Ok(());
        }
        to_client.write_all(&response[..len]).await?;
    }
}
