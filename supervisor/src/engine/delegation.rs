//! Sessions that are opened from inside others: what they may be, how deep, and how many. Nothing here depends on what
//! the client says about itself; who it is was found out before.

use std::path::PathBuf;

use skep_common::api::{CreateSession, Opener};
use skep_common::code::{ApiError, Code};
use skep_common::environment::is_listed;
use skep_common::ids::SessionId;
use skep_common::session::{PermissionMode, RuleVerdict};
use skep_config::Settings;

use super::environment::listed;
use super::{Engine, core::Core};
use crate::sessions::Index;

/// How many sessions may be open below another, from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Opened by one session.
    pub(crate) children: usize,
    /// Below one that was opened from outside.
    pub(crate) tree: usize,
}

/// What the session that opens another one lends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Descent {
    /// The sessions from inside of which it is opened, the outermost first; none: from outside.
    pub(crate) lineage: Vec<SessionId>,
    /// The variables, by name or beginning, that its agent has from its opener's.
    pub(crate) inherits: Vec<String>,
    /// The session below which the one who asks may act, if there is such a limit.
    pub(crate) confined_to: Option<SessionId>,
    /// Directories under which alone it may run; none: wherever any session may.
    pub(super) roots: Vec<PathBuf>,
    /// The opener's permission mode.
    pub(super) mode: Option<PermissionMode>,
}

impl Descent {
    /// The mode of a session that names none, where `default` is configured.
    pub(super) fn mode(&self, default: PermissionMode) -> PermissionMode {
        self.mode.map_or(default, |of_opener| of_opener.of_child(default))
    }
}

impl Engine {
    /// Where a session comes from that is asked for, and what follows from that. Makes its options no wider than its
    /// opener's.
    ///
    /// # Errors
    ///
    /// `inside_session`, `forbidden`, `session_closed`, `too_deep`.
    pub(super) async fn descent(
        &self,
        request: &mut CreateSession,
        settings: &Settings,
    ) -> Result<Descent, ApiError> {
        let Some(Opener { session, by_descent, confined_to }) = request.opener else {
            return Ok(Descent::default());
        };
        let opener = self.session(&session.to_string()).await.map_err(|_| {
            inside("the session from inside of which this is asked for is not known any more")
        })?;
        if confined_to.is_some_and(|root| root != opener.id && !opener.lineage.contains(&root)) {
            return Err(forbidden("this token is good below another session only"));
        }
        if opener.state.is_closed() {
            let message = "the session from inside of which this is asked for is closed; it opens no others";
            return Err(ApiError::new(Code::SessionClosed, message));
        }
        let deepest = usize::try_from(settings.delegation.max_depth).unwrap_or(usize::MAX);
        if opener.lineage.len() >= deepest {
            return Err(too_deep(deepest));
        }
        // What anybody could have put on itself lends nobody the right to act unasked.
        let lent = match opener.permission_mode {
            PermissionMode::Bypass | PermissionMode::AcceptEdits if !by_descent => PermissionMode::Ask,
            mode => mode,
        };
        check_child(request, lent)?;
        request.options = std::mem::take(&mut request.options).within(&opener.options);
        let agent = request.agent.as_ref().unwrap_or(&settings.session.default_agent);
        let keys = settings.agents.get(agent).map(|preset| preset.keys.as_slice()).unwrap_or_default();
        let inherits = listed(settings).chain(keys.iter().map(String::as_str)).map(str::to_owned).collect();
        let roots = confined_to.map(|_| {
            let own = PathBuf::from(&opener.cwd);
            std::iter::once(own).chain(settings.delegation.roots.iter().cloned()).collect()
        });
        let lineage = opener.lineage.iter().copied().chain([opener.id]).collect();
        let mode = Some(lent);
        Ok(Descent { lineage, inherits, confined_to, roots: roots.unwrap_or_default(), mode })
    }
}

/// A session may ask for nothing by which it would be allowed more than its opener.
fn check_child(request: &CreateSession, opener: PermissionMode) -> Result<(), ApiError> {
    let word = |mode: PermissionMode| {
        serde_json::to_value(mode).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    };
    if let Some(mode) = request.permission_mode.filter(|mode| !opener.covers(*mode)) {
        return Err(inside(&format!(
            "from inside a session with the permission mode `{}` none can be opened with `{}`",
            word(opener),
            word(mode)
        )));
    }
    if request.options.rules.iter().flatten().any(|rule| rule.action == RuleVerdict::Allow) {
        return Err(inside("a session that is opened from inside another takes no rules that allow"));
    }
    if !request.options.mcp_servers.is_empty() {
        return Err(inside(
            "a session that is opened from inside another takes no MCP servers but the configured ones",
        ));
    }
    if !request.options.set.is_empty() {
        return Err(inside(
            "a session that is opened from inside another takes no options of its agent's own",
        ));
    }
    Ok(())
}

impl Core {
    /// Whether one more session may be open below these.
    pub(super) fn check_room(&self, lineage: &[SessionId]) -> Result<(), ApiError> {
        room(&self.index, lineage, self.policy.room)
    }

    /// Gives a new session what its opener's agent has of the variables that are meant for its own.
    pub(super) fn hand_down(&mut self, descent: &Descent, child: SessionId) {
        if let Some(opener) = descent.lineage.last() {
            let inherits = descent.inherits.iter().map(String::as_str);
            self.environments.hand_down(*opener, child, |name| is_listed(name, inherits.clone()));
        }
    }
}

fn room(index: &Index, lineage: &[SessionId], room: Room) -> Result<(), ApiError> {
    let (Some(root), Some(opener)) = (lineage.first(), lineage.last()) else { return Ok(()) };
    let open = || index.iter().filter(|entry| !entry.is_closed()).map(|entry| &entry.spec().lineage);
    let children = open().filter(|lineage| lineage.last() == Some(opener)).count();
    let tree = open().filter(|lineage| lineage.first() == Some(root)).count();
    let full = |count: usize, of: &str, key: &str| {
        let message =
            format!("{count} sessions {of} are open, the limit (delegation.{key}); close one that is done");
        Err(ApiError::new(Code::TooManyChildren, message))
    };
    if children >= room.children {
        full(children, "that this session opened", "max_children")
    } else if tree >= room.tree {
        full(tree, "below the outermost one", "max_tree")
    } else {
        Ok(())
    }
}

fn too_deep(deepest: usize) -> ApiError {
    let message = match deepest {
        0 => String::from("sessions may not open others (delegation.max_depth = 0)"),
        _ => format!("sessions may be nested {deepest} deep, the limit (delegation.max_depth)"),
    };
    ApiError::new(Code::TooDeep, message)
}

fn inside(message: &str) -> ApiError {
    ApiError::new(Code::InsideSession, message)
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(Code::Forbidden, message)
}
