//! Which server, and from where: the arguments, and the client made of them.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Region;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use kinesis_shards::{StartAt, StreamId};

use super::with_cause;

#[derive(clap::Args)]
pub(crate) struct Source {
    /// Another server than AWS's, such as `http://127.0.0.1:4567`; where there are no credentials or no region, made-up ones are used
    #[arg(long, value_name = "URL", requires = "stream")]
    pub(crate) endpoint_url: Option<String>,

    /// The AWS region, if not the environment's
    #[arg(long, value_name = "REGION", requires = "stream")]
    pub(crate) region: Option<String>,

    /// Where to begin: latest, trim-horizon, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "START", default_value = "latest", value_parser = parse_start, requires = "stream")]
    pub(crate) from: StartAt,
}

fn parse_start(text: &str) -> Result<StartAt, String> {
    match text {
        "latest" => Ok(StartAt::Latest),
        "trim-horizon" => Ok(StartAt::TrimHorizon),
        time => DateTime::from_str(time, DateTimeFormat::DateTimeWithOffset).map(StartAt::Timestamp).map_err(
            |error| format!("neither latest, nor trim-horizon, nor a time as in RFC 3339 ({error})"),
        ),
    }
}

impl Source {
    /// A client by the AWS tools' usual settings; the region may also stand in the stream's ARN.
    pub(crate) async fn client(&self, stream: &StreamId) -> Result<Client, String> {
        self.config(stream, self.endpoint_url.as_deref()).await.map(|config| Client::new(&config))
    }

    /// The same settings, for a client of the server at this URL, or of AWS's.
    pub(crate) async fn config(&self, stream: &StreamId, url: Option<&str>) -> Result<SdkConfig, String> {
        let of_arn = stream.arn().and_then(|arn| arn.split(':').nth(3));
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = self.region.as_deref().or(of_arn) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if url.is_some() {
            return Ok(with_made_up(config).await);
        }
        if config.region().is_none() {
            return Err("no region: give --region, or set AWS_REGION".to_owned());
        }
        Ok(config)
    }
}

/// An emulator looks at neither credentials nor region, but the SDK sends no request without.
async fn with_made_up(config: SdkConfig) -> SdkConfig {
    let mut made_up = config.to_builder();
    if config.region().is_none() {
        made_up = made_up.region(Region::from_static("us-east-1"));
    }
    let found = match config.credentials_provider() {
        None => Err(CredentialsError::not_loaded_no_source()),
        Some(provider) => provider.provide_credentials().await,
    };
    if let Err(error) = found {
        // Said where there were some that cannot be had, such as an instance's role.
        if !matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            eprintln!("{}: made-up credentials are used, as the server is not AWS's own", with_cause(&error));
        }
        let credentials = Credentials::new("none", "none", None, None, "made up");
        made_up = made_up.credentials_provider(SharedCredentialsProvider::new(credentials));
    }
    made_up.build()
}
