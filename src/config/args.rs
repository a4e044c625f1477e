//! The places that settings come from besides the file: the command line of `run`, and the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::error::{ConfigError, Origin};
use super::settings::Settings;

const ENVIRONMENT_HELP: &str = "\
Every flag is also a key of the TOML file (without the dashes) and an environment variable (MESHNODE_ and the
name in capitals, '-' as '_'; lists are separated by commas). A flag is stronger than the environment, that is
stronger than the file. MESHNODE_SERVICE_RAG=URL is short for --service rag=URL. Secrets come only from files or
from the environment: MESHNODE_CLUSTER_KEY, MESHNODE_IDENTITY_SEED, CLOUDFLARE_API_TOKEN.";

/// The arguments of `meshnode run`.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "run", about = "Runs a node in the foreground", after_help = ENVIRONMENT_HELP)]
pub struct RunArgs {
    /// TOML file with any of these settings, and with `[[service]]` and `[[route]]` tables
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A service of this node, for example rag=http://127.0.0.1:8102; repeatable
    #[arg(long = "service", value_name = "NAME=URL")]
    pub services: Vec<String>,
    /// Everything else.
    #[command(flatten)]
    pub settings: Settings,
}

/// What a node takes from the process that it runs in.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables; those that are not UTF-8 are left out.
    pub variables: BTreeMap<String, String>,
    /// The machine's name, the default of `--name`.
    pub host_name: String,
}

// The variables hold secrets, so that only their names may be shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("host_name", &self.host_name)
            .finish()
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let text =
            |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// The variable's value; empty counts as not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.variables.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What the variables say, as if they were flags.
    pub(super) fn args(&self) -> Result<RunArgs, ConfigError> {
        let command = RunArgs::command();
        let mut line = vec!["run".to_owned()];
        for arg in command.get_arguments() {
            let Some(flag) = arg.get_long() else { continue };
            let Some(value) = self.get(&variable(flag)) else { continue };
            if matches!(arg.get_action(), clap::ArgAction::Append) {
                let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
                line.extend(items.map(|item| format!("--{flag}={item}")));
            } else {
                line.push(format!("--{flag}={value}"));
            }
        }
        // Every value is text to clap, so that no value can be refused here.
        let refused = |error: clap::Error| ConfigError::Value {
            at: Origin::environment("MESHNODE_*"),
            value: line.join(" "),
            accepted: error.to_string(),
        };
        let matches = command.try_get_matches_from(&line).map_err(refused)?;
        RunArgs::from_arg_matches(&matches).map_err(refused)
    }

    /// The short form: `MESHNODE_SERVICE_<NAME>` and its URL.
    pub(super) fn short_services(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .filter_map(|(key, url)| Some((key.strip_prefix("MESHNODE_SERVICE_")?, url.as_str())))
            .filter(|(suffix, url)| !url.is_empty() && !is_kubernetes(suffix, url))
    }
}

/// Kubernetes tells every pod about a Service called `meshnode` in variables of our prefix: an address in
/// `MESHNODE_SERVICE_HOST`, numbers in `MESHNODE_SERVICE_PORT` and `MESHNODE_SERVICE_PORT_<NAME>`.
fn is_kubernetes(suffix: &str, value: &str) -> bool {
    (suffix == "HOST" && !value.contains("://"))
        || ((suffix == "PORT" || suffix.starts_with("PORT_")) && value.parse::<u16>().is_ok())
}

/// The environment variable of a flag.
pub(super) fn variable(flag: &str) -> String {
    format!("MESHNODE_{}", flag.to_ascii_uppercase().replace('-', "_"))
}
