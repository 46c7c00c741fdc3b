//! What every command gets: the environment as it was captured, the paths, the screen, the global options.

use skep_config::{Environment, Paths};

use crate::cli::Globals;
use crate::client::{Client, Target};
use crate::error::CliError;
use crate::render::screen::{Format, Screen};

/// The surroundings of a command.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The environment.
    pub(crate) environment: Environment,
    /// Where skep's files are.
    pub(crate) paths: Paths,
    /// Whether the socket was named by flag or environment.
    pub(crate) explicit_socket: bool,
    /// Where output goes.
    pub(crate) screen: Screen,
    /// Write debug logs.
    pub(crate) debug: bool,
}

impl Context {
    /// Captures the surroundings.
    pub(crate) fn new(globals: &Globals) -> Result<Self, CliError> {
        let environment = Environment::capture();
        let socket = globals.socket.as_deref().map(std::path::absolute).transpose();
        let socket = socket.map_err(|error| CliError::usage(format!("cannot use --socket: {error}")))?;
        let explicit_socket = socket.is_some() || environment.get(skep_config::env::SKEP_SOCKET).is_some();
        let paths = Paths::resolve(&environment, socket)
            .map_err(|error| CliError::usage(format!("cannot {error}")))?;
        Ok(Self { environment, paths, explicit_socket, screen: screen(globals), debug: globals.debug })
    }

    /// A client of the daemon. Nothing is sent yet.
    pub(crate) fn client(&self) -> Client {
        Client::new(Target::find(&self.paths, self.explicit_socket))
    }
}

/// The screen for these options.
pub(crate) fn screen(globals: &Globals) -> Screen {
    let format = if globals.json { Format::Json } else { Format::Text };
    Screen::detect(format, globals.verbose)
}
