//! The receiving half of a connection: frames in, ended requests out.

use super::{DEFAULT_WINDOW, Ended, RECEIVE_WINDOW, Reply, STREAM_ID_LAST, Session, error_name};
use crate::wire::Result;
use crate::wire::WireError::{Unsupported, Violation};
use crate::wire::frame::{self, Header};
use crate::wire::hpack::Field;
use std::ops::RangeInclusive;

/// Largest header block over several frames, and largest reply with its padding, in bytes.
const BLOCK_LEN_MAX: usize = 64 << 10;
const BODY_LEN_MAX: usize = 4 << 20;
/// Most bytes of answers to PING and SETTINGS that wait for a server to read them.
const ANSWERS_LEN_MAX: usize = 1 << 20;
/// Most bytes of a GOAWAY's debug data that are shown.
const DEBUG_DATA_SHOWN_MAX: usize = 200;
/// Frame sizes that a peer may announce, RFC 9113 section 6.5.2.
const FRAME_SIZES: RangeInclusive<u32> = 16_384..=(1 << 24) - 1;

const NOT_HTTP2: &str = "its first frame is not SETTINGS; does it speak HTTP/2 in plain text?";
const NEVER_OPENED: &str = "a frame of a stream that was never opened";
const WINDOW_OVERFLOW: &str = "a window is larger than 2^31 - 1";

impl<T> Session<T> {
    /// Takes the whole frames at the start of `bytes`, calls `ended` for each request that they
    /// end, and returns how many bytes were used.
    pub fn receive(&mut self, bytes: &[u8], ended: &mut impl FnMut(T, Ended)) -> Result<usize> {
        // A length over 16,384 where SETTINGS should be, known before nine bytes are there.
        if !self.has_settings && bytes.first().is_some_and(|byte| *byte != 0) {
            return Err(Violation(NOT_HTTP2));
        }
        let mut used = 0;
        while let Some(header) = Header::parse(&bytes[used..]) {
            if !self.has_settings && (header.kind != frame::SETTINGS || header.has(frame::FLAG_ACK))
            {
                return Err(Violation(NOT_HTTP2));
            }
            if header.length > frame::PAYLOAD_MAX {
                return Err(Violation("a frame is longer than 16,384 bytes"));
            }
            let start = used + frame::HEADER_LEN;
            let Some(payload) = bytes.get(start..start + header.length) else {
                break;
            };
            self.frame(&header, payload, ended)?;
            used = start + header.length;
        }
        Ok(used)
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        ended: &mut impl FnMut(T, Ended),
    ) -> Result<()> {
        if self.partial_block.is_some() && header.kind != frame::CONTINUATION {
            return Err(Violation("a header block is interrupted"));
        }
        self.check_stream(header)?;
        match header.kind {
            frame::DATA => self.data(header, payload, ended),
            frame::HEADERS => {
                let block = frame::unpadded(header, payload)
                    .ok_or(Violation("HEADERS are shorter than their padding"))?;
                if header.has(frame::FLAG_END_HEADERS) {
                    return self.headers(header.stream, header.flags, block, ended);
                }
                self.partial_block = Some((header.stream, header.flags, block.to_vec()));
                Ok(())
            }
            frame::CONTINUATION => self.continuation(header, payload, ended),
            frame::RST_STREAM => self.reset(header, payload, ended),
            frame::SETTINGS => self.settings(header, payload),
            frame::PING => self.ping(header, payload),
            frame::GOAWAY => self.go_away(payload, ended),
            frame::WINDOW_UPDATE => self.window_update(header, payload),
            frame::PUSH_PROMISE => Err(Violation("it pushes although push is off")),
            // PRIORITY and the frames of extensions can be ignored.
            _ => Ok(()),
        }
    }

    /// Whether this kind of frame may come with this stream id.
    fn check_stream(&self, header: &Header) -> Result<()> {
        let never_opened = header.stream.is_multiple_of(2) || header.stream >= self.next_id();
        match header.kind {
            frame::SETTINGS | frame::PING | frame::GOAWAY if header.stream != 0 => {
                Err(Violation("SETTINGS, PING or GOAWAY on a stream"))
            }
            frame::DATA | frame::HEADERS | frame::RST_STREAM if never_opened => {
                Err(Violation(NEVER_OPENED))
            }
            frame::WINDOW_UPDATE if never_opened && header.stream != 0 => {
                Err(Violation(NEVER_OPENED))
            }
            _ => Ok(()),
        }
    }

