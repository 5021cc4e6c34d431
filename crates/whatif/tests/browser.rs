//! The page as a browser shows it: headless Chromium, where there is one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use vnetem::{
    Network,
    authz::{DefaultAction, Firewall, RuleLimits, RuleSet},
    control::{Outbound, Scope},
};
use vnetem_checks::skip;
use vnetem_whatif::{Change, Options, Report, Traffic, compare};

/// Many subnets that gain an endpoint, so that the page has at least a thousand rows.
fn report(subnets: u8, accounts: u8) -> Report {
    let mut network = Network::new();
    let storage =
        network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse().unwrap()]).unwrap();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/8".parse().unwrap()]).unwrap();
    let mut places = Vec::new();
    for at in 0..subnets {
        let range = format!("10.{at}.0.0/24").parse().unwrap();
        let place = network.add_subnet(alpha, &format!("snet-{at}<&>"), range).unwrap();
        let address = format!("20.1.1.{at}").parse().unwrap();
        network.set_outbound(place, Outbound::NatGateway(vec![address])).unwrap();
        places.push(place);
    }
    for at in 0..accounts {
        let rules = Firewall::Storage(RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow));
        let address = format!("52.239.1.{at}").parse().unwrap();
        network.add_resource(storage, &format!("acct{at}"), address, rules).unwrap();
    }
    let begun = Change::begin(&mut network);
    for place in places {
        network.enable_endpoint(place, storage, Scope::Worldwide).unwrap();
    }
    compare(&begun.end(&mut network), &Traffic::new(), &Options::default())
}

fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut all = std::env::split_paths(&paths).flat_map(|at| names.map(|name| at.join(name)));
    all.find(|path| path.is_file())
}

/// Runs the browser on a page and gives what it prints and complains about.
fn browse(browser: &Path, page: &Path, more: &[&str]) -> (String, String) {
    let profile = page.with_extension("profile");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    _ = std::fs::remove_dir_all(profile);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn browser_shows_every_group() {
    let report = report(40, 25);
    let page = report.html();
    assert!(report.groups.len() >= 1_000, "{}", report.groups.len());
    assert!(page.len() <= 1_000_000, "{} bytes", page.len());
    for outside in ["http://", "https://", "<script", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let Some(browser) = chromium() else {
        return skip("the page in a browser", "there is no chromium");
    };
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page.html");
    std::fs::write(&path, &page).unwrap();
    let begun = Instant::now();
    let (dom, said) = browse(&browser, &path, &["--dump-dom"]);
    assert!(begun.elapsed().as_secs() < 60, "a page of a thousand rows is shown at once");
    assert!(!said.contains("CONSOLE"), "{said}");
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for group in &report.groups {
        let resource = group.destination.resource.as_deref().unwrap_or("internet");
        for shown in [escaped(&group.subnet), escaped(resource)] {
            assert!(dom.contains(&shown), "{shown}");
        }
    }
    assert!(dom.matches("<tr>").count() > report.groups.len());
    assert!(dom.matches("<svg").count() == 2 && dom.contains("class=\"link allow\""));
}

/// Light and dark are two pictures, and neither is empty.
#[test]
fn page_follows_light_and_dark() {
    let page = report(3, 2).html();
    assert!(page.contains("prefers-color-scheme:dark"));
    let Some(browser) = chromium() else {
        return skip("light and dark in a browser", "there is no chromium");
    };
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("colours.html");
    std::fs::write(&path, &page).unwrap();
    let shot = |name: &str, more: &[&str]| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let option = format!("--screenshot={}", file.display());
        browse(&browser, &path, &[&[option.as_str(), "--window-size=1200,900"], more].concat());
        std::fs::read(file).unwrap()
    };
    let light = shot("light.png", &["--blink-settings=preferredColorScheme=1"]);
    let dark = shot("dark.png", &["--blink-settings=preferredColorScheme=0"]);
    assert!(light.len() > 20_000 && dark.len() > 20_000, "{} {}", light.len(), dark.len());
    assert_ne!(light, dark);
}
