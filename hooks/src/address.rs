//! Which addresses a hook may reach (server-side request forgery). Pure.
//!
//! A list of what is allowed, not of what is forbidden: of IPv6 only global unicast (2000::/3), and of that not what
//! leads elsewhere. An IPv4 address inside an IPv6 one counts as what it is. Sources: the IANA registries of
//! special-purpose addresses (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the public Internet.
    Public,
    /// On this machine, in a private network, or where clouds keep their metadata: only where that is allowed.
    Private,
    /// Nobody can listen there.
    Nowhere,
}

/// Where an address lies.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // The unspecified address reaches this machine.
        (0, 0, 0) if address.is_unspecified() => Reach::Nowhere,
        (224..=239, ..) => Reach::Nowhere,
        (255, 255, 255) if address.is_broadcast() => Reach::Nowhere,
        (0 | 10 | 127 | 240..=255, ..)
        | (100, 64..=127, _)
        | (169, 254, _)
        | (172, 16..=31, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (192, 168, _)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Reach::Nowhere,
        // Mapped, and translated (NAT64).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Protocol assignments with Teredo, documentation, 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
            Reach::Private
        }
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let public = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 \
            192.169.0.1 198.17.0.1 198.20.0.1 223.255.255.255 2606:4700::1111 2001:200::1 2400::1 ::ffff:1.1.1.1 \
            64:ff9b::1.1.1.1";
        let private = "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 \
            100.64.0.1 0.1.2.3 192.0.0.1 192.0.2.1 198.18.0.1 240.0.0.1 ::1 fe80::1 fc00::1 fd00:ec2::254 fec0::1 \
            ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:7f00:1:: 2001::1 2001:db8::1 \
            100::1 ::7f00:1 4000::1 3fff::1";
        let nowhere =
            "0.0.0.0 224.0.0.1 239.1.1.1 255.255.255.255 :: ff02::1 ::ffff:0.0.0.0 ::ffff:224.0.0.1";
        for (reached, addresses) in
            [(Reach::Public, public), (Reach::Private, private), (Reach::Nowhere, nowhere)]
        {
            for address in addresses.split_whitespace() {
                assert_eq!(reach(address.parse().unwrap()), reached, "{address}");
            }
        }
    }
}
