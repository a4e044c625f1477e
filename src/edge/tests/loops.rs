//! Edges that are taken for nodes.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::fake::{FakeNode, edge, edge_without_secret, summary};
use crate::router::proxy::tests::harness::{ask, backend, body, header, status};

#[tokio::test]
async fn what_was_an_edges_already_goes_no_further() {
    let other = edge(&[]).await;
    let answer = ask(other.addr, "GET /api/service/rag/", "x-mesh-edge: unsigned\r\n", "").await;
    let told = |name| header(&answer, name);
    assert_eq!((status(&answer), told("x-mesh-error"), told("x-mesh-tries")), (508, Some("loop"), Some("0")));
    let health = ask(other.addr, "GET /health", "x-mesh-edge: unsigned\r\n", "").await;
    assert_eq!((status(&health), header(&health, "x-mesh-tries")), (200, Some("0")));

    let node = FakeNode::start(&[other.addr]).await;
    // It learns of the other edge by the live list, so that a request finds out.
    let serving = edge(&[node.addr]).await;
    let mut tries = 0;
    for _ in 0..20 {
        let answer = ask(serving.addr, "POST /api/service/rag/", "", "x").await;
        assert_eq!(status(&answer), 200, "{answer}");
        tries += header(&answer, "x-mesh-tries").and_then(|tries| tries.parse::<u32>().ok()).unwrap();
    }
    assert!(tries > 20, "the other edge was tried, too");
    assert_eq!(node.count("POST"), 20);
}

#[tokio::test]
async fn that_an_edge_is_there_is_no_sign_of_a_node() {
    let (other, node) = (edge(&[]).await, FakeNode::start(&[]).await);
    for (addr, is_there) in [(other.addr, false), (node.addr, true)] {
        let serving = edge(&[addr]).await;
        let edge = &serving.edge;
        edge.directory.read_store().await;
        let node = edge.directory.pick(&[]).unwrap();
        assert_eq!(edge.is_there(&node).await, is_there);
    }
}

#[tokio::test]
async fn an_edge_without_a_secret_can_be_told_as_well() {
    let node = backend(|request| async move {
        let marked = request.headers().get("x-mesh-edge").is_some_and(|mark| mark == "unsigned");
        let body = if request.uri().path() == "/.mesh/summary" {
            summary([request.headers()["host"].to_str().unwrap().to_owned()].into_iter())
        } else {
            marked.to_string()
        };
        Response::new(Full::new(Bytes::from(body)))
    })
    .await;
    let serving = edge_without_secret(&[node]).await;
    assert_eq!(body(&ask(serving.addr, "GET /api/service/rag/", "", "").await), "true");
}
