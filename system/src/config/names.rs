//! Settings that are one of a few names: an unknown one is refused with those that are known.

use super::accounts::Mode;
use super::sections::{Ack, LogFormat, QueueType};

macro_rules! named {
    ($type:ident: $($name:literal => $variant:ident),+) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(name: String) -> Result<Self, String> {
                match name.as_str() {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("unknown name {name:?}; known: {}", [$($name),+].join(", "))),
                }
            }
        }
    };
}

named!(Ack: "confirmed" => Confirmed, "published" => Published);
named!(QueueType: "classic" => Classic, "quorum" => Quorum);
named!(Mode: "development" => Development, "production" => Production);
named!(LogFormat: "text" => Text, "json" => Json);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_printed_and_an_unknown_one_is_refused_with_the_known_ones() {
        for ack in [Ack::Confirmed, Ack::Published] {
            let printed = serde_json::to_string(&ack).expect("a name");
            assert_eq!(
                serde_json::from_str::<Ack>(&printed).expect("the same name"),
                ack
            );
        }
        let refused = Ack::try_from("perhaps".to_owned()).expect_err("unknown");
        assert_eq!(
            refused,
            "unknown name \"perhaps\"; known: confirmed, published"
        );
    }
}
