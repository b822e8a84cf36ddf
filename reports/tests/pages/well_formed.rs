//! Whether a page's tags open and close as they should, and what lies within an element. Knows only
//! what pages use: no comments, every attribute quoted.

/// Elements that never close.
const VOID: [&str; 3] = ["meta", "br", "hr"];
/// Elements whose content is no markup.
const RAW: [&str; 2] = ["script", "style"];

struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    is_end: bool,
    start: usize,
    end: usize,
}

fn tags(text: &str) -> Result<Vec<Tag<'_>>, String> {
    let mut tags: Vec<Tag<'_>> = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let mut quote = false;
        let length = text[start..].find(|letter| {
            quote ^= letter == '"';
            letter == '>' && !quote
        });
        let end = start + length.ok_or_else(|| format!("a tag that does not end at {start}"))? + 1;
        let inner = &text[start + 1..end - 1];
        let (is_end, inner) = inner
            .strip_prefix('/')
            .map_or((false, inner), |inner| (true, inner));
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        tags.push(Tag {
            name,
            attributes,
            is_end,
            start,
            end,
        });
        at = end;
        if RAW.contains(&name) && !is_end {
            let close = format!("</{name}>");
            let length = text[at..]
                .find(&close)
                .ok_or_else(|| format!("{name} is not closed"))?;
            at += length;
        }
    }
    Ok(tags)
}

/// What is wrong with a page; empty when nothing is.
pub fn problems(text: &str) -> Vec<String> {
    let Some(text) = text.strip_prefix("<!DOCTYPE html>") else {
        return vec!["no doctype".to_owned()];
    };
    let tags = match tags(text) {
        Ok(tags) => tags,
        Err(problem) => return vec![problem],
    };
    let mut problems = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for tag in tags.iter().filter(|tag| !VOID.contains(&tag.name)) {
        if tag.attributes.matches("class=\"").count() > 1 {
            problems.push(format!("two classes: {}", tag.attributes));
        }
        if !tag.name.chars().all(char::is_alphanumeric) {
            problems.push(format!("no name of an element: {:?}", tag.name));
        } else if !tag.is_end {
            open.push(tag.name);
        } else if open.pop() != Some(tag.name) {
            problems.push(format!(
                "{} closes what is not open, at {}",
                tag.name, tag.start
            ));
        }
    }
    problems.extend(open.iter().map(|name| format!("{name} is not closed")));
    problems
}

/// Every element like `svg.chart`, from its opening tag to its closing one.
pub fn elements(text: &str, wanted: &str) -> Vec<String> {
    let (name, class) = wanted.split_once('.').expect("a name and a class");
    let tags = tags(text).expect("well-formed");
    let mut found = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        let classes = tag
            .attributes
            .split("class=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let has_class = classes.is_some_and(|classes| classes.split(' ').any(|own| own == class));
        if tag.is_end || tag.name != name || !has_class {
            continue;
        }
        let mut depth = 0;
        let same = tags[index..].iter().filter(|other| other.name == name);
        let end = same.map(|other| {
            depth += if other.is_end { -1 } else { 1 };
            (depth, other.end)
        });
        let end = end
            .into_iter()
            .find(|(depth, _)| *depth == 0)
            .map(|(_, end)| end);
        found.push(text[tag.start..end.expect("closed")].to_owned());
    }
    found
}
