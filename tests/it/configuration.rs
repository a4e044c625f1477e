//! Bad input to the real program: exit code 2, and a message that names the key, the value and what is accepted.

use std::net::{TcpListener, UdpSocket};

use anyhow::Context;

use crate::support::{Ended, World, meshnode};

/// Each line: arguments, environment, and words that the message must have.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

const BAD: &[Case] = &[
    (&["--tier", "9"], &[], &["--tier", "9"]),
    (&["--tier", "high"], &[], &["--tier", "high"]),
    (&["--service", "Rag=http://127.0.0.1:1"], &[], &["service", "Rag", "a-z"]),
    (&["--service", "rag=ftp://127.0.0.1"], &[], &["service", "ftp://127.0.0.1", "http"]),
    (&["--service", "rag"], &[], &["service", "rag"]),
    (&["--service", "a=http://h:1", "--service", "a=http://h:2"], &[], &["'a'", "twice"]),
    (&["--election-hold", "soon"], &[], &["--election-hold", "soon", "5s"]),
    (&["--bind", "nonsense"], &[], &["--bind", "nonsense"]),
    (&["--join", "no port"], &[], &["--join", "no port"]),
    (&["--store", "s3:bucket"], &[], &["--store", "s3:bucket", "file:", "cloudflare:"]),
    (&["--ingress", "0.0.0.0:0"], &[], &["--ingress", "--ingress-open"]),
    (&["--admin", "0.0.0.0:0"], &[], &["--admin", "admin-token-file"]),
    (&["--edge-listen", "127.0.0.1:0"], &[], &["--edge-listen", "edge-secret-file"]),
    (&["--public-url", "https://n1.example.com"], &[], &["--public-url", "edge-listen"]),
    (&["--identity", "borrowed"], &[], &["--identity", "borrowed", "derived"]),
    (&["--log-format", "xml"], &[], &["--log-format", "xml", "json"]),
    (&["--no-such-flag"], &[], &["--no-such-flag"]),
    (&["--config", "/no/such/file.toml"], &[], &["/no/such/file.toml"]),
    (&[], &[("MESHNODE_TIER", "9")], &["MESHNODE_TIER", "9"]),
    (&[], &[("MESHNODE_SERVICE_RAG", "ftp://h")], &["MESHNODE_SERVICE_RAG", "ftp://h"]),
    (&[], &[("MESHNODE_CLUSTER_KEY", "short")], &["MESHNODE_CLUSTER_KEY", "32 bytes"]),
];

#[tokio::test]
async fn bad_flags_and_variables_are_named_with_what_is_accepted() -> anyhow::Result<()> {
    let world = World::new()?;
    for (args, env, words) in BAD {
        let ended = refused(&world, args, env).await?;
        check(&ended, 2, words, &format!("{args:?} {env:?}"));
    }
    world.passed()
}

#[tokio::test]
async fn bad_files_are_named_with_the_line() -> anyhow::Result<()> {
    let world = World::new()?;
    for (content, words) in [
        ("tier = 9\n", ["tier", "9"]),
        ("colour = \"red\"\n", ["colour", "line 1"]),
        ("tier = \n", ["n.toml", "line 1"]),
        ("\n[[service]]\nname = \"rag\"\n", ["url", "n.toml"]),
        ("[[service]]\nname = \"rag\"\nurl = \"http://h:1\"\ninterval = \"never\"\n", ["interval", "never"]),
        ("[[service]]\nname = \"rag\"\nurl = \"http://h:1\"\nspeed = 3\n", ["speed", "n.toml"]),
    ] {
        let file = world.write("n.toml", content)?.display().to_string();
        let ended = refused(&world, &["--config", &file], &[]).await?;
        check(&ended, 2, &words, content);
    }
    world.passed()
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_at_its_source() -> anyhow::Result<()> {
    let world = World::new()?;
    let tags = (0..8).map(|tag| format!("\"{tag}{}\"", "x".repeat(60))).collect::<Vec<_>>().join(", ");
    let services: String = (0..200)
        .map(|n| format!("[[service]]\nname = \"s{n}\"\nurl = \"http://127.0.0.1:1\"\ntags = [{tags}]\n"))
        .collect();
    let file = world.write("n.toml", &services)?.display().to_string();
    let ended = refused(&world, &["--config", &file], &[]).await?;
    check(&ended, 2, &["manifest", "65536"], "200 services with long tags");
    world.passed()
}

#[tokio::test]
async fn a_joining_node_without_a_key_says_how_to_get_it() -> anyhow::Result<()> {
    let world = World::new()?;
    let dir = world.path("n1").display().to_string();
    let ended =
        meshnode(&["run", "--data-dir", &dir, "--join", "127.0.0.1:1", "--bind", "127.0.0.1:0"], &[]).await?;
    check(&ended, 2, &["cluster-key", "MESHNODE_CLUSTER_KEY"], "--join without a key");
    world.passed()
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let tcp_addr = tcp.local_addr()?.to_string();
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let udp_addr = udp.local_addr()?.to_string();
    for (flag, addr) in
        [("--ingress", &tcp_addr), ("--admin", &tcp_addr), ("--bind", &tcp_addr), ("--bind", &udp_addr)]
    {
        let ended = refused(&world, &[flag, addr], &[]).await?;
        check(&ended, 2, &[flag, addr, "in use"], flag);
    }
    world.passed()
}

#[tokio::test]
async fn a_second_node_on_a_data_dir_names_the_first() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let ended = refused(&world, &[], &[]).await?;
    check(
        &ended,
        2,
        &[&n1.node.pid().to_string(), &world.path("n1").display().to_string()],
        "the same data dir",
    );
    assert!(n1.admin.is_ready().await?);
    world.passed()
}

/// Runs the node `n1` with further arguments, which stand last so that they win where a flag may be repeated.
async fn refused(world: &World, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Ended> {
    let (dir, key) =
        (world.path("n1").display().to_string(), world.path("cluster.key").display().to_string());
    let mut line = vec!["run", "--data-dir", &dir];
    if !env.iter().any(|(name, _)| *name == "MESHNODE_CLUSTER_KEY") {
        line.extend(["--cluster-key-file", &key]);
    }
    for listener in ["--bind", "--ingress", "--admin"] {
        if !args.contains(&listener) {
            line.extend([listener, "127.0.0.1:0"]);
        }
    }
    line.extend(args);
    meshnode(&line, env).await.with_context(|| format!("{args:?} {env:?}"))
}

fn check(ended: &Ended, code: i32, words: &[&str], case: &str) {
    assert_eq!(ended.code, Some(code), "{case}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{case}: the message does not name {word}: {}", ended.stderr);
    }
    assert!(ended.stdout.is_empty(), "{case}: {}", ended.stdout);
}
