//! Signatures: good, wrong, replayed, old; and the file of secrets.

use super::*;

const NOW: u64 = 1_800_000_000;

fn secrets() -> EdgeSecrets {
    EdgeSecrets::parse("# two\nk1:MDEyMzQ1Njc4OWFiY2RlZg==\n\nk2:ZmVkY2JhOTg3NjU0MzIxMA==\n").unwrap()
}

fn sign(secret: &[u8], parts: [&str; 9]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, parts.join("\n").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request that an edge signed for `GET /a?b`, changed by `change` afterwards.
fn signed(t: u64, nonce: &str, change: impl Fn(&mut Request<()>)) -> Request<()> {
    let t = t.to_string();
    let parts = [&t, nonce, "GET", "/a?b", "host.example", "192.0.2.7", "rag", "^2", ""];
    let sig = sign(b"0123456789abcdef", parts);
    let mut request = Request::get("/a?b")
        .header("x-mesh-service", "rag")
        .header("x-mesh-version", "^2")
        .header("x-mesh-edge", format!("kid=k1,t={t},n={nonce},ip=192.0.2.7,sig={sig}"))
        .body(())
        .unwrap();
    change(&mut request);
    request
}

fn reason(result: Result<IpAddr, Failure>) -> &'static str {
    let failure = result.unwrap_err();
    assert_eq!((failure.status, failure.retry), (StatusCode::FORBIDDEN, true));
    failure.reason
}

#[test]
fn a_good_signature_gives_the_clients_address() {
    for t in [NOW - VALID_FOR, NOW, NOW + VALID_FOR] {
        let ip = secrets().verify(&signed(t, "n1", |_| {}), "host.example", NOW);
        assert_eq!(ip, Ok("192.0.2.7".parse().unwrap()));
    }
}

/// The same values are in `edge/test/signature.test.ts`.
#[test]
fn the_signatures_of_the_worker_are_good() {
    let sig = "c7d925239ef12c1cc95313ccc16aedcc8a181a9f6871c41bf39d40985b1184b9";
    let first = Request::get("/a?b")
        .header("x-mesh-service", "rag")
        .header("x-mesh-version", "^2")
        .header("x-mesh-edge", format!("kid=k1,t={NOW},n=n1,ip=192.0.2.7,sig={sig}"))
        .body(())
        .unwrap();
    assert_eq!(secrets().verify(&first, "host.example", NOW), Ok("192.0.2.7".parse().unwrap()));
    let sig = "a34e5964b9fa83272292d8673a2ad699ea29d11137fa9f355db9cf3b06e4abef";
    let second = Request::post("/api/service/rag/ask?q=%C3%A4")
        .header("x-mesh-edge", format!("kid=k2,t={NOW},n=n2,ip=2001:db8::7,sig={sig}"))
        .body(())
        .unwrap();
    assert_eq!(secrets().verify(&second, "[2001:db8::1]:8443", NOW), Ok("2001:db8::7".parse().unwrap()));
}

