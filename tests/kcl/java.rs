//! The Java workers: an application of the Kinesis Client Library.

use std::path::Path;
use std::process::Command;

use crate::install::servers_dir;

/// Returns which program is not installed, if any is.
pub(crate) fn missing() -> Option<String> {
    let is_missing = |program: &&&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        !std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    };
    let missing = ["java", "javac", "mvn"].iter().find(is_missing)?;
    Some(format!("{missing} is not installed: the tests need Java 17 and Maven"))
}

/// A version of the library, with the worker compiled against it.
pub(crate) struct Library {
    class_path: String,
}

impl Library {
    /// Fetches the library and compiles the worker, unless both were done before.
    pub(crate) fn build(version: &str) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kcl/java/build.sh");
        let dir = servers_dir().join("kcl");
        let output = Command::new("bash").arg(&script).arg(&dir).arg(version).output();
        let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
        if !output.status.success() {
            let (out, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            return Err(format!("{} failed:\n{out}{error}", script.display()));
        }
        let (classes, libraries) = (dir.join("classes").join(version), dir.join("lib"));
        let libraries = libraries.join(version).join("*");
        Ok(Self { class_path: format!("{}:{}", classes.display(), libraries.display()) })
    }

    /// Returns the command of a worker, without its arguments.
    pub(crate) fn worker(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        java.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
        java.args(["-cp", &self.class_path, "KclWorker"]);
        // kinesis-local reads JSON alone.
        java.env("AWS_CBOR_DISABLE", "true");
        java
    }
}

/// The exception that a KCL logs when a shard ends and the other parent of its child has no row
/// yet. The KCL tries again until that parent has its row: a KCL alone in its table does the same.
const WAITS_FOR_PARENT: &str = "BlockedOnParentShardException";
/// The exception of a KCL 2.x that has waited for that row long enough: it drops the lease, and
/// processes the end of the shard again. A KCL alone in its table does that, too.
const GIVES_UP_WAITING: &str = "has partial parent information in lease table";
/// The exception of a KCL whose lease another worker took while it processed the end of the shard:
/// it can no longer store the end. Among workers of the KCL, a balancing one does that.
const LOST_AT_END: &str = "Application didn't checkpoint at end of shard ";

/// An exception or an error in a Java log, with its stack trace.
pub(crate) struct LoggedError {
    pub(crate) text: String,
    /// The shard whose lease the worker lost while it processed the end.
    pub(crate) lost_at_end: Option<String>,
}

/// Returns the exceptions and errors in a Java log.
pub(crate) fn exceptions(log: &Path) -> Vec<LoggedError> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut entries: Vec<String> = Vec::new();
    for line in text.lines() {
        match entries.last_mut() {
            Some(entry) if !begins_entry(line) => entry.extend(["\n", line]),
            _ => entries.push(line.to_owned()),
        }
    }
    let is_bad = |entry: &String| {
        (entry.contains("Exception") || entry.contains(" ERROR "))
            && ![WAITS_FOR_PARENT, GIVES_UP_WAITING].iter().any(|text| entry.contains(text))
    };
    let logged = |text: String| {
        let shard = text.split_once(LOST_AT_END).and_then(|(_, rest)| rest.split_once('.'));
        let lost_at_end = shard.map(|(shard, _)| shard.to_owned());
        LoggedError { text, lost_at_end }
    };
    entries.into_iter().filter(is_bad).map(logged).collect()
}

/// Returns whether a line is the first one of an entry: it begins with the time and the thread.
fn begins_entry(line: &str) -> bool {
    line.split_once(" [").is_some_and(|(time, _)| time.parse::<u64>().is_ok())
}
