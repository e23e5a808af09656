//! Which addresses are public.
//!
//! The tables follow IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890 and its successors). What is not
//! known to be public is not public: for IPv6 only `2000::/3`, minus its special parts, and the NAT64 prefix around
//! a public IPv4 address qualify.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, as far as reaching it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// Reachable on the public internet.
    Public,
    /// This computer: `127.0.0.0/8`, `::1`.
    Loopback,
    /// `0.0.0.0/8`, `::`: on many systems another name for this computer.
    Unspecified,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`.
    Private,
    /// `169.254.0.0/16`, `fe80::/10`, and the abandoned site-local `fec0::/10`.
    LinkLocal,
    /// `fc00::/7`, the private range of IPv6.
    UniqueLocal,
    /// `100.64.0.0/10`: behind a provider's address translation.
    CarrierNat,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32`, `3fff::/20`.
    Documentation,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmark,
    /// Where a cloud hands its credentials to whoever asks from inside.
    CloudMetadata,
    /// An IPv6 form that tunnels to an IPv4 address which may be anywhere: 6to4, Teredo, IPv4-compatible, local
    /// NAT64, ISATAP around an address that is not public.
    Tunnel,
    /// Everything that is set aside for other uses or not assigned.
    Reserved,
}

impl AddressKind {
    /// How a message names it, fit for "… is ADDRESS, {phrase}".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "this computer itself (loopback)",
            Self::Unspecified => "an unspecified address, which means this computer",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::UniqueLocal => "an address of a private IPv6 network",
            Self::CarrierNat => "an address behind a provider's translation (100.64.0.0/10)",
            Self::Multicast => "a multicast address",
            Self::Documentation => "an address reserved for documentation",
            Self::Benchmark => "an address reserved for benchmarks",
            Self::CloudMetadata => "a cloud's metadata service",
            Self::Tunnel => "an IPv6 form that can tunnel to any IPv4 address",
            Self::Reserved => "a reserved address",
        }
    }
}

/// IPv4 metadata services that are not simply `169.254.169.254`. Azure's lies in a *public* range.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google Cloud, Azure, DigitalOcean, Oracle, …
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud Classic
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's wire server
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),      // AWS
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),       // Google Cloud
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle Cloud
];

/// Names under which clouds serve their metadata. Refused by every pattern; only the exact name grants one.
const METADATA_NAMES: [&str; 5] =
    ["metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"];

/// Whether `name` (lower case, no trailing dot) is a cloud's metadata service.
pub(super) fn is_metadata_name(name: &str) -> bool {
    METADATA_NAMES.contains(&name)
}

