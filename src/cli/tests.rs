//! Tests of the commands: what they print, and how they fail.

use std::io;
use std::sync::Arc;

use clap::CommandFactory;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::fixture::{UNIX, edit, edit_member, id, view};
use crate::admin::model::{Services, Worker};
use crate::admin::{self, Journal, State};
use crate::clock::Clock;
use crate::id::Version;
use crate::manifest::{Route, Split};
use crate::membership::Claim;
use crate::mesh::{Event, Inquiry, Waiting};
use crate::metrics::Metrics;
use crate::time::Duration;
use crate::view::{Status, View};
use crate::wire::packet::Seen;

/// A node's admin API.
pub(super) struct Served {
    pub(super) url: String,
    pub(super) journal: Arc<Journal>,
    pub(super) stop: CancellationToken,
    _views: watch::Sender<Arc<View>>,
}

impl Served {
    pub(super) async fn start(view: View, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (keep_views, views) = watch::channel(Arc::new(view));
        let journal = Arc::new(Journal::new(views.clone()));
        let (commands, asked) = mpsc::channel(4);
        tokio::spawn(answer(asked));
        let state = State {
            views,
            journal: Arc::clone(&journal),
            commands,
            metrics: Metrics::new(),
            services: watch::channel(Arc::default()).1,
            clock: Clock::start(),
            store: "file:/x".to_owned(),
            token: token.map(|token| admin::Token::parse(token).unwrap()),
            traffic: admin::Traffic::new(|| (admin::fixture::standings(), Vec::new())),
            addr,
        };
        let (url, stop) = (format!("http://{addr}"), CancellationToken::new());
        tokio::spawn(admin::serve(listener, admin::router(state), stop.clone()));
        Self { url, journal, stop, _views: keep_views }
    }
}

/// The node's side: it suspects whoever is asked about, on the word of `one`.
async fn answer(mut asked: mpsc::Receiver<admin::Command>) {
    while let Some(command) = asked.recv().await {
        let admin::Command::Inquire(_, answer) = command else { continue };
        let claim = Claim { version: Version::default(), status: Status::Suspect };
        let now = crate::time::Instant::ORIGIN + Duration::from_secs(86_400);
        let inquiry = Inquiry {
            claim,
            held_for: Duration::from_secs(2),
            accusers: vec![id(1)],
            watchers: vec![id(1), id(3)],
            witnesses: vec![(id(1), Some(Seen::Silent)), (id(3), None)],
            timers: vec![(Waiting::Suspicion, now)],
        };
        let _ = answer.send(Some(inquiry));
    }
}

/// The flags of a command line that asks a node.
pub(super) fn query(line: &[&str]) -> Query {
    match Cli::try_parse_from(["meshnode"].iter().chain(line)).unwrap().command {
        Command::Members(query)
        | Command::Services(query)
        | Command::Leader(query)
        | Command::Why { query, .. }
        | Command::Events(query)
        | Command::Leave(query) => query,
        Command::Run(_) | Command::Dev(_) | Command::Keygen => panic!("these ask nobody"),
    }
}

/// Runs a command line, and returns what it printed.
async fn run(line: &[&str]) -> anyhow::Result<String> {
    let cli = Cli::try_parse_from(["meshnode"].iter().chain(line))?;
    let mut out = Vec::new();
    cli.command.run(&mut out).await?;
    Ok(String::from_utf8(out)?)
}

