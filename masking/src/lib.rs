//! What of an address may be shown: everything but its passwords, whichever server it is of. The
//! system and the lab both print addresses, and share nothing else.

use std::ops::Range;

const HIDDEN: &str = "***";
/// A parameter whose name contains one of these holds a secret.
const SECRETS: [&str; 5] = ["pass", "pwd", "secret", "token", "credential"];
/// The same for one that has exactly this name.
const AUTH: &str = "auth";

/// `url` with every password replaced by `***`: the one of `user:password@host`, up to the last `@`
/// that may belong to it, and those of parameters, `?pass=…` or `engine.token=…`. In doubt it hides
/// more. For URLs of any server, also with other text in front, and for texts that are none.
#[must_use]
pub fn masked(url: &str) -> String {
    let mut hidden: Vec<Range<usize>> = login(url).into_iter().chain(parameters(url)).collect();
    hidden.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(url.len());
    let mut end = 0;
    for range in hidden {
        // A password may hold what looks like a parameter, and a parameter an `@`.
        if range.start >= end {
            shown.push_str(&url[end..range.start]);
            shown.push_str(HIDDEN);
        }
        end = end.max(range.end);
    }
    shown.push_str(&url[end..]);
    shown
}

/// Whether `url` holds a password: one that [`masked`] hides, and that is not empty.
#[must_use]
pub fn has_password(url: &str) -> bool {
    login(url)
        .into_iter()
        .chain(parameters(url))
        .any(|password| !password.is_empty())
}

/// `text` with every line masked as a URL is: for messages of libraries, which may quote what they
/// could not read.
#[must_use]
pub fn masked_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(masked).collect();
    lines.join("\n")
}

/// From the first `:` behind `://` to the last `@`.
fn login(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + "://".len();
    let end = start + url[start..].rfind('@')?;
    let colon = start + url[start..end].find(':')?;
    Some(colon + 1..end)
}

/// The values of all parameters with a secret.
fn parameters(url: &str) -> impl Iterator<Item = Range<usize>> {
    let starts = url.match_indices(['?', '&', ';']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).filter_map(|start| {
        // A value may hold what begins another parameter elsewhere.
        let end = url[start..]
            .find(['&', '#'])
            .map_or(url.len(), |at| start + at);
        let (name, value) = url[start..end].split_once('=')?;
        let name = name.to_ascii_lowercase();
        let is_secret = name == AUTH || SECRETS.iter().any(|secret| name.contains(secret));
        (is_secret && !value.is_empty()).then(|| end - value.len()..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (url, shown) in [
            ("redis://u:p@w@h:1/0", "redis://u:***@h:1/0"),
            ("redis://h:1/0", "redis://h:1/0"),
            ("mysql://root@h/db", "mysql://root@h/db"),
            ("mysql://u:a/b@h/db", "mysql://u:***@h/db"),
            ("--redis-url=redis://:pw@h/", "--redis-url=redis://:***@h/"),
            ("mq.order_batch_size=500", "mq.order_batch_size=500"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    #[test]
    fn passwords_in_parameters_and_of_several_hosts_are_masked() {
        for (url, shown) in [
            (
                "redis+unix:///run/r.sock?db=1&pass=sesame&user=me",
                "redis+unix:///run/r.sock?db=1&pass=***&user=me",
            ),
            (
                "unix:/run/r.sock?PassWord=sesame",
                "unix:/run/r.sock?PassWord=***",
            ),
            (
                "mysql://u:sesame@h/db?ssl-mode=disabled&passwd=sesame#x",
                "mysql://u:***@h/db?ssl-mode=disabled&passwd=***#x",
            ),
            (
                "redis-cluster://u:sesame@a:1,u:sesame@b:2/",
                "redis-cluster://u:***@b:2/",
            ),
            ("engine.token=sesame", "engine.token=***"),
            ("amqp://h?auth=sesame&pass=", "amqp://h?auth=***&pass="),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    #[test]
    fn an_address_has_a_password_or_has_none() {
        for with in [
            "redis://:pw@h/",
            "mysql://root:pw@h/db",
            "redis+unix:///run/r.sock?pass=x",
            "redis-cluster://u:pw@a:1,b:2/",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "redis://h:6379/",
            "mysql://root@h:3306/db",
            "mysql://root:@h/db",
            "redis-cluster://a:1,b:2/",
            "redis+unix:///run/r.sock?pass=",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }

    #[test]
    fn every_line_of_a_message_is_masked_by_itself() {
        let message = "at line 2\n2 | url = mysql://u:sesame@h/db\n3 | jwt.secret = sesame\nend";
        let shown = masked_lines(message);
        assert_eq!(
            shown,
            "at line 2\n2 | url = mysql://u:***@h/db\n3 | jwt.secret =***\nend"
        );
    }

    #[test]
    fn a_password_that_looks_like_something_else_is_masked_as_a_whole() {
        for url in [
            "redis://u:open?pass=ses@me@h/",
            "redis://u:open?pass=ses@me",
            "redis+unix:///r?user=a:b&pass=open@ses&x=me",
            "redis+unix:///r?pass=open@sesame",
            "redis+unix:///r?pass=x?open",
            "redis+unix:///r?db=1&pass=x;sesame",
            "mysql://u:open&token=sesame@h",
        ] {
            let shown = masked(url);
            let leaks = ["open", "ses"].iter().any(|part| shown.contains(part));
            assert!(!leaks, "{url}: {shown}");
        }
    }
}
