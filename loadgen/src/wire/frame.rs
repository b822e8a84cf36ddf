//! Frames of RFC 9113: numbers, the 9-byte header, and writing the few frames that a client sends.

pub const HEADER_LEN: usize = 9;
/// Largest payload that we accept and that any peer must accept (the protocol's default, never
/// raised).
pub const PAYLOAD_MAX: usize = 16_384;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const FLAG_END_STREAM: u8 = 0x1;
pub const FLAG_ACK: u8 = 0x1;
pub const FLAG_END_HEADERS: u8 = 0x4;
pub const FLAG_PADDED: u8 = 0x8;
pub const FLAG_PRIORITY: u8 = 0x20;

pub const SETTING_HEADER_TABLE_SIZE: u16 = 1;
pub const SETTING_ENABLE_PUSH: u16 = 2;
pub const SETTING_MAX_CONCURRENT_STREAMS: u16 = 3;
pub const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;
pub const SETTING_MAX_FRAME_SIZE: u16 = 5;

pub const ERROR_REFUSED_STREAM: u32 = 7;
pub const ERROR_CANCEL: u32 = 8;

/// The header that precedes every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Header {
    /// `None` until nine bytes have arrived.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
        Some(Self {
            length: u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize,
            kind: bytes[3],
            flags: bytes[4],
            stream: u32_at(bytes, 5) & 0x7fff_ffff,
        })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends one frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    let stream = stream.to_be_bytes();
    out.extend_from_slice(&[
        length[1], length[2], length[3], kind, flags, stream[0], stream[1], stream[2], stream[3],
    ]);
    out.extend_from_slice(payload);
}

pub fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(settings.len() * 6);
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    write(out, SETTINGS, 0, 0, &payload);
}

pub fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

pub fn write_reset(out: &mut Vec<u8>, stream: u32, error: u32) {
    write(out, RST_STREAM, 0, stream, &error.to_be_bytes());
}

/// Big-endian number at an offset that the caller has checked.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The payload without padding (and without priority fields, for HEADERS); `None` if it is shorter
/// than they claim.
pub fn unpadded<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(FLAG_PADDED) {
        let (length, after) = rest.split_first()?;
        (padding, rest) = (usize::from(*length), after);
    }
    if header.kind == HEADERS && header.has(FLAG_PRIORITY) {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_frame_is_parsed_back() {
        let mut out = Vec::new();
        write(&mut out, HEADERS, FLAG_END_HEADERS, 7, b"abc");
        let header = Header::parse(&out).expect("whole");
        assert_eq!(
            header,
            Header {
                length: 3,
                kind: HEADERS,
                flags: FLAG_END_HEADERS,
                stream: 7
            }
        );
        assert_eq!(&out[HEADER_LEN..], b"abc");
        assert_eq!(Header::parse(&out[..8]), None);
    }

    #[test]
    fn padding_and_priority_are_taken_off_and_lies_about_them_are_found() {
        let header = |kind, flags| Header {
            length: 0,
            kind,
            flags,
            stream: 1,
        };
        assert_eq!(
            unpadded(&header(DATA, FLAG_PADDED), &[2, 9, 0, 0]),
            Some(&[9][..])
        );
        assert_eq!(unpadded(&header(DATA, FLAG_PADDED), &[4, 9, 0, 0]), None);
        assert_eq!(unpadded(&header(DATA, FLAG_PADDED), &[]), None);
        let priority = header(HEADERS, FLAG_PRIORITY);
        assert_eq!(unpadded(&priority, &[0, 0, 0, 0, 0, 7]), Some(&[7][..]));
        assert_eq!(unpadded(&priority, &[0, 0, 0, 0]), None);
    }
}
