//! Version selectors: what matches, and what is no selector.

use crate::router::{InstanceVersion, Selector};

fn check(selector: &str, matching: &[&str], others: &[&str]) {
    let parsed: Selector = selector.parse().unwrap_or_else(|error| panic!("{selector}: {error}"));
    for version in matching {
        assert!(parsed.matches(&InstanceVersion::new(version)), "{selector} must match {version:?}");
    }
    for version in others {
        assert!(!parsed.matches(&InstanceVersion::new(version)), "{selector} must not match {version:?}");
    }
}

#[test]
fn a_bare_version_matches_exactly() {
    check("1.4.2", &["1.4.2", "v1.4.2"], &["1.4.3", "1.4", "1.4.2-rc.1", "1.4.2+build", ""]);
    check("v1.4.2", &["1.4.2", "v1.4.2"], &["1.4.20"]);
    check("1.4", &["1.4", "v1.4"], &["1.4.0", "1.4.2"]);
}

#[test]
fn a_range_matches_as_cargo_does() {
    check("^1.4", &["1.4.0", "1.9.3", "v1.5.0"], &["1.3.9", "2.0.0", "0.9.0"]);
    check("^0.3", &["0.3.1"], &["0.4.0"]);
    check("~1.4.2", &["1.4.2", "1.4.9"], &["1.5.0", "1.4.1"]);
    check(">=1.2, <2", &["1.2.0", "1.99.0"], &["2.0.0", "1.1.9"]);
    check(">v1.2,<=v1.4", &["1.3.0", "1.4.0", "1.4.9"], &["1.2.5", "1.5.0"]);
    check("=1.4.2", &["1.4.2"], &["1.4.3"]);
    check("1.*", &["1.0.0", "1.7.7"], &["2.0.0"]);
    check("v2.*", &["2.1.0"], &["1.0.0"]);
    check("*", &["0.0.1", "9.9.9"], &["", "nightly"]);
}

#[test]
fn a_prerelease_is_in_a_range_only_when_it_is_named() {
    check("^2", &["2.0.0"], &["2.0.0-rc.1", "2.1.0-beta"]);
    check("^2.0.0-rc.1", &["2.0.0-rc.1", "2.0.0-rc.2", "2.0.0", "2.1.0"], &["2.0.0-beta", "2.1.0-rc.1"]);
    check("*", &["2.0.0"], &["2.0.0-rc.1"]);
}

#[test]
fn a_version_that_is_not_semver_matches_only_exactly() {
    check("nightly", &["nightly"], &["nightly2", "Nightly"]);
    check("vanilla", &["vanilla"], &["anilla"]);
    check("2026-11-23", &["2026-11-23"], &["2026-11-24"]);
    check(">=1", &["1.0.0"], &["nightly", "1.0", "2026-11-23"]);
}

#[test]
fn a_bad_selector_is_an_error_that_names_it() {
    for bad in ["", "  ", "^", "^x", ">=", "1.*.2", ">=1,", "^1 ^2", "*.1", "~>1", &"1".repeat(129)] {
        let error = bad.parse::<Selector>().expect_err(bad).to_string();
        assert!(error.contains("is not a version selector"), "{error}");
        assert!(error.len() < 400, "{error}");
    }
}
