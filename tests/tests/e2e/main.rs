//! The real binary, from outside. One module for each group of requirements; a test's name begins with the row or
//! promise that it checks.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod readme;

#[cfg(test)]
mod daemon;

#[cfg(test)]
mod cli;

#[cfg(test)]
mod sessions;

#[cfg(test)]
mod consent;

#[cfg(test)]
mod rules;

#[cfg(test)]
mod streams;

#[cfg(test)]
mod rows;

#[cfg(test)]
mod options;

#[cfg(test)]
mod settings;

#[cfg(test)]
mod people;

#[cfg(test)]
mod attachments;

#[cfg(test)]
mod bad_input;

#[cfg(test)]
mod door;

#[cfg(test)]
mod storage;

#[cfg(test)]
mod config;

#[cfg(test)]
mod agents;

#[cfg(test)]
mod memory;

#[cfg(test)]
mod presets;

#[cfg(test)]
mod client_side;

#[cfg(test)]
mod environment;

#[cfg(test)]
mod resume;

#[cfg(test)]
mod oneshot;

#[cfg(test)]
mod claude_stream;

#[cfg(test)]
mod steering;

#[cfg(test)]
mod shared_agents;

#[cfg(test)]
mod waiting;

#[cfg(test)]
mod workers;

#[cfg(test)]
mod crashes;

#[cfg(test)]
mod limits;
mod load;

#[cfg(test)]
mod third_parties;

#[cfg(test)]
mod peers;

#[cfg(test)]
mod outside;

#[cfg(test)]
mod editors;

#[cfg(test)]
mod hooks;

#[cfg(test)]
mod mcp;

#[cfg(test)]
mod contract;

#[cfg(test)]
mod users;

#[cfg(test)]
mod versions;
