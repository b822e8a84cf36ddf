//! Answers of an HTTP/1.1 server: where each ends, and what is in it.

use httparse::{EMPTY_HEADER, Response, Status};

/// Most header lines of an answer.
const HEADERS_MAX: usize = 64;
/// Longest answer, with its head.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The server closes the connection behind it.
    pub is_last: bool,
}

/// What has come so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// An answer, of so many bytes.
    Whole(Answer, usize),
    /// Something is still to come.
    Part,
    /// An answer without a length, which ends with the connection.
    UntilClosed(Answer),
}

/// How long a body is.
enum Length {
    Known(usize),
    Chunked,
    UntilClosed,
}

/// Reads the first answer in `bytes`. An error says in what way it is none.
pub fn read(bytes: &[u8]) -> Result<Read, String> {
    let mut from = 0;
    loop {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let head = response.parse(&bytes[from..]);
        let head = head.map_err(|error| format!("this is no HTTP: {error}"))?;
        let Status::Complete(head_len) = head else {
            return Ok(Read::Part);
        };
        from += head_len;
        let status = response.code.unwrap_or(0);
        // Whoever says 100 has not answered yet.
        if (100..200).contains(&status) {
            continue;
        }
        let is_last = is_last(&response);
        let length = match status {
            204 | 304 => Length::Known(0),
            _ => length(&response)?,
        };
        let rest = &bytes[from..];
        let answer = |body: Vec<u8>| Answer {
            status,
            body,
            is_last,
        };
        return Ok(match length {
            Length::Known(length) if length > ANSWER_BYTES_MAX => {
                return Err("the answer is longer than 64 KiB".to_owned());
            }
            Length::Known(length) if rest.len() < length => Read::Part,
            Length::Known(length) => Read::Whole(answer(rest[..length].to_vec()), from + length),
            Length::Chunked => match chunks(rest)? {
                Some((body, used)) => Read::Whole(answer(body), from + used),
                None => Read::Part,
            },
            Length::UntilClosed => Read::UntilClosed(Answer {
                is_last: true,
                ..answer(rest.to_vec())
            }),
        });
    }
}

/// All values of a header that are text.
fn values<'a>(response: &'a Response, name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = response.headers.iter();
    let named = named.filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.filter_map(|header| str::from_utf8(header.value).ok().map(str::trim))
}

fn is_last(response: &Response) -> bool {
    let mut says = values(response, "connection")
        .flat_map(|value| value.split(','))
        .map(str::trim);
    match response.version {
        Some(0) => !says.any(|word| word.eq_ignore_ascii_case("keep-alive")),
        _ => says.any(|word| word.eq_ignore_ascii_case("close")),
    }
}

/// Where two headers could be meant, neither is believed: the answer would end in one place for this
/// driver and in another for whoever wrote it.
fn length(response: &Response) -> Result<Length, String> {
    let mut codings = values(response, "transfer-encoding");
    let mut lengths = values(response, "content-length");
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => Err("the answer has a length and an encoding".to_owned()),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => match codings.next() {
            None => Ok(Length::Chunked),
            Some(coding) => Err(format!("the answer is encoded as {coding}, too")),
        },
        (Some(coding), None) => Err(format!("the answer is encoded as {coding}")),
        (None, Some(length)) => {
            let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = length.parse().ok().filter(|_| is_number);
            let parsed = parsed.filter(|_| lengths.all(|other| other == length));
            let known = parsed.map(Length::Known);
            known.ok_or_else(|| format!("the answer's length is {length:?}, or another"))
        }
        (None, None) => Ok(Length::UntilClosed),
    }
}

/// A body in chunks with the bytes that it takes up; none while something is still to come.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut from) = (Vec::new(), 0);
    loop {
        let size = httparse::parse_chunk_size(&bytes[from..]);
        let Status::Complete((line, size)) =
            size.map_err(|_| "a chunk of the answer has no size".to_owned())?
        else {
            return Ok(None);
        };
        from += line;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > ANSWER_BYTES_MAX {
            return Err("the answer is longer than 64 KiB".to_owned());
        }
        if size == 0 {
            return Ok(trailers(&bytes[from..]).map(|trailers| (body, from + trailers)));
        }
        let Some(chunk) = bytes.get(from..from + size + 2) else {
            return Ok(None);
        };
        let Some(chunk) = chunk.strip_suffix(b"\r\n") else {
            return Err("a chunk of the answer does not end where it says".to_owned());
        };
        body.extend_from_slice(chunk);
        from += size + 2;
    }
}

/// Length of what stands behind the last chunk, up to an empty line; none before that has come.
fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line = bytes[from..].iter().position(|byte| *byte == b'\n')?;
        let is_empty = bytes[from..from + line].iter().all(|byte| *byte == b'\r');
        from += line + 1;
        if is_empty {
            return Some(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(status: u16, body: &str, is_last: bool, used: usize) -> Read {
        let body = body.as_bytes().to_vec();
        let answer = Answer {
            status,
            body,
            is_last,
        };
        Read::Whole(answer, used)
    }

    #[test]
    fn an_answer_is_whole_only_with_its_last_byte() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked = "HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nx: y\r\n\r\n";
        let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        for (text, expected) in [
            (plain, whole(200, "hello", false, plain.len())),
            (chunked, whole(409, "hello", true, chunked.len())),
            (early, whole(204, "", false, early.len())),
        ] {
            for length in 0..text.len() {
                let read = read(&text.as_bytes()[..length]);
                assert_eq!(read, Ok(Read::Part), "{length} bytes of {text:?}");
            }
            let followed = format!("{text}HTTP/1.1 500");
            assert_eq!(read(text.as_bytes()), Ok(expected));
            assert!(
                matches!(read(followed.as_bytes()), Ok(Read::Whole(_, used)) if used == text.len())
            );
        }
    }

    #[test]
    fn without_a_length_an_answer_ends_with_the_connection() {
        let read = read(b"HTTP/1.0 503 Unavailable\r\n\r\nsorry");
        let Ok(Read::UntilClosed(answer)) = read else {
            panic!("{read:?}");
        };
        assert_eq!(
            (answer.status, &*answer.body, answer.is_last),
            (503, &b"sorry"[..], true)
        );
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        for (text, why) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", "this is no HTTP"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
                "length is \"-1\"",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
                "longer than 64 KiB",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
                "encoded as gzip",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
                "has no size",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n",
                "longer than 64 KiB",
            ),
        ] {
            let refused = read(text.as_bytes()).expect_err(text);
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
