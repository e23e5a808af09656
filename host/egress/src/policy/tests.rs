//! The rules as tables, and what holds for every address.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn rules(texts: &[&str]) -> HostRules {
    HostRules::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn target(text: &str) -> Target {
    Target::of(&url::Url::parse(text).unwrap()).unwrap()
}

/// As a connection is judged: the host first, then each address.
fn judge(rules: &HostRules, target: &Target, answer: &[&str]) -> Result<(), Denied> {
    rules.check_host(target)?;
    let addresses = target.known_addresses().unwrap_or_else(|| answer.iter().map(|a| a.parse().unwrap()).collect());
    addresses.into_iter().try_for_each(|address| rules.check_address(target, address))
}

#[test]
fn each_rule_allows_what_its_line_in_the_table_says() {
    let public = &["93.184.216.34"][..];
    let private = &["10.0.0.7"][..];
    let mixed = &["93.184.216.34", "10.0.0.7"][..];
    let table: &[(&[&str], &str, &[&str], bool)] = &[
        (&[], "http://example.com", public, false),
        (&["*"], "http://example.com", public, true),
        (&["*"], "https://example.com:8443", public, true),
        (&["*"], "http://93.184.216.34", &[], true),
        (&["*"], "http://example.com", private, false),
        (&["*"], "http://example.com", mixed, false),
        (&["*"], "http://localhost", &[], false),
        (&["*"], "http://a.localhost", &[], false),
        (&["*"], "http://metadata.google.internal", public, false),
        (&["*:443"], "https://example.com", public, true),
        (&["*:443"], "http://example.com", public, false),
        (&["example.com"], "http://example.com", public, true),
        (&["example.com"], "http://EXAMPLE.com.:81", public, true),
        (&["Example.COM."], "http://example.com", public, true),
        (&["example.com"], "http://example.com", private, false),
        (&["example.com"], "http://www.example.com", public, false),
        (&["example.com"], "http://notexample.com", public, false),
        (&["example.com"], "http://example.com.evil.org", public, false),
        (&["example.com"], "http://example.com@evil.org", public, false),
        (&["example.com:443"], "https://example.com", public, true),
        (&["example.com:443"], "https://example.com:444", public, false),
        (&["example.com:*"], "https://example.com:444", public, true),
        (&["*.example.com"], "http://www.example.com", public, true),
        (&["*.example.com"], "http://a.b.example.com", public, true),
        (&["*.example.com"], "http://example.com", public, false),
        (&["*.example.com"], "http://badexample.com", public, false),
        (&["*.google.internal"], "http://metadata.google.internal", &["169.254.169.254"], false),
        (&["bücher.example"], "http://xn--bcher-kva.example", public, true),
        (&["127.0.0.1"], "http://127.0.0.1:8080", &[], true),
        (&["127.0.0.1:*"], "http://0x7f.1:8080", &[], true),
        (&["127.0.0.1:8080"], "http://127.0.0.1:8080", &[], true),
        (&["127.0.0.1:8080"], "http://127.0.0.1:8081", &[], false),
        (&["127.0.0.1"], "http://127.0.0.2", &[], false),
        (&["127.0.0.1"], "http://localhost", &[], false),
        (&["127.0.0.1"], "http://[::ffff:7f00:1]", &[], true),
        (&["[::1]:8080"], "http://[::1]:8080", &[], true),
        (&["::1"], "http://[0:0::1]:1", &[], true),
        (&["localhost"], "http://localhost:3000", &[], true),
        (&["localhost"], "http://app.localhost:3000", &[], true),
        (&["localhost"], "http://127.9.9.9", &[], true),
        (&["localhost"], "http://[::1]", &[], true),
        (&["localhost:3000"], "http://localhost:3001", &[], false),
        (&["localhost", "*"], "http://evil.example", &["127.0.0.1"], false),
        (&["192.168.0.0/16"], "http://192.168.3.4", &[], true),
        (&["192.168.0.0/16:80"], "http://192.168.3.4:81", &[], false),
        (&["192.168.0.0/16"], "http://192.169.0.1", &[], false),
        (&["192.168.0.0/16"], "http://nas.lan", &["192.168.1.5"], false),
        (&["[fd12::/16]:443"], "https://[fd12:1::5]", &[], true),
        (&["fd12::/16"], "http://[fd13::5]", &[], false),
        (&["nas.lan@192.168.0.0/16"], "http://nas.lan", &["192.168.1.5"], true),
        (&["nas.lan@192.168.0.0/16"], "http://nas.lan", &["192.168.1.5", "192.168.1.6"], true),
        (&["nas.lan@192.168.0.0/16"], "http://nas.lan", &["10.0.0.1"], false),
        (&["nas.lan@192.168.0.0/16"], "http://nas.lan", public, false),
        (&["nas.lan", "nas.lan@10.0.0.0/8"], "http://nas.lan", mixed, true),
        (&["*.lan:80@10.0.0.0/8"], "http://a.lan", private, true),
        (&["*.lan:80@10.0.0.0/8"], "http://a.lan:81", private, false),
        (&["169.254.0.0/16"], "http://169.254.1.1", &[], true),
        (&["169.254.0.0/16"], "http://169.254.169.254", &[], false),
        (&["0.0.0.0/0"], "http://168.63.129.16", &[], false),
        (&["169.254.169.254"], "http://169.254.169.254", &[], true),
        (&["metadata.google.internal"], "http://metadata.google.internal", &["169.254.169.254"], false),
        (&["metadata.google.internal@169.254.0.0/16"], "http://metadata.google.internal", &["169.254.169.254"], false),
        (&["metadata.google.internal@169.254.169.254"], "http://metadata.google.internal", &["169.254.169.254"], true),
    ];
    for (granted, url, answer, allowed) in table {
        let verdict = judge(&rules(granted), &target(url), answer);
        assert_eq!(verdict.is_ok(), *allowed, "{granted:?} {url} {answer:?}: {verdict:?}");
    }
}

