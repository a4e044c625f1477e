//! What clients must not get away with, on raw sockets.

use super::harness::*;

async fn node() -> Vec<Node> {
    let echo = echo().await;
    mesh(vec![vec![service("echo", echo)]]).await
}

async fn is_refused(node: &Node, request: &str, code: u16) {
    let answer = raw(node.ingress, request).await;
    assert_eq!(status(&answer), code, "{request:?} got {answer:?}");
    assert!(header(&answer, "x-mesh-error").is_some(), "{request:?} got {answer:?}");
}

#[tokio::test]
async fn malformed_requests_are_4xx_with_a_reason() {
    let nodes = node().await;
    for request in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: here\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: here\r\nx: \0\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nhost: here\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: nonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a@b\r\nconnection: close\r\n\r\n",
        "GET http://other/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n",
    ] {
        is_refused(&nodes[0], request, 400).await;
    }
}

#[tokio::test]
async fn a_request_for_a_websocket_has_no_body_and_another_one_no_tunnel() {
    let nodes = node().await;
    let wish = "host: here\r\nconnection: upgrade, close\r\nupgrade: websocket";
    for length in ["content-length: 5\r\n\r\nGET /", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"] {
        is_refused(&nodes[0], &format!("GET /api/service/echo/ HTTP/1.1\r\n{wish}\r\n{length}"), 400).await;
    }
    let post = format!("POST /api/service/echo/ HTTP/1.1\r\n{wish}\r\ncontent-length: 5\r\n\r\nwhole");
    let answer = raw(nodes[0].ingress, &post).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.ends_with("whole"), "{answer}");
}

#[tokio::test]
async fn paths_that_lead_out_and_names_that_are_none_are_400() {
    let nodes = node().await;
    for path in [
        "/api/service/echo/../../admin",
        "/api/service/echo/..",
        "/api/service/echo/a/..%2f..%2Fx",
        "/api/service/echo/..;/x",
        "/api/service/echo/a/%2e%2e%3bb=c/..;d/x",
        "/api/service/echo/%2e%2E/x",
        "/api/service/echo/..%5cx",
        "/api/service/echo%2Fx",
        "/api/service/echo%00/",
        "/api/service/ECHO/",
        "/api/service//x",
        "/../x",
    ] {
        is_refused(
            &nodes[0],
            &format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"),
            400,
        )
        .await;
    }
    let inside = ask(nodes[0].ingress, "GET /api/service/echo/a/../b%2Fc", "", "").await;
    assert!(body(&inside).starts_with("GET /a/../b%2Fc\n"), "{inside}");
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let echo = echo().await;
    let nodes = mesh_with(vec![vec![service("echo", echo)]], |config| config.max_body = Some(1000)).await;
    let long = format!("x: {}\r\n", "a".repeat(70 * 1024));
    let many: String = (0..120).map(|n| format!("x-{n}: 1\r\n")).collect();
    for headers in [long, many] {
        let request =
            format!("GET /api/service/echo/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{headers}\r\n");
        is_refused(&nodes[0], &request, 431).await;
    }
    let large = "x".repeat(1001);
    for method in ["POST", "PUT"] {
        let announced = ask(nodes[0].ingress, &format!("{method} /api/service/echo/"), "", &large).await;
        assert_eq!((status(&announced), header(&announced, "x-mesh-error")), (413, Some("too_large")));
        let chunked = format!(
            "{method} /api/service/echo/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             3e9\r\n{large}\r\n0\r\n\r\n"
        );
        is_refused(&nodes[0], &chunked, 413).await;
    }
    let fits = ask(nodes[0].ingress, "POST /api/service/echo/", "", &large[1..]).await;
    assert_eq!(status(&fits), 200);
}

#[tokio::test]
async fn connect_and_unknown_paths_are_not_served() {
    let nodes = node().await;
    is_refused(&nodes[0], "CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\nconnection: close\r\n\r\n", 405)
        .await;
    is_refused(&nodes[0], "CONNECT other:443 HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", 405).await;
    is_refused(&nodes[0], "GET /nothing HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", 404).await;
    is_refused(&nodes[0], "GET /api/admin/workers HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", 404)
        .await;
    is_refused(&nodes[0], "POST /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", 405).await;
}

/// Whatever the framing says, the service sees one request, and what was smuggled is none.
#[tokio::test]
async fn contradictory_framing_smuggles_nothing() {
    let smuggled = "GET /api/service/echo/SMUGGLED HTTP/1.1\r\nhost: here\r\n\r\n";
    for framing in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: chunked\r\n transfer-encoding: x\r\n",
        "transfer-encoding:\u{b}chunked\r\n",
        "content-length: +6\r\n",
        "content-length: 6, 6\r\n",
        "content-length: 0x6\r\n",
    ] {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = seen.clone();
        let backend = backend(move |request| {
            let log = log.clone();
            async move {
                let both = request.headers().contains_key("content-length")
                    && request.headers().contains_key("transfer-encoding");
                log.lock().unwrap().push((request.uri().to_string(), both));
                let _ = http_body_util::BodyExt::collect(request.into_body()).await;
                http::Response::default()
            }
        })
        .await;
        let nodes = mesh(vec![vec![service("echo", backend)]]).await;
        let request = format!(
            "POST /api/service/echo/first HTTP/1.1\r\nhost: here\r\n{framing}\r\n0\r\n\r\n{smuggled}"
        );
        let answer = raw(nodes[0].ingress, request).await;
        let seen = seen.lock().unwrap().clone();
        assert!(seen.len() <= 1, "{framing:?}: the service saw {seen:?}, the client {answer:?}");
        assert!(seen.iter().all(|(path, both)| path == "/first" && !both), "{framing:?}: {seen:?}");
    }
}

#[tokio::test]
async fn bytes_after_a_body_are_a_request_of_their_own() {
    let nodes = node().await;
    let answer = raw(
        nodes[0].ingress,
        "POST /api/service/echo/one HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\n\r\nabc\
         GET /api/service/echo/two HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.contains("POST /one") && answer.contains("\n\nabc"), "{answer}");
    assert!(answer.contains("GET /two"), "{answer}");
}

/// What a member sends over a link is checked as well.
#[tokio::test]
async fn an_exit_refuses_loops_strange_paths_and_services_it_does_not_have() {
    let nodes = mesh(vec![vec![], vec![service("echo", echo().await)]]).await;
    let addr = nodes[0].views.borrow().member(&nodes[1].id).unwrap().addr.unwrap();
    for (service, hop, path, code, reason) in [
        ("echo", "2", "/", 200, None),
        ("echo", "3", "/", 508, Some("loop")),
        ("echo", "", "/", 400, Some("bad_request")),
        ("echo", "1", "/../x", 400, Some("bad_request")),
        ("other", "1", "/", 503, Some("no_route")),
        ("http://192.0.2.1/", "1", "/", 400, Some("bad_request")),
    ] {
        let link = nodes[0].proxy.shared.links.open(nodes[1].id, addr).await.unwrap();
        let request = http::Request::get(format!("http://here{path}"))
            .header("x-mesh-service", service)
            .header("x-mesh-hop", hop)
            .body(())
            .unwrap();
        let mut sender = link.sender;
        let response = sender.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(response.status(), code, "{service} {hop} {path}");
        let told = response.headers().get("x-mesh-error").map(|reason| reason.to_str().unwrap());
        assert_eq!(told, reason, "{service} {hop} {path}");
        assert_eq!(response.headers().contains_key("x-mesh-retry"), code == 503);
    }
}
