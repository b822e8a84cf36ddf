//! The receiving half of a connection: frames in, ended requests out.

use super::{DEFAULT_WINDOW, Ended, RECEIVE_WINDOW, Reply, STREAM_ID_LAST, Session};
use crate::wire::frame::{self, Header};
use crate::wire::hpack::Field;

/// Largest header block over several frames, and largest reply body, in bytes.
const BLOCK_LEN_MAX: usize = 64 << 10;
const BODY_LEN_MAX: usize = 4 << 20;

/// The peer broke the protocol; the connection must be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol violation by the server: {0}")]
pub struct WireError(pub &'static str);

type Result<R> = std::result::Result<R, WireError>;

impl<T> Session<T> {
    /// Takes the whole frames at the start of `bytes`, calls `ended` for each request that they
    /// end, and returns how many bytes were used.
    pub fn receive(&mut self, bytes: &[u8], ended: &mut impl FnMut(T, Ended)) -> Result<usize> {
        let mut used = 0;
        while let Some(header) = Header::parse(&bytes[used..]) {
            if header.length > frame::PAYLOAD_MAX {
                return Err(WireError("a frame is longer than 16,384 bytes"));
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
            return Err(WireError("a header block is interrupted"));
        }
        match header.kind {
            frame::DATA => self.data(header, payload, ended),
            frame::HEADERS => {
                let block = frame::unpadded(header, payload)
                    .ok_or(WireError("HEADERS are shorter than their padding"))?;
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
            frame::PUSH_PROMISE => Err(WireError("it pushes although push is off")),
            // PRIORITY and the frames of extensions can be ignored.
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
            .ok_or(WireError("DATA is shorter than its padding"))?;
        if let Some(stream) = self.stream_mut(header.stream) {
            if stream.reply.body.len() + body.len() > BODY_LEN_MAX {
                return Err(WireError("a reply is longer than 4 MiB"));
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
        let reply = index
            .and_then(|index| self.streams.get_mut(index)?.as_mut())
            .map_or(&mut discarded, |stream| &mut stream.reply);
        self.decoder
            .decode(block, &mut |field| match field {
                Field::HttpStatus(status) => reply.http_status = *status,
                Field::GrpcStatus(status) => reply.grpc_status = Some(*status),
                Field::GrpcMessage(message) => reply.grpc_message.clone_from(message),
                Field::Other => {}
            })
            .ok_or(WireError("a header block cannot be decoded"))?;
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
            return Err(WireError("a CONTINUATION continues nothing"));
        };
        block.extend_from_slice(payload);
        if block.len() > BLOCK_LEN_MAX {
            return Err(WireError("a header block is longer than 64 KiB"));
        }
        if header.has(frame::FLAG_END_HEADERS) {
            return self.headers(id, flags, &block, ended);
        }
        self.partial_block = Some((id, flags, block));
        Ok(())
    }

    fn end_of_stream(&mut self, id: u32, flags: u8, ended: &mut impl FnMut(T, Ended)) {
        if flags & frame::FLAG_END_STREAM != 0
            && let Some(stream) = self.end(id)
        {
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
            return Err(WireError("RST_STREAM is not 4 bytes long"));
        }
        if let Some(stream) = self.end(header.stream) {
            ended(stream.tag, Ended::Reset(frame::u32_at(payload, 0)));
        }
        Ok(())
    }

    fn settings(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        if header.has(frame::FLAG_ACK) {
            return Ok(());
        }
        if !payload.len().is_multiple_of(6) {
            return Err(WireError("SETTINGS is not a multiple of 6 bytes long"));
        }
        for setting in payload.chunks_exact(6) {
            let value = frame::u32_at(setting, 2);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                frame::SETTING_HEADER_TABLE_SIZE => self.block.table_resized(value as usize),
                frame::SETTING_MAX_CONCURRENT_STREAMS => self.streams_max = value as usize,
                // A stream of ours sends its whole message when it is opened, so that an open
                // stream has no window left to adjust.
                frame::SETTING_INITIAL_WINDOW_SIZE if value <= STREAM_ID_LAST => {
                    self.stream_window = i64::from(value)
                }
                frame::SETTING_INITIAL_WINDOW_SIZE => {
                    return Err(WireError("a window is larger than 2^31 - 1"));
                }
                _ => {}
            }
        }
        self.has_settings = true;
        frame::write(&mut self.out, frame::SETTINGS, frame::FLAG_ACK, 0, &[]);
        Ok(())
    }

    fn ping(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        if payload.len() != 8 {
            return Err(WireError("PING is not 8 bytes long"));
        }
        if !header.has(frame::FLAG_ACK) {
            frame::write(&mut self.out, frame::PING, frame::FLAG_ACK, 0, payload);
        }
        Ok(())
    }

    fn go_away(&mut self, payload: &[u8], ended: &mut impl FnMut(T, Ended)) -> Result<()> {
        if payload.len() < 8 {
            return Err(WireError("GOAWAY is shorter than 8 bytes"));
        }
        self.going_away = true;
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
            return Err(WireError("WINDOW_UPDATE is not 4 bytes long"));
        }
        if header.stream == 0 {
            self.send_window += i64::from(frame::u32_at(payload, 0) & STREAM_ID_LAST);
            if self.send_window > i64::from(STREAM_ID_LAST) {
                return Err(WireError("the window is larger than 2^31 - 1"));
            }
        }
        Ok(())
    }
}

const _: () =
    assert!(RECEIVE_WINDOW as i64 > DEFAULT_WINDOW && BODY_LEN_MAX < RECEIVE_WINDOW as usize);
