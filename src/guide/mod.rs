//! How to run a consumer: what to watch, what it costs, what to do when it is silent.
//!
//! The pages of this module hold no code of the crate. Other pages stand with what they describe:
//!
//! | page | contents |
//! |---|---|
//! | [`troubleshooting`] | a consumer that is silent, repeats, skips or falls behind |
//! | [`alarms`] | which figure shows which trouble |
//! | [`sizing`] | how many shards, cores, workers and bytes; what AWS charges for |
//! | [`permissions`] | policies for IAM |
//! | [`emulators`] | tests and development without AWS |
//! | [`other_libraries`] | what the parts of other consumer libraries are called here |
//! | [`faq`] | short questions |
//! | [`lineage`](crate::lineage) | the order of shards, polling, stopping |
//! | [`records`](crate::records#polling-or-fan-out) | polling or fan-out, speed |
//! | [`checkpoint`](crate::checkpoint) | what is durable at which step, batches into a database |
//! | `lease` (feature `dynamodb`) | many workers, fencing, deploys in Kubernetes |
//! | `testing` (feature `testing`) | an in-process Kinesis for tests |

pub mod alarms;
pub mod emulators;
pub mod faq;
pub mod other_libraries;
pub mod permissions;
pub mod sizing;
pub mod troubleshooting;
