//! What is accepted, and what wins.

mod refusals;

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::manifest::{HostPolicy, Protocol};

/// Resolves a command line, `KEY=value` variables and the text of a file called `mesh.toml`.
fn resolve(flags: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    let args = RunArgs::parse_from([&["run"], flags].concat());
    let mut environment = Environment { host_name: "box".to_owned(), ..Environment::default() };
    environment.variables.insert("HOME".to_owned(), "/home/me".to_owned());
    for (key, value) in variables {
        environment.variables.insert((*key).to_owned(), (*value).to_owned());
    }
    let file = ConfigFile::parse(Path::new("mesh.toml"), file.to_owned())?;
    Config::resolve(&args, Some(&file), &environment)
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let config = resolve(&[], &[], "").expect("valid");
    assert_eq!(config.name, "box");
    assert_eq!(config.cluster, "default");
    assert_eq!(config.data_dir, PathBuf::from("/home/me/.local/state/meshnode"));
    assert_eq!(config.store, StoreLocation::File("/home/me/.local/state/meshnode/summary.json".into()));
    assert_eq!(config.bind.to_string(), "0.0.0.0:7946");
    assert_eq!(config.ingress.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.to_string(), "127.0.0.1:7980");
    assert_eq!((config.max_writes_per_day, config.store_staleness), (None, Duration::ZERO));
    assert_eq!(config.election_hold, Duration::from_secs(15));
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!((config.max_body, config.max_header, config.max_connections), (None, 65536, 8192));
    assert_eq!((config.max_connections_per_client, config.min_body_rate), (1024, 100));
    assert_eq!((config.mesh_domain.as_str(), config.log.as_str()), ("mesh", "info"));
    assert_eq!(config.cluster_key, ClusterKeySource::DataDir);
    assert!(!config.has_discovery());
}

#[test]
fn a_flag_beats_the_environment_that_beats_the_file() {
    let file = "zone = \"file\"\ntier = 3\ncluster = \"file\"\njoin = [\"file:1\", \"file:2\"]";
    let variables = [("MESHNODE_ZONE", "env"), ("MESHNODE_TIER", "2"), ("MESHNODE_JOIN", "env:1,env:2")];
    let config = resolve(&["--zone", "flag", "--join", "flag:1"], &variables, file).expect("valid");
    assert_eq!((config.zone.as_str(), config.tier, config.cluster.as_str()), ("flag", Some(2), "file"));
    assert_eq!(config.join, ["flag:1".parse().expect("valid")]);
    let config = resolve(&[], &variables, file).expect("valid");
    assert_eq!(config.join, ["env:1".parse().expect("valid"), "env:2".parse().expect("valid")]);
}

#[test]
fn every_flag_is_a_key_of_the_file_and_a_variable() {
    let command = RunArgs::command();
    let mut refused = 0;
    for arg in command.get_arguments() {
        let flag = arg.get_long().expect("every argument is long");
        if flag == "config" || flag == "service" {
            continue;
        }
        let value = "\u{1}";
        let file =
            if flag == "join" { format!("{flag} = [\"\\u0001\"]") } else { format!("{flag} = \"\\u0001\"") };
        let variable = args::variable(flag);
        for (place, error) in [
            ("mesh.toml, line 1", resolve(&[], &[], &file)),
            (&variable, resolve(&[], &[(&variable, value)], "")),
        ] {
            // Paths take any text, and some of them only together with another setting or an existing file.
            let Err(error) = error else { continue };
            refused += 1;
            assert!(error.to_string().contains(place), "{flag}: {error}");
            assert!(error.to_string().contains(flag) || place != "mesh.toml, line 1", "{flag}: {error}");
        }
    }
    assert!(refused >= 60, "only {refused} of two for each of 38 settings were refused");
}

