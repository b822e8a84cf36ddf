//! What people type about themselves, judged before anything is read or written.
//!
//! The shapes are simple on purpose: whether an address exists only a message to it tells.

use tonic::Status;

/// Length of a user name, characters; as the table has it.
const USERNAME: std::ops::RangeInclusive<usize> = 3..=32;
/// Length of a password, bytes.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=128;
/// Longest e-mail address, bytes, and the part of it before the `@` (RFC 5321).
const EMAIL_MAX: usize = 254;
const EMAIL_LOCAL_MAX: usize = 64;
/// Digits of a phone number (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// How somebody can be reached; `None`: that stays as it is. Empty: not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    pub email: Option<String>,
    pub phone: Option<String>,
}

/// A name: 3 to 32 of `A-Z`, `a-z`, `0-9`, `_`, `.` and `-`.
pub fn username(name: String) -> Result<String, Status> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match USERNAME.contains(&name.len()) && name.bytes().all(is_good) {
        true => Ok(name),
        false => Err(Status::invalid_argument(
            "username must be 3 to 32 characters of A-Z, a-z, 0-9, _, . and -",
        )),
    }
}

/// A password: 8 to 128 bytes. No text repeats it, or how long it is.
pub fn password(field: &str, password: String) -> Result<String, Status> {
    match PASSWORD.contains(&password.len()) {
        true => Ok(password),
        false => Err(Status::invalid_argument(format!(
            "{field} must be 8 to 128 bytes long"
        ))),
    }
}

/// A password in place of `old`: another one.
pub fn new_password(old: &str, new: String) -> Result<String, Status> {
    let new = password("new_password", new)?;
    match new == old {
        true => Err(Status::invalid_argument(
            "new_password must differ from old_password",
        )),
        false => Ok(new),
    }
}

/// E-mail address and phone number, each of a plausible shape, or empty.
pub fn contacts(email: Option<String>, phone: Option<String>) -> Result<Contacts, Status> {
    if email.as_deref().is_some_and(|email| !is_email(email)) {
        return Err(Status::invalid_argument(
            "email must be empty or of the form name@example.org, with at most 254 characters of visible ASCII",
        ));
    }
    if phone.as_deref().is_some_and(|phone| !is_phone(phone)) {
        return Err(Status::invalid_argument(
            "phone must be empty or 5 to 15 digits, with or without a + in front",
        ));
    }
    Ok(Contacts { email, phone })
}

/// One `@`, something before it, and behind it labels with dots between them.
fn is_email(email: &str) -> bool {
    if email.is_empty() {
        return true;
    }
    let Some((local, domain)) = email.split_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_good)
    };
    email.len() <= EMAIL_MAX
        && (1..=EMAIL_LOCAL_MAX).contains(&local.len())
        && local.bytes().all(|byte| byte.is_ascii_graphic())
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

fn is_phone(phone: &str) -> bool {
    let digits = phone.strip_prefix('+').unwrap_or(phone);
    phone.is_empty()
        || PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
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
    fn a_user_name_is_short_and_of_plain_characters() {
        for good in ["abc", "Test_User.1-x", &"n".repeat(32)] {
            assert_eq!(username(good.to_owned()).expect("good"), good);
        }
        for bad in [
            "",
            "ab",
            &"n".repeat(33),
            "a b c",
            "abc ",
            "é-é",
            "abc\0",
            "a'; --",
        ] {
            assert!(told(username(bad.to_owned())).starts_with("username must be 3 to 32"));
        }
    }

    #[test]
    fn a_password_is_counted_in_bytes_and_never_repeated() {
        for good in ["12345678", "pässwör", &"p".repeat(128), "\0\0\0\0\0\0\0\0"] {
            assert_eq!(password("password", good.to_owned()).expect("good"), good);
        }
        for bad in ["", "1234567", &"p".repeat(129)] {
            let text = told(password("old_password", bad.to_owned()));
            assert_eq!(text, "old_password must be 8 to 128 bytes long");
        }
        let same = told(new_password("12345678", "12345678".to_owned()));
        assert_eq!(same, "new_password must differ from old_password");
    }

    #[test]
    fn an_address_has_the_shape_of_one_or_is_empty() {
        let email = |email: &str| contacts(Some(email.to_owned()), None);
        for good in ["", "a@b.c", "first.last+tag@mail.example-1.org"] {
            assert_eq!(email(good).expect(good).email.as_deref(), Some(good));
        }
        let long = format!("a@{}.org", "d".repeat(250));
        let long_local = format!("{}@b.c", "l".repeat(65));
        for bad in [
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a@b.",
            "a@.c",
            "a@b@c.d",
            "a b@c.d",
            "é@c.d",
            "a@b c.d",
            &long,
            &long_local,
            " ",
        ] {
            assert!(
                told(email(bad)).starts_with("email must be empty or"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_phone_number_is_digits_or_empty() {
        let phone = |phone: &str| contacts(None, Some(phone.to_owned()));
        for good in ["", "12345", "+4915112345678", "13800138000"] {
            assert_eq!(phone(good).expect(good).phone.as_deref(), Some(good));
        }
        for bad in [
            "+",
            "1234",
            "1234567890123456",
            "0151 1234567",
            "call me",
            "++12345",
        ] {
            assert!(
                told(phone(bad)).starts_with("phone must be empty or"),
                "{bad}"
            );
        }
        assert_eq!(contacts(None, None).expect("nothing"), Contacts::default());
    }
}
