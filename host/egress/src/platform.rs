//! What differs between systems: who owns the other end of a loopback connection.

use std::net::SocketAddr;

/// Whether the process at the other end of a loopback connection is known to belong to *another* user.
///
/// On Linux the kernel's socket table tells; elsewhere, or when the table cannot be read, nobody can tell and the
/// answer is `false`.
pub(crate) async fn is_foreign_user(local: SocketAddr, peer: SocketAddr) -> bool {
    #[cfg(target_os = "linux")]
    {
        linux::is_foreign_user(local, peer).await
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (local, peer);
        std::future::ready(false).await
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::os::unix::fs::MetadataExt as _;

    /// Longest socket table that is read; at 150 bytes a line it holds over 50,000 sockets.
    const MAX_TABLE: usize = 8 * 1024 * 1024;

    pub(super) async fn is_foreign_user(local: SocketAddr, peer: SocketAddr) -> bool {
        let (IpAddr::V4(local_ip), IpAddr::V4(peer_ip)) = (local.ip(), peer.ip()) else {
            return false;
        };
        let Ok(own) = tokio::fs::metadata("/proc/self").await else {
            return false;
        };
        let (mine, theirs) = (v4_key(local_ip, local.port()), v4_key(peer_ip, peer.port()));
        for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            match tokio::fs::read_to_string(table).await {
                Ok(text) if text.len() <= MAX_TABLE => {
                    if let Some(uid) = owner(&text, &theirs, &mine) {
                        return uid != own.uid();
                    }
                }
                _ => return false,
            }
        }
        // In no table: the other end is gone, or its side of the connection is not ours to see.
        false
    }

    /// An address as the table writes it: the IPv4 address as the host's own integer in hex, then the port.
    pub(super) fn v4_key(ip: Ipv4Addr, port: u16) -> String {
        format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()))
    }

    /// The owner of the socket whose own end is `local` and whose other end is `remote`. In the IPv6 table the
    /// IPv4 address is the last part of a mapped one, hence the comparison from the right.
    pub(super) fn owner(table: &str, local: &str, remote: &str) -> Option<u32> {
        table.lines().skip(1).find_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let (own, other) = (columns.nth(1)?, columns.next()?);
            if !(own.ends_with(local) && other.ends_with(remote)) {
                return None;
            }
            columns.nth(4)?.parse().ok()
        })
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, clippy::expect_used)]
        use super::*;

        #[test]
        fn the_owner_of_the_other_end_is_read_from_the_socket_table() {
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                0: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20 0 0 10 -1\n   \
                1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 0 0 10 -1\n";
            assert_eq!(owner(table, "0100007F:C001", "0100007F:1F90"), Some(1000));
            assert_eq!(owner(table, "0100007F:1F90", "0100007F:C001"), Some(0));
            assert_eq!(owner(table, "0100007F:C002", "0100007F:1F90"), None);
            assert_eq!(owner("garbage\n\n x y\n", "a", "b"), None);
        }

        #[tokio::test]
        async fn our_own_connection_is_not_foreign() {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, peer) = listener.accept().await.unwrap();
            assert!(!is_foreign_user(server.local_addr().unwrap(), peer).await);
            drop(client);
        }
    }
}
