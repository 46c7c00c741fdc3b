//! `skep open`: signs a browser in, by a link that works once.
//!
//! The browser's opener gets the path of a private file that leads to the link, never the link itself: every user of
//! the machine may read the arguments of a process, and the first to follow the link is signed in.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use skep_common::api::{DaemonStatus, TlsInfo};
use skep_common::keys::{CreateLoginLink, LoginLink, Scope, StartRequest};
use skep_common::sanitise::one_line;
use skep_sys::spawn::{SpawnSpec, Stdio3, find_in_path, spawn};
use skep_sys::statefile;

use super::token::{ScopeWord, lifetime, words_of};
use crate::arguments::SessionRef;
use crate::autostart;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::{qr, short};

/// What opens a page in the person's browser.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// An opener that fails does so within this time; one that is the browser itself goes on.
const FAILS_WITHIN: Duration = Duration::from_secs(3);

/// Sign a browser in: opens it with a link that works once, within five minutes.
///
/// A daemon that does not listen on 127.0.0.1 yet does so from then on, on a port that is free.
#[derive(Debug, Clone, Args)]
pub(crate) struct OpenArgs {
    /// The one session that the browser is to see: name, id, or the beginning of either. All where none is given.
    #[arg(value_name = "SESSION")]
    session: Option<SessionRef>,
    /// What the browser may do, several with commas; without it: of one session `read`, else everything.
    #[arg(long = "scope", value_name = "SCOPE", value_enum, value_delimiter = ',')]
    scopes: Vec<ScopeWord>,
    /// How long the browser stays signed in: `5m`, `12h`, `7d`, at most 366 days. Without it: 30 days.
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    ttl: Option<u64>,
    /// Print the link instead, for a browser elsewhere; the same with `--json`.
    #[arg(long)]
    print: bool,
    /// Print it as a QR code, for a phone.
    #[arg(long)]
    qr: bool,
    /// Where the browser reaches the daemon, if not at its own address: a tunnel's or a reverse proxy's.
    #[arg(long, value_name = "URL", value_parser = base)]
    url: Option<String>,
}

/// A URL without its last slash.
fn base(text: &str) -> Result<String, String> {
    let uri: hyper::Uri = text.parse().map_err(|_| String::from("not a URL"))?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_web && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(String::from("give a URL such as https://skep.example.org"))
    }
}

/// Makes the link, and hands it over.
pub(crate) async fn run(ctx: &Context, args: &OpenArgs) -> Outcome {
    let is_printed = args.print || args.qr || ctx.screen.json();
    let opener = if is_printed { None } else { Some(opener(ctx)?) };
    let client = autostart::client(ctx).await?;
    let (place, tls) = place(&client, args).await?;
    let request = CreateLoginLink {
        session: args.session.as_ref().map(ToString::to_string),
        scopes: (!args.scopes.is_empty()).then(|| args.scopes.iter().copied().map(Scope::from).collect()),
        ttl_seconds: args.ttl,
    };
    let link: LoginLink = client.post("/login-links", &request).await?;
    let url = match (&args.url, &place) {
        (Some(base), _) => format!("{base}{}", link.path),
        // Each whole link begins with one of the addresses that were looked at.
        (None, Some(place)) => link
            .urls
            .iter()
            .find(|url| address(url) == Some(*place))
            .cloned()
            .ok_or_else(|| CliError::failed(format!("the daemon does not listen on {place} any more")))?,
        (None, None) => return Err(nowhere()),
    };
    match opener {
        Some(opener) => browse(ctx, &opener, &url).await?,
        None => print(ctx, args, &url, &link)?,
    }
    // A browser warns of a certificate that nobody vouches for; the person can compare.
    if let Some(tls) = tls.filter(|tls| tls.mode == "self") {
        ctx.screen.say(format!("the certificate is skep's own; SHA-256 {}", one_line(&tls.fingerprint)));
    }
    Ok(Exit::Completed)
}

/// The address that the link is to name: this machine's own, or, for a phone, one beyond it. None where the person
/// named the place.
/// With the certificate that is shown there.
async fn place(client: &Client, args: &OpenArgs) -> Result<(Option<SocketAddr>, Option<TlsInfo>), CliError> {
    if args.url.is_some() {
        return Ok((None, None));
    }
    let mut status: DaemonStatus = client.get("/daemon").await?;
    if args.qr {
        return Ok((Some(beyond(&status.endpoints).ok_or_else(nowhere)?), status.tls));
    }
    if here(&status.endpoints).is_none() {
        let request = StartRequest { port: Some(0), host: None };
        status = client.post("/daemon/start", &request).await?;
    }
    let here = here(&status.endpoints);
    let here = here.ok_or_else(|| CliError::failed("the daemon does not listen on 127.0.0.1"))?;
    Ok((Some(here), status.tls))
}

fn nowhere() -> CliError {
    CliError::failed("the daemon listens on no address that a phone could reach")
        .hint("`skep daemon start --host ADDRESS --port N` listens on one; it needs a password")
        .hint("`skep open --qr --url URL` names a tunnel or a reverse proxy")
}

/// The first address of this machine alone.
fn here(urls: &[String]) -> Option<SocketAddr> {
    urls.iter().filter_map(|url| address(url)).find(|address| address.ip().to_canonical().is_loopback())
}

