//! The tokens of buyers who have no account: signed with the key of the system under test, one for
//! each request, which costs the driver little more than remembering them would.

use super::put;
use crate::plan::Http;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a token holds, s.
const LIFETIME_S: u64 = 600;

/// Signs with HS256.
#[derive(Clone)]
pub struct Tokens {
    /// Of the key alone.
    signing: Hmac<Sha256>,
    /// The header, encoded, with the point behind it.
    header: String,
    issuer: String,
    audience: String,
}

impl fmt::Debug for Tokens {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// # Errors
    /// When there is no key in the file.
    pub fn new(http: &Http) -> Result<Self> {
        let path = &http.secret_file;
        let secret =
            std::fs::read_to_string(path).map_err(|source| Error::file("read", path, source))?;
        let secret = one_line(&secret);
        if secret.is_empty() {
            let reason = format!(
                "{}: the key that tokens are signed with is empty",
                path.display()
            );
            return Err(Error::Usage(reason));
        }
        let signing = Hmac::new_from_slice(secret.as_bytes()).expect("a key of any length");
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let json = |text: &str| serde_json::Value::from(text).to_string();
        Ok(Self {
            signing,
            header: format!("{header}."),
            issuer: json(&http.issuer),
            audience: json(&http.audience),
        })
    }

    /// Appends the token of this buyer.
    pub fn write(&self, user_id: i64, out: &mut Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.unwrap_or_default().as_secs();
        self.write_at(user_id, now_s, out);
    }

    fn write_at(&self, user_id: i64, now_s: u64, out: &mut Vec<u8>) {
        let (issuer, audience, end_s) = (&self.issuer, &self.audience, now_s + LIFETIME_S);
        let mut claims = Vec::with_capacity(160);
        put(
            &mut claims,
            format_args!(
                r#"{{"sub":"{user_id}","role":"user","iss":{issuer},"aud":{audience},"iat":{now_s},"exp":{end_s}}}"#
            ),
        );
        let from = out.len();
        out.extend_from_slice(self.header.as_bytes());
        encode(&claims, out);
        let mut signing = self.signing.clone();
        signing.update(&out[from..]);
        out.push(b'.');
        encode(&signing.finalize().into_bytes(), out);
    }
}

/// `text` without the line break at its end, as the system reads its key.
fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out[from..]);
    out.truncate(from + written.expect("room was made for it"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn tokens(key: &str) -> Result<Tokens> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, key).expect("written");
        Tokens::new(&Http {
            secret_file: path,
            issuer: "seckill".to_owned(),
            audience: "shop \"one\"".to_owned(),
        })
    }

    /// Computed with Python's `hmac`, `hashlib` and `base64`.
    #[test]
    fn a_token_is_what_others_would_make_of_the_same_claims() {
        let mut token = b"before ".to_vec();
        let tokens = tokens("a key of more than thirty-two bytes, for tests\n").expect("a key");
        tokens.write_at(77, 1_800_000_000, &mut token);
        let expected = include_str!("token.txt").trim_end();
        assert_eq!(
            String::from_utf8(token).expect("ASCII"),
            format!("before {expected}")
        );
    }

    /// As the system reads the same file.
    #[test]
    fn one_line_break_behind_a_key_is_none_of_it() {
        let token = |key| {
            let mut token = Vec::new();
            let tokens = tokens(key).expect("a key");
            tokens.write_at(77, 1_800_000_000, &mut token);
            token
        };
        assert_eq!(token("key"), token("key\n"));
        assert_eq!(token("key"), token("key\r\n"));
        for other in ["key\n\n", "key\r\r\n", "key ", "\nkey"] {
            assert_ne!(token("key"), token(other), "{other:?}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_signed_and_the_key_is_not_shown() {
        assert!(
            tokens("\n")
                .expect_err("empty")
                .to_string()
                .contains("is empty")
        );
        let nowhere = Http {
            secret_file: Path::new("/nowhere/key").to_path_buf(),
            issuer: String::new(),
            audience: String::new(),
        };
        assert!(
            Tokens::new(&nowhere)
                .expect_err("no file")
                .to_string()
                .contains("/nowhere/key")
        );
        let shown = format!("{:?}", tokens("hunter2").expect("a key"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
