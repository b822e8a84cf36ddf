//! Sets of names that may grow: a name that this version does not know is kept as `Other`, so that
//! an older reader can still read, show and write back a newer result.

/// Declares an enum that is written as a string. Every variant has one name; any other string is
/// `Other`.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A name of a later version.
            Other(String),
        }

        impl $name {
            /// The variants that this version knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name,
                }
            }

            /// The variant of a name; `Other` if this version does not know it.
            pub fn named(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::named(&name))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let known: Vec<&str> = Self::KNOWN.iter().map(Self::as_str).collect();
                schemars::json_schema!({
                    "type": "string",
                    "description": format!("Known: {}. Later versions may know more.", known.join(", ")),
                    "examples": known,
                })
            }
        }
    };
}

pub(crate) use open_enum;

#[cfg(test)]
mod tests {
    open_enum! {
        /// Two names.
        Colour { Red = "red", Blue = "blue" }
    }

    #[test]
    fn a_name_of_a_later_version_survives_reading_and_writing() {
        let colours: Vec<Colour> = serde_json::from_str(r#"["red","mauve"]"#).expect("read");
        assert_eq!(colours, [Colour::Red, Colour::Other("mauve".to_owned())]);
        assert_eq!(
            serde_json::to_string(&colours).expect("written"),
            r#"["red","mauve"]"#
        );
    }
}