/// The first address that others can reach by its number.
fn beyond(urls: &[String]) -> Option<SocketAddr> {
    urls.iter().filter_map(|url| address(url)).find(|address| {
        let ip = address.ip().to_canonical();
        !ip.is_loopback() && !ip.is_unspecified()
    })
}

/// The address in a URL of the daemon; none of its Unix socket.
fn address(url: &str) -> Option<SocketAddr> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    rest.split('/').next()?.parse().ok()
}

fn print(ctx: &Context, args: &OpenArgs, url: &str, link: &LoginLink) -> Result<(), CliError> {
    if ctx.screen.json() {
        return ctx.screen.value(&serde_json::json!({
            "url": url,
            "expires_at": link.expires_at,
            "session": link.session,
            "scopes": link.scopes,
        }));
    }
    if args.qr {
        let code = qr::draw(url, ctx.screen.out);
        ctx.screen.line(code.ok_or_else(|| CliError::failed("the link is too long for a QR code"))?)?;
    }
    ctx.screen.line(url)?;
    let what = link.session.map_or_else(String::new, |session| {
        format!(" for session {} ({})", short(session), words_of(&link.scopes))
    });
    ctx.screen.say(format!("it signs one browser in{what}, once, within five minutes"));
    if let Some(place) = address(url).filter(|place| place.ip().to_canonical().is_loopback()) {
        let port = place.port();
        ctx.screen.say_more(format!("from another machine, first: ssh -L {port}:{place} {}", login(ctx)));
    }
    Ok(())
}

/// How `ssh` names this machine: as the person reached it, if that is known.
fn login(ctx: &Context) -> String {
    let text = |name| ctx.environment.get(name).and_then(|value| value.to_str());
    // "client's address, its port, our address, our port".
    let address = text("SSH_CONNECTION").and_then(|connection| connection.split_whitespace().nth(2));
    match (address, text("USER")) {
        (Some(address), Some(user)) => format!("{user}@{address}"),
        (Some(address), None) => address.to_owned(),
        (None, _) => String::from("THIS-MACHINE"),
    }
}

/// The program that opens a browser, if one can be opened here.
fn opener(ctx: &Context) -> Result<PathBuf, CliError> {
    let hint = "`skep open --print` prints the link";
    let has = |name: &str| ctx.environment.get(name).is_some_and(|value| !value.is_empty());
    if !cfg!(target_os = "macos") && !["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().any(has) {
        let why = "there is no display for a browser: DISPLAY, WAYLAND_DISPLAY and BROWSER are not set";
        return Err(CliError::failed(why).hint(hint));
    }
    let path = ctx.environment.get("PATH").unwrap_or_default();
    find_in_path(Path::new(OPENER), path, Path::new("/"))
        .map_err(|error| CliError::failed(format!("cannot open a browser: {error}")).hint(hint))
}

/// Opens the browser with a private page that goes on to the link.
async fn browse(ctx: &Context, opener: &Path, url: &str) -> Result<(), CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::failed(format!("cannot open a browser: {why}")).hint("`skep open --print` prints the link")
    };
    let file = ctx.paths.login_page();
    statefile::write_unsynced(&file, page(url).as_bytes()).map_err(|error| failed(&error))?;
    let child = spawn(SpawnSpec {
        program: opener.to_owned(),
        args: vec![OsString::from(&file)],
        cwd: PathBuf::from("/"),
        env: ctx.environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        stdin: Stdio3::Null,
        stdout: Stdio3::Null,
        stderr: Stdio3::Null,
        new_group: true,
    })
    .map_err(|error| failed(&error))?;
    let ended = tokio::time::timeout(FAILS_WITHIN, child.exited()).await;
    // The browser is the person's, whether this was it or only its opener.
    child.release();
    match ended {
        Ok(cause) if !cause.is_success() => Err(failed(&format!("{OPENER}: {cause}"))),
        Ok(_) | Err(_) => {
            ctx.screen.say("the browser asks whether to sign in; the link works once, within five minutes");
            Ok(())
        }
    }
}

/// A page that goes on to the link.
fn page(url: &str) -> String {
    let url = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\"><title>skep</title><a href=\"{url}\">Sign in</a>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q3_the_link_names_an_address_that_its_browser_reaches() {
        let urls = ["unix:/run/skepd.sock", "http://0.0.0.0:1", "http://[::1]:2", "http://100.64.0.7:3"];
        let urls: Vec<String> = urls.map(String::from).into();
        assert_eq!(here(&urls), "[::1]:2".parse().ok());
        assert_eq!(beyond(&urls), "100.64.0.7:3".parse().ok());
        assert_eq!((here(&urls[..2]), beyond(&urls[..3])), (None, None));
        assert_eq!(address("https://[::1]:7/login?code=1"), "[::1]:7".parse().ok());
        assert_eq!(address("http://127.0.0.1:7/skep/login?code=1"), "127.0.0.1:7".parse().ok());
    }

    #[test]
    fn g16_a_place_is_a_web_address() {
        assert_eq!(base("https://a.example/skep/").as_deref(), Ok("https://a.example/skep"));
        assert_eq!(base("http://127.0.0.1:1").as_deref(), Ok("http://127.0.0.1:1"));
        for bad in ["", "a.example", "file:///etc", "/x", "https://a.example/?q=1", "javascript:alert(1)"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_cannot_leave_its_attribute() {
        let page = page("http://a/\"><script>?a=1&b=2");
        assert!(!page.contains("<script>") && page.contains("&quot;>&lt;script>?a=1&amp;b=2"), "{page}");
    }
}
