//! The scripted model in a network of its own: whoever enters it reaches the model and nothing else.

use crate::cmd::{Cmd, Running};
use crate::env::built;

/// The model's port; the network is its own, so no other can be in the way.
const PORT: u16 = 8100;

/// A running model and its network; both are gone when it is dropped, and when nobody is left inside.
#[derive(Debug)]
pub struct Model {
    process: Running,
}

impl Model {
    /// Starts the model in a new network namespace that has a loopback and nothing else (wants root).
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let process = Cmd::new(built("stub-model"), "/")
            .arg(PORT.to_string())
            .wrapped([built("netns").as_os_str(), "new".as_ref()])
            .start();
        process.wait_stdout("listening on");
        Self { process }
    }

    /// Where it answers, for those who are in its network.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    /// A program, put into the model's network.
    pub fn enclose(&self, program: Cmd) -> Cmd {
        let pid = self.process.pid().to_string();
        program.wrapped([built("netns").as_os_str(), "enter".as_ref(), pid.as_ref()])
    }

    /// What it was asked so far, a line for each request.
    #[must_use]
    pub fn requests(&self) -> String {
        self.process.stdout_so_far()
    }
}
