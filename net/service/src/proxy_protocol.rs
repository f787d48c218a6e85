//! The PROXY protocol, version 2 (haproxy/doc/proxy-protocol.txt): the address of the real client.
//!
//! Every client that may connect can forge the header, so it is read only where it is configured, and
//! required there. Version 1 (text) is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header taken: addresses and a kilobyte or two of TLVs.
pub const HEADER_BYTES: usize = 4096;

/// The content of a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// The proxy itself connects (a health check), for no client.
    pub local: bool,
    /// The client of the proxy; `None` for a local connection or an address that is not IP.
    pub source: Option<SocketAddr>,
    /// The address to which the client connected.
    pub destination: Option<SocketAddr>,
}

/// Why there is no header. Each message is a whole sentence for the log.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Something else came first.
    #[error(
        "this listener requires a PROXY v2 header and the peer sent none; connect through the proxy, with send-proxy-v2 on its server line"
    )]
    Missing,
    /// The text version came.
    #[error(
        "this listener requires PROXY v2 and the peer sent v1 (text); write send-proxy-v2 instead of send-proxy on the proxy's server line"
    )]
    Version1,
    /// The binary header breaks its own rules.
    #[error("the PROXY v2 header is broken: {0}")]
    Broken(&'static str),
    /// The stream ended within the header; true when nothing at all was sent.
    #[error("the peer closed before its PROXY v2 header was complete")]
    Closed {
        /// Not one byte came: a probe.
        silent: bool,
    },
}

/// What a parser knows after some bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// At least this many more bytes belong to the header, so it is safe to read them.
    Need(usize),
    /// The header, and how many bytes it took.
    Done(Header, usize),
}

/// Parses the beginning of a stream. Fails at the first wrong byte.
pub fn parse(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if !agree(bytes, SIGNATURE) {
        return Err(match agree(bytes, b"PROXY ") {
            true => HeaderError::Version1,
            false => HeaderError::Missing,
        });
    }
    let Some(&[version_command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED_BYTES) else {
        return Ok(Progress::Need(FIXED_BYTES - bytes.len()));
    };
    let total = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Broken("its version or command is unknown")),
    };
    if total > HEADER_BYTES {
        return Err(HeaderError::Broken("it is longer than 4096 bytes"));
    }
    let Some(whole) = bytes.get(..total) else {
        return Ok(Progress::Need(total - bytes.len()));
    };
    let body = whole.get(FIXED_BYTES..).unwrap_or_default();
    // The high half is the family, the low half is stream or datagram.
    let (source, destination, tlvs) = match family {
        0x11 => addresses::<4>(body)?,
        0x21 => addresses::<16>(body)?,
        // Unspecified, or Unix: skipped, as the specification asks; TLVs cannot be found then.
        0x00 | 0x31 => (None, None, &[][..]),
        _ => return Err(HeaderError::Broken("its address family is not a stream")),
    };
    check_tlvs(whole, tlvs)?;
    let header = Header {
        local,
        source: source.filter(|_| !local),
        destination: destination.filter(|_| !local),
    };
    Ok(Progress::Done(header, total))
}

/// Reads exactly the header and not a byte more: what follows is for TLS.
pub async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Header, HeaderError> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + 36);
    loop {
        match parse(&bytes)? {
            Progress::Done(header, _) => return Ok(header),
            Progress::Need(more) => {
                let more = u64::try_from(more).unwrap_or(u64::MAX);
                match (&mut *stream).take(more).read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => {
                        let silent = bytes.is_empty();
                        return Err(HeaderError::Closed { silent });
                    }
                    Ok(_) => {}
                }
            }
        }
    }
}

/// Whether a stream begins with the signature, or with a part of it when no more is there.
pub fn looks_like_v2(head: &[u8]) -> bool {
    !head.is_empty() && agree(head, SIGNATURE)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
const TLV_CRC32C: u8 = 0x03;

/// Whether one is the beginning of the other.
fn agree(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(a, b)| a == b)
}

type Addresses<'a> = (Option<SocketAddr>, Option<SocketAddr>, &'a [u8]);

/// Two addresses of N bytes, two ports, and what is left.
fn addresses<const N: usize>(body: &[u8]) -> Result<Addresses<'_>, HeaderError>
where
    [u8; N]: Into<Ip>,
{
    let fields = || {
        let (source, rest) = body.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let (source_port, rest) = rest.split_first_chunk::<2>()?;
        let (destination_port, rest) = rest.split_first_chunk::<2>()?;
        let socket = |ip: [u8; N], port| SocketAddr::new(ip.into().0, u16::from_be_bytes(port));
        Some((
            Some(socket(*source, *source_port)),
            Some(socket(*destination, *destination_port)),
            rest,
        ))
    };
    fields().ok_or(HeaderError::Broken("it is too short for its addresses"))
}

struct Ip(IpAddr);

