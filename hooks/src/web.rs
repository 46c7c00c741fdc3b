//! One POST to a receiver. The name is looked up once, the addresses are checked, and the connection goes to one that
//! was checked: a name that changes its mind meanwhile (DNS rebinding) changes nothing. No redirect is followed, no
//! proxy used, and of the answer only the head is read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use skep_common::ids::DeliveryId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::{Reach, reach};
use crate::policy::Outcome;
use crate::sign::Secret;
use crate::tls::Tls;

/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Where addresses may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// In the public Internet.
    Public,
    /// Anywhere (`allow_private`).
    Anywhere,
}

/// What is posted.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) id: DeliveryId,
    pub(crate) body: &'a str,
    pub(crate) secret: &'a Secret,
}

/// Posts a message. Whoever calls sets the time limit.
pub(crate) async fn post(url: &str, allowed: Allowed, message: &Message<'_>, tls: &Tls) -> Outcome {
    match try_post(url, allowed, message, tls).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::failed(why),
    }
}

async fn try_post(url: &str, allowed: Allowed, message: &Message<'_>, tls: &Tls) -> Result<Outcome, String> {
    let uri: Uri = url.parse().map_err(|_| String::from("the address is none"))?;
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = connect(&addresses(host, port, allowed).await?).await?;
    let request = request(&uri, message)?;
    let response = if secure {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no host name"))?;
        let stream = tls.connector().await?.connect(name, stream).await;
        exchange(stream.map_err(|error| format!("TLS: {error}"))?, request).await?
    } else {
        exchange(stream, request).await?
    };
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(judge(response.status(), retry_after.map(Duration::from_secs)))
}

/// What an answer means.
fn judge(status: StatusCode, retry_after: Option<Duration>) -> Outcome {
    let said = format!("HTTP {}", status.as_u16());
    if status.is_success() {
        return Outcome::Delivered { said };
    }
    if status == StatusCode::GONE {
        return Outcome::Refused { why: format!("{said}: the receiver wants no more") };
    }
    let why = if status.is_redirection() { format!("{said}: redirects are not followed") } else { said };
    let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    Outcome::Failed { why, wait: retry_after.filter(|_| busy) }
}

/// The addresses of a host that may be reached.
async fn addresses(host: &str, port: u16, allowed: Allowed) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> =
        found.map_err(|error| format!("`{host}` cannot be looked up: {error}"))?.collect();
    let may = |address: IpAddr| match (reach(address), allowed) {
        (Reach::Public, _) | (Reach::Private, Allowed::Anywhere) => true,
        (Reach::Private, Allowed::Public) | (Reach::Nowhere, _) => false,
    };
    let reachable: Vec<SocketAddr> =
        found.iter().copied().filter(|address| may(address.ip())).take(MAX_ADDRESSES).collect();
    if !reachable.is_empty() {
        return Ok(reachable);
    }
    let shown: Vec<String> =
        found.iter().take(MAX_ADDRESSES).map(|address| address.ip().to_string()).collect();
    Err(match allowed {
        Allowed::Public => format!(
            "`{host}` is {}, an address of this machine or of a private network; `allow_private = true` lets it through",
            shown.join(", ")
        ),
        Allowed::Anywhere => format!("`{host}` is {}, where nobody can listen", shown.join(", ")),
    })
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut last = String::from("it has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn request(uri: &Uri, message: &Message<'_>) -> Result<Request<Full<Bytes>>, String> {
    let timestamp = Timestamp::now().as_second();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("skep/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header("webhook-id", message.id.to_string())
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", message.secret.sign(message.id, timestamp, message.body))
        .body(Full::new(Bytes::copy_from_slice(message.body.as_bytes())))
        .map_err(|error| format!("no request can be made: {error}"))
}

/// Sends the request and reads the answer's head. The connection ends with this; of the body nothing is read.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<Incoming>, String> {
    let failed = |error: hyper::Error| {
        let source =
            std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}")
    };
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut response = std::pin::pin!(sender.send_request(request));
    let answered = tokio::select! {
        biased;
        response = &mut response => response,
        // It may have ended right after the answer.
        _ = connection => response.await,
    };
    answered.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        let minute = Duration::from_secs(60);
        for (status, wait, outcome) in [
            (200, None, Outcome::Delivered { said: "HTTP 200".into() }),
            (204, Some(minute), Outcome::Delivered { said: "HTTP 204".into() }),
            (302, None, Outcome::failed("HTTP 302: redirects are not followed")),
            (400, None, Outcome::failed("HTTP 400")),
            (500, Some(minute), Outcome::failed("HTTP 500")),
            (429, Some(minute), Outcome::Failed { why: "HTTP 429".into(), wait: Some(minute) }),
            (503, Some(minute), Outcome::Failed { why: "HTTP 503".into(), wait: Some(minute) }),
            (410, None, Outcome::Refused { why: "HTTP 410: the receiver wants no more".into() }),
        ] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap(), wait), outcome);
        }
    }

    #[tokio::test]
    async fn an_address_of_this_machine_is_refused_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "localhost",
            "::1",
            "0",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
            "127.1",
            "::ffff:127.0.0.1",
        ] {
            let refused = addresses(host, 80, Allowed::Public).await;
            assert!(refused.is_err(), "{host}: {refused:?}");
        }
        assert!(addresses("127.0.0.1", 80, Allowed::Anywhere).await.is_ok());
        assert!(addresses("0.0.0.0", 80, Allowed::Anywhere).await.is_err(), "nobody listens there");
        assert_eq!(addresses("1.1.1.1", 443, Allowed::Public).await.unwrap().len(), 1);
    }
}