/// The address that a connection really goes to: an IPv4-mapped IPv6 address is its IPv4 address.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What `address` is. IPv4-mapped addresses are judged as the IPv4 address they stand for.
pub fn classify(address: IpAddr) -> AddressKind {
    match canonical(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressKind {
    use AddressKind as K;
    if METADATA_V4.contains(&address) {
        return K::CloudMetadata;
    }
    match address.octets() {
        [0, ..] => K::Unspecified,
        [127, ..] => K::Loopback,
        [10, ..] | [192, 168, ..] => K::Private,
        [172, b, ..] if (16..32).contains(&b) => K::Private,
        [169, 254, ..] => K::LinkLocal,
        [100, b, ..] if (64..128).contains(&b) => K::CarrierNat,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => K::Documentation,
        [198, 18 | 19, ..] => K::Benchmark,
        // IETF protocol assignments; the abandoned 6to4 relays; 240/4 with the broadcast address.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => K::Reserved,
        [224..=239, ..] => K::Multicast,
        _ => K::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressKind {
    use AddressKind as K;
    if METADATA_V6.contains(&address) {
        return K::CloudMetadata;
    }
    let s = address.segments();
    let low = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => K::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => K::Loopback,
        // The well-known NAT64 prefix: on an IPv6-only network this is how public IPv4 hosts are reached.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => classify_v4(low),
        // IPv4-compatible (RFC 4291, abandoned) and IPv4-translated (RFC 2765) addresses; 64:ff9b:1::/48, which is
        // NAT64 into somebody's own network; 6to4; Teredo.
        [0, 0, 0, 0, 0 | 0xffff, 0, ..] | [0x64, 0xff9b, 1, ..] | [0x2002, ..] | [0x2001, 0, ..] => K::Tunnel,
        [a, ..] if a & 0xfe00 == 0xfc00 => K::UniqueLocal,
        [a, ..] if a & 0xff80 == 0xfe80 => K::LinkLocal, // fe80::/10 and fec0::/10 together are fe80::/9
        [a, ..] if a & 0xff00 == 0xff00 => K::Multicast,
        [0x2001, 0xdb8, ..] => K::Documentation,
        [0x3fff, b, ..] if b < 0x1000 => K::Documentation,
        [0x2001, 2, 0, ..] => K::Benchmark,
        // The rest of the IETF protocol assignments 2001::/23 (ORCHID and the like).
        [0x2001, b, ..] if b < 0x200 => K::Reserved,
        // ISATAP writes an IPv4 address into the interface part of any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] if classify_v4(low) != K::Public => K::Tunnel,
        [a, ..] if a & 0xe000 == 0x2000 => K::Public,
        _ => K::Reserved,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_registries_special_ranges_are_told_from_public_addresses() {
        use AddressKind as K;
        let table: &[(&str, K)] = &[
            ("0.0.0.0", K::Unspecified),
            ("0.1.2.3", K::Unspecified),
            ("9.255.255.255", K::Public),
            ("10.0.0.0", K::Private),
            ("10.255.255.255", K::Private),
            ("11.0.0.0", K::Public),
            ("100.63.255.255", K::Public),
            ("100.64.0.0", K::CarrierNat),
            ("100.127.255.255", K::CarrierNat),
            ("100.128.0.0", K::Public),
            ("100.100.100.200", K::CloudMetadata),
            ("127.0.0.1", K::Loopback),
            ("127.255.255.254", K::Loopback),
            ("128.0.0.1", K::Public),
            ("168.63.129.16", K::CloudMetadata),
            ("168.63.129.17", K::Public),
            ("169.253.255.255", K::Public),
            ("169.254.0.1", K::LinkLocal),
            ("169.254.169.254", K::CloudMetadata),
            ("169.254.170.2", K::CloudMetadata),
            ("172.15.255.255", K::Public),
            ("172.16.0.0", K::Private),
            ("172.31.255.255", K::Private),
            ("172.32.0.0", K::Public),
            ("192.0.0.8", K::Reserved),
            ("192.0.0.192", K::CloudMetadata),
            ("192.0.2.1", K::Documentation),
            ("192.88.99.1", K::Reserved),
            ("192.167.255.255", K::Public),
            ("192.168.0.1", K::Private),
            ("198.17.255.255", K::Public),
            ("198.18.0.0", K::Benchmark),
            ("198.19.255.255", K::Benchmark),
            ("198.20.0.0", K::Public),
            ("198.51.100.7", K::Documentation),
            ("203.0.113.7", K::Documentation),
            ("223.255.255.255", K::Public),
            ("224.0.0.1", K::Multicast),
            ("239.255.255.255", K::Multicast),
            ("240.0.0.1", K::Reserved),
            ("255.255.255.255", K::Reserved),
            ("8.8.8.8", K::Public),
            ("::", K::Unspecified),
            ("::1", K::Loopback),
            ("::7f00:1", K::Tunnel),
            ("::ffff:127.0.0.1", K::Loopback),
            ("::ffff:10.0.0.1", K::Private),
            ("::ffff:8.8.8.8", K::Public),
            ("::ffff:0:127.0.0.1", K::Tunnel),
            ("64:ff9b::127.0.0.1", K::Loopback),
            ("64:ff9b::169.254.169.254", K::CloudMetadata),
            ("64:ff9b::8.8.8.8", K::Public),
            ("64:ff9b:1::8.8.8.8", K::Tunnel),
            ("100::1", K::Reserved),
            ("2001::1", K::Tunnel),
            ("2001:2::1", K::Benchmark),
            ("2001:10::1", K::Reserved),
            ("2001:20::1", K::Reserved),
            ("2001:db8::1", K::Documentation),
            ("2002:7f00:1::", K::Tunnel),
            ("2002:808:808::1", K::Tunnel),
            ("2606:4700:4700::1111", K::Public),
            ("2606:4700:1:2:0:5efe:10.0.0.1", K::Tunnel),
            ("2606:4700:1:2:200:5efe:127.0.0.1", K::Tunnel),
            ("3fff::1", K::Documentation),
            ("3fff:1000::1", K::Public),
            ("4000::1", K::Reserved),
            ("fc00::1", K::UniqueLocal),
            ("fd12:3456::1", K::UniqueLocal),
            ("fd00:ec2::254", K::CloudMetadata),
            ("fd20:ce::254", K::CloudMetadata),
            ("fe80::1", K::LinkLocal),
            ("febf::1", K::LinkLocal),
            ("fec0::1", K::LinkLocal),
            ("ff02::1", K::Multicast),
        ];
        for (text, kind) in table {
            assert_eq!(classify(text.parse().unwrap()), *kind, "{text}");
        }
    }
}
