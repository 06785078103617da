//! An in-process Kinesis for tests.
