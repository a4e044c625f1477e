//! The services of the node, changed at run time.

use serde_json::json;

use super::*;

const RAG: &str = "/api/admin/local/services/rag";

impl Served {
    fn take_commands(&mut self) -> mpsc::Receiver<Command> {
        std::mem::replace(&mut self.commands, mpsc::channel(1).1)
    }

    /// Answers commands as a node does, until the test ends.
    fn obey(mut self) -> Self {
        let mut commands = self.take_commands();
        let services = self.services.clone();
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                let mut changed = BTreeMap::clone(&services.borrow());
                match command {
                    Command::Leave => break,
                    Command::Inquire(_, answer) => {
                        let _ = answer.send(None);
                        continue;
                    }
                    Command::PutService(service, answer) if service.version == "refused" => {
                        let _ = answer.send(Err("the manifest would be too large".to_owned()));
                        continue;
                    }
                    Command::PutService(service, answer) => {
                        changed.insert(service.name.clone(), *service);
                        services.send_replace(Arc::new(changed));
                        let _ = answer.send(Ok(()));
                    }
                    Command::DeleteService(name, answer) => {
                        let was_there = changed.remove(&name).is_some();
                        services.send_replace(Arc::new(changed));
                        let _ = answer.send(Ok(was_there));
                    }
                }
            }
        });
        self
    }
}

#[tokio::test]
async fn a_service_comes_changes_and_goes() {
    let served = Served::start().await.obey();
    assert_eq!(served.get("/api/admin/local/services").await.json(), json!([]));
    assert_eq!(served.get(RAG).await.status, 404);

    let put = served.change("PUT", RAG, r#"{"url":"http://127.0.0.1:8102","tags":["gpu"]}"#).await;
    assert_eq!(put.status, 201, "{put:?}");
    let shown = put.json();
    assert_eq!((&shown["name"], &shown["tags"]), (&json!("rag"), &json!(["gpu"])));
    assert_eq!((&shown["interval"], &shown["max_in_flight"]), (&json!("5s"), &json!(256)));
    assert_eq!(served.get(RAG).await.json(), shown);

    let again = served.change("PUT", RAG, &shown.to_string().replace("\"5s\"", "\"7s\"")).await;
    assert_eq!((again.status, &again.json()["interval"]), (200, &json!("7s")), "what is shown can be put");
    assert_eq!(served.get("/api/admin/local/services").await.json()[0]["interval"], "7s");

    assert_eq!(served.change("DELETE", RAG, "").await.status, 204);
    let gone = served.change("DELETE", RAG, "").await;
    assert_eq!((gone.status, gone.error()), (404, "this node has no service 'rag'".to_owned()));
}

#[tokio::test]
async fn a_bad_service_is_refused_with_the_field_and_what_is_accepted() {
    let mut served = Served::start().await;
    let check = async |path: &str, body: &str, expected: &str| {
        let answer = served.change("PUT", path, body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.error().contains(expected), "{body}: {}", answer.error());
    };
    check(RAG, "", "EOF").await;
    check(RAG, "[", "EOF").await;
    check(RAG, r#"{"url":"ftp://x"}"#, "field url").await;
    check(RAG, r#"{"url":"http://x","intervall":"5s"}"#, "intervall").await;
    check(RAG, r#"{"url":"http://x","interval":"soon"}"#, "field interval").await;
    check(RAG, r#"{"url":"http://x","name":"upload"}"#, "not the name in the path").await;
    check("/api/admin/local/services/Rag!", r#"{"url":"http://x"}"#, "not a service name").await;
    assert!(served.commands.try_recv().is_err(), "nothing was done");
}

#[tokio::test]
async fn what_the_node_refuses_is_a_conflict() {
    let served = Served::start().await.obey();
    let answer = served.change("PUT", RAG, r#"{"url":"http://x","version":"refused"}"#).await;
    assert_eq!((answer.status, answer.error()), (409, "the manifest would be too large".to_owned()));
}

#[tokio::test]
async fn a_body_of_more_than_64_kib_is_refused() {
    let mut served = Served::start().await;
    let tags = "x".repeat(64 * 1024);
    let answer = served.change("PUT", RAG, &format!(r#"{{"url":"http://x","version":"{tags}"}}"#)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(served.commands.try_recv().is_err());
}

#[tokio::test]
async fn a_node_that_goes_away_in_between_is_unavailable() {
    let mut served = Served::start().await;
    let mut commands = served.take_commands();
    // The command is taken and dropped unanswered.
    let take = async { drop(commands.recv().await.unwrap()) };
    let (answer, ()) = tokio::join!(served.change("DELETE", RAG, ""), take);
    assert_eq!(answer.status, 503);
}
