//! The key in the metadata of a request that makes its repeats harmless.

use tonic::Status;
use tonic::metadata::MetadataMap;

/// Where it stands.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest key, characters; as the tables have it.
const KEY_MAX: usize = 128;

/// The key under which a request is made once however often it is sent; `None`: it has none.
pub fn key(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    let Some(key) = metadata.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| {
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        is_visible && (1..=KEY_MAX).contains(&key.len())
    });
    let wrong = || {
        Status::invalid_argument(format!(
            "metadata {IDEMPOTENCY_KEY} must be 1 to {KEY_MAX} visible ASCII characters"
        ))
    };
    key.map(Some).ok_or_else(wrong)
}

/// The key of a request that has to have one.
pub fn needed_key(metadata: &MetadataMap) -> Result<&str, Status> {
    key(metadata)?.ok_or_else(|| {
        Status::invalid_argument(format!(
            "metadata {IDEMPOTENCY_KEY} is needed: 1 to {KEY_MAX} visible ASCII characters, the same in every \
             repeat of a request and in no other"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn told<T: std::fmt::Debug>(refused: Result<T, Status>) -> String {
        let status = refused.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn a_key_is_visible_ascii_of_a_bounded_length() {
        let with = |key: &str| {
            let mut metadata = MetadataMap::new();
            let value = tonic::metadata::MetadataValue::try_from(key.as_bytes());
            metadata.insert(IDEMPOTENCY_KEY, value.expect("bytes"));
            metadata
        };
        let longest = "k".repeat(KEY_MAX);
        for good in ["k", "~!-_/", &longest] {
            assert_eq!(key(&with(good)).expect("good"), Some(good));
        }
        for bad in ["", "a b", "é", &"k".repeat(KEY_MAX + 1)] {
            told(key(&with(bad)));
        }
        assert_eq!(key(&MetadataMap::new()).expect("none"), None);
        let text = told(needed_key(&MetadataMap::new()));
        assert!(text.starts_with("metadata idempotency-key is needed"));
    }
}
