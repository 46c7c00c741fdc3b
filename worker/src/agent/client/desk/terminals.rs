//! The desk's terminals: made, shown, waited for, killed, released.

use std::path::PathBuf;

use serde_json::{Value, json};
use skep_sys::tree::{self, Tree, TreeReport};
use tokio_util::sync::CancellationToken;

use super::super::command::Command;
use super::super::refusal::{cancelled, no_terminal, refused};
use super::super::terminal::{Run, Terminal, found_dead, status};
use super::{Answer, Desk, Refusal};
use crate::acp::message::{Id, RpcError};
use crate::agent::host::Host;

impl Desk {
    /// Starts a command. It carries the marks of its session and of its agent's process, and one of its own.
    pub(super) fn start(&mut self, answer: Answer, command: Command, cwd: PathBuf, host: &Host) {
        let mut env = self.env.0.clone();
        env.extend(host.tree().mark.iter().map(|(name, value)| (name.into(), value.into())));
        env.extend(command.env);
        let run = Run { argv: command.argv, cwd, env, keep: command.keep, turn: self.turn };
        let started = Terminal::start(run, &self.exe, &self.tracker).map(|terminal| {
            self.last_terminal += 1;
            let name = format!("terminal-{}", self.last_terminal);
            self.terminals.insert(name.clone(), terminal);
            json!({"terminalId": name})
        });
        let started = started.map_err(|error| refused("cannot_start", error.to_string()));
        self.tracker.spawn(answer.give(started));
    }

    /// The terminal of this name.
    fn terminal(&self, answer: Answer, name: &str) -> Result<(Answer, &Terminal), Refusal> {
        match self.terminals.get(name) {
            Some(terminal) => Ok((answer, terminal)),
            None => Err(Refusal { answer, error: no_terminal(name), remark: None }),
        }
    }

    /// Tells what the terminal has put out.
    pub(super) fn show(&self, answer: Answer, name: &str) -> Result<(), Refusal> {
        let (answer, terminal) = self.terminal(answer, name)?;
        self.tracker.spawn(answer.give(Ok(terminal.shown())));
        Ok(())
    }

    /// Answers when the terminal's command has ended, unless the answer is not wanted any more.
    pub(super) fn tell_exit(&mut self, answer: Answer, name: &str) -> Result<(), Refusal> {
        let (answer, terminal) = self.terminal(answer, name)?;
        let mut exit = terminal.exit.clone();
        self.exits.retain(|(_, told)| !told.is_cancelled());
        let unwanted = CancellationToken::new();
        self.exits.push((answer.id.clone(), unwanted.clone()));
        self.tracker.spawn(async move {
            let told = tokio::select! {
                biased;
                ended = exit.wait_for(Option::is_some) => {
                    ended.ok().and_then(|cause| *cause).map(status).ok_or_else(cancelled)
                }
                () = unwanted.cancelled() => Err(cancelled()),
            };
            unwanted.cancel();
            answer.give(told).await;
        });
        Ok(())
    }

    /// Kills all that the terminal runs; its output stays.
    pub(super) fn kill(&self, answer: Answer, name: &str) -> Result<(), Refusal> {
        let (answer, terminal) = self.terminal(answer, name)?;
        let (tree, exit) = (terminal.tree.clone(), terminal.exit.clone());
        self.tracker.spawn(async move {
            let killed = kill(tree).await;
            found_dead(exit).await;
            answer.give(killed).await;
        });
        Ok(())
    }

    /// The same, and the terminal is forgotten.
    pub(super) fn release(&mut self, answer: Answer, name: &str) -> Result<(), Refusal> {
        let Some(terminal) = self.terminals.remove(name) else {
            return Err(Refusal { answer, error: no_terminal(name), remark: None });
        };
        self.tracker.spawn(async move {
            let killed = kill(terminal.tree.clone()).await;
            terminal.let_go().await;
            answer.give(killed).await;
        });
        Ok(())
    }

    /// The agent does not want to know an exit any more that it asked for under this id; whether it was one.
    pub(in crate::agent) fn taken_back(&mut self, id: &Id) -> bool {
        let waits = self.exits.iter().find(|(waiting, told)| waiting == id && !told.is_cancelled());
        waits.map(|(_, unwanted)| unwanted.cancel()).is_some()
    }

    /// A turn begins: the terminals that it makes are its own.
    pub(in crate::agent) fn turn_begins(&mut self) {
        self.turn += 1;
    }

    /// Kills what the turn's terminals run; their output stays until they are released.
    pub(in crate::agent) fn turn_is_cancelled(&self) {
        let trees = self.of_this_turn();
        if !trees.is_empty() {
            self.tracker.spawn(async move { drop(tree::kill(&trees).await) });
        }
    }

    /// The same, once the turn is over: returns when nothing runs any more.
    pub(in crate::agent) async fn cancelled_turn_is_over(&self) {
        let trees = self.of_this_turn();
        if !trees.is_empty() {
            report(&tree::kill(&trees).await);
        }
    }

    fn of_this_turn(&self) -> Vec<Tree> {
        let own = self.terminals.values().filter(|terminal| terminal.turn == self.turn);
        own.map(|terminal| terminal.tree.clone()).collect()
    }
}

/// Kills a terminal's tree: the answer for whoever asked for that.
async fn kill(tree: Tree) -> Result<Value, RpcError> {
    let killed = tree::kill(std::slice::from_ref(&tree)).await;
    report(&killed);
    if killed.is_empty() {
        Ok(json!({}))
    } else {
        Err(refused("survivors", "not all of its processes could be killed"))
    }
}

pub(super) fn report(killed: &TreeReport) {
    if !killed.is_empty() {
        tracing::error!(survivors = ?killed.survivors, "processes of a terminal could not be killed");
    }
}
