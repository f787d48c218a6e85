//! One HTTP request, without a library: the server is ours, and answers in one piece.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest time that the whole request may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of an answer: the status of some fifty thousand switches.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The `host:port` of a URL such as `http://127.0.0.1:6652`; its path is not looked at.
pub(super) fn server(url: &str) -> Result<String, String> {
    let help = || format!("`{url}` is no address of a status; write `http://127.0.0.1:6652`");
    if url.starts_with("https://") {
        return Err(format!(
            "`{url}`: the status is served over plain HTTP; write `http://`"
        ));
    }
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let server = rest.split('/').next().unwrap_or_default();
    let (host, port) = server.rsplit_once(':').ok_or_else(help)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
        return Err(help());
    }
    Ok(server.to_owned())
}

/// The body of an answer with status 200; an error is a sentence for a person.
pub(super) async fn get(server: &str, path: &str) -> Result<Vec<u8>, String> {
    let answer = match tokio::time::timeout(DEADLINE, exchange(server, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Err(format!("no answer from http://{server}: {why}")),
        Err(_) => {
            return Err(format!(
                "no answer from http://{server}: silent for {} s",
                DEADLINE.as_secs()
            ));
        }
    };
    let (code, body) = parse(&answer)
        .map_err(|why| format!("what answers at http://{server} is neither agent nor control node: {why}"))?;
    match code {
        200 => Ok(body.to_vec()),
        code => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
            Err(format!("http://{server} answers {code}: {}", text.escape_debug()))
        }
    }
}

/// HTTP/1.0, because then the answer ends where the connection does, and never comes in chunks.
async fn exchange(server: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The status code and the whole of the body.
fn parse(answer: &[u8]) -> Result<(u16, &[u8]), &'static str> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or("its answer has no header")?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| "its header is not text")?;
    let body = &answer[end + 4..];
    let mut lines = head.lines();
    let code = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok())
        .ok_or("it does not speak HTTP")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse::<usize>().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err("its answer is incomplete");
    }
    Ok((code, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_scheme_and_path() {
        for url in [
            "http://127.0.0.1:6652",
            "http://127.0.0.1:6652/",
            "127.0.0.1:6652",
            "http://127.0.0.1:6652/status",
        ] {
            assert_eq!(server(url).as_deref(), Ok("127.0.0.1:6652"), "{url}");
        }
        assert_eq!(server("http://[::1]:6652").as_deref(), Ok("[::1]:6652"));
        for url in [
            "",
            "http://",
            "http://host",
            "http://host:port",
            "https://host:1",
            "a\r\nX: y:1",
            "ftp://host:1",
        ] {
            assert!(server(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn only_a_whole_answer_counts() {
        let whole = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Ok((200, &b"{}"[..])));
        assert_eq!(parse(b"HTTP/1.1 503 Busy\r\n\r\nwhy"), Ok((503, &b"why"[..])));
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
