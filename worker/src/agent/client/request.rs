//! The requests of an agent to its client, read. Pure; every byte is hostile, and what is of the wrong type is refused
//! whole.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use skep_sys::rooted::Lines;

use super::command::Command;
use super::refusal::{invalid, no_session};
use crate::acp::message::{RpcError, read};

/// What an agent asks of its client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read { path: String, lines: Lines },
    Write { path: String, text: String },
    Create(Command),
    Output(String),
    Wait(String),
    Kill(String),
    Release(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whose {
    session_id: String,
}

#[derive(Deserialize)]
struct ReadFile {
    path: String,
    #[serde(default)]
    line: Option<u32>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct WriteFile {
    path: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminal {
    terminal_id: String,
}

/// A variable of a command's environment.
#[derive(Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

/// The parameters of `terminal/create`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    pub(super) command: String,
    #[serde(default)]
    pub(super) args: Option<Vec<String>>,
    #[serde(default)]
    pub(super) env: Option<Vec<Variable>>,
    #[serde(default)]
    pub(super) cwd: Option<String>,
    #[serde(default)]
    pub(super) output_byte_limit: Option<u64>,
}

impl Request {
    /// Reads a request for `session`; its method is one that is offered.
    pub(super) fn parse(method: &str, params: Option<&RawValue>, session: &str) -> Result<Self, RpcError> {
        let params = params.ok_or_else(|| invalid("there are no parameters"))?;
        let whose: Whose = take(params)?;
        if whose.session_id != session {
            return Err(no_session(&whose.session_id));
        }
        let terminal = || take(params).map(|Terminal { terminal_id }| terminal_id);
        Ok(match method {
            "fs/read_text_file" => {
                let ReadFile { path, line, limit } = take(params)?;
                // Lines are counted from 1; some count from 0.
                let skip = u64::from(line.unwrap_or(1).saturating_sub(1));
                Self::Read { path: absolute(path)?, lines: Lines { skip, limit: limit.map(u64::from) } }
            }
            "fs/write_text_file" => {
                let WriteFile { path, content } = take(params)?;
                Self::Write { path: absolute(path)?, text: content }
            }
            "terminal/create" => Self::Create(Command::new(take(params)?)?),
            "terminal/output" => Self::Output(terminal()?),
            "terminal/wait_for_exit" => Self::Wait(terminal()?),
            "terminal/kill" => Self::Kill(terminal()?),
            _ => Self::Release(terminal()?),
        })
    }
}

fn take<T: DeserializeOwned>(params: &RawValue) -> Result<T, RpcError> {
    read(params).map_err(|error| invalid(&error.to_string()))
}

/// ACP's paths are absolute.
pub(super) fn absolute(path: String) -> Result<String, RpcError> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path)
    } else {
        Err(invalid("a path must be absolute"))
    }
}

#[cfg(test)]
mod tests {
    use agent_client_protocol_schema::v1 as acp;
    use serde_json::{Value, json};

    use super::*;

    fn parse(method: &str, params: &Value) -> Result<Request, RpcError> {
        let raw = RawValue::from_string(params.to_string()).unwrap();
        Request::parse(method, Some(&raw), "s")
    }

    #[test]
    fn what_the_protocols_own_types_write_is_understood() {
        let value = |it: &dyn erased::Json| it.json();
        let read = acp::ReadTextFileRequest::new("s", "/a").line(3).limit(7);
        let lines = Lines { skip: 2, limit: Some(7) };
        assert_eq!(
            parse("fs/read_text_file", &value(&read)).unwrap(),
            Request::Read { path: String::from("/a"), lines }
        );
        let write = acp::WriteTextFileRequest::new("s", "/a", "text");
        let written = Request::Write { path: String::from("/a"), text: String::from("text") };
        assert_eq!(parse("fs/write_text_file", &value(&write)).unwrap(), written);
        let create = acp::CreateTerminalRequest::new("s", "ls")
            .args(vec![String::from("-l")])
            .env(vec![acp::EnvVariable::new("A", "b c")])
            .cwd(std::path::PathBuf::from("/x"))
            .output_byte_limit(9);
        let Request::Create(command) = parse("terminal/create", &value(&create)).unwrap() else { panic!() };
        assert_eq!((command.line.as_str(), command.bare.as_str()), ("A='b c' ls -l", "ls -l"));
        assert_eq!((command.cwd.as_deref(), command.keep), (Some("/x"), 9));
        let output = acp::TerminalOutputRequest::new("s", "t1");
        assert_eq!(parse("terminal/output", &value(&output)).unwrap(), Request::Output(String::from("t1")));
        let wait = acp::WaitForTerminalExitRequest::new("s", "t1");
        assert_eq!(
            parse("terminal/wait_for_exit", &value(&wait)).unwrap(),
            Request::Wait(String::from("t1"))
        );
    }

    mod erased {
        use serde_json::Value;

        pub(super) trait Json {
            fn json(&self) -> Value;
        }

        impl<T: serde::Serialize> Json for T {
            fn json(&self) -> Value {
                serde_json::to_value(self).unwrap()
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_protocols_code() {
        for (method, params, code) in [
            ("fs/read_text_file", json!({}), -32602),
            ("fs/read_text_file", json!([]), -32602),
            ("fs/read_text_file", json!({"sessionId": 5, "path": "/a"}), -32602),
            ("fs/read_text_file", json!({"sessionId": "s", "path": "a"}), -32602),
            ("fs/read_text_file", json!({"sessionId": "s", "path": "/a\u{0}b"}), -32602),
            ("fs/read_text_file", json!({"sessionId": "s", "path": "/a", "line": -1}), -32602),
            ("fs/read_text_file", json!({"sessionId": "s", "path": "/a", "limit": "all"}), -32602),
            ("fs/read_text_file", json!({"sessionId": "other", "path": "/a"}), -32002),
            ("fs/write_text_file", json!({"sessionId": "s", "path": "/a"}), -32602),
            ("fs/write_text_file", json!({"sessionId": "s", "path": "/a", "content": ["x"]}), -32602),
            ("terminal/create", json!({"sessionId": "s", "command": ""}), -32602),
            ("terminal/create", json!({"sessionId": "s", "command": "ls", "args": "-l"}), -32602),
            ("terminal/create", json!({"sessionId": "s", "command": "ls", "env": {"A": "b"}}), -32602),
            ("terminal/create", json!({"sessionId": "s", "command": "ls", "cwd": "src"}), -32602),
            ("terminal/kill", json!({"sessionId": "s", "terminalId": 1}), -32602),
            ("terminal/kill", json!({"sessionId": "t", "terminalId": "t1"}), -32002),
        ] {
            assert_eq!(parse(method, &params).unwrap_err().code, code, "{method} {params}");
        }
        assert_eq!(Request::parse("terminal/kill", None, "s").unwrap_err().code, -32602);
    }
}
