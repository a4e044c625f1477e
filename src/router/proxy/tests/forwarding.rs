//! What reaches the service, and what reaches the client.

use super::harness::*;

/// Two nodes: the first has no service, so that its requests cross a link.
async fn pair() -> Vec<Node> {
    let echo = echo().await;
    mesh(vec![vec![], vec![service("echo", echo)]]).await
}

/// Asks for the echo at the node where it runs, and at the other one.
async fn everywhere(line: &str, headers: &str, sent: &str, check: impl Fn(&str)) {
    let nodes = pair().await;
    for node in [&nodes[1], &nodes[0]] {
        let answer = ask(node.ingress, line, headers, sent).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "x-mesh-worker"), Some(nodes[1].id.to_string().as_str()));
        assert_eq!(header(&answer, "x-mesh-attempts"), Some("1"));
        check(body(&answer));
    }
}

#[tokio::test]
async fn path_query_method_and_body_arrive_untouched() {
    everywhere("PATCH /api/service/echo/a%2Fb//c;x?q=1&q=%20+%C3%A4&&=", "", "hello", |got| {
        assert!(got.starts_with("PATCH /a%2Fb//c;x?q=1&q=%20+%C3%A4&&=\n"), "{got}");
        assert!(got.contains("\ncontent-length: 5\n"), "{got}");
        assert!(got.ends_with("\n\nhello"), "{got}");
    })
    .await;
}

#[tokio::test]
async fn a_service_without_a_path_means_its_root() {
    everywhere("GET /api/service/echo?x=1", "", "", |got| assert!(got.starts_with("GET /?x=1\n"), "{got}"))
        .await;
}

#[tokio::test]
async fn the_ingress_says_who_asks_and_the_client_cannot() {
    let lies = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-host: evil\r\nx-forwarded-proto: https\r\n\
                forwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nx-mesh-hop: 9\r\nx-mesh-load: 1\r\n\
                x-mesh-tunnel: websocket\r\nx-envoy-x: 1\r\n";
    everywhere("GET /api/service/echo/", lies, "", |got| {
        assert!(got.contains("\nx-forwarded-for: 127.0.0.1\n"), "{got}");
        assert!(got.contains("\nx-forwarded-host: here\n"), "{got}");
        assert!(got.contains("\nx-forwarded-proto: http\n"), "{got}");
        assert!(got.contains("\nx-forwarded-prefix: /api/service/echo"), "{got}");
        assert!(got.contains("\nhost: here\n"), "{got}");
        assert!(got.contains("\nvia: 1.1 12D3"), "{got}");
        for lie in ["6.6.6.6", "evil", "x-mesh", "x-envoy", "https"] {
            assert!(!got.contains(lie), "{lie} in {got}");
        }
    })
    .await;
}

#[tokio::test]
async fn hop_by_hop_headers_of_every_connection_line_end_here() {
    let lines = "connection: x-one, keep-alive\r\nconnection: x-two, authorization, x-mesh-version\r\nx-one: 1\r\nx-two: 2\r\n\
                 keep-alive: 5\r\nproxy-connection: close\r\nproxy-authorization: secret\r\nte: trailers, deflate\r\n\
                 upgrade: h2c\r\nauthorization: Bearer token\r\nx-three: 3\r\nexpect: 100-continue\r\n";
    everywhere("GET /api/service/echo/", lines, "", |got| {
        for gone in ["x-one", "x-two", "keep-alive", "proxy-", "upgrade", "deflate", "expect"] {
            assert!(!got.contains(gone), "{gone} in {got}");
        }
        assert!(got.contains("\nauthorization: Bearer token\n"), "{got}");
        assert!(got.contains("\nte: trailers\n"), "{got}");
        assert!(got.contains("\nx-three: 3\n"), "{got}");
    })
    .await;
}

