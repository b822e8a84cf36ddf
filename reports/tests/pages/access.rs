//! What a page says to those who do not see it.

use super::fixtures;
use reports::html::page;

/// A table that is laid out otherwise on a narrow screen is none there but for its roles.
#[test]
fn every_part_of_the_overview_has_its_role_at_any_width() {
    let text = page(&crate::view::runs::engines());
    let table = text.split("<table class=\"overview\"").nth(1).expect("one");
    let table = table.split("</table>").next().expect("an end");
    assert!(table.starts_with(" role=\"table\""));
    for (name, roles) in [
        ("thead", &["rowgroup"][..]),
        ("tbody", &["rowgroup"]),
        ("tr", &["row"]),
        ("th", &["columnheader", "rowheader"]),
        ("td", &["cell"]),
    ] {
        let starts = [format!("<{name} "), format!("<{name}>")];
        let tags = starts.iter().flat_map(|start| table.split(start).skip(1));
        let tags: Vec<&str> = tags.filter_map(|rest| rest.split('>').next()).collect();
        assert!(!tags.is_empty(), "{name}");
        for tag in tags {
            let has = |role: &&str| tag.contains(&format!("role=\"{role}\""));
            assert!(roles.iter().any(has), "{name} {tag}");
        }
    }
}

#[test]
fn a_region_that_scrolls_is_called_by_what_it_shows() {
    for run in [crate::view::runs::capacity(), fixtures::gate()] {
        let text = page(&run);
        let regions = text.split("role=\"region\" aria-label=\"").skip(1);
        let names = regions.filter_map(|rest| rest.split('"').next());
        let names: Vec<&str> = names.collect();
        assert!(!names.is_empty());
        assert!(
            !names.contains(&"table") && !names.contains(&""),
            "{names:?}"
        );
    }
    let text = page(&fixtures::gate());
    for name in ["Gate", "Over time", "Latency"] {
        assert!(text.contains(&format!("aria-label=\"{name}\"")), "{name}");
    }
}
