//! The arguments that say which server to read and where to start, and the client they make.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Region;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use kinesis_shards::{StartAt, StreamId};

use super::error::with_cause;

#[derive(clap::Args)]
pub(crate) struct Source {
    /// A server other than AWS, such as `http://127.0.0.1:4567`; without credentials or a region,
    /// placeholders are sent to it
    #[arg(long, value_name = "URL", requires = "stream")]
    pub(crate) endpoint_url: Option<String>,

    /// The AWS region, if not the one in the environment
    #[arg(long, value_name = "REGION", requires = "stream")]
    pub(crate) region: Option<String>,

    /// Where to start: latest, trim-horizon, or a time such as 2026-11-23T09:00:00Z
    #[arg(
        long,
        value_name = "START",
        default_value = "latest",
        value_parser = parse_start,
        requires = "stream"
    )]
    pub(crate) from: StartAt,
}

fn parse_start(text: &str) -> Result<StartAt, String> {
    match text {
        "latest" => Ok(StartAt::Latest),
        "trim-horizon" => Ok(StartAt::TrimHorizon),
        _ => parse_time(text, "latest, trim-horizon").map(StartAt::Timestamp),
    }
}

/// Parses a time. The error names the words that could stand instead of it.
fn parse_time(text: &str, words: &str) -> Result<DateTime, String> {
    DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset)
        .map_err(|error| format!("not {words}, or an RFC 3339 time ({error})"))
}

impl Source {
    /// Creates a client from the usual AWS settings; the region may also come from the ARN.
    pub(crate) async fn client(&self, stream: &StreamId) -> Result<Client, String> {
        let config = self.config(stream, self.endpoint_url.as_deref()).await?;
        Ok(Client::new(&config))
    }

    /// Loads the same settings for a client of the server at `endpoint_url`, or of AWS.
    pub(crate) async fn config(
        &self,
        stream: &StreamId,
        endpoint_url: Option<&str>,
    ) -> Result<SdkConfig, String> {
        let arn_region = stream.arn().and_then(|arn| arn.split(':').nth(3));
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = self.region.as_deref().or(arn_region) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let credentials = match config.credentials_provider() {
            None => Err(CredentialsError::not_loaded_no_source()),
            Some(provider) => provider.provide_credentials().await,
        };
        if endpoint_url.is_some() {
            return Ok(with_placeholders(&config, credentials.err()));
        }
        if config.region().is_none() {
            return Err("no region: pass --region or set AWS_REGION".to_owned());
        }
        // Other failures, such as a timeout, may pass: the first listing retries them.
        if let Err(CredentialsError::CredentialsNotLoaded(_)) = credentials {
            return Err("no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY"
                .to_owned());
        }
        Ok(config)
    }
}

/// Fills in what is missing: an emulator ignores credentials and region, but the SDK sends no
/// request without them.
fn with_placeholders(config: &SdkConfig, missing: Option<CredentialsError>) -> SdkConfig {
    let mut builder = config.to_builder();
    if config.region().is_none() {
        builder = builder.region(Region::from_static("us-east-1"));
    }
    if let Some(error) = missing {
        // A provider is configured, such as the role of an instance, but it fails.
        if !matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            eprintln!("warning: placeholder credentials are used: {}", with_cause(&error));
        }
        let credentials = Credentials::new("none", "none", None, None, "placeholder");
        builder = builder.credentials_provider(SharedCredentialsProvider::new(credentials));
    }
    builder.build()
}
