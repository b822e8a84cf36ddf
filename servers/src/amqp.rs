//! The few frames of AMQP 0-9-1 that tell whether a broker is there, which one, and whether it lets
//! anybody in; a client library would be the largest dependency of this crate.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::error::{OrFailed, Result, failed};

/// Largest frame of a broker that is accepted, before both sides have agreed on one.
const FRAME_BYTES_MAX: usize = 64 << 10;
const FRAME_END: u8 = 0xce;
/// Type of a frame that holds a method.
const METHOD: u8 = 1;

/// Class and method ids of the connection's beginning.
const START_OK: [u16; 2] = [10, 11];
const TUNE: [u16; 2] = [10, 30];
const TUNE_OK: [u16; 2] = [10, 31];
const OPEN: [u16; 2] = [10, 40];
const OPEN_OK: [u16; 2] = [10, 41];
const CLOSE: [u16; 2] = [10, 50];

/// Version and cluster name, which a broker says in its first frame, before any login.
///
/// # Errors
/// Nobody listens, or it is no broker.
pub async fn greeting(address: &Address) -> Result<[String; 2]> {
    let (_, frame) = greet(address).await?;
    Ok(["version", "cluster_name"]
        .map(|name| server_property(&frame, name).unwrap_or_else(|| "unknown".to_owned())))
}

/// Opens a connection to the virtual host `/` with a password, and closes it.
///
/// # Errors
/// The broker does not let this account in, or not yet.
pub(crate) async fn log_in(address: &Address) -> Result<()> {
    let (mut stream, _) = greet(address).await?;
    let response = format!("\0{}\0{}", address.user, address.password);
    // No properties, then mechanism, response and locale.
    let mut start_ok = 0_u32.to_be_bytes().to_vec();
    start_ok.extend(short_text("PLAIN"));
    start_ok.extend(
        u32::try_from(response.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    start_ok.extend(response.as_bytes());
    start_ok.extend(short_text("en_US"));
    send(&mut stream, START_OK, &start_ok).await?;
    // What the broker proposes about channels, frames and heartbeats is fine.
    let proposed = receive(&mut stream, TUNE).await?;
    send(&mut stream, TUNE_OK, &proposed).await?;
    let virtual_host = [short_text("/"), short_text(""), vec![0]].concat();
    send(&mut stream, OPEN, &virtual_host).await?;
    receive(&mut stream, OPEN_OK).await?;
    // Code 200 without a text, because of no method.
    let good_bye = [200_u16.to_be_bytes().as_slice(), &short_text(""), &[0; 4]].concat();
    send(&mut stream, CLOSE, &good_bye).await
}

/// A connection, and what the broker says first.
async fn greet(address: &Address) -> Result<(TcpStream, Vec<u8>)> {
    let stream = TcpStream::connect((&*address.host, address.port)).await;
    let mut stream = stream.or_failed(|| {
        let Address { host, port, .. } = address;
        format!("the broker at {host}:{port} cannot be reached")
    })?;
    let header = b"AMQP\x00\x00\x09\x01";
    stream.write_all(header).await.or_failed(closed)?;
    let frame = frame(&mut stream).await?;
    Ok((stream, frame))
}

async fn send(stream: &mut TcpStream, [class, method]: [u16; 2], arguments: &[u8]) -> Result<()> {
    let length = u32::try_from(arguments.len() + 4).or_failed(|| "a frame".to_owned())?;
    // On channel 0.
    let mut bytes = vec![METHOD, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(class.to_be_bytes());
    bytes.extend(method.to_be_bytes());
    bytes.extend(arguments);
    bytes.push(FRAME_END);
    stream.write_all(&bytes).await.or_failed(closed)
}

/// The arguments of this method, which must come next.
async fn receive(stream: &mut TcpStream, [class, method]: [u16; 2]) -> Result<Vec<u8>> {
    let frame = frame(stream).await?;
    let wanted = [class.to_be_bytes(), method.to_be_bytes()].concat();
    let arguments = frame.strip_prefix(wanted.as_slice());
    arguments.map(<[u8]>::to_vec).ok_or_else(|| {
        failed("the broker lets nobody in: it answers with another method than expected")
    })
}

async fn frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.or_failed(closed)?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if head[0] != METHOD || length > FRAME_BYTES_MAX {
        return Err(failed("this is no AMQP 0-9-1 broker"));
    }
    let mut frame = vec![0; length + 1];
    stream.read_exact(&mut frame).await.or_failed(closed)?;
    frame.pop();
    Ok(frame)
}

fn closed() -> String {
    "the broker closed the connection".to_owned()
}

/// At most 255 bytes, with their number in front.
fn short_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    bytes.extend(text.bytes().take(usize::from(u8::MAX)));
    bytes
}

/// A text of the table: length and name, `S`, length in four bytes, text.
fn server_property(frame: &[u8], name: &str) -> Option<String> {
    let mut key = vec![u8::try_from(name.len()).ok()?];
    key.extend_from_slice(name.as_bytes());
    key.push(b'S');
    let at = frame.windows(key.len()).position(|window| window == key)? + key.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = frame.get(at + 4..(at + 4).checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_read_from_the_first_frame_and_a_cut_frame_has_none() {
        let frame = b"\x00\x0a\x00\x0a\x00\x09\x07versionS\x00\x00\x00\x063.10.8\x08platformS";
        assert_eq!(server_property(frame, "version").as_deref(), Some("3.10.8"));
        assert_eq!(server_property(frame, "platform"), None);
        assert_eq!(server_property(&frame[..20], "version"), None);
    }
}