/// Compares with ids that can be told apart by reading.
fn check(printed: &str, expected: &str) {
    let mut printed = printed.to_owned();
    for n in 1..=4 {
        printed = printed.replace(&table::short(&id(n)), &format!("12D3KooW0000000{n}"));
    }
    assert_eq!(printed.trim_end(), expected.trim_matches('\n').trim_end(), "\n{printed}");
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn members_are_a_table_with_their_notes() {
    let moment = admin::Moment { now: admin::fixture::at(100), unix: UNIX };
    let workers: Vec<Worker> = admin::report::workers(&view(), moment);
    let now: Timestamp = "2026-11-23T08:02:00Z".parse().unwrap();
    check(&members::at(&workers, now), MEMBERS);
}

const MEMBERS: &str = "
NAME   WORKER            STATUS                       TIER  ZONE  ADDRESS        RTT    LOAD  HEARD   SERVICES
-      12D3KooW00000004  left                         -     -     -              -      -     2m ago  -
one    12D3KooW00000001  alive,leader                 1     eu    10.0.0.1:7946  -      25%   2m ago  rag
three  12D3KooW00000003  dead                         1     eu    10.0.0.3:7946  1.2ms  -     2m ago  rag:unknown
two    12D3KooW00000002  suspect,unroutable,draining  1     -     10.0.0.2:7946  1.2ms  -     2m ago  rag:unhealthy
";

#[tokio::test]
async fn services_are_a_table_with_what_is_odd() {
    let mut view = view();
    let route = |percent| Route {
        rev: 3,
        split: vec![Split { version: "^2".to_owned(), percent }],
        ..Route::default_of("rag".parse().unwrap())
    };
    edit_member(&mut view, 1, |one| edit(one, |manifest| manifest.routes = vec![route(10)]));
    edit_member(&mut view, 2, |two| edit(two, |manifest| manifest.routes = vec![route(20)]));
    let served = Served::start(view, None).await;
    check(&run(&["services", "--admin", &served.url]).await.unwrap(), SERVICES);
}

const SERVICES: &str = "
SERVICE  NAME  WORKER            VERSION  HEALTH           LOAD
rag      two   12D3KooW00000002  1.5.0    unhealthy        -
rag      one   12D3KooW00000001  1.4.2    healthy,ejected  25%

rag: versions differ: 1.4.2 on 1, 1.5.0 on 1
rag: route revision 3: 10% to ^2
rag: members have different routes with that revision; raise it in one place
";

#[test]
fn an_empty_mesh_says_that_nothing_runs() {
    assert_eq!(services::render(&Services::new()), "no service runs in the mesh");
}

#[tokio::test]
async fn the_leader_is_a_list() {
    let served = Served::start(view(), None).await;
    let printed = run(&["leader", "--admin", &served.url]).await.unwrap();
    let since = printed.lines().find(|line| line.starts_with("since")).unwrap().to_owned();
    check(&printed.replace(&since, "since         (when)"), LEADER);
}

const LEADER: &str = "
leader        one (12D3KooW00000001), the node that answers
term          12
since         (when)
candidates    12D3KooW00000001, 12D3KooW00000002
store         file:/x (ok)
warm          yes
writes today  4
budget left   26
last write    2026-11-23T07:59:00Z
next slot     2026-11-23T09:00:00Z
last error    -
";

#[tokio::test]
async fn why_shows_the_evidence() {
    let served = Served::start(view(), None).await;
    let printed = run(&["why", "two", "--admin", &served.url]).await.unwrap();
    assert!(printed.contains("nothing is on record"), "{printed}");
    served.journal.record(&Event::Suspect { subject: id(2), accuser: Some(id(1)) }, UNIX);
    let printed = run(&["why", &table::short(&id(2)), "--admin", &served.url]).await.unwrap();
    assert!(
        printed.contains(&format!("2026-11-23T08:00:00.000Z  suspected by one ({})", id(1))),
        "{printed}"
    );
    assert!(printed.contains("suspect, unroutable"), "{printed}");
    for live in [
        "watched by    one, three",
        "suspected by  one",
        "asked         one: silent, three: nothing yet",
        " h until it is dead, unless it refutes",
    ] {
        assert!(printed.contains(live), "{live} in {printed}");
    }
}

#[tokio::test]
async fn json_is_the_node_s_own() {
    let served = Served::start(view(), None).await;
    let printed = run(&["services", "--json", "--admin", &served.url]).await.unwrap();
    let expected =
        serde_json::to_string(&admin::report::services(&view(), &admin::fixture::standings())).unwrap();
    assert_eq!(printed, format!("{expected}\n"));
}

#[tokio::test]
async fn leave_says_who_leaves() {
    let served = Served::start(view(), None).await;
    let printed = run(&["leave", "--admin", &format!("{}/", served.url)]).await.unwrap();
    check(&printed, "one (12D3KooW00000001) drains and leaves the mesh");
}

#[tokio::test]
async fn a_token_file_opens_a_guarded_node() {
    const TOKEN: &str = "0123456789abcdef";
    let served = Served::start(view(), Some(TOKEN)).await;
    let error = run(&["leader", "--admin", &served.url]).await.unwrap_err();
    assert!(error.to_string().contains("401") && error.to_string().contains("--admin-token-file"), "{error}");
    assert_eq!(exit_code(&error), Some(1));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    let path = path.to_str().unwrap();
    run(&["leader", "--admin", &served.url, "--admin-token-file", path]).await.unwrap();
    std::fs::write(path, "short").unwrap();
    let error = run(&["leader", "--admin", &served.url, "--admin-token-file", path]).await.unwrap_err();
    assert_eq!(exit_code(&error), Some(2), "{error}");
}

#[tokio::test]
async fn nobody_there_names_the_address_and_the_flag() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = run(&["members", "--admin", &url]).await.unwrap_err();
    let expected = format!("no node answers at {url}/; is `meshnode run` up? see --admin");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(exit_code(&error), Some(1));
}

#[tokio::test]
async fn a_refusal_shows_what_the_node_said() {
    let served = Served::start(view(), None).await;
    let error = run(&["why", "no/body", "--admin", &served.url]).await.unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("no worker 'no/body' is known"), "{error}");
}

#[tokio::test]
async fn bad_flags_are_usage_errors_that_say_what_is_accepted() {
    for url in ["localhost:7980", "ftp://x", "http://", "http://u:p@h", "http://h/?q", "7980"] {
        let error = run(&["members", "--admin", url]).await.unwrap_err();
        let error = error.downcast_ref::<clap::Error>().unwrap();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains("--admin <URL>") && text.contains("http://HOST:PORT"), "{url}: {text}");
    }
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let printed = table::table(["NAME"], [["evil\u{1b}[2J\nname".to_owned()]]);
    assert_eq!(printed, "NAME\nevil\u{fffd}[2J\u{fffd}name");
}

#[test]
fn a_key_is_32_fresh_bytes_in_base64() {
    use base64::Engine as _;
    let (a, b) = (keygen::keygen(), keygen::keygen());
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(&a).unwrap().len(), 32);
    assert_ne!(a, b);
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let closed = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(exit_code(&closed), None);
    assert_eq!(exit_code(&anyhow::Error::new(io::Error::from(io::ErrorKind::StorageFull))), Some(1));
}