#[tokio::test]
async fn a_host_name_of_the_mesh_and_a_header_route_too() {
    let nodes = pair().await;
    let by_host = raw(
        nodes[0].ingress,
        "GET /api/service/other/x?y HTTP/1.1\r\nhost: echo.mesh:8080\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(body(&by_host).starts_with("GET /api/service/other/x?y\n"), "{by_host}");
    assert!(!by_host.contains("x-forwarded-prefix"), "{by_host}");
    let by_header = ask(nodes[0].ingress, "GET /health", "x-mesh-service: echo\r\n", "").await;
    assert!(body(&by_header).starts_with("GET /health\n"), "{by_header}");
}

#[tokio::test]
async fn a_services_own_headers_travel_back_but_for_those_of_the_mesh_and_of_the_hop() {
    let backend = canned(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nretry-after: 7\r\nx-mesh-retry: 1\r\nx-mesh-error: lie\r\n\
         x-mesh-load: 99\r\nconnection: x-hop\r\nx-hop: 1\r\nlocation: /elsewhere\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nno",
    )
    .await;
    let nodes = mesh(vec![vec![], vec![service("sick", backend)]]).await;
    for node in &nodes {
        let answer = ask(node.ingress, "POST /api/service/sick/", "", "x").await;
        assert_eq!(status(&answer), 503, "a service's own error passes: {answer}");
        assert_eq!(header(&answer, "retry-after"), Some("7"));
        assert_eq!(header(&answer, "location"), Some("/elsewhere"));
        assert_eq!(answer.matches("set-cookie").count(), 2, "{answer}");
        assert!(
            !answer.contains("x-mesh-retry") && !answer.contains("lie") && !answer.contains("99"),
            "{answer}"
        );
        assert!(!answer.contains("x-hop"), "{answer}");
        assert_eq!(body(&answer), "no");
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length() {
    let backend = canned("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\nconnection: close\r\n\r\n").await;
    let nodes = mesh(vec![vec![], vec![service("big", backend)]]).await;
    for node in &nodes {
        let answer = ask(node.ingress, "HEAD /api/service/big/", "", "").await;
        assert_eq!((status(&answer), header(&answer, "content-length")), (200, Some("1234")), "{answer}");
    }
}

#[tokio::test]
async fn only_the_version_and_the_worker_asked_for_serve() {
    let old = echo().await;
    let new = echo().await;
    let mut second = service("echo", new);
    second.version = "2.1.0".to_owned();
    let nodes = mesh(vec![vec![service("echo", old)], vec![second]]).await;
    for _ in 0..5 {
        let answer = ask(nodes[0].ingress, "GET /api/service/echo/", "x-mesh-version: ^2\r\n", "").await;
        assert_eq!(header(&answer, "x-mesh-worker"), Some(nodes[1].id.to_string().as_str()));
        let worker = format!("x-mesh-worker: {}\r\nx-mesh-explain: 1\r\n", nodes[0].id);
        let answer = ask(nodes[0].ingress, "GET /api/service/echo/", &worker, "").await;
        assert_eq!(header(&answer, "x-mesh-worker"), Some(nodes[0].id.to_string().as_str()));
        assert!(header(&answer, "x-mesh-explain").is_some(), "{answer}");
    }
    let answer = ask(nodes[0].ingress, "GET /api/service/echo/", "x-mesh-version: ^x\r\n", "").await;
    assert_eq!((status(&answer), header(&answer, "x-mesh-error")), (400, Some("bad_request")));
}

#[tokio::test]
async fn the_list_of_services_has_a_tag_and_is_open_to_all_origins() {
    let nodes = pair().await;
    let answer = ask(nodes[0].ingress, "GET /api/services", "", "").await;
    let list: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(list["services"][0]["name"], "echo");
    assert_eq!(list["services"][0]["healthy"], 1);
    assert_eq!(list["services"][0]["versions"]["1.0.0"], 1);
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    let tag = header(&answer, "etag").unwrap();
    let again = ask(nodes[0].ingress, "GET /api/services", &format!("if-none-match: {tag}\r\n"), "").await;
    assert_eq!((status(&again), body(&again)), (304, ""));
    let summary = ask(nodes[0].ingress, "GET /.mesh/summary", "", "").await;
    assert_eq!((status(&summary), body(&summary)), (200, r#"{"v":1}"#));
    assert!(header(&summary, "etag").is_some());
}

#[tokio::test]
async fn the_tag_of_the_summary_changes_with_its_content_but_not_with_time_alone() {
    let nodes = pair().await;
    let tag = async |summary: &str| {
        nodes[0].summary.send_replace(summary.into());
        let answer = ask(nodes[0].ingress, "GET /.mesh/summary", "", "").await;
        assert_eq!(body(&answer), summary);
        header(&answer, "etag").map(str::to_owned).unwrap()
    };
    let first =
        tag(r#"{"term":3,"at":"2026-11-23T08:51:24Z","slot":8,"observed_at":"2026-11-23T08:51:24Z"}"#).await;
    let later =
        tag(r#"{"term":3,"at":"2026-11-23T09:00:00Z","slot":9,"observed_at":"2026-11-23T09:00:00Z"}"#).await;
    let other =
        tag(r#"{"term":4,"at":"2026-11-23T09:00:00Z","slot":9,"observed_at":"2026-11-23T09:00:00Z"}"#).await;
    assert_eq!(first, later);
    assert_ne!(later, other);
}

#[tokio::test]
async fn health_is_503_while_the_node_drains() {
    let nodes = pair().await;
    let health = ask(nodes[0].ingress, "GET /health", "", "").await;
    assert_eq!(status(&health), 200);
    nodes[0].views.send_modify(|view| std::sync::Arc::make_mut(view).draining = true);
    let health = ask(nodes[0].ingress, "GET /health", "", "").await;
    assert_eq!(status(&health), 503);
}

#[tokio::test]
async fn a_backends_host_policy_and_base_path_hold() {
    let echo = echo().await;
    let mut config = service("echo", echo);
    config.url = format!("http://{echo}/base/").parse().unwrap();
    config.host = crate::manifest::HostPolicy::Backend;
    let nodes = mesh(vec![vec![], vec![config]]).await;
    let answer = ask(nodes[0].ingress, "GET /api/service/echo/x", "", "").await;
    assert!(body(&answer).starts_with("GET /base/x\n"), "{answer}");
    assert!(body(&answer).contains(&format!("\nhost: {echo}\n")), "{answer}");
}
