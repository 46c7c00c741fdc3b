//! `skep api`: a call of the HTTP API by hand.

use std::io::Read as _;

use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Map, Value};
use skep_common::api::API;

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::log_stream::TerminalText;

/// A body is not read beyond this, in bytes; the daemon refuses less.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// Call the HTTP API by hand and print the answer as it comes.
///
/// `skep api GET sessions -f state=idle`, `skep api POST sessions/ci/prompts --input prompt.json`,
/// `skep api GET sessions/ci/events --stream`. The document of all routes: `skep api GET /openapi.json`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// GET, POST, DELETE, ….
    #[arg(value_name = "METHOD", value_parser = method)]
    method: Method,
    /// The path below /api/v1; a path that begins with `/` is taken as it is.
    #[arg(value_name = "PATH")]
    path: String,
    /// A field of the JSON body (`session.name=ci` goes into an object; numbers, true, false, null and JSON are taken
    /// as such), or, of a GET or DELETE, of the query.
    #[arg(short = 'f', long = "field", value_name = "KEY=VALUE", value_parser = field)]
    fields: Vec<(String, String)>,
    /// Send this file as the body; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    input: Option<std::path::PathBuf>,
    /// Ask for a stream of events.
    #[arg(long)]
    stream: bool,
}

fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| String::from("not an HTTP method"))
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(String::from("a field is KEY=VALUE")),
    }
}

/// Calls, and prints what comes.
pub(crate) async fn run(ctx: &Context, args: &ApiArgs) -> Outcome {
    let mut path = match args.path.strip_prefix('/') {
        Some(_) => args.path.clone(),
        None => format!("{API}/{}", args.path),
    };
    let in_query = matches!(args.method, Method::GET | Method::DELETE | Method::HEAD);
    let mut body = None;
    if let Some(file) = &args.input {
        body = Some(read(file)?);
    } else if in_query {
        for (key, value) in &args.fields {
            let begin = if path.contains('?') { '&' } else { '?' };
            path.push(begin);
            let pair = [(key.as_str(), value.as_str())];
            path.push_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(pair).finish());
        }
    } else if !args.fields.is_empty() {
        body = Some(Bytes::from(json(&args.fields)?.to_string()));
    }
    let accept = if args.stream { "text/event-stream" } else { "*/*" };
    let response = ctx.client().raw(args.method.clone(), &path, body, accept).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut last = b'\n';
    // An answer may be an agent's own text.
    let mut text = TerminalText::new(ctx);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CliError::unreachable(format!("the answer broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            ctx.screen.raw(&text.push(&data))?;
            last = data.last().copied().unwrap_or(last);
        }
    }
    ctx.screen.raw(&text.finish())?;
    if last != b'\n' {
        ctx.screen.raw(b"\n")?;
    }
    if status.is_success() {
        return Ok(Exit::Completed);
    }
    Err(CliError::failed(format!("the daemon answered {status}")))
}

fn read(file: &std::path::Path) -> Result<Bytes, CliError> {
    let failed = |error| CliError::failed(format!("cannot read {}: {error}", file.display()));
    let mut bytes = Vec::new();
    let read = if file == std::path::Path::new("-") {
        std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_INPUT).read_to_end(&mut bytes))
    };
    read.map_err(failed)?;
    Ok(Bytes::from(bytes))
}

/// The fields as an object; dots go into objects within.
fn json(fields: &[(String, String)]) -> Result<Value, CliError> {
    let mut whole = Value::Object(Map::new());
    for (key, value) in fields {
        let mut place = &mut whole;
        for part in key.split('.') {
            let Value::Object(object) = place else {
                return Err(CliError::usage(format!("field `{key}` lies in one that has a value")));
            };
            place = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
        }
        if *place != Value::Object(Map::new()) {
            return Err(CliError::usage(format!("field `{key}` was given twice")));
        }
        *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| field(text).unwrap()).collect()
    }

    #[test]
    fn fields_become_an_object_of_what_they_say() {
        let texts =
            ["session.name=ci", "session.cwd=/a=b", "wait=5", "yes=true", "list=[1]", "no=null", "word=a b"];
        let expected =
            r#"{"session":{"name":"ci","cwd":"/a=b"},"wait":5,"yes":true,"list":[1],"no":null,"word":"a b"}"#;
        assert_eq!(json(&fields(&texts)).unwrap(), serde_json::from_str::<Value>(expected).unwrap());
        assert!(json(&fields(&["a=1", "a.b=2"])).is_err());
        assert!(json(&fields(&["a=1", "a=2"])).is_err());
        assert!(field("=x").is_err() && field("x").is_err());
    }
}
