//! JSON of strangers, as a value of a type: nothing that could be read in two ways, nothing unknown,
//! and errors in words for people who know fields, not types of Rust.
//!
//! It is read into a tree first, which is small because bodies are.

mod fit;
mod quoted;
mod tree;

use serde::de::DeserializeOwned;

/// The value in `bytes`, or what is wrong with it, in a sentence.
///
/// A name that is given twice, a field that `T` does not have, and values that are nested deeper than
/// any body here are refused. Texts are never repeated: one may be a password.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.trim_ascii().is_empty() {
        return Err("the body is empty; it must be an object in JSON".to_owned());
    }
    let tree = tree::parse(bytes)?;
    T::deserialize(tree).map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Without any attribute: it is the reader that is strict.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Given {
        product_id: i64,
        quantity: i32,
        price: Option<f64>,
        password: Option<String>,
        is_gift: Option<bool>,
        tags: Option<Vec<u8>>,
        to: Option<Address>,
        how: Option<How>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Address {
        city: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum How {
        Fast,
        Slow,
    }

    /// With a product and a quantity, and this.
    fn with(more: &str) -> Result<Given, String> {
        let text = format!(r#"{{"product_id":1,"quantity":2{more}}}"#);
        parse(text.as_bytes())
    }

    fn refused(text: &str) -> String {
        parse::<Given>(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn what_fits_is_read() {
        let given = with(
            r#","price":9.5,"password":"p\u00e4ss","is_gift":true,"tags":[1,255],"to":{"city":"Ulm"},"how":"slow""#,
        );
        let expected = Given {
            product_id: 1,
            quantity: 2,
            price: Some(9.5),
            password: Some("päss".to_owned()),
            is_gift: Some(true),
            tags: Some(vec![1, 255]),
            to: Some(Address {
                city: "Ulm".to_owned(),
            }),
            how: Some(How::Slow),
        };
        assert_eq!(given, Ok(expected));
        let least = with(r#","price":null"#).expect("null is none");
        assert_eq!((least.price, least.tags), (None, None));
        assert_eq!(with(r#","price":9"#).expect("whole").price, Some(9.0));
        let largest = r#"{"product_id":9223372036854775807,"quantity":-2147483648}"#;
        let largest: Given = parse(largest.as_bytes()).expect("they fit");
        assert_eq!((largest.product_id, largest.quantity), (i64::MAX, i32::MIN));
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_is_allowed() {
        const I32: &str = "must be a whole number from -2147483648 to 2147483647";
        for (text, told) in [
            ("{}", "product_id is missing".to_owned()),
            (
                r#"{"product_id":1,"quantity":3000000000}"#,
                format!("quantity {I32}, got 3000000000"),
            ),
            (
                r#"{"product_id":1,"quantity":1.5}"#,
                format!("quantity {I32}, got 1.5"),
            ),
            (
                r#"{"product_id":1,"quantity":"2"}"#,
                format!("quantity {I32}, got a text"),
            ),
            (
                r#"{"product_id":1,"quantity":null}"#,
                format!("quantity {I32}, got null"),
            ),
            (
                r#"{"product_id":1,"quantity":true}"#,
                format!("quantity {I32}, got true"),
            ),
            (
                r#"{"product_id":99999999999999999999,"quantity":1}"#,
                "product_id must be a whole number from -9223372036854775808 to \
                 9223372036854775807, got 100000000000000000000"
                    .to_owned(),
            ),
        ] {
            assert_eq!(refused(text), told, "{text}");
        }
        for (more, told) in [
            (r#","price":"9""#, "price must be a number, got a text"),
            (r#","is_gift":1"#, "is_gift must be true or false, got 1"),
            (r#","to":[]"#, "to must be an object, got a list"),
            (r#","to":["Ulm"]"#, "to must be an object, got a list"),
            (r#","to":{}"#, "to.city is missing"),
            (
                r#","to":{"city":{}}"#,
                "to.city must be a text, got an object",
            ),
            (r#","tags":{}"#, "tags must be a list, got an object"),
            (
                r#","tags":[1,256]"#,
                "tags[1] must be a whole number from 0 to 255, got 256",
            ),
            (
                r#","how":"quick""#,
                r#"how: unknown name "quick"; known: fast, slow"#,
            ),
            (r#","how":{"fast":1}"#, "how must be a text, got an object"),
        ] {
            assert_eq!(with(more).expect_err(more), told, "{more}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_with_the_known_ones_and_repeated_ones_as_such() {
        assert_eq!(
            with(r#","to":{"city":"Ulm","zip":1}"#).expect_err("unknown"),
            r#"to: unknown field "zip"; known: city"#
        );
        let told = with(r#","Quantity":1"#).expect_err("unknown");
        assert!(
            told.starts_with(r#"unknown field "Quantity"; known: product_id, quantity, price, "#),
            "{told}"
        );
        let told = with(r#","quantity":2"#).expect_err("twice");
        assert!(
            told.starts_with(r#"the field "quantity" is given twice at line 1 column "#),
            "{told}"
        );
        let escaped = with(r#","quanti\u0074y":2"#).expect_err("twice, written in two ways");
        assert!(
            escaped.contains(r#""quantity" is given twice"#),
            "{escaped}"
        );
        let long = with(&format!(r#","{}":1"#, "x\\n".repeat(1_000))).expect_err("unknown");
        assert!(long.len() < 300 && !long.contains('\n'), "{long}");
    }

    #[test]
    fn what_is_no_json_or_no_object_is_refused() {
        for text in ["", " \r\n\t "] {
            assert_eq!(
                refused(text),
                "the body is empty; it must be an object in JSON"
            );
        }
        for (text, got) in [
            ("[1,2]", "a list"),
            ("null", "null"),
            ("1", "1"),
            ("\"{}\"", "a text"),
        ] {
            assert_eq!(
                refused(text),
                format!("the body must be an object, got {got}")
            );
        }
        for text in [
            "{",
            "{\"product_id\":1,}",
            "{'product_id':1}",
            "{\"product_id\":01}",
            "{\"product_id\":1} {}",
            "{\"product_id\":NaN}",
            "{\"product_id\":1e999}",
            "product_id=1",
            "\u{feff}{}",
            "{\"\\ud800\":1}",
            "{\"a\":\"\0\"}",
        ] {
            let told = refused(text);
            assert!(told.starts_with("the body is not valid JSON: "), "{told}");
            assert!(told.contains(" at line 1 column "), "{told}");
        }
        let told = parse::<Given>(b"{\"\xff\":1}").expect_err("no UTF-8");
        assert!(told.starts_with("the body is not valid JSON: "), "{told}");
    }

    #[test]
    fn depth_and_size_of_an_object_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let told = refused(&nested(9));
        assert!(
            told.starts_with("nested deeper than 8 levels at line "),
            "{told}"
        );
        assert!(refused(&nested(8)).starts_with("the body must be an object"));
        let told = refused(&nested(2_000));
        assert!(told.starts_with("nested deeper than 8 levels"), "{told}");
        let objects = "{\"a\":".repeat(800);
        assert!(refused(&objects).starts_with("nested deeper than 8 levels"));
        let fields: Vec<String> = (0..65).map(|field| format!("\"{field}\":1")).collect();
        let told = refused(&format!("{{{}}}", fields.join(",")));
        assert!(
            told.starts_with("an object has more than 64 fields"),
            "{told}"
        );
    }

    #[test]
    fn no_error_repeats_a_text_or_names_a_type() {
        #[derive(Debug, Deserialize)]
        struct Tuple(#[expect(dead_code)] i32, #[expect(dead_code)] String);
        #[derive(Debug, Deserialize)]
        struct Login {
            #[expect(dead_code)]
            password: String,
            #[expect(dead_code)]
            pair: Tuple,
            #[expect(dead_code)]
            letter: char,
        }
        for text in [
            r#"{"password":12345678}"#,
            r#"{"password":["hunter2hunter2"]}"#,
            r#"{"password":"hunter2","pair":"hunter2"}"#,
            r#"{"password":"hunter2","pair":[1]}"#,
            r#"{"password":"hunter2","pair":{}}"#,
            r#"{"password":"hunter2","letter":"hunter2"}"#,
            r#"{"password":"hunter2","letter":1}"#,
            r#"{"password":"hunter2"hunter2}"#,
        ] {
            let told = parse::<Login>(text.as_bytes()).expect_err(text);
            for leak in [
                "hunter2", "12345678", "struct", "Tuple", "Login", "i32", "String", "char",
            ] {
                assert!(!told.contains(leak), "{told}");
            }
        }
    }
}