#[test]
fn whatever_is_changed_afterwards_breaks_the_signature() {
    let changes: [fn(&mut Request<()>); 8] = [
        |request| *request.method_mut() = Method::POST,
        |request| *request.uri_mut() = "/a?c".parse().unwrap(),
        |request| drop(request.headers_mut().remove("x-mesh-version")),
        |request| drop(request.headers_mut().insert("x-mesh-worker", "w".parse().unwrap())),
        |request| assert!(request.headers_mut().append("x-mesh-service", "rag".parse().unwrap())),
        |request| drop(request.headers_mut().remove("x-mesh-edge")),
        |request| {
            let twice = request.headers()["x-mesh-edge"].clone();
            request.headers_mut().append("x-mesh-edge", twice);
        },
        |request| {
            let text = request.headers()["x-mesh-edge"].to_str().unwrap().replace("kid=k1", "kid=k2");
            request.headers_mut().insert("x-mesh-edge", text.parse().unwrap());
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let result = secrets().verify(&signed(NOW, "n1", change), "host.example", NOW);
        assert_eq!(reason(result), "edge_signature", "change {index}");
    }
    assert_eq!(reason(secrets().verify(&signed(NOW, "n1", |_| {}), "other.example", NOW)), "edge_signature");
}

#[test]
fn a_wrong_clock_is_told_as_such() {
    for t in [NOW - VALID_FOR - 1, NOW + VALID_FOR + 1] {
        assert_eq!(reason(secrets().verify(&signed(t, "n1", |_| {}), "host.example", NOW)), "edge_clock");
    }
}

#[test]
fn a_nonce_is_good_once_for_as_long_as_its_signature_is() {
    let secrets = secrets();
    assert!(secrets.verify(&signed(NOW, "n1", |_| {}), "host.example", NOW).is_ok());
    for now in [NOW, NOW + VALID_FOR] {
        assert_eq!(reason(secrets.verify(&signed(NOW, "n1", |_| {}), "host.example", now)), "edge_signature");
    }
    assert!(secrets.verify(&signed(NOW, "n2", |_| {}), "host.example", NOW + VALID_FOR).is_ok());
    assert!(secrets.verify(&signed(NOW + 200, "n1", |_| {}), "host.example", NOW + 200).is_ok());
    assert_eq!(locked(&secrets.seen).known.len(), 1, "expired nonces are forgotten");
}

#[test]
fn nonsense_is_no_signature() {
    for text in
        ["", "kid=k1", "kid=k1,t=1,n=,ip=::1,sig=00", "kid=k1,kid=k1,t=1,n=a,ip=::1,sig=00", "=,=", "ä"]
    {
        let mut request = Request::get("/").body(()).unwrap();
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        request.headers_mut().insert(headers::EDGE, value);
        assert_eq!(reason(secrets().verify(&request, "h", NOW)), "edge_signature", "{text}");
    }
}

#[test]
fn a_bad_file_of_secrets_names_the_line() {
    let line = |text| EdgeSecrets::parse(text).unwrap_err();
    assert_eq!(line("k1:MDEyMzQ1Njc4OWFiY2RlZg==\nnonsense"), InvalidEdgeSecrets::Line { line: 2 });
    assert_eq!(line("k1:c2hvcnQ="), InvalidEdgeSecrets::Line { line: 1 });
    assert_eq!(line("k 1:MDEyMzQ1Njc4OWFiY2RlZg=="), InvalidEdgeSecrets::Line { line: 1 });
    assert_eq!(line("# none\n"), InvalidEdgeSecrets::Empty);
    let twice = "a:MDEyMzQ1Njc4OWFiY2RlZg==\na:ZmVkY2JhOTg3NjU0MzIxMA==";
    assert_eq!(line(twice), InvalidEdgeSecrets::Repeated { line: 2, kid: "a".to_owned() });
}

#[test]
fn other_secrets_hold_at_once_and_broken_ones_change_nothing() {
    let secrets = secrets();
    secrets.replace("k1:broken").unwrap_err();
    assert!(secrets.verify(&signed(NOW, "n1", |_| {}), "host.example", NOW).is_ok());
    assert_eq!(secrets.replace("k2:ZmVkY2JhOTg3NjU0MzIxMA==").unwrap(), ["k2"]);
    assert_eq!(reason(secrets.verify(&signed(NOW, "n2", |_| {}), "host.example", NOW)), "edge_signature");
    secrets.replace("k1:MDEyMzQ1Njc4OWFiY2RlZg==").unwrap();
    assert!(secrets.verify(&signed(NOW, "n2", |_| {}), "host.example", NOW).is_ok());
    assert_eq!(reason(secrets.verify(&signed(NOW, "n1", |_| {}), "host.example", NOW)), "edge_signature");
}

#[test]
fn what_an_edge_signs_a_node_believes_once() {
    let signer = EdgeSigner::parse("k2:ZmVkY2JhOTg3NjU0MzIxMA==\nk1:MDEyMzQ1Njc4OWFiY2RlZg==\n").unwrap();
    let mut request = Request::put("/a%20b?c=d")
        .header("x-mesh-service", "rag")
        .header("x-mesh-worker", "w")
        .body(())
        .unwrap();
    let t = NOW.to_string();
    let stamp = Stamp { ip: "2001:db8::7", t: &t, nonce: "n1" };
    let (method, headers) = (request.method(), request.headers());
    let signature = signer.sign(method, "/a%20b?c=d", headers, "n1.example:8443", &stamp).unwrap();
    assert!(signature.to_str().unwrap().starts_with("kid=k2,"), "the first secret signs");
    request.headers_mut().insert(headers::EDGE, signature);
    let secrets = secrets();
    let ip = secrets.verify(&request, "n1.example:8443", NOW);
    assert_eq!(ip, Ok("2001:db8::7".parse().unwrap()));
    assert_eq!(reason(secrets.verify(&request, "n1.example:8443", NOW)), "edge_signature");

    assert!(request.headers_mut().append("x-mesh-worker", "v".parse().unwrap()));
    assert_eq!(signer.sign(request.method(), "/", request.headers(), "h", &stamp), None, "ambiguous");
    assert!(!format!("{signer:?}").contains("fedcba"));
}
