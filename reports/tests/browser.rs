//! Pages in a real browser, headless: a checker in each page writes what it finds into the document,
//! which the browser then prints. `REQUIRE_BROWSER=1` makes the absence of a browser a failure.

mod pages {
    pub mod chromium;
    pub mod fixtures;
}
mod view {
    pub mod findings;
    pub mod parts;
    pub mod runs;
}

use pages::chromium::Chromium;
use pages::fixtures;
use reports::html::page;
use std::path::Path;

/// Narrow and wide, as phones and desks have them.
const WIDTHS_PX: [u32; 2] = [360, 1_600];

/// Begins before anything else of the page, so that no error escapes it.
const WATCH: &str = "<script>window.faults=[];\
    addEventListener('error',e=>faults.push('script: '+e.message));\
    addEventListener('unhandledrejection',e=>faults.push('script: '+e.reason));</script>";

/// Looks at every page in a frame of its own, in both widths and colours, and writes what is wrong
/// into the body. `PAGES` is replaced by a list of file names.
const CHECKER: &str = r##"<!DOCTYPE html><html><body><pre id="findings">not finished</pre><script>
const findings = [];
let checked = 0;
function luminance(colour) {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map(part => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function look(page, width, colours, frame) {
  const view = frame.contentWindow, doc = view.document;
  const say = text => findings.push(`${page} at ${width} px, ${colours}: ${text}`);
  view.faults.forEach(say);
  view.dispatchEvent(new view.Event('beforeprint'));
  doc.querySelectorAll('details').forEach(fold => {
    if (!fold.open) say(`print leaves a fold closed: ${fold.querySelector('summary').textContent}`);
    fold.open = true;
  });
  const root = doc.documentElement;
  if (root.clientWidth !== width) say(`the frame is ${root.clientWidth} px wide`);
  if (root.scrollWidth > root.clientWidth) say(`overflows to ${root.scrollWidth} px`);
  const paper = view.getComputedStyle(doc.body).backgroundColor;
  const isDark = luminance(paper) < 0.2;
  if (isDark !== (colours === 'dark')) say(`the paper is ${paper}`);
  doc.querySelectorAll('svg.chart').forEach(chart => {
    const box = chart.getBoundingClientRect();
    const name = chart.getAttribute('aria-label');
    if (box.width < 40 || box.height < 20) say(`a chart of ${box.width} × ${box.height} px: ${name}`);
    const marks = chart.querySelectorAll('circle, path, rect:not(.hover)');
    const drawn = [...marks].filter(mark => {
      const own = mark.getBoundingClientRect();
      return own.width + own.height > 0;
    });
    if (drawn.length === 0) say(`an empty chart: ${name}`);
    checked += 1;
  });
  const inner = doc.createTreeWalker(doc.body, view.NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = inner.nextNode(); node; node = inner.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest('script, svg') || !parent.getClientRects().length) continue;
    let behind = parent;
    while (behind && view.getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
    const back = behind ? view.getComputedStyle(behind).backgroundColor : paper;
    const pair = view.getComputedStyle(parent).color + ' on ' + back;
    if (!seen.has(pair) && contrast(...pair.split(' on ')) < 4.5) say(`hard to read: ${pair}: ${node.textContent.trim()}`);
    seen.add(pair);
  }
}
async function all() {
  for (const page of PAGES) for (const width of WIDTHS) for (const colours of ['light', 'dark']) {
    const frame = document.createElement('iframe');
    frame.style = `width:${width}px;height:900px;border:0`;
    const loaded = new Promise(done => frame.onload = done);
    frame.src = `${page}#${colours}`;
    document.body.append(frame);
    await loaded;
    look(page, width, colours, frame);
    frame.remove();
  }
  const out = document.getElementById('findings');
  out.textContent = `CHECKED ${checked}\n` + findings.join('\n') + '\nEND';
}
all().catch(error => document.getElementById('findings').textContent = 'CHECKED 0\n' + error + '\nEND');
</script></body></html>"##;

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("the folder can be written");
}

#[test]
#[ignore = "nightly: starts a browser, which takes half a minute"]
fn every_chart_is_there_at_any_width_in_light_and_dark() {
    let Some(browser) = Chromium::find_or_skip() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut names = Vec::new();
    for (name, run) in fixtures::all() {
        let text = page(&run).replacen("<head>", &format!("<head>{WATCH}"), 1);
        write(folder.path(), &format!("{name}.html"), &text);
        names.push(format!("{name}.html"));
    }
    let checker = CHECKER
        .replace("PAGES", &format!("{names:?}"))
        .replace("WIDTHS", &format!("{WIDTHS_PX:?}"));
    write(folder.path(), "checker.html", &checker);
    let document = browser.document(folder.path(), "checker.html");
    let findings = document.split("CHECKED ").nth(1);
    let findings = findings.and_then(|rest| rest.split_once("END"));
    let (findings, _) = findings.unwrap_or_else(|| panic!("it did not end: {document}"));
    let (checked, findings) = findings.split_once('\n').expect("a count");
    assert_eq!(findings.trim(), "");
    assert!(
        checked.parse::<u32>().is_ok_and(|charts| charts > 300),
        "{checked} charts"
    );
}

#[test]
#[ignore = "nightly: starts a browser, which takes half a minute"]
fn a_fault_in_a_page_is_found() {
    let Some(browser) = Chromium::find_or_skip() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (_, run) = fixtures::all().remove(0);
    let broken = page(&run)
        .replacen("<head>", &format!("<head>{WATCH}"), 1)
        .replace(
            "</body>",
            "<script>absent()</script><p style=\"width:3000px;color:#999\">wide</p>\
             <svg class=\"chart\" width=\"0\" height=\"0\" aria-label=\"none\"></svg></body>",
        );
    write(folder.path(), "broken.html", &broken);
    let checker = CHECKER
        .replace("PAGES", "['broken.html']")
        .replace("WIDTHS", "[360]");
    write(folder.path(), "checker.html", &checker);
    let document = browser.document(folder.path(), "checker.html");
    for fault in [
        "absent is not defined",
        "overflows to 3",
        "hard to read",
        "an empty chart: none",
        "a chart of 0 × 0 px: none",
    ] {
        assert!(document.contains(fault), "{fault}: {document}");
    }
}

#[test]
#[ignore = "nightly: starts a browser, which takes half a minute"]
fn a_page_can_be_printed() {
    let Some(browser) = Chromium::find_or_skip() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (_, run) = fixtures::all().remove(1);
    write(folder.path(), "page.html", &page(&run));
    let printed = browser.printed(folder.path(), "page.html#dark");
    assert!(printed.starts_with(b"%PDF"), "no PDF");
    assert!(printed.len() > 20_000, "{} bytes", printed.len());
}
