//! The API over a real Unix socket: real engine, real journals, workers that the tests play.

mod bench;
mod inputs;
mod logs;
mod peers;
mod runs;
mod sockets;
mod streams;
