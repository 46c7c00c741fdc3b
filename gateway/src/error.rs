//! Error codes to HTTP statuses, and the one shape of every error answer (G15).

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use skep_common::code::{ApiError, Code, ErrorBody};

/// A refusal, on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }

    /// A fault of our own: the log has it, the client learns nothing internal.
    pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!("{what}: {error}");
        Self::new(Code::Internal, "a fault of skep's own; the daemon's log says more")
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.0.code;
        let mut response = (status(code), Json(ErrorBody { error: self.0 })).into_response();
        if code == Code::Unauthorized {
            // With the way in.
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For who did what.
        response.extensions_mut().insert(code);
        response
    }
}

/// The status of each code.
pub(crate) const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest => StatusCode::BAD_REQUEST,
        Code::InvalidValue
        | Code::DirectoryNotAllowed
        | Code::AgentNotFound
        | Code::ModelNotFound
        | Code::OptionNotFound
        | Code::ConfigInvalid
        | Code::NotSupported
        | Code::ContentNotSupported
        | Code::PasswordRequired => StatusCode::UNPROCESSABLE_ENTITY,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::InsideSession
        | Code::TooDeep
        | Code::HostNotAllowed
        | Code::OriginNotAllowed => StatusCode::FORBIDDEN,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::RouteNotFound
        | Code::SessionNotFound
        | Code::PermissionNotFound
        | Code::PromptNotFound
        | Code::HookNotFound
        | Code::DeliveryNotFound
        | Code::TokenNotFound
        | Code::WorkerNotFound => StatusCode::NOT_FOUND,
        Code::SessionAmbiguous
        | Code::SessionExists
        | Code::SessionConflict
        | Code::SessionBusy
        | Code::CredentialsMissing
        | Code::SessionClosed
        | Code::LimitReached
        | Code::SessionLeased
        | Code::AlreadyResolved
        | Code::WorkerState
        | Code::Fenced
        | Code::CursorInvalid => StatusCode::CONFLICT,
        Code::CursorExpired => StatusCode::GONE,
        Code::QueueFull
        | Code::PoolFull
        | Code::TooManySessions
        | Code::TooManyChildren
        | Code::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::WorkerGone | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::AgentFailed | Code::AgentRefused => StatusCode::BAD_GATEWAY,
        Code::ProtocolMismatch => StatusCode::UPGRADE_REQUIRED,
        Code::SessionReadOnly | Code::StorageFailed => StatusCode::INSUFFICIENT_STORAGE,
        Code::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal | Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
