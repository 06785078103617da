//! What an error says.

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, Config, Credentials, ProvideCredentials, Region,
};

use super::*;

/// The text of what happens first with a reader that has this client.
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
async fn it_names_the_cause_where_aws_gave_no_code() {
    for (fault, parts) in [
        (Fault::ConnectionRefused, ["a fault of FakeKinesis", "network"]),
        (Fault::ConnectionReset, ["a fault of FakeKinesis", "network"]),
        (Fault::TruncatedBody, ["unterminated", "could not be read"]),
        (Fault::NotJson, ["expected", "could not be read"]),
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
async fn a_timeout_says_of_what() {
    let (kinesis, _, _) = fake(1);
    kinesis.fail_always("GetShardIterator", Fault::NeverAnswers);
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
async fn credentials_that_cannot_be_had_are_named() {
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
    assert!(text.contains("check the client's"), "{text}");
}
