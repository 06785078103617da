//! The tables of a fleet in DynamoDB respond as the model of them does.

use kinesis_shards::testing::compare_lease_tables;

use crate::backend::Backend;
use crate::dynamodb::dynamodb;
use crate::location::StoreLocation;

const SEEDS: u64 = 4;
const STEPS: usize = 600;

pub(crate) async fn run(backend: Backend) -> Result<(), String> {
    let location = StoreLocation::new(backend).await?;
    let client = dynamodb(location.address());
    for seed in 0..SEEDS {
        let figures = compare_lease_tables(&client, "lease-tables", seed, STEPS).await?;
        println!("{backend}, seed {seed}: {figures}");
    }
    Ok(())
}
