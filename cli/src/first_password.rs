//! The password that is made by itself (C8): where a daemon is about to listen beyond this machine, nobody configured a
//! password, and a person sits at the terminal to be shown it, once. Without a terminal nothing is made: the daemon
//! refuses to listen there, and names the setting.

use std::net::{IpAddr, ToSocketAddrs as _};

use skep_config::Settings;
use skep_config::api::Auth;

use crate::context::Context;
use crate::error::CliError;
use crate::settings;

/// Characters of a password: no two look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Groups of four, five bits each: 100 bits.
const GROUPS: usize = 5;

/// Makes a password and shows it, if one is needed to listen at `hosts` (or, without any, where the configuration says).
pub(crate) fn make_if_needed(ctx: &Context, hosts: &[String]) -> Result<(), CliError> {
    if !ctx.screen.err.terminal {
        return Ok(());
    }
    let settings = settings::load(ctx)?;
    let path = ctx.paths.password();
    if !is_needed(&settings, hosts) || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    skep_sys::socket::private_directory(ctx.paths.state_dir())
        .map_err(|error| CliError::failed(format!("cannot use the state directory: {error}")))?;
    let password = generate()?;
    skep_gateway::set_password(&path, &password)
        .map_err(|error| CliError::failed(format!("cannot {error}")))?;
    ctx.screen.say(format!("to sign in from other machines, the password: {password}"));
    ctx.screen.say_more("it is shown this once; `skep password set` sets another");
    Ok(())
}

/// Whether a password must be made: somebody listens beyond this machine, and none is configured.
fn is_needed(settings: &Settings, hosts: &[String]) -> bool {
    let api = &settings.api;
    let hosts = if hosts.is_empty() { &api.hosts } else { hosts };
    api.auth != Auth::None && api.password_file.is_none() && hosts.iter().any(|host| is_beyond(host))
}

/// Whether a host is not this machine alone.
fn is_beyond(host: &str) -> bool {
    let is_far = |address: IpAddr| !address.to_canonical().is_loopback();
    match host.parse() {
        Ok(address) => is_far(address),
        Err(_) => (host, 0).to_socket_addrs().is_ok_and(|mut found| found.any(|found| is_far(found.ip()))),
    }
}

/// A new password.
pub(crate) fn generate() -> Result<String, CliError> {
    let mut random = [0; GROUPS * 4];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random));
    read.map_err(|error| CliError::failed(format!("cannot make a password: {error}")))?;
    Ok(written(&random))
}

fn written(random: &[u8]) -> String {
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    let groups = random.chunks(4).map(|group| group.iter().map(letter).collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_a_password_is_made_for_addresses_beyond_this_machine_only_and_where_none_is_configured() {
        let needed = |toml: &str, hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            is_needed(&skep_config::parse(toml, "test").unwrap(), &hosts)
        };
        assert!(needed("", &["0.0.0.0"]) && needed("", &["127.0.0.1", "::"]) && needed("", &["10.0.0.1"]));
        assert!(needed("api.hosts = ['192.168.1.5']", &[]));
        assert!(!needed("api.hosts = ['192.168.1.5']", &["127.0.0.1"]));
        assert!(!needed("", &[]) && !needed("api.port = 1", &[]) && !needed("", &["::1", "127.3.2.1"]));
        assert!(!needed("api.password_file = '/p'", &["0.0.0.0"]), "a configured one is the person's affair");
        assert!(!needed("api.auth = 'none'", &["0.0.0.0"]), "which is refused");
    }

    #[test]
    fn c8_a_password_has_a_hundred_bits_in_letters_that_look_different() {
        let password = generate().unwrap();
        assert_eq!((password.len(), password.split('-').count()), (24, 5));
        assert_ne!(password, generate().unwrap());
        let all: String = written(&(0..=255).collect::<Vec<u8>>()).replace('-', "");
        for letter in ALPHABET {
            assert_eq!(all.bytes().filter(|byte| byte == letter).count(), 8);
        }
    }
}