/// The attacks of the SSRF literature against a grant of every public host.
#[test]
fn no_notation_of_an_inner_address_passes_the_star() {
    let star = rules(&["*"]);
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.%31/",
        "http://１２７.０.０.１/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://0x0/",
        "http://00000000000/",
        "http://[::1]/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[2001:0:7f00:1::1]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[ff02::1]/",
        "http://10.0.0.1/",
        "http://0xa000001/",
        "http://167772161/",
        "http://012.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://3232235521/",
        "http://100.64.0.1/",
        "http://169.254.169.254/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://192.0.0.192/",
        "http://255.255.255.255/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost./",
        "http://loc%61lhost/",
        "http://ｌｏｃａｌｈｏｓｔ/",
        "http://foo.localhost/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata.goog/",
        "http://user:pass@127.0.0.1/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1?@example.com/",
        "http://127.0.0.1\\@example.com/",
        "https://0x7f.1:443/",
    ] {
        let verdict = judge(&star, &target(url), &["93.184.216.34"]);
        assert!(verdict.is_err(), "{url} passed");
    }
}

#[test]
fn a_rule_that_cannot_be_read_says_what_would_be_right() {
    let faults: Vec<String> = [
        "",
        "  ",
        "https://example.com",
        "example.com/path",
        "*@10.0.0.0/8",
        "10.0.0.1@10.0.0.0/8",
        "ex*mple.com",
        "*.*.com",
        "**",
        "example.com:0",
        "example.com:65536",
        "example.com:http",
        "example.com:",
        "a b",
        "name@",
        "name@10.0.0.0/33",
        "localhost@127.0.0.0/8",
        "*.localhost",
        "[::1",
        "*.127.0.0.1",
    ]
    .iter()
    .map(|text| HostRules::parse(&[(*text).to_owned()]).expect_err(text).to_string())
    .collect();
    insta::assert_snapshot!(faults.join("\n"));
    assert!(HostRules::parse(&vec!["a.com".to_owned(); MAX_RULES + 1]).is_err());
}

#[test]
fn a_denial_reads_as_one_sentence_with_the_line_to_add() {
    let granted = rules(&["example.com", "10.0.0.1:80"]);
    let mut texts = Vec::new();
    for (url, answer) in [
        ("https://api.example.org/x", "93.184.216.34"),
        ("https://api.example.org:8443", "93.184.216.34"),
        ("http://example.com", "10.0.0.7"),
        ("http://example.com:8080", "169.254.169.254"),
        ("http://127.0.0.1:8080", ""),
        ("http://[::1]:8080", ""),
        ("http://8.8.8.8", ""),
        ("http://localhost:3000", ""),
        ("http://10.0.0.1:81", ""),
    ] {
        texts.push(judge(&granted, &target(url), &[answer]).unwrap_err().to_string());
    }
    insta::assert_snapshot!(texts.join("\n"));
}

