//! A proxy of a DynamoDB: it loses responses, refuses and delays requests, and counts them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// What happens to a request.
#[allow(dead_code, reason = "the tests of stores only cut")]
#[derive(Clone, Debug, Default)]
pub(crate) enum Treatment {
    #[default]
    Forwarded,
    /// The connection is closed, and the server gets nothing.
    Refused,
    /// The server gets the request after this time, even if the client no longer waits.
    Delayed(Duration),
    /// The request gets this response if its body contains the text.
    Answered { containing: String, status: u16, body: String },
}

#[derive(Debug, Default)]
struct State {
    treatment: Mutex<Treatment>,
    cuts: AtomicUsize,
    requests: Mutex<BTreeMap<String, usize>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::<State>::default();
        let task = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move { state.serve(client, server).await });
                }
            }
        });
        Self { port, state, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes the connection instead of passing on the next `responses` responses. The server has
    /// carried out their requests.
    pub(crate) fn cut(&self, responses: usize) {
        self.state.cuts.store(responses, Ordering::SeqCst);
    }

    #[allow(dead_code, reason = "the tests of stores only cut")]
    pub(crate) fn treat(&self, treatment: Treatment) {
        *lock(&self.state.treatment) = treatment;
    }

    /// Returns the number of requests of each operation so far.
    #[allow(dead_code, reason = "the tests of stores only cut")]
    pub(crate) fn requests(&self) -> BTreeMap<String, usize> {
        lock(&self.state.requests).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Forwards the requests of one connection, each after the response to the last.
    async fn serve(&self, client: TcpStream, server: u16) -> io::Result<()> {
        let mut client = BufReader::new(client);
        let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", server)).await?);
        loop {
            let request = Message::read(&mut client).await?;
            *lock(&self.requests).entry(request.operation()).or_default() += 1;
            let treatment = lock(&self.treatment).clone();
            match treatment {
                Treatment::Forwarded => {}
                Treatment::Refused => return Ok(()),
                Treatment::Delayed(time) => tokio::time::sleep(time).await,
                Treatment::Answered { containing, status, body } => {
                    if String::from_utf8_lossy(&request.body).contains(&containing) {
                        let head = format!(
                            "HTTP/1.1 {status} Error\r\ncontent-type: application/x-amz-json-1.0\
                             \r\ncontent-length: {}\r\n\r\n",
                            body.len()
                        );
                        client.write_all(format!("{head}{body}").as_bytes()).await?;
                        continue;
                    }
                }
            }
            request.write(&mut server).await?;
            let response = Message::read(&mut server).await?;
            let cuts = &self.cuts;
            let is_cut = cuts
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            if is_cut {
                return Ok(());
            }
            response.write(&mut client).await?;
        }
    }
}

/// A request or a response of HTTP/1.1.
struct Message {
    /// With the empty line at its end.
    head: String,
    body: Vec<u8>,
}

impl Message {
    async fn read(from: &mut BufReader<TcpStream>) -> io::Result<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let mut message = Self { head, body: Vec::new() };
        if message.header("transfer-encoding").is_some() {
            message.read_chunks(from).await?;
        } else {
            let length = message.header("content-length").and_then(|length| length.parse().ok());
            message.body.resize(length.unwrap_or_default(), 0);
            from.read_exact(&mut message.body).await?;
        }
        Ok(message)
    }

    /// Reads the chunks of a body as they are.
    async fn read_chunks(&mut self, from: &mut BufReader<TcpStream>) -> io::Result<()> {
        loop {
            let mut size = String::new();
            from.read_line(&mut size).await?;
            let chunk = usize::from_str_radix(size.trim(), 16)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.body.extend(size.as_bytes());
            let start = self.body.len();
            // Each chunk ends with an empty line.
            self.body.resize(start + chunk + 2, 0);
            from.read_exact(&mut self.body[start..]).await?;
            if chunk == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    /// Returns the operation of a request: `DynamoDB_20120810.UpdateItem` is `UpdateItem`.
    fn operation(&self) -> String {
        let target = self.header("x-amz-target").unwrap_or_default();
        target.rsplit('.').next().unwrap_or_default().to_owned()
    }

    async fn write(&self, to: &mut BufReader<TcpStream>) -> io::Result<()> {
        let mut message = self.head.clone().into_bytes();
        message.extend(&self.body);
        to.write_all(&message).await
    }
}
