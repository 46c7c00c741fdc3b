//! A network of one's own, as `unshare --net` and `ip link set lo up` make it, without either program.
//!
//! `netns new PROGRAM …` runs the program in a new network that has a loopback and nothing else;
//! `netns enter PID PROGRAM …` runs it in the network of that process. Both want root.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let placed = match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("new") => new(),
        Some("enter") => enter(&words.next().unwrap_or_default()),
        _ => Err(Error::other("usage: netns new PROGRAM … | netns enter PID PROGRAM …")),
    };
    complain(&placed.map_or_else(|error| error, |()| run(words)));
    ExitCode::from(125)
}

fn new() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()
}

fn enter(pid: &OsString) -> Result<()> {
    let net = File::open(std::path::Path::new("/proc").join(pid).join("ns/net"))?;
    Ok(setns(net, CloneFlags::CLONE_NEWNET)?)
}

/// Becomes the program; returns only if that fails.
#[expect(clippy::disallowed_methods, reason = "a wrapper becomes what it wraps")]
fn run(mut words: impl Iterator<Item = OsString>) -> Error {
    match words.next() {
        Some(program) => Command::new(program).args(words).exec(),
        None => Error::other("no program"),
    }
}

/// Sets the flag `up` of the first interface, which is the loopback: `RTM_NEWLINK` of rtnetlink(7).
fn loopback_up() -> Result<()> {
    const LENGTH: u32 = 32;
    const LOOPBACK: i32 = 1;
    let up = u32::try_from(libc::IFF_UP).map_err(Error::other)?;
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(Error::other)?;
    let mut request = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence, sender.
    request.extend(LENGTH.to_ne_bytes());
    request.extend(libc::RTM_NEWLINK.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    // struct ifinfomsg: family and padding, type, index, flags, which of them change.
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(up.to_ne_bytes());
    request.extend(up.to_ne_bytes());
    let kernel =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    sendto(kernel.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    // struct nlmsghdr, then struct nlmsgerr: 0, or a negative errno.
    let mut answer = [0; 128];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let code = answer[..length].get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Error::from_raw_os_error(-code)),
        None => Err(Error::other("the kernel's answer is too short")),
    }
}

#[expect(clippy::print_stderr, reason = "a program tells its user why it did not run")]
fn complain(error: &Error) {
    eprintln!("netns: {error}");
}
