//! What skep does for an agent as its client: files below the session's directory, commands in terminals.

use std::path::{Path, PathBuf};

use crate::common::{Worker, agent};
use serde_json::{Value, json};
use skep_common::event::Event;
use skep_common::ids::SessionId;
use skep_common::session::{DecidedBy, PermissionMode, Resolution};
use tempfile::TempDir;

mod files;
mod terminals;

const OFFERED: &str = "client_fs = true\nclient_terminal = true";

/// A worker with an agent `client` that is offered everything, and a directory for sessions beside a secret.
struct World {
    _home: TempDir,
    worker: Worker,
    work: PathBuf,
}

impl World {
    fn new(rules: &str) -> Self {
        let home = tempfile::Builder::new().prefix("with spaces ").tempdir().unwrap();
        let many = agent("many", &["many"], &format!("share = \"worker\"\n{OFFERED}"));
        let config = [agent("client", &[], OFFERED), many, rules.to_owned()];
        let (worker, _) = Worker::start(&home, &config.concat());
        let root = home.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("work")).unwrap();
        std::fs::write(root.join("secret"), "secret").unwrap();
        Self { worker, work: root.join("work"), _home: home }
    }

    fn open(&mut self, agent: &str, mode: PermissionMode) -> SessionId {
        let cwd = text(&self.work);
        self.worker.open(agent, |spec| (spec.cwd, spec.permission_mode) = (cwd, mode))
    }

    /// Runs a script of requests; what was answered to each.
    fn ask(&mut self, session: SessionId, script: &Value) -> Vec<String> {
        let before = self.worker.texts(session).len();
        self.worker.run(session, &format!("client {script}"));
        self.worker.texts(session).split_off(before)
    }

    /// What was asked and decided in a session, in order.
    fn decisions(&self, session: SessionId) -> Vec<(String, Resolution, DecidedBy)> {
        let mut asked = Vec::new();
        let mut decided = Vec::new();
        for event in self.worker.journal(session) {
            match event {
                Event::PermissionRequested(it) => asked.push((it.permission, it.title)),
                Event::PermissionResolved(it) => {
                    let (_, title) = asked.iter().find(|(id, _)| *id == it.permission).unwrap();
                    decided.push((title.clone(), it.resolution, it.by));
                }
                _ => {}
            }
        }
        decided
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn read(path: &Path) -> Value {
    json!(["fs/read_text_file", {"path": path}])
}

fn write(path: &Path, content: &str) -> Value {
    json!(["fs/write_text_file", {"path": path, "content": content}])
}

#[test]
fn an_agent_is_offered_exactly_what_its_preset_says() {
    let home = tempfile::tempdir().unwrap();
    let config = [
        agent("files", &[], "client_fs = true"),
        agent("terminals", &[], "client_terminal = true"),
        agent("both", &[], OFFERED),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, files, terminals) in
        [("fake", false, false), ("files", true, false), ("terminals", false, true), ("both", true, true)]
    {
        let session = worker.open(agent, |_| {});
        worker.run(session, "offered");
        let offered: Value = serde_json::from_str(&worker.texts(session)[0]).unwrap();
        let expected = json!({"fs": {"readTextFile": files, "writeTextFile": files}, "terminal": terminals});
        assert_eq!(offered, expected, "{agent}");
        let script =
            json!([["fs/read_text_file", {"path": "/x/y"}], ["terminal/output", {"terminalId": "t"}]]);
        worker.run(session, &format!("client {script}"));
        let served = |is: bool| if is { "error -32002" } else { "error -32601" };
        let told = worker.texts(session);
        assert!(told[1].starts_with(served(files)), "{agent}: {told:?}");
        assert!(told[2].starts_with(served(terminals)), "{agent}: {told:?}");
        worker.close(session, skep_common::session::Cause::Person);
    }
    worker.shut_down();
}
