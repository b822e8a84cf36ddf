//! Settings of the roles as options, and the command line as the result records it.

use std::str::FromStr;

/// Settings that the lab itself makes for a leg, and what to use instead. Changing them by hand
/// would break the leg or make its record untrue.
const RESERVED: [(&str, &str); 10] = [
    ("SECKILL__DATABASE__URL", "--database-url"),
    ("SECKILL__REDIS__URL", "--redis-url"),
    ("SECKILL__REDIS__PREFIX", "nothing: each leg has its own"),
    ("SECKILL__MQ__URL", "--amqp-url"),
    ("SECKILL__MQ__PREFIX", "nothing: each leg has its own"),
    ("SECKILL__SECKILL__LISTEN", "nothing: each leg has its own"),
    ("SECKILL__SECKILL__ENGINE", "--engine"),
    ("SECKILL__SECKILL__ACK", "--ack"),
    ("SECKILL__ENGINE__ALLOW_VOLATILE", "--allow-volatile"),
    (
        "SECKILL__ENGINE__ALLOW_UNSAFE",
        "a scenario with unsafe_engines = true, as textbook is",
    ),
];
const PREFIX: &str = "SECKILL__";

/// A role's setting, as environment variable and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    variable: String,
    value: String,
}

impl Setting {
    pub(super) fn entry(&self) -> (String, String) {
        (self.variable.clone(), self.value.clone())
    }
}

impl FromStr for Setting {
    type Err = String;

    /// `mq.order_batch_size=500`, or the variable itself, `SECKILL__MQ__ORDER_BATCH_SIZE=500`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "allowed: section.key=value, for example mq.order_batch_size=500";
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("no value; {form}"))?;
        let variable = match key.strip_prefix(PREFIX) {
            Some(_) => key.to_owned(),
            None => format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")),
        };
        let parts: Vec<&str> = variable[PREFIX.len()..].split("__").collect();
        let is_name = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if parts.len() != 2 || !parts.iter().all(is_name) {
            return Err(format!("\"{key}\" is not a setting; {form}"));
        }
        if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| *reserved == variable) {
            return Err(format!("{variable} is set by the lab; use {instead}"));
        }
        Ok(Self {
            variable,
            value: value.to_owned(),
        })
    }
}

/// The arguments as the result records them: passwords in addresses are masked, because a result may
/// be published.
pub(super) fn recorded(arguments: impl Iterator<Item = String>) -> Vec<String> {
    arguments
        .map(|argument| masking::masked(&argument))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_the_same_in_both_spellings() {
        let dotted: Setting = "mq.order_batch_size=500".parse().expect("valid");
        assert_eq!(
            dotted,
            "SECKILL__MQ__ORDER_BATCH_SIZE=500".parse().expect("valid")
        );
        assert_eq!(
            dotted.entry(),
            ("SECKILL__MQ__ORDER_BATCH_SIZE".to_owned(), "500".to_owned())
        );
    }

    #[test]
    fn a_setting_that_the_lab_needs_is_refused() {
        let refused = |text: &str| text.parse::<Setting>().expect_err(text);
        assert!(refused("seckill.engine=null").contains("use --engine"));
        assert!(refused("mq.order_batch_size").contains("no value"));
        assert!(refused("batch=1").contains("is not a setting"));
        assert!(refused("a.b.c=1").contains("is not a setting"));
    }

    #[test]
    fn the_recorded_command_holds_no_password() {
        let arguments = [
            "bench",
            "smoke",
            "--database-url",
            "mysql://me:secret@db/x",
            "a b",
            "--redis-url=redis+unix:///r?pass=secret",
        ];
        let recorded = recorded(arguments.iter().map(|argument| (*argument).to_owned()));
        assert_eq!(recorded[3], "mysql://me:***@db/x");
        assert_eq!(recorded[5], "--redis-url=redis+unix:///r?pass=***");
        assert_eq!(recorded[4], "a b");
    }
}
