//! The terminal's bell for what a person wants to hear of, as `[notify]` says.

use std::time::Duration;

use skep_config::notify::Occasion;

use crate::context::Context;

/// A turn shorter than this is watched by the person who started it: its end rings no bell.
pub(crate) const LONG_TURN: Duration = Duration::from_secs(10);

/// Rings the bell, if a person sits at a terminal and has not switched it off.
pub(crate) fn ring(ctx: &Context, occasion: Occasion) {
    if !ctx.screen.err.terminal || ctx.screen.json() {
        return;
    }
    // A configuration that cannot be read is the daemon's to complain about.
    let settings = crate::settings::load(ctx).map(|settings| settings.notify).unwrap_or_default();
    if settings.bell && settings.on.contains(&occasion) {
        ctx.screen.bell();
    }
}
