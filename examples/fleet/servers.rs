//! The servers of the demonstration: a Kinesis and a DynamoDB on this machine.

use crate::install::Source;
use crate::kind::Kind;
use crate::process::Process;

pub(crate) const STREAM: &str = "orders";
pub(crate) const APPLICATION: &str = "orders-application";

/// The running servers. They end when this is dropped.
pub(crate) struct Servers {
    pub(crate) kinesis: Process,
    pub(crate) dynamodb: Process,
}

impl Servers {
    /// Starts the servers. Installs them the first time.
    pub(crate) async fn start() -> Result<Self, String> {
        let kinds = [Kind::Kinesalite, Kind::Ministack];
        for kind in kinds {
            if let Some(missing) = kind.source().and_then(Source::missing) {
                return Err(format!("{missing}: this example needs Node.js, npm and Python 3"));
            }
        }
        let (kinesis, dynamodb) =
            tokio::try_join!(Process::start(kinds[0]), Process::start(kinds[1]))?;
        Ok(Self { kinesis, dynamodb })
    }
}
