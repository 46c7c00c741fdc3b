//! `[mcp.NAME]`: MCP servers that every session's agent is given.

use std::collections::BTreeMap;

use skep_common::session::mcp::{McpRefusal, McpServer, McpTransport};

use crate::schema::{Schema, Visitor};
use crate::value::choice;

choice!(McpTransport { "stdio" => Stdio, "http" => Http, "sse" => Sse });

/// MCP servers by name.
pub type McpServers = BTreeMap<String, McpServer>;

/// What an `[mcp.NAME]` table starts from.
pub(crate) fn start_from(name: &str) -> Result<McpServer, String> {
    // Only the name of this one can be wrong.
    let any = McpServer { command: Some(String::from("x")), ..McpServer::default() };
    any.check(name).map_err(|why| why.to_string())?;
    Ok(McpServer::default())
}

impl Schema for McpServer {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.optional("type", &mut self.transport);
        v.optional("command", &mut self.command);
        v.value("args", &mut self.args);
        v.value("env", &mut self.env);
        v.optional("url", &mut self.url);
        v.value("headers", &mut self.headers);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let by_url = self.url.is_some();
        let key = |why: &McpRefusal| match (why, by_url) {
            (McpRefusal::Secret(name), true) if name != "url" => "headers",
            (McpRefusal::Secret(_), false) => "env",
            (_, true) => "url",
            (_, false) => "command",
        };
        Self::check(self, "any").err().map(|why| (key(&why), why.to_string())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn servers_are_read_and_written() {
        let text = r#"
            [mcp.files]
            command = "mcp-files"
            args = ["--root", "/srv"]
            env = { FILES_TOKEN = "${FILES_TOKEN}" }
            [mcp.web]
            type = "sse"
            url = "https://mcp.example/sse"
            headers = { Authorization = "Bearer ${WEB_TOKEN}" }
        "#;
        let settings = parse(text, "t").unwrap();
        assert_eq!(settings.mcp["files"].args, ["--root", "/srv"]);
        assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
    }

    #[test]
    fn g13_a_server_that_cannot_be_used_is_refused_with_its_place() {
        for (text, said) in [
            ("[mcp.a]\nargs = ['x']\n", "1:6: `mcp.a.command`: it needs either"),
            (
                "[mcp.a]\ncommand = 'x'\nenv = { TOKEN = 'abc' }\n",
                "3:7: `mcp.a.env`: `TOKEN` looks like a secret",
            ),
            ("[mcp.'a b']\ncommand = 'x'\n", "the name of an MCP server"),
            ("[mcp.a]\nurl = 'ftp://x'\n", "2:7: `mcp.a.url`: `url` must begin"),
            ("[mcp.a]\ncomand = 'x'\n", "did you mean `command`?"),
        ] {
            let error = parse(text, "t").unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
