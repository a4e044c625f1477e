//! The program's exit codes and streams, as scripts see them.

#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn meshnode(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshnode")).args(args).env_clear().output().unwrap()
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
