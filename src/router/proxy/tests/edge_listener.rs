//! The edge listener: signed requests only, and what edges may read of the admin API.

use aws_lc_rs::hmac;
use axum::routing::get;
use tokio::net::TcpListener;

use super::harness::*;
use crate::clock::unix_now;
use crate::router::proxy::EdgeSecrets;

fn signed(method: &str, target: &str, nonce: &str, service: &str) -> String {
    let t = unix_now().as_secs();
    let text = format!("{t}\n{nonce}\n{method}\n{target}\nhere\n192.0.2.7\n{service}\n\n");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef"), text.as_bytes());
    let sig: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "x-mesh-edge: kid=k,t={t},n={nonce},ip=192.0.2.7,sig={sig}\r\nx-forwarded-proto: https\r\nx-forwarded-host: www.example.com\r\n"
    )
}

#[tokio::test]
async fn only_signed_requests_pass_the_edge_listener() {
    let nodes = mesh(vec![vec![], vec![service("echo", echo().await)]]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = listener.local_addr().unwrap();
    let secrets = EdgeSecrets::parse("k:MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
    let admin =
        axum::Router::new().route("/api/admin/workers", get(async || "[]")).fallback(async || "secret");
    let serving =
        nodes[0].proxy.clone().serve_edge(listener, None, secrets, Some(admin), nodes[0].stop.clone());
    tokio::spawn(serving);

    assert_eq!(status(&ask(edge, "GET /health", "", "").await), 200);
    let unsigned = ask(edge, "POST /api/service/echo/", "", "x").await;
    assert_eq!((status(&unsigned), header(&unsigned, "x-mesh-error")), (403, Some("edge_signature")));
    assert_eq!(header(&unsigned, "x-mesh-retry"), Some("1"));
    assert!(header(&unsigned, "date").is_some(), "{unsigned}");

    let target = "/api/service/echo/a%20b?c=d";
    let headers = signed("POST", target, "n1", "");
    let answer = ask(edge, &format!("POST {target}"), &headers, "x").await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(body(&answer).contains("\nx-forwarded-for: 192.0.2.7\n"), "{answer}");
    assert!(body(&answer).contains("\nx-forwarded-proto: https\n"), "{answer}");
    assert!(body(&answer).contains("\nx-forwarded-host: www.example.com\n"), "{answer}");
    assert!(body(&answer).contains("\nhost: www.example.com\n"), "links would lead past the edge: {answer}");
    assert!(!body(&answer).contains("x-mesh-edge"), "{answer}");
    let again = ask(edge, &format!("POST {target}"), &headers, "x").await;
    assert_eq!(header(&again, "x-mesh-error"), Some("edge_signature"), "a nonce is good once");

    let spoofed =
        ask(nodes[0].ingress, "GET /api/service/echo/", "x-forwarded-host: public.example\r\n", "").await;
    assert!(body(&spoofed).contains("\nx-forwarded-host: here\n"), "only edges are believed: {spoofed}");

    let workers =
        ask(edge, "GET /api/admin/workers", &signed("GET", "/api/admin/workers", "n2", ""), "").await;
    assert_eq!((status(&workers), body(&workers)), (200, "[]"), "{workers}");
    for (index, (method, path)) in
        [("GET", "/api/admin/leader"), ("POST", "/api/admin/workers"), ("POST", "/api/admin/leave")]
            .into_iter()
            .enumerate()
    {
        let headers = signed(method, path, &format!("m{index}"), "");
        let answer = ask(edge, &format!("{method} {path}"), &headers, "").await;
        assert_eq!(status(&answer), 404, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_full_edge_listener_leaves_the_ingress_alone() {
    let nodes = mesh_with(vec![vec![]], |config| config.max_connections = 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = listener.local_addr().unwrap();
    let secrets = EdgeSecrets::parse("k:MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
    tokio::spawn(nodes[0].proxy.clone().serve_edge(listener, None, secrets, None, nodes[0].stop.clone()));
    let _held = tokio::net::TcpStream::connect(edge).await.unwrap();
    for _ in 0..3 {
        assert_eq!(status(&ask(nodes[0].ingress, "GET /health", "", "").await), 200);
    }
}
