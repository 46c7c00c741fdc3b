//! The only code that reads or writes session journals: append, sync, lease, follow, recover.
//!
//! A journal is the truth about a session: an append-only sequence of numbered records in
//! `<session dir>/journal/<first-seq>.jsonl`. One [`Writer`] per session holds the [`Lease`]; any number of
//! [`Reader`]s follow the same files at their own pace, woken by the writer's [`Head`](skep_common::session::Head).
//!
//! Architecture invariant: this crate knows nothing of agents, of ACP or of the network. It does not look into the
//! data of an `update`.

pub mod record;

mod error;
mod lease;
mod projection;

mod appender;
mod inbox;
mod pool;
mod thread;
mod writer;

mod locate;
mod reader;
mod recover;
mod replay;
mod retention;

mod scan;
mod segment;

pub use error::{CursorError, JournalError, RecoverError};
pub use lease::{Lease, LeaseError};
pub use locate::{first_seq, head_on_disk, tail_turns};
pub use projection::{Fate, Projection, PromptRecord, QueuedPrompt, RunningTurn};
pub use reader::{Line, Reader, RecordLine};
pub use recover::{Recovered, RecoveryNote, interruption, recover};
pub use retention::{Kept, Limits, Usage, choose, remove_session, usage};
pub use writer::{AppendTicket, Durability, JournalThread, Journals, Opened, Opener, Writer};

#[cfg(test)]
mod tests;
