//! The parts of a server's URL that the lab itself needs.

use anyhow::{Context, bail};
use servers::Address;

const SQLITE: &str = "sqlite://";
/// Of a database that is a file; its log and its index have more behind it.
pub(super) const FILE_ENDING: &str = ".db";

/// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/…]`; the error never repeats the password.
pub(super) fn parse(url: &str, scheme: &str, default_port: u16) -> anyhow::Result<Address> {
    let rest = url
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .with_context(|| format!("an address that starts with {scheme}:// is needed"))?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (account, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    let (host, port) = match place.rsplit_once(':') {
        // The colons of `[::1]` separate nothing.
        Some((host, port)) if !port.contains(']') => (
            host,
            port.parse()
                .with_context(|| format!("{scheme} address: what follows its host is no port"))?,
        ),
        _ => (place, default_port),
    };
    if host.is_empty() {
        bail!("{scheme} address: it names no host");
    }
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok(Address {
        host,
        port,
        user: decoded(user),
        password: decoded(password),
    })
}

/// Undoes `%40` and its like; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Schemes of a Redis and of a Redis Cluster.
pub(super) const REDIS: &str = "redis://";
pub(super) const REDIS_CLUSTER: &str = "redis-cluster://";

/// The URL of each node: `redis-cluster://[login@]a:1,b:2` has two, and everything else is its own
/// only one.
pub(crate) fn redis_nodes(url: &str) -> Vec<String> {
    let Some(rest) = url.strip_prefix(REDIS_CLUSTER) else {
        return vec![url.to_owned()];
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (login, places) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(login, places)| (login, places));
    let at = if login.is_empty() { "" } else { "@" };
    places
        .split(',')
        .filter(|place| !place.is_empty())
        .map(|place| format!("{REDIS}{login}{at}{place}"))
        .collect()
}

/// URL of the folder in which the embedded stack keeps its databases; characters that end a path
/// are escaped.
pub(super) fn of_folder(folder: &std::path::Path) -> String {
    let path = folder.display().to_string();
    format!(
        "{SQLITE}{}",
        path.replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23")
    )
}

/// Whether databases are files in a folder.
pub(super) fn is_file(url: &str) -> bool {
    url.starts_with(SQLITE)
}

/// The same server with another database, or another file in the same folder; options behind `?`
/// stay.
pub(super) fn with_database(url: &str, database: &str) -> String {
    if is_file(url) {
        return format!("{url}/{database}{FILE_ENDING}");
    }
    let (place, options) = url
        .split_once('?')
        .map_or((url, None), |(place, options)| (place, Some(options)));
    let authority_at = place.find("://").map_or(0, |at| at + 3);
    let end = place[authority_at..]
        .find('/')
        .map_or(place.len(), |at| authority_at + at);
    let options = options
        .map(|options| format!("?{options}"))
        .unwrap_or_default();
    format!("{}/{database}{options}", &place[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address =
            parse("mysql://lab:p%40ss@db.example:3307/x?a=b", "mysql", 3306).expect("valid");
        let expected = ("db.example", 3307, "lab", "p@ss");
        assert_eq!(
            (
                &*address.host,
                address.port,
                &*address.user,
                &*address.password
            ),
            expected
        );
        assert_eq!(
            parse("redis://[::1]/", "redis", 6379).expect("valid").port,
            6379
        );
        assert!(parse("redis://:80", "redis", 6379).is_err());
        let refused = parse("http://u:secret@h/", "redis", 6379)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("redis://") && !refused.contains("secret"),
            "{refused}"
        );
        let refused = parse("redis://u:secret/x@h/", "redis", 6379)
            .unwrap_err()
            .to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        assert_eq!(
            with_database("mysql://u:p@h:1/old?ssl-mode=disabled", "new"),
            "mysql://u:p@h:1/new?ssl-mode=disabled"
        );
        assert_eq!(with_database("mysql://h", "new"), "mysql://h/new");
        let folder = of_folder(std::path::Path::new("/tmp/50 %?"));
        assert_eq!(
            with_database(&folder, "new"),
            "sqlite:///tmp/50 %25%3f/new.db"
        );
    }

    #[test]
    fn a_cluster_is_its_nodes_and_anything_else_one_node() {
        let nodes = redis_nodes("redis-cluster://me:pw@a:1,b:2/?x=y");
        assert_eq!(nodes, ["redis://me:pw@a:1", "redis://me:pw@b:2"]);
        assert_eq!(
            redis_nodes("redis-cluster://a:1,b:2"),
            ["redis://a:1", "redis://b:2"]
        );
        assert_eq!(redis_nodes("redis://a:1/3"), ["redis://a:1/3"]);
    }
}
