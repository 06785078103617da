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

/// Returns the lines of a Java log that tell of an exception or an error.
pub(crate) fn exceptions(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let is_bad = |index: &usize| {
        let line = lines[*index];
        // The exception follows the line of the error.
        let next = lines.get(index + 1).copied().unwrap_or_default();
        (line.contains("Exception") || line.contains(" ERROR "))
            && !line.contains(WAITS_FOR_PARENT)
            && !(next.contains(WAITS_FOR_PARENT) && line.trim_end().ends_with("Caught exception:"))
    };
    (0..lines.len()).filter(is_bad).map(|index| lines[index].to_owned()).collect()
}
