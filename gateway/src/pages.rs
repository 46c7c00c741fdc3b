//! The pages that a browser sees until there is a web page of skep's own: signing in, and that one is signed in. Plain
//! HTML without script, style or anything from elsewhere; what is put into it is escaped.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use skep_common::ids::SessionId;

const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// How a browser can sign in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayIn {
    /// By a link only.
    Link,
    /// By a link or a password.
    Password,
}

/// The front page of somebody who is signed in. `who` is the key's id, or why none is needed.
pub(crate) fn signed_in(base: &str, who: &str, session: Option<SessionId>) -> Response {
    let base = escape(base);
    let who = escape(who);
    let what = match session {
        Some(session) => format!(
            "This browser sees one session: <a href=\"{base}/api/v1/sessions/{session}/logs?type=transcript\">what was \
             said in it</a>."
        ),
        None => format!(
            "skep has no web page of its own yet; its API is under \
             <a href=\"{base}/api/v1/daemon\">{base}/api/v1</a>, and <code>skep</code> on the command line shows \
             the rest."
        ),
    };
    page(
        StatusCode::OK,
        "signed in",
        &format!(
            "<p>You are signed in ({who}). {what}</p><form method=\"post\" action=\"{base}/logout\"><button>Sign out</button></form>"
        ),
    )
}

/// The front page of somebody who is not.
pub(crate) fn signed_out(base: &str, way: WayIn) -> Response {
    let mut body = String::from(
        "<p>You are not signed in. <code>skep open</code> on the machine where skep runs makes a link that signs \
         this browser in, once.</p>",
    );
    if way == WayIn::Password {
        let base = escape(base);
        body = format!(
            "{body}<form method=\"post\" action=\"{base}/login\"><label>Password <input type=\"password\" \
             name=\"password\" autocomplete=\"current-password\" required></label> <button>Sign in</button></form>"
        );
    }
    page(StatusCode::OK, "sign in", &body)
}

/// The page behind a link. Looking at it uses nothing up: whatever fetches links ahead of a person does no harm.
pub(crate) fn confirm(base: &str, code: &str) -> Response {
    let (base, code) = (escape(base), escape(code));
    page(
        StatusCode::OK,
        "sign in",
        &format!(
            "<p>Sign this browser in to skep?</p><form method=\"post\" action=\"{base}/login\">\
             <input type=\"hidden\" name=\"code\" value=\"{code}\"><button autofocus>Sign in</button></form>"
        ),
    )
}

/// A page that says why it did not work.
pub(crate) fn refused(status: StatusCode, base: &str, why: &str) -> Response {
    let (base, why) = (escape(base), escape(why));
    page(status, "not signed in", &format!("<p>{why}</p><p><a href=\"{base}/\">Back</a></p>"))
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>skep: {title}</title><h1>skep</h1>{body}</html>\n"
    );
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (status, headers, html).into_response()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q5_everything_that_is_put_into_a_page_is_escaped() {
        assert_eq!(escape("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
    }
}
