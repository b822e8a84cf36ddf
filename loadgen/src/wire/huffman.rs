//! Huffman decoding of HPACK strings. RFC 7541's code is canonical, so the code lengths of its
//! appendix B are the whole table: codes of one length follow each other in the order of their
//! symbols.

const CODE_BITS_MAX: usize = 30;

/// Bits of each byte's code, RFC 7541 appendix B. (The end-of-string code, 30 ones, must never
/// appear.)
#[rustfmt::skip]
const CODE_BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// For each length: the first code, where its symbols begin in `SYMBOLS`, and how many there are.
const LENGTHS: [(u32, u16, u16); CODE_BITS_MAX + 1] = lengths();
const SYMBOLS: [u8; 256] = symbols();

const fn lengths() -> [(u32, u16, u16); CODE_BITS_MAX + 1] {
    let mut table = [(0, 0, 0); CODE_BITS_MAX + 1];
    let (mut code, mut seen, mut bits) = (0u32, 0u16, 1);
    while bits <= CODE_BITS_MAX {
        code <<= 1;
        let mut count = 0u16;
        let mut symbol = 0;
        while symbol < 256 {
            count += (CODE_BITS[symbol] as usize == bits) as u16;
            symbol += 1;
        }
        table[bits] = (code, seen, count);
        code += count as u32;
        seen += count;
        bits += 1;
    }
    table
}

const fn symbols() -> [u8; 256] {
    let mut table = [0; 256];
    let (mut next, mut bits) = (0, 1);
    while bits <= CODE_BITS_MAX {
        let mut symbol = 0;
        while symbol < 256 {
            if CODE_BITS[symbol] as usize == bits {
                table[next] = symbol as u8;
                next += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    table
}

/// Appends the decoded bytes; `None` for a code that does not exist or padding that is not up to
/// seven ones.
pub fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut code, mut bits) = (0u32, 0usize);
    for byte in encoded {
        for shift in (0..8).rev() {
            code = (code << 1) | u32::from((byte >> shift) & 1);
            bits += 1;
            if bits > CODE_BITS_MAX {
                return None;
            }
            let (first, start, count) = LENGTHS[bits];
            if code >= first && code - first < u32::from(count) {
                out.push(SYMBOLS[usize::from(start) + (code - first) as usize]);
                (code, bits) = (0, 0);
            }
        }
    }
    (bits < 8 && code == (1 << bits) - 1).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(encoded: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(encoded, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn the_examples_of_rfc_7541_appendix_c_decode() {
        let example = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(text(&example).as_deref(), Some("www.example.com"));
        assert_eq!(
            text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(),
            Some("no-cache")
        );
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
            0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(
            text(&date).as_deref(),
            Some("Mon, 21 Oct 2013 20:13:21 GMT")
        );
    }

    #[test]
    fn wrong_padding_and_the_end_of_string_code_are_refused() {
        assert_eq!(text(&[0xff]), None, "eight bits of padding");
        assert_eq!(
            text(&[0x00]),
            None,
            "padding of zeroes: code 00000 and three zero bits"
        );
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None, "end of string");
        assert_eq!(text(&[]).as_deref(), Some(""));
    }
}
