//! The texts of errors: each suffices without the error's source.

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, Config, Credentials, HttpClient, ProvideCredentials, Region,
    RuntimeComponents,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;

use super::*;

/// Returns the text of the first error of a reader with this client.
async fn text(kinesis: &FakeKinesis, client: Client) -> String {
    let seen = Arc::new(Mutex::new(None));
    let options = ReadOptions::new().on_event({
        let seen = Arc::clone(&seen);
        move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                seen.lock().unwrap().get_or_insert(error.to_string());
            }
        }
    });
    let shard = first(all_shards(&kinesis.client(), "orders")).await;
    let mut records = shard.records(&client).with_options(options);
    let failed = timeout(Duration::from_mins(2), records.next()).await;
    let text = seen.lock().unwrap().take();
    text.unwrap_or_else(|| {
        failed.expect("an error").expect("an error").expect_err("an error").to_string()
    })
}

fn with(kinesis: &FakeKinesis, set: impl FnOnce(Builder) -> Builder) -> Client {
    Client::from_conf(set(kinesis.config()).build())
}

#[tokio::test(start_paused = true)]
async fn an_error_without_a_code_names_its_cause() {
    for (fault, parts) in [
        (Fault::ConnectionRefused, ["a fault of FakeKinesis", "network"]),
        (Fault::ConnectionReset, ["a fault of FakeKinesis", "network"]),
        (Fault::TruncatedBody, ["ends early", "HTTP status 200 with an unreadable body"]),
        (Fault::NotJson, ["unreadable body", "HTTP status 200 with an unreadable body"]),
        (Fault::Body("{}".to_owned()), ["no iterator", FIRST]),
    ] {
        let (kinesis, _, client) = fake(1);
        kinesis.fail_always("GetShardIterator", fault.clone());
        let text = text(&kinesis, client).await;
        let parts = [parts[0], parts[1], "GetShardIterator", "orders"];
        assert!(parts.iter().all(|part| text.contains(part)), "{fault:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_its_duration() {
    let (kinesis, _, _) = fake(1);
    kinesis.fail_always("GetShardIterator", Fault::NeverResponds);
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(3)).build();
    let text = text(&kinesis, with(&kinesis, |config| config.timeout_config(timeouts))).await;
    assert!(text.contains("timeout") && text.contains("3s") && text.contains("network"), "{text}");
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = aws_credential_types::provider::error::CredentialsError::provider_error(
            "the vault is sealed",
        );
        aws_credential_types::provider::future::ProvideCredentials::ready(Err::<Credentials, _>(
            error,
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_missing_credentials() {
    let (kinesis, _, _) = fake(1);
    let text =
        text(&kinesis, with(&kinesis, |config| config.credentials_provider(NoCredentials))).await;
    assert!(text.contains("the vault is sealed") && text.contains("credentials"), "{text}");
    let none = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled())
        .http_client(kinesis.http_client());
    let text = self::text(&kinesis, Client::from_conf(none.build())).await;
    assert!(text.contains("the client has no credentials provider"), "{text}");
    assert!(text.len() < 250, "{text}");
}

/// A server that sends one response to every request, or closes the connection instead.
#[derive(Clone, Copy, Debug)]
enum Server {
    Responds(u16, &'static str),
    Closes,
}

impl HttpClient for Server {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(*self)
    }
}

impl HttpConnector for Server {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(match *self {
            Self::Responds(status, body) => {
                Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
            }
            // As hyper reports it.
            Self::Closes => Err(ConnectorError::other(
                "connection closed before message completed".into(),
                Some(ErrorKind::TransientError),
            )),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_without_a_code_names_the_http_status() {
    for (status, body, expected) in [
        (500, "", "failed: HTTP status 500 with an empty body"),
        (503, "<html>\nbusy\n</html>", "failed: HTTP status 503 with an unreadable body: "),
    ] {
        let (kinesis, _, _) = fake(1);
        let client = with(&kinesis, |config| config.http_client(Server::Responds(status, body)));
        let text = text(&kinesis, client).await;
        assert!(text.contains(expected) && !text.contains('\n'), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_gives_no_advice_about_credentials() {
    let (kinesis, _, _) = fake(1);
    let client = with(&kinesis, |config| config.http_client(Server::Closes));
    let text = text(&kinesis, client).await;
    assert!(text.contains("connection closed") && text.contains("network"), "{text}");
    assert!(!text.contains("credentials"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_full_stop_of_a_message_is_removed_before_the_advice() {
    let (kinesis, _, _) = fake(1);
    let body = r#"{"__type":"AccessDeniedException","message":"You have no permissions."}"#;
    let client = with(&kinesis, |config| config.http_client(Server::Responds(400, body)));
    let text = text(&kinesis, client).await;
    assert!(text.contains("AccessDeniedException: You have no permissions; the client"), "{text}");
}
