//! A minimal HTTP client for probes: only the status line of the answer counts.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A URL of a server without TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    /// `host:port`, as it is dialled.
    server: String,
    /// The path with its `/`, and the query.
    path: String,
}

/// The default port of HTTP.
const PORT: u16 = 80;

/// `HTTP/1.1 200`
const STATUS_BYTES: usize = 12;

impl Url {
    /// Reads `http://host[:port][/path]`; `None` if it is anything else.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (server, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)?),
            Some(_) | None => (server, PORT),
        };
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match literal {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(name),
        };
        let is_path = path.chars().all(|c| c.is_ascii_graphic() && c != '#');
        (is_host && is_path).then(|| Self {
            server: format!("{host}:{port}"),
            path,
        })
    }

    /// Requests the URL. The caller sets the deadline.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let Self { server, path } = self;
        let answer = self
            .ask()
            .await
            .map_err(|error| format!("http://{server}{path}: {error}"))?;
        match status(&answer) {
            Some(200..=299) => Ok(()),
            Some(status) => Err(format!("http://{server}{path} answers {status}")),
            None => Err(format!("http://{server}{path}: the answer is not HTTP")),
        }
    }

    async fn ask(&self) -> std::io::Result<[u8; STATUS_BYTES]> {
        let Self { server, path } = self;
        let mut stream = TcpStream::connect(server).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: tandem\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; STATUS_BYTES];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer).ok()?;
    let (_, code) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
    code.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_accepted() {
        let right = [
            ("http://10.0.0.11:8085/health", ("10.0.0.11:8085", "/health")),
            ("http://tsn-a.example", ("tsn-a.example:80", "/")),
            ("http://tsn-a/x?y=1&z", ("tsn-a:80", "/x?y=1&z")),
            ("http://tsn-a?y", ("tsn-a:80", "/?y")),
            ("http://[2001:db8::1]:8085/", ("[2001:db8::1]:8085", "/")),
            ("http://[2001:db8::1]", ("[2001:db8::1]:80", "/")),
        ];
        for (text, (server, path)) in right {
            let url = Url::parse(text).expect(text);
            assert_eq!((url.server.as_str(), url.path.as_str()), (server, path), "{text}");
        }
        for wrong in [
            "",
            "10.0.0.11:8085",
            "https://10.0.0.11/",
            "http://",
            "http:///x",
            "http://a:b/",
            "http://a:0/",
            "http://user@host/",
            "http://host/a b",
            "http://host/a#b",
            "http://host/\r\nX: y",
            "http://[fe80::zz]/",
        ] {
            assert_eq!(Url::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_the_status_counts() {
        assert_eq!(status(b"HTTP/1.1 200"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for wrong in [&b"SSH-2.0-Open"[..], b"HTTP/1.1  20", b"HTTP/2 200 O", b"\xff\xff"] {
            assert_eq!(status(wrong), None, "{wrong:?}");
        }
    }
}