impl From<[u8; 4]> for Ip {
    fn from(bytes: [u8; 4]) -> Self {
        Self(Ipv4Addr::from(bytes).into())
    }
}

impl From<[u8; 16]> for Ip {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Ipv6Addr::from(bytes).into())
    }
}

/// Walks the type-length-values and verifies the checksum where there is one.
fn check_tlvs(whole: &[u8], mut tlvs: &[u8]) -> Result<(), HeaderError> {
    while !tlvs.is_empty() {
        let Some((&[kind, high, low], rest)) = tlvs.split_first_chunk() else {
            return Err(HeaderError::Broken("a TLV is cut"));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return Err(HeaderError::Broken("a TLV is longer than the header"));
        };
        if kind == TLV_CRC32C {
            let from = whole.len() - rest.len() - length;
            let zeroed = whole.iter().enumerate().map(|(index, byte)| {
                if (from..from + length).contains(&index) {
                    0
                } else {
                    *byte
                }
            });
            if value != crc32c(zeroed).to_be_bytes() {
                return Err(HeaderError::Broken("its checksum is wrong"));
            }
        }
        tlvs = rest;
    }
    Ok(())
}

/// CRC-32C (RFC 4960 appendix B), bit by bit: a header is a few dozen bytes.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ POLYNOMIAL,
            _ => crc >> 1,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short");
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    const IPV4: &[u8] = &[192, 0, 2, 7, 127, 0, 0, 1, 0x9c, 0x40, 0x19, 0xf0];

    fn with_checksum(right: bool) -> Vec<u8> {
        let noop = [4, 0, 2, 0, 0];
        let mut bytes = header(0x21, 0x11, &[IPV4, &noop, &[3, 0, 4, 0, 0, 0, 0]].concat());
        let crc = crc32c(bytes.iter().copied()) ^ u32::from(!right);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn done(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Ok(Progress::Done(header, length)) => {
                assert_eq!(length, bytes.len());
                header
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    }

    #[test]
    fn both_families_are_read_and_tlvs_are_skipped() {
        let read = done(&with_checksum(true));
        assert_eq!(read.source, Some("192.0.2.7:40000".parse().expect("v4")));
        assert_eq!(read.destination, Some("127.0.0.1:6640".parse().expect("v4")));
        let mut body = Vec::new();
        body.extend("2001:db8::7".parse::<Ipv6Addr>().expect("v6").octets());
        body.extend(Ipv6Addr::LOCALHOST.octets());
        body.extend([0, 1, 0, 2]);
        let read = done(&header(0x21, 0x21, &body));
        assert_eq!(read.source, Some("[2001:db8::7]:1".parse().expect("v6")));
    }

    #[test]
    fn a_local_connection_and_an_unknown_family_name_no_client() {
        assert!(done(&header(0x20, 0x00, &[])).local);
        assert_eq!(done(&header(0x20, 0x11, IPV4)).source, None);
        assert_eq!(done(&header(0x21, 0x00, b"whatever")).source, None);
    }

    #[test]
    fn what_is_not_v2_is_refused_at_its_first_wrong_byte() {
        let kind = |bytes: &[u8]| parse(bytes).expect_err("refused");
        assert!(matches!(kind(b"PROXY TCP4 1"), HeaderError::Version1));
        assert!(matches!(kind(b"P"), HeaderError::Version1));
        assert!(matches!(kind(&[0x16, 3, 1]), HeaderError::Missing));
        assert!(matches!(kind(b"\r\n\r\nX"), HeaderError::Missing));
        for broken in [
            header(0x31, 0x11, IPV4),
            header(0x22, 0x11, IPV4),
            header(0x21, 0x12, IPV4),
            header(0x21, 0x11, &IPV4[..11]),
            header(0x21, 0x11, &[IPV4, &[4, 0]].concat()),
            header(0x21, 0x11, &[IPV4, &[4, 0, 9, 0]].concat()),
            header(0x21, 0x11, &vec![0; HEADER_BYTES]),
            with_checksum(false),
        ] {
            assert!(matches!(kind(&broken), HeaderError::Broken(_)), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn the_reader_takes_not_a_byte_more() {
        for header in [with_checksum(true), header(0x20, 0, &[])] {
            let stream = [&header[..], b"after"].concat();
            let mut rest = &stream[..];
            read(&mut rest).await.expect("a header");
            assert_eq!(rest, b"after");
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_a_header_asks_for_no_more_than_is_left(cut in 0_usize..44) {
            let whole = with_checksum(true);
            let cut = cut.min(whole.len() - 1);
            match parse(&whole[..cut]) {
                Ok(Progress::Need(more)) => prop_assert!(more >= 1 && cut + more <= whole.len()),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..80), kind in 0x1f_u8..0x23, family in any::<u8>()) {
            let _ = parse(&header(kind, family, &body));
            let _ = parse(&body);
        }
    }
}
