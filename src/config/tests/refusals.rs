//! The exact message for each kind of bad input.

use clap::CommandFactory as _;

use super::super::*;
use super::resolve;

pub(super) fn refused(flags: &[&str], variables: &[(&str, &str)], file: &str, message: &str) {
    match resolve(flags, variables, file) {
        Ok(_) => panic!("accepted: {flags:?} {variables:?} {file}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

fn refused_flags(flags: &[&str], message: &str) {
    refused(flags, &[], "", message);
}

fn refused_file(file: &str, message: &str) {
    refused(&[], &[], file, message);
}

fn refused_service(fields: &str, message: &str) {
    refused_file(&format!("[[service]]\nname = \"rag\"\nurl = \"http://a:1\"\n{fields}"), message);
}

#[test]
fn bad_flags_are_refused_by_name_value_and_what_is_accepted() {
    let listen = "IP:PORT, for example 127.0.0.1:8080; port 0 picks one";
    let host_port = "HOST:PORT, for example 10.0.0.5:7946, [fd00::5]:7946 or mesh.example.com:7946";
    let duration = "a duration up to 168h, for example 5s, 250ms or 1m30s";
    let url = "an http:// or https:// URL with a host, and without user, query or fragment";
    let store = "file:PATH, or cloudflare:ACCOUNT/NAMESPACE";
    let public = "an http:// or https:// URL up to 128 bytes whose host is a DNS name, without user, query or fragment";
    let long = "x".repeat(65);
    let name = "1 to 64 bytes, without control characters and without spaces at the ends";
    let cases: &[(&str, &str, &str)] = &[
        ("tier", "4", "1, 2 or 3"),
        ("tier", "gpu", "1, 2 or 3"),
        ("name", &long, name),
        ("name", "", name),
        ("zone", "a\nb", name),
        ("cluster", "a b", "1 to 63 letters, digits, '-', '_' and '.'"),
        ("bind", "7946", listen),
        ("bind", "0.0.0.0:99999", listen),
        ("ingress", "localhost:80", listen),
        ("metrics-listen", "x", listen),
        ("advertise", "10.0.0.5", host_port),
        ("advertise", "10.0.0.5:0", host_port),
        ("join", "10.0.0.256:7946", host_port),
        ("join", "http://a:1", host_port),
        ("ingress-open=maybe", "", "true or false"),
        ("mesh-domain", "-x", "a DNS name"),
        ("store", "redis:x", store),
        ("store", "cloudflare:a", store),
        ("cloudflare-api", "api.cloudflare.com", url),
        ("max-writes-per-day", "-1", "a number of writes from 0 to 1000000; 0 is no limit"),
        ("store-staleness", "180", duration),
        ("election-hold", "-5s", duration),
        ("drain-timeout", "200h", duration),
        ("max-body", "10 apples", "a number of bytes, for example 65536, 64KiB, 100MiB or 2GiB"),
        ("max-header", "1KiB", "a size from 8KiB to 1MiB"),
        ("max-connections", "0", "a number from 1 to 1000000"),
        ("max-connections-per-client", "many", "a number from 1 to 1000000"),
        ("min-body-rate", "-1", "a number of bytes, for example 65536, 64KiB, 100MiB or 2GiB"),
        ("leader-priority", "high", "an integer from -2147483648 to 2147483647"),
        ("identity", "random", "file or derived"),
        ("public-url", "https://10.0.0.1", public),
        ("public-url", "ftp://a.example.com", public),
        (
            "log",
            "verbose",
            "trace, debug, info, warn, error or off, also per module, for example info,meshnode::router=debug",
        ),
        ("log-format", "xml", "text or json"),
        ("service", "rag", "NAME=URL, for example rag=http://127.0.0.1:8102"),
        ("service", "rag=ftp://a", url),
        ("service", "rag=http://user:pw@a", url),
        ("service", "rag=http://a/?q=1", url),
        ("service", "rag=http:///path", url),
        ("service", "rag=http://a:0", url),
    ];
    for (flag, value, accepted) in cases {
        let (flag, value) = flag.split_once('=').unwrap_or((flag, value));
        let shown = value.rsplit_once("rag=").map_or(value, |(_, url)| url).replace('\n', "\u{fffd}");
        // A password is no part of a message.
        let shown = shown.replace("user:pw@", "…@");
        let message = format!("--{flag}: '{shown}' is not accepted; accepted is {accepted}");
        refused_flags(&[&format!("--{flag}={value}")], &message);
    }
}

#[test]
fn a_negative_value_is_refused_like_any_other() {
    let duration = "a duration up to 168h, for example 5s, 250ms or 1m30s";
    refused_flags(
        &["--drain-timeout", "-1s"],
        &format!("--drain-timeout: '-1s' is not accepted; accepted is {duration}"),
    );
}

#[test]
fn settings_that_need_others_say_which() {
    refused_flags(
        &["--ingress", "0.0.0.0:8080"],
        "--ingress needs --ingress-open, as 0.0.0.0 is not a loopback address",
    );
    refused_flags(
        &["--admin", "[::]:1"],
        "--admin needs --admin-token-file, as :: is not a loopback address",
    );
    refused_flags(
        &["--edge-listen", "0.0.0.0:1"],
        "--edge-listen needs --edge-secret-file: a file of kid:base64 lines",
    );
    refused_flags(&["--edge-secret-file", "x"], "--edge-secret-file needs --edge-listen");
    refused_flags(
        &["--public-url", "https://a.example.com"],
        "--public-url needs --edge-listen, or --ingress-open",
    );
    refused_flags(&["--tls-cert", "x"], "--tls-cert needs --tls-key");
    refused_flags(&["--tls-key", "x"], "--tls-key needs --tls-cert");
    refused_flags(
        &["--identity=derived"],
        "--identity needs --name, which tells the nodes of one seed apart",
    );
    refused_flags(
        &["--identity=derived", "--name=a"],
        "--identity needs the environment variable MESHNODE_IDENTITY_SEED, a secret of at least 16 bytes",
    );
    let store = format!("--store=cloudflare:{0}/{0}", "0123456789abcdef".repeat(2));
    refused_flags(&[&store], "--store needs the environment variable CLOUDFLARE_API_TOKEN");
    let config = resolve(&[&store], &[("CLOUDFLARE_API_TOKEN", "t")], "").expect("valid");
    assert_eq!((config.max_writes_per_day, config.store_staleness), (Some(30), Duration::from_secs(180)));
    assert!(!format!("{config:?}").contains("\"t\""), "a secret is shown");
}

#[test]
fn what_is_not_built_is_refused_and_not_in_the_help() {
    refused(
        &[],
        &[("MESHNODE_MDNS", "true")],
        "",
        "environment variable MESHNODE_MDNS: discovery in the local network is not built yet; accepted is to leave it out",
    );
    let help = RunArgs::command().render_long_help().to_string();
    assert!(help.contains("--election-hold") && !help.contains("mdns"), "{help}");
}

#[test]
fn a_collector_is_a_url_and_its_sample_a_share() {
    refused_flags(
        &["--otlp=collector:4318"],
        "--otlp: 'collector:4318' is not accepted; accepted is an http:// or https:// URL with a host, and without user, query or fragment",
    );
    for bad in ["1.1", "-0.1", "NaN", "all"] {
        let message = format!("--otlp-sample: '{bad}' is not accepted; accepted is a number from 0 to 1");
        refused_flags(&["--otlp=http://a", &format!("--otlp-sample={bad}")], &message);
    }
    refused_flags(&["--otlp-sample=0.5"], "--otlp-sample needs --otlp");
    let file = "otlp = \"http://a:4318\"\notlp-sample = 0.25\n";
    let otlp = resolve(&[], &[], file).expect("valid").otlp.expect("set");
    assert_eq!((otlp.collector.as_str(), otlp.sample), ("http://a:4318/", 0.25));
}

#[test]
fn duplicates_are_refused() {
    refused_flags(
        &["--service", "a=http://b", "--service", "a=http://c"],
        "--service: service 'a' is configured twice; accepted is each name once",
    );
    let service = "[[service]]\nname = \"a\"\nurl = \"http://b\"\n";
    refused_file(
        &service.repeat(2),
        "mesh.toml, line 4, key service: service 'a' is configured twice; accepted is each name once",
    );
    refused_file(
        "[[route]]\nservice = \"a\"\n[[route]]\nservice = \"a\"",
        "mesh.toml, line 3, key route.service: service 'a' has two routes; accepted is one",
    );
}

#[test]
fn bad_files_are_refused_with_their_line() {
    refused_file(
        "\nbind = \"x\"",
        "mesh.toml, line 2, key bind: 'x' is not accepted; accepted is IP:PORT, for example 127.0.0.1:8080; port 0 picks one",
    );
    refused_file("tier = 9", "mesh.toml, line 1, key tier: '9' is not accepted; accepted is 1, 2 or 3");
    let error = resolve(&[], &[], "zone = \"a\"\ncolour = \"red\"").expect_err("unknown key").to_string();
    assert!(
        error.starts_with("mesh.toml, line 2: unknown field `colour`, expected one of `name`, `zone`"),
        "{error}"
    );
    let error = resolve(&[], &[], "zone = [1]").expect_err("wrong type").to_string();
    assert_eq!(
        error,
        "mesh.toml, line 1: invalid type: sequence, expected a string, a number, true or false"
    );
    let error = resolve(&[], &[], "zone = ").expect_err("no TOML").to_string();
    assert!(error.starts_with("mesh.toml, line 1: "), "{error}");
    let error = resolve(&[], &[], "[[service]]\nname = \"a\"\nurl = \"http://b\"\nprot = 1")
        .expect_err("unknown key");
    assert!(
        error.to_string().starts_with("mesh.toml, line 4: unknown field `prot`, expected one of `name`"),
        "{error}"
    );
}

#[test]
fn bad_services_are_refused() {
    let cases = [
        ("protocol = \"http3\"", "protocol: 'http3' is not accepted; accepted is http1, h2c"),
        ("check = \"ping\"", "check: 'ping' is not accepted; accepted is http, tcp, grpc, none"),
        (
            "health = \"health\"",
            "health: 'health' is not accepted; accepted is a path that begins with '/', up to 1024 bytes",
        ),
        (
            "check = \"grpc\"\nhealth = \"/health\"",
            "health: '/health' is not accepted; accepted is the name of a gRPC service, for example acme.v1.Search; empty is the server as a whole",
        ),
        ("interval = \"50ms\"", "interval: '50ms' is not accepted; accepted is at least 100ms"),
        ("timeout = \"0s\"", "timeout: '0s' is not accepted; accepted is more than 0s and at most 1m"),
        ("timeout = \"61s\"", "timeout: '1m 1s' is not accepted; accepted is more than 0s and at most 1m"),
        ("rise = 0", "rise: '0' is not accepted; accepted is a number from 1 to 100"),
        ("fall = -1", "fall: '-1' is not accepted; accepted is a number from 1 to 100"),
        ("weight = 0", "weight: '0' is not accepted; accepted is a number from 1 to 10000"),
        ("tags = [\"\"]", "tags: '' is not accepted; accepted is up to 64 labels of 1 to 64 bytes"),
        ("max_in_flight = -1", "max_in_flight: '-1' is not accepted; accepted is a number from 0 to 1000000"),
        ("host = \"x\"", "host: 'x' is not accepted; accepted is preserve, backend"),
        (
            "timeouts = { idle = \"soon\" }",
            "timeouts.idle: 'soon' is not accepted; accepted is a duration up to 168h, for example 5s, 250ms or 1m30s",
        ),
    ];
    for (field, message) in cases {
        refused_service(field, &format!("mesh.toml, line 1, key service.{message}"));
    }
    refused_file(
        "[[service]]\nname = \"Rag\"\nurl = \"http://a\"",
        "mesh.toml, line 1, key service.name: 'Rag' is not accepted; accepted is 1 to 63 of a-z, 0-9 and '-'",
    );
    refused(
        &["--service", "a=https://b"],
        &[],
        "[[service]]\nname = \"a\"\nurl = \"http://b\"\nprotocol = \"h2c\"",
        "--service: 'https://b/' is not accepted; accepted is an http:// URL, as the file says that the service speaks h2c",
    );
    refused_file(
        "[[service]]\nname = \"a\"\nurl = \"https://b\"\nprotocol = \"h2c\"",
        "mesh.toml, line 1, key service.protocol: 'h2c' is not accepted; accepted is http1 for an https URL: ALPN chooses there",
    );
}

#[test]
fn bad_routes_are_refused() {
    let cases = [
        ("rev = -1", "rev: '-1' is not accepted; accepted is a number from 0 to 9223372036854775807"),
        (
            "split = [{ version = \"^x\", percent = 1 }]",
            "split.version: '^x' is not accepted; accepted is a version such as 1.4.2, or a selector that starts with ^ ~ > < = or contains *",
        ),
        (
            "split = [{ version = \"1\", percent = 60 }, { version = \"2\", percent = 50 }]",
            "split.percent: '110 in all' is not accepted; accepted is up to 100 in all; the rest goes to other versions",
        ),
        (
            "split = [{ version = \"1\", percent = 101 }]",
            "split.percent: '101' is not accepted; accepted is a number from 0 to 100",
        ),
        (
            "retry_budget = { percent = 101 }",
            "retry_budget.percent: '101' is not accepted; accepted is a number from 0 to 100",
        ),
        (
            "affinity_header = \"a b\"",
            "affinity_header: 'a b' is not accepted; accepted is a header's name, or nothing",
        ),
    ];
    for (field, message) in cases {
        refused_file(
            &format!("[[route]]\nservice = \"rag\"\n{field}"),
            &format!("mesh.toml, line 1, key route.{message}"),
        );
    }
}
