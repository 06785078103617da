//! The texts of errors and logs: enough to act on, without their sources.

use super::*;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Config, Credentials, ProvideCredentials, Region, StalledStreamProtectionConfig,
};

async fn error(client: &Client) -> ListError {
    let error = try_all_shards(client, "orders").next().await.unwrap().unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "the SDK's error is kept");
    assert_eq!(error.stream().name(), "orders");
    error
}

#[track_caller]
fn assert_says(error: &ListError, all: &[&str]) {
    let text = error.to_string();
    assert!(all.iter().all(|part| text.contains(part)), "{text}");
    assert!(text.starts_with("cannot list the shards of stream orders: "), "{text}");
    assert!(!text.contains('\n') && text.len() < 250, "{text}");
    assert!(!text.contains(".:") && !text.contains(".;") && !text.ends_with('.'), "{text}");
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("the vault is sealed")))
    }
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_named() {
    let fake = FakeKinesis::new();
    let none = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .http_client(fake.http_client())
        .build();
    let error_without = error(&Client::from_conf(none)).await;
    assert_says(&error_without, &["the client has no credentials provider"]);
    assert!(!error_without.is_retryable());
    let empty = fake.config().credentials_provider(NoCredentials).build();
    assert_says(
        &error(&Client::from_conf(empty)).await,
        &["the vault is sealed", "the client got no credentials"],
    );
    assert_eq!(fake.requests().len(), 0);
}

/// The default chain lists what each of its providers says.
#[tokio::test(start_paused = true)]
async fn the_list_of_credentials_providers_is_left_out() {
    #[derive(Debug)]
    struct Chain;
    impl ProvideCredentials for Chain {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let text =
                "no credentials found in chain. Attempted: Environment: not set Profile: not set";
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(text)))
        }
    }
    let fake = FakeKinesis::new();
    let client = Client::from_conf(fake.config().credentials_provider(Chain).build());
    let error = error(&client).await;
    assert_says(&error, &["the client got no credentials: no credentials found in chain;"]);
    assert!(error.is_retryable() && !error.to_string().contains("Attempted"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_region_is_named_and_no_retry_mends_it() {
    let config = || {
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("x", "x", None, None, "test"))
    };
    for config in [config(), config().endpoint_url("http://localhost:4567")] {
        let client = Client::from_conf(config.build());
        let error = error(&client).await;
        assert_says(&error, &["the client has no region", "AWS_REGION"]);
        assert!(!error.is_retryable());
        assert!(all_shards(&client, "orders").ready().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_named() {
    let error = error(&Canned::client(|_| Reply::Refused)).await;
    assert_says(&error, &["connection refused"]);
    assert!(error.is_retryable() && !error.to_string().contains("credentials"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_before_the_response_is_not_blamed_on_credentials() {
    let error = error(&Canned::client(|_| Reply::Closed)).await;
    assert_says(&error, &["connection closed before message completed"]);
    assert!(error.is_retryable() && !error.to_string().contains("credentials"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_response_is_named() {
    let client = Canned::client(|_| Reply::Silence);
    let config = client
        .config()
        .to_builder()
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::disabled());
    let client = Client::from_conf(config.build());
    let begun = Instant::now();
    let no_response = error(&client).await;
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_says(&no_response, &["no response within 60 s"]);
    assert!(no_response.is_retryable(), "{no_response}");

    let impatient = TimeoutConfig::builder().operation_timeout(SECOND * 5).build();
    let client = Client::from_conf(client.config().to_builder().timeout_config(impatient).build());
    assert_says(&error(&client).await, &["timeout", "5s"]);
}

#[tokio::test(start_paused = true)]
async fn a_response_without_an_error_code_is_named_by_its_status() {
    let page =
        |status| move |_: Value| Reply::Response(status, "<html>\nsign in</html>".to_owned());
    for status in [200, 503] {
        let error = error(&Canned::client(page(status))).await;
        assert_says(&error, &[&format!("HTTP status {status} with an unreadable body")]);
        assert!(error.is_retryable(), "{error}");
    }
    let error = error(&Canned::client(|_| Reply::Response(500, String::new()))).await;
    assert_says(&error, &["HTTP status 500 with an empty body"]);
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_error_code_is_named_with_its_message() {
    for (code, retryable) in [
        ("LimitExceededException", true),
        ("InternalFailure", true),
        ("InvalidArgumentException", false),
        ("SerializationException", false),
        ("OptInRequired", false),
        ("SubscriptionRequiredException", false),
        ("DryRunOperationException", false),
    ] {
        let error = error(&Canned::client(move |_| Reply::error(400, code))).await;
        assert_says(&error, &[&format!("{code}: a prepared reply")]);
        assert_eq!(error.is_retryable(), retryable, "{code}");
    }
    let denied = error(&Canned::client(|_| Reply::error(400, "AccessDeniedException"))).await;
    assert_says(
        &denied,
        &["AccessDeniedException: a prepared reply; the client needs", "kinesis:ListShards"],
    );
}

#[tokio::test(start_paused = true)]
async fn all_shards_logs_a_failed_listing_with_the_next_attempt() {
    let log = Logged::start();
    let client = Canned::client(|_| Reply::Refused);
    let mut shards = all_shards(&client, "orders");
    assert!(within(SECOND / 10, &mut shards).await.is_empty());
    let log = log.text();
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    for part in ["stream=orders", "connection refused", "retryable=true", "next_attempt_in="] {
        assert!(log.contains(part), "no {part}: {log}");
    }
    let wait = log.split("next_attempt_in=").nth(1).and_then(|rest| rest.split("ms").next());
    let wait: f64 = wait.and_then(|wait| wait.parse().ok()).unwrap_or_else(|| panic!("{log}"));
    assert!((250.0..=500.0).contains(&wait), "{log}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_errors_ever_more_rarely_until_the_first_listing_succeeds() {
    let log = Logged::start();
    let mut calls = 0;
    let client = Canned::client(move |_| {
        calls += 1;
        if calls == 11 { Reply::shards(&[(ZERO, None)], None) } else { Reply::Refused }
    });
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND);
    let zero = shards.next().await.unwrap();
    // The 1st, 2nd, 4th and 8th failure of ten.
    assert_eq!((log.count("ERROR"), log.count("WARN")), (4, 6), "{}", log.text());
    assert_eq!(log.count("no shard is read yet"), 10, "{}", log.text());
    assert!(within(SECOND * 10, &mut shards).await.is_empty());
    assert_eq!(log.count("ERROR"), 4, "{}", log.text());
    assert!(log.count("WARN") > 10, "{}", log.text());
    drop(zero);
}
