//! What becomes of a host that falls silent, and of one that comes back.

use anyhow::ensure;
use meshnode::dev::node::Node;
use meshnode::view::Status;

use crate::support::{DEATH, Hosts, SOON, World, eventually};

const HOSTS: usize = 4;

#[tokio::test]
async fn a_silent_host_is_dead_everywhere_and_back_when_it_is_heard_again() -> anyhow::Result<()> {
    let world = World::new()?;
    let Some(hosts) = Hosts::new(HOSTS).await? else {
        eprintln!("skipped: needs ip (iproute2), unshare and nsenter (util-linux), and user namespaces");
        return world.passed();
    };
    let mut nodes = Vec::new();
    for index in 0..HOSTS {
        nodes.push(hosts.start(&world, index).await?);
    }
    let all: Vec<usize> = (0..HOSTS).collect();
    let (survivors, silent) = all.split_at(HOSTS - 1);
    let each_sees = async |observers: &[usize], subjects: &[usize], status: Status| {
        for observer in observers {
            sees(&hosts, &nodes, *observer, subjects, status).await?;
        }
        anyhow::Ok(())
    };
    eventually(SOON, async || each_sees(&all, &all, Status::Alive).await).await?;

    hosts.silence(silent[0]).await?;
    eventually(DEATH, async || each_sees(survivors, silent, Status::Dead).await).await?;
    each_sees(survivors, survivors, Status::Alive).await?;

    hosts.unsilence(silent[0]).await?;
    eventually(DEATH, async || each_sees(&all, &all, Status::Alive).await).await?;
    world.passed()
}

async fn sees(
    hosts: &Hosts,
    nodes: &[Node],
    observer: usize,
    subjects: &[usize],
    status: Status,
) -> anyhow::Result<()> {
    let workers = hosts.workers(observer, &nodes[observer]).await?;
    for subject in subjects {
        let id = nodes[*subject].ready().worker_id;
        let seen = workers.iter().find(|worker| worker.worker_id == id).map(|worker| worker.status);
        ensure!(seen == Some(status), "h{observer} sees h{subject} as {seen:?}");
    }
    Ok(())
}