#[test]
fn services_come_from_every_place_and_the_stronger_one_sets_the_url() {
    let file = "[[service]]\nname = \"rag\"\nurl = \"http://file:1\"\nweight = 7\n[[service]]\nname = \"a\"\nurl = \"http://a:1\"";
    let variables =
        [("MESHNODE_SERVICE_RAG", "http://env:2"), ("MESHNODE_SERVICE_CLIENT_RAG", "http://env:3")];
    let config = resolve(&["--service", "up=https://flag/x"], &variables, file).expect("valid");
    let shown: Vec<_> = config.services.iter().map(|s| (s.name.as_str(), s.url.as_str(), s.weight)).collect();
    let expected = [
        ("a", "http://a:1/", 1),
        ("client-rag", "http://env:3/", 1),
        ("rag", "http://env:2/", 7),
        ("up", "https://flag/x", 1),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_variables_of_a_kubernetes_service_called_meshnode_are_no_services() {
    let variables = [
        ("MESHNODE_SERVICE_HOST", "10.96.0.12"),
        ("MESHNODE_SERVICE_PORT", "7946"),
        ("MESHNODE_SERVICE_PORT_ADMIN", "7980"),
        ("MESHNODE_PORT", "tcp://10.96.0.12:7946"),
    ];
    assert_eq!(resolve(&[], &variables, "").expect("valid").services, []);
}

#[test]
fn a_service_table_with_every_field_is_read_and_written() {
    let file = r#"
        [[service]]
        name = "rag"
        url = "http://rag-service:8102"
        protocol = "h2c"
        check = "tcp"
        health = "/healthz?deep=1"
        interval = "1m30s"
        timeout = "250ms"
        rise = 1
        fall = 5
        version = "1.4.2"
        weight = 3
        tags = ["gpu"]
        timeouts = { connect = "1s", first_byte = "3s", idle = "6s", total = "0s" }
        max_in_flight = 0
        host = "backend"
    "#;
    let config = resolve(&[], &[], file).expect("valid");
    let service = &config.services[0];
    assert_eq!(
        (service.protocol, service.check, service.host),
        (Protocol::H2c, Check::Tcp, HostPolicy::Backend)
    );
    assert_eq!((service.interval, service.timeout), (Duration::from_secs(90), Duration::from_millis(250)));
    assert_eq!((service.rise, service.fall, service.weight, service.max_in_flight), (1, 5, 3, 0));
    assert_eq!(service.timeouts.first_byte, Duration::from_secs(3));
    assert_eq!(service.target().port, 8102);
    let json = serde_json::to_string(&ServiceTable::from(service)).expect("serializes");
    let table: ServiceTable = serde_json::from_str(&json).expect("parses");
    let request = Origin { key: String::new(), source: Source::Request };
    assert_eq!(table.resolve(&request).as_ref(), Ok(service), "{json}");
}

#[test]
fn a_grpc_check_asks_for_the_whole_server_unless_a_service_is_named() {
    for (health, asked) in [("", ""), ("health = \"acme.v1.Search\"", "acme.v1.Search")] {
        let file = format!("[[service]]\nname = \"a\"\nurl = \"http://b\"\ncheck = \"grpc\"\n{health}");
        let config = resolve(&[], &[], &file).expect("valid");
        assert_eq!((config.services[0].check, config.services[0].health.as_str()), (Check::Grpc, asked));
    }
}

#[test]
fn a_route_table_with_every_field_is_read() {
    let file = r#"
        [[route]]
        service = "rag"
        rev = 3
        split = [{ version = "^2", percent = 10 }, { version = "weird_tag", percent = 90 }]
        retry_budget = { percent = 50, min_per_second = 1 }
        hedge_after = "20ms"
        affinity_header = "X-User"
    "#;
    let config = resolve(&[], &[], file).expect("valid");
    let route = &config.routes[0];
    assert_eq!((route.rev, route.retry_percent, route.retry_min_per_second), (3, 50, 1));
    assert_eq!((route.hedge_after, route.affinity_header.as_str()), (Duration::from_millis(20), "x-user"));
    assert_eq!(route.split.iter().map(|s| s.percent).collect::<Vec<_>>(), [10, 90]);
}

#[test]
fn a_reload_takes_services_and_routes_and_names_the_rest() {
    let old = resolve(&["--service", "a=http://b"], &[], "").expect("valid");
    let new = resolve(&["--service", "a=http://c"], &[], "[[route]]\nservice = \"a\"").expect("valid");
    let reload = old.reloadable(&new);
    assert_eq!((reload.services.as_ref(), reload.routes.as_ref()), (Some(&new.services), Some(&new.routes)));
    assert!(!reload.needs_restart);
    let new = resolve(&["--service", "a=http://b", "--zone", "z"], &[], "").expect("valid");
    assert_eq!(old.reloadable(&new), Reload { services: None, routes: None, needs_restart: true });
}

#[test]
fn addresses_and_sizes_are_read() {
    let shown = |text: &str| text.parse::<HostPort>().map(|address| address.to_string()).ok();
    assert_eq!(shown("[fd00::5]:7946").as_deref(), Some("[fd00::5]:7946"));
    assert_eq!(shown("mesh.example.com:1").as_deref(), Some("mesh.example.com:1"));
    assert_eq!(shown("fd00::5:7946"), None);
    assert_eq!(parse::size("2GiB"), Some(2 << 30));
    assert_eq!(parse::size("18446744073709551615KiB"), None);
    assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
    assert_eq!(duration("0s"), Some(Duration::ZERO));
}

#[test]
fn a_key_file_named_by_a_flag_beats_the_key_in_the_environment() {
    let variables = [("MESHNODE_CLUSTER_KEY", "hunter2")];
    let config = resolve(&["--cluster-key-file=ring"], &variables, "").expect("valid");
    assert_eq!(config.cluster_key, ClusterKeySource::File("ring".into()));
    let config = resolve(&[], &variables, "cluster-key-file = \"ring\"").expect("valid");
    assert_eq!(config.cluster_key, ClusterKeySource::Given(Secret::new("hunter2")));
    assert!(!format!("{config:?}").contains("hunter2"), "a secret is shown");
}

#[test]
fn the_file_that_is_named_is_read_and_one_that_is_missing_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mesh.toml");
    std::fs::write(&path, "zone = \"file\"").expect("written");
    let environment = |file: &str| {
        let variables =
            [("HOME".to_owned(), "/home/me".to_owned()), ("MESHNODE_CONFIG".to_owned(), file.to_owned())];
        Environment { variables: variables.into(), host_name: String::new() }
    };
    let named = environment(path.to_str().expect("UTF-8"));
    let config = Config::load(&RunArgs::default(), &named).expect("valid");
    assert_eq!((config.zone.as_str(), config.name.as_str()), ("file", "node"));
    let error =
        Config::load(&RunArgs::default(), &environment("/nonexistent")).expect_err("no file").to_string();
    let expected = "environment variable MESHNODE_CONFIG: cannot read /nonexistent: No such file";
    assert!(error.starts_with(expected), "{error}");
}
