//! Versions, and requests that no instance can take.

use anyhow::ensure;
use bytes::Bytes;
use http::{Method, StatusCode};
use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::{SOON, World, eventually, one_mesh};

#[tokio::test]
async fn a_new_version_shows_everywhere_and_can_be_asked_for() -> anyhow::Result<()> {
    let world = World::new()?;
    let (a, b) =
        (Sample::start(Kind::Echo, "n1", "1.0.0").await?, Sample::start(Kind::Echo, "n2", "1.0.0").await?);
    let n1 = world.node("n1").service(&a).start().await?;
    let n2 = world.node("n2").join(&n1).service(&b).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    n1.sees_healthy("echo", 2, SOON).await?;

    b.set_version("2.1.0");
    for observer in [&n1, &n2] {
        let rolled_out = async || {
            let services: Value = observer.admin.get_json("/api/admin/services").await?;
            let echo = &services["echo"];
            ensure!(echo["versions"] == serde_json::json!({"1.0.0": 1, "2.1.0": 1}), "{echo}");
            ensure!(echo["version_drift"] == true, "{echo}");
            Ok(())
        };
        eventually(SOON, rolled_out).await?;
    }
    for (selector, expected) in [("^2", n2.id()), ("1.0.0", n1.id()), (">=2, <3", n2.id())] {
        for entry in [&n1, &n2] {
            let headers = [("x-mesh-version", selector)];
            let answer =
                world.client.send(Method::GET, &entry.url("echo", ""), &headers, Bytes::new()).await?;
            assert_eq!(answer.header("x-mesh-worker"), expected, "{selector}: {}", answer.text());
        }
    }
    let headers = [("x-mesh-version", "^9")];
    let answer = world.client.send(Method::GET, &n1.url("echo", ""), &headers, Bytes::new()).await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = answer.json()?;
    assert_eq!(body["instances"][0]["reason"], "version_mismatch", "{body}");
    world.passed()
}

#[tokio::test]
async fn malformed_requests_are_refused_with_a_reason() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let ingress = n1.node.ready().ingress.clone();
    let call = async |path: &str, headers: &[(&str, &str)]| {
        world.client.send(Method::GET, &format!("{ingress}{path}"), headers, Bytes::new()).await
    };
    let large = "x".repeat(80 * 1024);
    for (path, headers, expected) in [
        ("/api/service/Not_A_Name/x", vec![], StatusCode::BAD_REQUEST),
        ("/api/service/echo/x", vec![("x-mesh-version", "^not.a.version")], StatusCode::BAD_REQUEST),
        ("/api/service/echo/x", vec![("x-mesh-worker", "nobody")], StatusCode::BAD_REQUEST),
        (
            "/api/service/echo/x",
            vec![("x-large", large.as_str())],
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
    ] {
        let answer = call(path, &headers).await?;
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
        assert!(!answer.header("x-mesh-error").is_empty(), "{path}: {:?}", answer.headers);
    }
    let answer = call("/api/service/echo/x", &[]).await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "the node is unharmed");
    world.passed()
}
