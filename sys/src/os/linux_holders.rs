//! Who holds a TCP socket of this machine, on Linux: its inode from `/proc/net/tcp`, its holders from `/proc/PID/fd`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::peer::Holders;
use crate::process::identity;

pub(crate) fn tcp_holders(from: SocketAddr, to: SocketAddr) -> io::Result<Holders> {
    let Some(inode) = inode(from, to)? else { return Ok(Holders::Gone) };
    let wanted = format!("socket:[{inode}]");
    let (mut holders, mut hidden) = (Vec::new(), Vec::new());
    for pid in super::table::numbers()? {
        match holds(pid, &wanted) {
            Ok(true) => holders.extend(identity(pid)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden.push(pid),
            // It ended meanwhile.
            Ok(false) | Err(_) => {}
        }
    }
    Ok(Holders::Found { holders, hidden })
}

fn holds(pid: u32, wanted: &str) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        if fs::read_link(entry?.path()).is_ok_and(|link| link.as_os_str() == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The inode of the socket with these ends; none if there is none, or nobody has it open.
fn inode(from: SocketAddr, to: SocketAddr) -> io::Result<Option<u64>> {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (from, to) = (canonical(from), canonical(to));
    for (table, mapped) in [("/proc/net/tcp", false), ("/proc/net/tcp6", true)] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && mapped => continue,
            Err(error) => return Err(error),
        };
        let (from, to) = (written(from, mapped), written(to, mapped));
        for line in text.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let ends = (fields.next(), fields.next());
            if ends == (Some(from.as_str()), Some(to.as_str())) {
                // State, queues, timer, retransmissions, user and timeout come before it.
                let inode = fields.nth(6).and_then(|inode| inode.parse().ok());
                return Ok(inode.filter(|inode| *inode != 0));
            }
        }
    }
    Ok(None)
}

/// An address as the kernel's tables have it: words in the machine's order, in hexadecimal digits.
fn written(address: SocketAddr, mapped: bool) -> String {
    let octets = match (address.ip(), mapped) {
        (IpAddr::V4(v4), false) => v4.octets().to_vec(),
        (IpAddr::V4(v4), true) => v4.to_ipv6_mapped().octets().to_vec(),
        (IpAddr::V6(v6), _) => v6.octets().to_vec(),
    };
    let mut text = String::new();
    for word in octets.chunks_exact(4) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        // Writing to a string cannot fail.
        let _ = write!(text, "{word:08X}");
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}
