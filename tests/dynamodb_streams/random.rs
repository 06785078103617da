//! Random tables on random faults.

use kinesis_shards::StartAt;
use proptest::prelude::*;
use tokio::time::{Duration, sleep};

use crate::Run;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u8),
    Rotate { split: bool },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..20_u8).prop_map(Step::Put),
        1 => any::<bool>().prop_map(|split| Step::Rotate { split }),
        4 => (1..3_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

/// Returns the error for a request, of which one in `one_in` fails.
fn fault(seed: u64, request: u64, operation: &str, one_in: u64) -> Option<&'static str> {
    let mixed = (seed ^ request).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    match mixed % one_in {
        0 if operation == "GetRecords" => Some("ExpiredIteratorException"),
        1 => Some("LimitExceededException"),
        2 => Some("InternalServerError"),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_change_is_read_once_and_in_order(
        shards in 1..5_u32,
        steps in steps(),
        seed: u64,
        one_in in 4..40_u64,
        refuses_filter: bool,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(shards);
            let mut requests = 0;
            run.on_request(move |operation, body| {
                requests += 1;
                if refuses_filter && !body["ShardFilter"].is_null() {
                    return Some(Err("ValidationException"));
                }
                fault(seed, requests, operation, one_in).map(Err)
            });
            let read = run.spawn(StartAt::TrimHorizon);
            for step in steps {
                match step {
                    Step::Put(key) => run.put(&format!("customer {key}")),
                    Step::Rotate { split } => run.model.rotate(split),
                    Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
                }
            }
            run.model.disable();
            read.await.unwrap().unwrap();
            run.assert_all_once();
        });
    }
}
