//! Agents that others wrote, as their users have them: npm packages at fixed versions, with their own configuration
//! files, in a network that has nothing but a scripted model. Each must do the same through skep.

#[cfg(test)]
mod behaviour;

#[cfg(test)]
mod client_side;
