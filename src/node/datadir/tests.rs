//! Locking, keys, epochs, and what becomes of damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Environment, RunArgs};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn open() -> (TempDir, DataDir) {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = DataDir::open(&temporary.path().join("state/meshnode")).expect("opened");
    (temporary, dir)
}

fn config(flags: &[&str]) -> Config {
    let args = RunArgs::parse_from([&["run"], flags].concat());
    let variables = [("HOME", "/home/me"), ("MESHNODE_IDENTITY_SEED", "0123456789abcdef")];
    let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Config::resolve(&args, None, &Environment { variables, host_name: "box".to_owned() }).expect("valid")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[test]
fn a_second_node_is_told_the_pid_of_the_first() {
    let (_temporary, dir) = open();
    let error = DataDir::open(dir.path()).expect_err("locked");
    let expected = format!("is in use by another node (pid {})", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.exit_code(), 2);
    let path = dir.path().to_owned();
    drop(dir);
    DataDir::open(&path).expect("free again");
}

#[test]
fn what_is_created_is_for_its_owner_alone() {
    let (_temporary, dir) = open();
    dir.identity(&config(&[])).expect("made");
    dir.cluster_key(&config(&[])).expect("made");
    assert_eq!(mode(dir.path()), 0o700);
    for name in ["identity.key", "cluster.key", "lock"] {
        assert_eq!(mode(&dir.path().join(name)), 0o600, "{name}");
    }
}

#[test]
fn an_identity_is_made_once_and_never_overwritten() {
    let (_temporary, dir) = open();
    let id = dir.identity(&config(&[])).expect("made").id();
    assert_eq!(dir.identity(&config(&[])).expect("read").id(), id);
    let path = dir.path().join("identity.key");
    for damage in ["", "AAEC", "not base64 at all"] {
        fs::write(&path, damage).expect("written");
        let error = dir.identity(&config(&[])).expect_err("damaged");
        assert!(
            error.to_string().contains("identity.key is damaged: it is not 32 bytes in base64"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).expect("there"), damage);
    }
}

#[test]
fn a_derived_identity_depends_on_seed_cluster_and_name() {
    let (_temporary, dir) = open();
    let id = |flags: &[&str]| dir.identity(&config(flags)).expect("derived").id().to_string();
    let first = id(&["--identity=derived", "--name=a"]);
    assert_eq!(first, id(&["--identity=derived", "--name=a"]));
    assert_ne!(first, id(&["--identity=derived", "--name=b"]));
    assert_ne!(first, id(&["--identity=derived", "--name=a", "--cluster=other"]));
    assert!(!dir.path().join("identity.key").exists());
}

#[test]
fn a_cluster_key_is_made_only_without_anybody_to_join() {
    let (_temporary, dir) = open();
    let error = dir.cluster_key(&config(&["--join=a:1"])).expect_err("no key");
    assert!(error.to_string().contains("--cluster-key-file or MESHNODE_CLUSTER_KEY"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let sealing = |flags: &[&str]| dir.cluster_key(&config(flags)).expect("a key").sealing().clone();
    assert_eq!(sealing(&[]), sealing(&["--join=a:1"]));
    let path = dir.path().join("ring");
    fs::write(&path, format!("{KEY}\n\n")).expect("written");
    let flag = format!("--cluster-key-file={}", path.display());
    assert_eq!(sealing(&[&flag]).to_base64(), KEY);
    fs::write(&path, "hunter2").expect("written");
    let error = dir.cluster_key(&config(&[&flag])).expect_err("no key");
    assert!(
        error.to_string().contains("ring: line 1 is not a cluster key; expected 32 bytes in base64"),
        "{error}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let error = dir.cluster_key(&config(&["--cluster-key-file=/nonexistent"])).expect_err("no file");
    let text = error.to_string();
    assert!(text.starts_with("--cluster-key-file: cannot read /nonexistent: No such file"), "{text}");
    assert!(std::error::Error::source(&error).is_none(), "it would be said twice");
}

#[test]
fn an_epoch_rises_with_every_boot_even_when_the_clock_goes_back() {
    let (_temporary, dir) = open();
    assert_eq!(dir.next_epoch(1_000).expect("written"), 1_000);
    assert_eq!(dir.next_epoch(1_000).expect("written"), 1_001);
    assert_eq!(dir.next_epoch(5).expect("written"), 1_002);
    assert_eq!(dir.raise_epoch(2_000).expect("written"), 2_001);
    assert_eq!(dir.raise_epoch(7).expect("written"), 2_002);
    assert_eq!(dir.next_epoch(1_000).expect("written"), 2_003);
    assert_eq!(dir.raise_epoch(u64::MAX).expect("written"), u64::MAX);
}

#[test]
fn files_that_can_be_made_anew_do_not_stop_a_node() {
    let (_temporary, dir) = open();
    let addrs: Vec<SocketAddr> =
        vec!["10.0.0.1:7946".parse().expect("valid"), "[fd00::1]:1".parse().expect("valid")];
    assert_eq!(dir.peers().expect("none"), []);
    dir.write_peers(&addrs).expect("written");
    assert_eq!(dir.peers().expect("read"), addrs);
    assert_eq!(dir.write_record().expect("none"), None);
    dir.set_write_record(b"record").expect("written");
    assert_eq!(dir.write_record().expect("read").as_deref(), Some(b"record".as_slice()));
    let flipped = fs::read(dir.path().join("write-record")).expect("there");
    fs::write(dir.path().join("write-record"), &flipped[..flipped.len() - 1]).expect("written");
    fs::write(dir.path().join("peers.json"), "[\"10.0").expect("written");
    fs::write(dir.path().join("epoch"), vec![b'1'; 100]).expect("written");
    assert_eq!(dir.write_record().expect("rebuilt"), None);
    assert_eq!(dir.peers().expect("rebuilt"), []);
    assert_eq!(dir.next_epoch(1_000).expect("rebuilt"), 1_000);
}

#[test]
fn a_crash_while_writing_leaves_the_old_content() {
    let (_temporary, dir) = open();
    dir.set_write_record(b"old").expect("written");
    fs::write(dir.path().join("write-record.new"), "half").expect("written");
    assert_eq!(dir.write_record().expect("read").as_deref(), Some(b"old".as_slice()));
    dir.set_write_record(b"new").expect("written");
    assert_eq!(dir.write_record().expect("read").as_deref(), Some(b"new".as_slice()));
}

#[test]
fn run_time_services_are_kept_and_damage_is_named() {
    let (_temporary, dir) = open();
    assert_eq!(dir.services().expect("none"), []);
    let services = config(&["--service=rag=http://a:1", "--service=up=https://b/x"]).services;
    dir.write_services(&services).expect("written");
    assert_eq!(dir.services().expect("read"), services);
    let path = dir.path().join("services.json");
    fs::write(&path, "[{\"name\":\"rag\",\"url\":\"ftp://a\"}]").expect("written");
    let error = dir.services().expect_err("damaged").to_string();
    assert!(error.contains("services.json is damaged: field rag.url: 'ftp://a' is not accepted"), "{error}");
    fs::write(&path, "[").expect("written");
    assert!(dir.services().expect_err("damaged").to_string().contains("services.json is damaged: EOF"));
}