    fn data(
        &mut self,
        header: &Header,
        payload: &[u8],
        ended: &mut impl FnMut(T, Ended),
    ) -> Result<()> {
        // Padding, and data of a stream that we gave up, count against the connection's window all
        // the same.
        self.received_unacknowledged += header.length as u32;
        if self.received_unacknowledged > RECEIVE_WINDOW / 2 {
            frame::write_window_update(&mut self.out, 0, self.received_unacknowledged);
            self.received_unacknowledged = 0;
        }
        let body = frame::unpadded(header, payload)
            .ok_or(Violation("DATA is shorter than its padding"))?;
        if let Some(stream) = self.stream_mut(header.stream) {
            if stream.reply.http_status < 200 {
                return Err(Violation("DATA comes before the HEADERS of its reply"));
            }
            stream.received += header.length;
            if stream.received > BODY_LEN_MAX {
                return Err(Unsupported("a reply is longer than 4 MiB"));
            }
            stream.reply.body.extend_from_slice(body);
        }
        self.end_of_stream(header.stream, header.flags, ended);
        Ok(())
    }

    fn headers(
        &mut self,
        id: u32,
        flags: u8,
        block: &[u8],
        ended: &mut impl FnMut(T, Ended),
    ) -> Result<()> {
        // The block of a stream that we gave up still changes the table.
        let mut discarded = Reply::default();
        let index = super::position(self.first_id, id);
        let open = index.and_then(|index| self.streams.get_mut(index)?.as_mut());
        let is_open = open.is_some();
        let reply = open.map_or(&mut discarded, |stream| &mut stream.reply);
        let are_trailers = reply.http_status >= 200;
        self.decoder.decode(block, &mut |field| match field {
            Field::HttpStatus(status) => reply.http_status = *status,
            Field::GrpcStatus(status) => reply.grpc_status = Some(*status),
            Field::GrpcMessage(message) => reply.grpc_message.clone_from(message),
            Field::Other => {}
        })?;
        if is_open && reply.http_status == 0 {
            return Err(Violation("a reply without :status"));
        }
        if are_trailers && flags & frame::FLAG_END_STREAM == 0 {
            return Err(Violation("the trailers of a reply do not end it"));
        }
        self.end_of_stream(id, flags, ended);
        Ok(())
    }

    fn continuation(
        &mut self,
        header: &Header,
        payload: &[u8],
        ended: &mut impl FnMut(T, Ended),
    ) -> Result<()> {
        let Some((id, flags, mut block)) = self
            .partial_block
            .take()
            .filter(|(id, ..)| *id == header.stream)
        else {
            return Err(Violation("a CONTINUATION continues nothing"));
        };
        block.extend_from_slice(payload);
        if block.len() > BLOCK_LEN_MAX {
            return Err(Unsupported("a header block is longer than 64 KiB"));
        }
        // Each one adds at least a byte, so that the limit above bounds their number.
        if payload.is_empty() && !header.has(frame::FLAG_END_HEADERS) {
            return Err(Unsupported("a CONTINUATION is empty and not the last"));
        }
        if header.has(frame::FLAG_END_HEADERS) {
            return self.headers(id, flags, &block, ended);
        }
        self.partial_block = Some((id, flags, block));
        Ok(())
    }

    fn end_of_stream(&mut self, id: u32, flags: u8, ended: &mut impl FnMut(T, Ended)) {
        if flags & frame::FLAG_END_STREAM == 0 {
            return;
        }
        let is_half_sent = self.is_newest(id) && !self.unsent.is_empty();
        if let Some(stream) = self.end(id) {
            if is_half_sent {
                frame::write_reset(&mut self.out, id, frame::ERROR_CANCEL);
            }
            ended(stream.tag, Ended::Replied(stream.reply));
        }
    }

    fn reset(
        &mut self,
        header: &Header,
        payload: &[u8],
        ended: &mut impl FnMut(T, Ended),
    ) -> Result<()> {
        if payload.len() != 4 {
            return Err(Violation("RST_STREAM is not 4 bytes long"));
        }
        if let Some(stream) = self.end(header.stream) {
            ended(stream.tag, Ended::Reset(frame::u32_at(payload, 0)));
        }
        Ok(())
    }

