//! Who is refused.

use super::*;

const TOKEN: &str = "0123456789abcdef";

async fn check(served: &Served, headers: &str, expected: u16) {
    let answer = served.send("GET", "/api/admin/leader", headers, "").await;
    assert_eq!(answer.status, expected, "{headers:?}: {answer:?}");
}

#[tokio::test]
async fn only_hosts_that_are_this_node_s_are_served() {
    let served = Served::start().await;
    let port = served.addr.port();
    for host in [
        &format!("127.0.0.1:{port}"),
        "localhost",
        "LOCALHOST:9",
        "[::1]:80",
        "127.9.9.9",
        "[::ffff:127.0.0.1]",
    ] {
        check(&served, &format!("host: {host}\r\n"), 200).await;
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:80",
        "10.0.0.1",
        "[2001:db8::1]",
        "2130706433",
    ] {
        check(&served, &format!("host: {host}\r\n"), 403).await;
    }
    check(&served, "", 400).await;
    check(&served, "host: localhost\r\nhost: evil.example\r\n", 400).await;
    check(&served, "host: a b\r\n", 400).await;
}

#[tokio::test]
async fn an_absolute_target_cannot_hide_a_foreign_host() {
    let served = Served::start().await;
    let answer = served.send("GET", "http://evil.example/api/admin/leader", "host: localhost\r\n", "").await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_even_on_this_machine() {
    let served = Served::start().await;
    check(&served, "host: localhost:7980\r\norigin: http://localhost:7980\r\n", 200).await;
    for origin in
        ["http://localhost:3000", "https://evil.example", "null", "localhost:7980", "http://localhost"]
    {
        check(&served, &format!("host: localhost:7980\r\norigin: {origin}\r\n"), 403).await;
    }
    let twice = "host: localhost:7980\r\norigin: http://localhost:7980\r\norigin: http://evil.example\r\n";
    check(&served, twice, 403).await;
}

#[tokio::test]
async fn a_change_must_come_as_json() {
    let mut served = Served::start().await;
    for content_type in ["", "content-type: text/plain\r\n", "content-type: application/json-patch+json\r\n"]
    {
        let headers = format!("host: localhost\r\n{content_type}");
        let answer = served.send("POST", "/api/admin/leave", &headers, "").await;
        assert_eq!(answer.status, 415, "{content_type}");
        assert!(answer.error().contains("application/json"));
    }
    assert!(served.commands.try_recv().is_err(), "nothing was done");

    let headers = "host: localhost\r\ncontent-type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(served.send("POST", "/api/admin/leave", headers, "").await.status, 202);
    assert!(matches!(served.commands.try_recv(), Ok(Command::Leave)));
}

#[tokio::test]
async fn all_but_health_needs_the_token_when_there_is_one() {
    let served = Served::start_with(Some(TOKEN), router).await;
    let with = |authorization: &str| format!("host: localhost\r\nauthorization: {authorization}\r\n");
    check(&served, &with(&format!("Bearer {TOKEN}")), 200).await;
    check(&served, &with(&format!("bearer {TOKEN}")), 200).await;
    for wrong in
        ["Bearer 0123456789abcdeX", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef", "Bearér x"]
    {
        check(&served, &with(wrong), 401).await;
    }
    for path in ["/metrics", "/api/admin/workers", "/api/admin/nothing", "/api/admin/events"] {
        let answer = served.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
    }
    assert_eq!(served.change("POST", "/api/admin/leave", "").await.status, 401);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
    check(&served, &format!("host: evil.example\r\nauthorization: Bearer {TOKEN}\r\n"), 403).await;
}

#[test]
fn a_token_file_holds_one_long_line_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let token = Token::read(&path).unwrap();
    assert!(token.matches(format!("Bearer {TOKEN}").as_bytes()));
    assert!(!format!("{token:?}").contains(TOKEN));
    for bad in ["", "short", "0123456789abcdef 0123", "0123456789abcdef\nsecond line"] {
        std::fs::write(&path, bad).unwrap();
        let error = Token::read(&path).unwrap_err().to_string();
        assert!(error.contains("--admin-token-file") && error.contains("16"), "{error}");
    }
    assert!(Token::read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
}