/// Addresses that are not public, from all special ranges.
fn inner_v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from).prop_flat_map(|any| {
        let [_, b, c, d] = any.octets();
        prop_oneof![
            Just(Ipv4Addr::new(127, b, c, d)),
            Just(Ipv4Addr::new(10, b, c, d)),
            Just(Ipv4Addr::new(0, b, c, d)),
            Just(Ipv4Addr::new(172, 16 | (b & 15), c, d)),
            Just(Ipv4Addr::new(192, 168, c, d)),
            Just(Ipv4Addr::new(169, 254, c, d)),
            Just(Ipv4Addr::new(100, 64 | (b & 63), c, d)),
            Just(Ipv4Addr::new(198, 18 + (b & 1), c, d)),
            Just(Ipv4Addr::new(224 + (b & 31), b, c, d)),
            Just(Ipv4Addr::new(169, 254, 169, 254)),
            Just(Ipv4Addr::new(168, 63, 129, 16)),
        ]
    })
}

/// Every way to write or wrap an IPv4 address in a URL's host.
fn spellings(v4: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = v4.octets();
    let number = u32::from(v4);
    let (hi, lo) = (number >> 16, number & 0xffff);
    vec![
        v4.to_string(),
        format!("{v4}."),
        number.to_string(),
        format!("0x{number:x}"),
        format!("0{number:o}"),
        format!("{a}.{}", number & 0x00ff_ffff),
        format!("{a}.{b}.{lo}"),
        format!("0x{a:X}.0{b:o}.{c}.0x{d:x}"),
        v4.to_string().replace('.', "%2e").replace('1', "%31"),
        format!("[::ffff:{v4}]"),
        format!("[::{v4}]"),
        format!("[::ffff:0:{v4}]"),
        format!("[64:ff9b::{v4}]"),
        format!("[64:ff9b:1::{v4}]"),
        format!("[2002:{hi:x}:{lo:x}::1]"),
        format!("[2001:0:{hi:x}:{lo:x}::1]"),
        format!("[2001:0:1:1:0:0:{:x}:{:x}]", hi ^ 0xffff, lo ^ 0xffff),
        format!("[2606:4700::5efe:{v4}]"),
    ]
}

proptest! {
    #[test]
    fn every_inner_address_in_every_embedding_is_refused_under_the_star(v4 in inner_v4(), port in 1u16..) {
        let star = rules(&["*"]);
        for host in spellings(v4) {
            let target = Target::new(&host, port).unwrap();
            prop_assert!(star.check_host(&target).is_err(), "{host} passed");
        }
        // … and as the answer to a granted name.
        let named = Target::new("example.com", port).unwrap();
        for address in [IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped()), IpAddr::V6(v4.to_ipv6_compatible())] {
            prop_assert!(star.check_address(&named, address).is_err());
            prop_assert!(rules(&["example.com", "0.0.0.0/0", "localhost"]).check_address(&named, address).is_err());
        }
    }

    #[test]
    fn every_inner_ipv6_address_is_refused_under_the_star(low in any::<u128>(), range in 0usize..6) {
        let (base, bits) = [(0xfcu128 << 120, 7), (0xfe80 << 112, 10), (0xff << 120, 8), (0x2001_0db8 << 96, 32), (0x2002 << 112, 16), (0, 8)][range];
        let address = Ipv6Addr::from(base | (low & (u128::MAX >> bits)));
        prop_assume!(address.to_ipv4_mapped().is_none() && address.segments()[0] != 0x64);
        let target = Target::new(&format!("[{address}]"), 80).unwrap();
        prop_assert!(rules(&["*"]).check_host(&target).is_err(), "{address} passed");
    }

    #[test]
    fn the_grant_of_a_denial_is_a_rule_that_allows_it(
        host in prop_oneof!["[a-z]{1,8}(\\.[a-z]{2,5}){1,2}", Just("localhost".to_owned()), Just("metadata.goog".to_owned()), any::<Ipv4Addr>().prop_map(|a| a.to_string()), any::<Ipv6Addr>().prop_map(|a| format!("[{a}]"))],
        answer in any::<IpAddr>(),
        port in 1u16..,
    ) {
        let target = Target::new(&host, port).unwrap();
        let answer = answer.to_string();
        let mut granted = Vec::new();
        // First the name, then the address it leads to: at most two lines to add.
        for _ in 0..3 {
            match judge(&HostRules::parse(&granted).unwrap(), &target, &[&answer]) {
                Ok(()) => return Ok(()),
                Err(denied) => granted.push(denied.grant),
            }
        }
        prop_assert!(false, "{granted:?} does not allow {target} at {answer}");
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,40}", port in any::<u16>()) {
        let _ = HostRules::parse(std::slice::from_ref(&text));
        let _ = Target::new(&text, port);
    }
}