    fn settings(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        if header.has(frame::FLAG_ACK) && !payload.is_empty() {
            return Err(Violation("SETTINGS acknowledge with a payload"));
        }
        if header.has(frame::FLAG_ACK) {
            return Ok(());
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Violation("SETTINGS is not a multiple of 6 bytes long"));
        }
        for setting in payload.chunks_exact(6) {
            let value = frame::u32_at(setting, 2);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                frame::SETTING_HEADER_TABLE_SIZE => self.block.table_resized(value as usize),
                frame::SETTING_MAX_CONCURRENT_STREAMS => self.streams_max = value as usize,
                frame::SETTING_INITIAL_WINDOW_SIZE => self.initial_window(value)?,
                frame::SETTING_ENABLE_PUSH if value != 0 => {
                    return Err(Violation("a server allows push"));
                }
                frame::SETTING_MAX_FRAME_SIZE if !FRAME_SIZES.contains(&value) => {
                    return Err(Violation("the largest frame size is out of range"));
                }
                _ => {}
            }
        }
        self.has_settings = true;
        self.answer(frame::SETTINGS, &[])?;
        self.send_rest();
        Ok(())
    }

    /// The difference counts for a stream that is open, too.
    fn initial_window(&mut self, size: u32) -> Result<()> {
        let difference = i64::from(size) - self.stream_window;
        self.stream_window = i64::from(size);
        check_window(self.stream_window)?;
        self.widen_newest(difference)
    }

    fn widen_newest(&mut self, difference: i64) -> Result<()> {
        if let Some(Some(_)) = self.streams.back() {
            self.newest_window += difference;
            check_window(self.newest_window)?;
        }
        Ok(())
    }

    fn ping(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        if payload.len() != 8 {
            return Err(Violation("PING is not 8 bytes long"));
        }
        if header.has(frame::FLAG_ACK) {
            return Ok(());
        }
        self.answer(frame::PING, payload)
    }

    fn answer(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        if self.out.is_empty() {
            self.answers_len = 0;
        }
        self.answers_len += frame::HEADER_LEN + payload.len();
        if self.answers_len > ANSWERS_LEN_MAX {
            return Err(Unsupported(
                "it does not read the answers to its PING and SETTINGS frames",
            ));
        }
        frame::write(&mut self.out, kind, frame::FLAG_ACK, 0, payload);
        Ok(())
    }

    fn go_away(&mut self, payload: &[u8], ended: &mut impl FnMut(T, Ended)) -> Result<()> {
        if payload.len() < 8 {
            return Err(Violation("GOAWAY is shorter than 8 bytes"));
        }
        let mut why = format!("GOAWAY {}", error_name(frame::u32_at(payload, 4)));
        let debug_data = &payload[8..payload.len().min(8 + DEBUG_DATA_SHOWN_MAX)];
        if !debug_data.is_empty() {
            why += &format!(" {:?}", String::from_utf8_lossy(debug_data));
        }
        self.going_away = Some(why);
        let processed = frame::u32_at(payload, 0) & STREAM_ID_LAST;
        // From the last to the first, so that `end` never moves the front past an id still to come.
        let mut id = self.first_id + 2 * self.streams.len() as u32;
        while id > self.first_id && id - 2 > processed {
            id -= 2;
            if let Some(stream) = self.end(id) {
                ended(stream.tag, Ended::NotProcessed);
            }
        }
        Ok(())
    }

    fn window_update(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        if payload.len() != 4 {
            return Err(Violation("WINDOW_UPDATE is not 4 bytes long"));
        }
        let increment = i64::from(frame::u32_at(payload, 0) & STREAM_ID_LAST);
        if increment == 0 {
            return Err(Violation("WINDOW_UPDATE adds nothing"));
        }
        if header.stream == 0 {
            self.send_window += increment;
            check_window(self.send_window)?;
        } else if self.is_newest(header.stream) {
            self.widen_newest(increment)?;
        }
        self.send_rest();
        Ok(())
    }
}

fn check_window(size: i64) -> Result<()> {
    if size > i64::from(STREAM_ID_LAST) {
        return Err(Violation(WINDOW_OVERFLOW));
    }
    Ok(())
}

const _: () =
    assert!(RECEIVE_WINDOW as i64 > DEFAULT_WINDOW && BODY_LEN_MAX < RECEIVE_WINDOW as usize);
