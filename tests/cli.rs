//! The program's exit codes and streams, as scripts see them.

#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn meshnode(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshnode")).args(args).env_clear().output().unwrap()
}

fn meshedge(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshedge"));
    command.args(args).env_clear().envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_key_goes_to_standard_output_and_nothing_else_does() {
    let output = meshnode(&["keygen"]);
    assert_eq!(output.status.code(), Some(0));
    let key = text(&output.stdout);
    assert_eq!((key.len(), key.ends_with("=\n")), (45, true), "{key:?}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn no_node_is_exit_code_1_with_a_message_on_standard_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = meshnode(&["members", "--admin", &url]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    let expected = format!("meshnode: no node answers at {url}/; is `meshnode run` up? see --admin");
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
}

#[test]
fn bad_usage_is_exit_code_2() {
    for args in [
        &["members", "--admin", "7980"][..],
        &["members", "--admin-token-file", "/nowhere/token"],
        &["why"],
        &["nonsense"],
        &[],
    ] {
        let output = meshnode(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for args in [["--help"], ["--version"]] {
        let output = meshnode(&args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(text(&output.stdout).contains("meshnode"), "{args:?}");
    }
}

#[test]
fn a_closed_pipe_is_quiet() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshnode"));
    let child = command.arg("keygen").stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn what_meshedge_cannot_use_is_exit_code_2_and_named() {
    let good = ["--store", "file:/nowhere/summary.json", "--listen", "127.0.0.1:0"];
    for (args, variables, named) in [
        (&["--listen", "127.0.0.1:0"][..], &[][..], &["--store <STORE>"][..]),
        (&["--store", "redis:x", "--listen", "127.0.0.1:0"], &[], &["--store", "'redis:x'", "file:PATH"]),
        (&["--store", "file:x", "--listen", "8080"], &[], &["--listen", "'8080'", "IP:PORT"]),
        (&good, &[("MESHEDGE_CLUSTER", "a b")], &["--cluster", "'a b'", "1 to 63 letters"]),
        (&good, &[("MESHEDGE_SEED", "http://n1,ftp://n2")], &["--seed", "'ftp://n2'", "http:// or https://"]),
        (&good, &[("MESHEDGE_MAX_HEADER", "1")], &["--max-header", "'1'", "8KiB to 1MiB"]),
        (&good, &[("MESHEDGE_LOG", "loud")], &["--log", "'loud'", "trace, debug"]),
        (&good, &[("MESHEDGE_TLS_CERT", "cert.pem")], &["--tls-key"]),
        (
            &good,
            &[("MESHEDGE_TLS_CERT", "/nowhere/c"), ("MESHEDGE_TLS_KEY", "k")],
            &["--tls-cert", "/nowhere/c"],
        ),
        (&good, &[("MESHEDGE_EDGE_SECRET_FILE", "/nowhere/s")], &["--edge-secret-file", "/nowhere/s"]),
        (&good, &[("MESHEDGE_ADMIN_TOKEN_FILE", "/nowhere/t")], &["--admin-token-file", "/nowhere/t"]),
        (
            &["--store", "cloudflare:a/b", "--listen", "127.0.0.1:0"],
            &[],
            &["--store", "CLOUDFLARE_API_TOKEN"],
        ),
    ] {
        let output = meshedge(args, variables);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?} {variables:?}: {said}");
        assert!(named.iter().all(|word| said.contains(word)), "{args:?} {variables:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
}

#[test]
fn every_flag_of_meshedge_is_a_variable_and_an_empty_one_is_not_set() {
    let help = meshedge(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    let flags = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let flags: Vec<&str> =
        flags.filter(|flag| !["help", "version"].contains(flag) && !flag.ends_with(',')).collect();
    assert!(flags.len() > 12, "{flags:?}");
    for flag in flags {
        let variable = format!("MESHEDGE_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{variable} is not in {help}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let set =
        [("MESHEDGE_STORE", "file:/nowhere/x"), ("MESHEDGE_LISTEN", &listen), ("MESHEDGE_TLS_CERT", "")];
    let output = meshedge(&[], &set);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("--listen {listen}")), "the rest was accepted: {said}");
}
