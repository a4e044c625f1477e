//! The pulse of a link: asks a peer that owes an answer whether it is still there, and tells all who wait when it is not.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::metered::Traffic;
use super::reach::Reach;
use crate::id::NodeId;
use crate::time::Duration;

/// Between two looks at a link in use.
const BEAT: Duration = Duration::from_millis(50);

/// When somebody waits for an answer and nothing at all is heard for so long, the peer is asked.
const QUIET: Duration = Duration::from_millis(150);

/// The same when streams are open, but nobody waits for the head of an answer.
const RESTING: Duration = Duration::from_secs(2);

/// A peer that was asked and from which nothing is heard for so long is silent.
const GRACE: Duration = Duration::from_millis(200);

/// A link on which nothing is heard for so long although the peer was asked is dead.
const SILENCE: Duration = Duration::from_secs(6);

/// A link that was not used for so long is not looked at before it is used again.
const TIRED: Duration = Duration::from_secs(1);

/// The round trip before one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(100);

/// How long a measured round trip is believed while the link is in use.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

/// Round trips that a peer gets at least, before it is asked and before it is held silent.
const ROUND_TRIPS: u32 = 4;

/// The most that round trips add up to: one that was measured while a machine had no time must not count for ever.
const MAX_MARGIN: Duration = Duration::from_secs(1);

/// Bytes in a beat that make a link one on which others would have to stand in line.
const BULK: u64 = 1 << 20;

/// What the users of a link and its watch tell each other.
#[derive(Debug)]
pub(super) struct Pulse {
    used: AtomicBool,
    asleep: AtomicBool,
    wake: Notify,
    open: AtomicU32,
    waiting: AtomicU32,
    doubted: AtomicBool,
    silent: AtomicBool,
    fell_silent: Notify,
    bulky: AtomicBool,
    last_used: Mutex<Instant>,
}

impl Pulse {
    /// Of a link that begins.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            used: AtomicBool::new(true),
            asleep: AtomicBool::new(false),
            wake: Notify::new(),
            open: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            doubted: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            fell_silent: Notify::new(),
            bulky: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
        })
    }

    /// The link is used. Most of the time that is one write to memory.
    pub(super) fn touch(&self) {
        if !self.used.swap(true, Ordering::SeqCst) && self.asleep.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// The peer shall be asked now, whether somebody waits or not.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::SeqCst);
        self.used.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    pub(super) fn is_bulky(&self) -> bool {
        self.bulky.load(Ordering::Relaxed)
    }

    /// Streams that are open.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// To within a beat.
    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_use(&self, now: Instant) -> bool {
        let used = self.used.swap(false, Ordering::SeqCst) || self.open() > 0;
        if used {
            *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        used
    }

    /// Ends when the link is used again.
    async fn rest(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while !self.used.load(Ordering::SeqCst) {
            self.wake.notified().await;
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// One stream that is open on a link.
#[derive(Debug)]
pub struct Place {
    pulse: Arc<Pulse>,
    waits: bool,
}

impl Place {
    /// Of a request that is about to be sent.
    pub(super) fn take(pulse: Arc<Pulse>) -> Self {
        pulse.open.fetch_add(1, Ordering::Relaxed);
        pulse.waiting.fetch_add(1, Ordering::Relaxed);
        pulse.touch();
        Self { pulse, waits: true }
    }

    /// The head of the answer came; its body may take as long as it likes.
    pub fn answered(&mut self) {
        if std::mem::replace(&mut self.waits, false) {
            self.pulse.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends when the peer does not even answer a ping. It may still come back.
    pub async fn silent(&self) {
        let mut fell_silent = pin!(self.pulse.fell_silent.notified());
        fell_silent.as_mut().enable();
        if !self.pulse.is_silent() {
            fell_silent.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.answered();
        self.pulse.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Watches the pulse of one link.
#[derive(Debug)]
pub(super) struct Watch {
    peer: NodeId,
    pulse: Arc<Pulse>,
    traffic: Traffic,
    reach: Arc<Reach>,
    /// Bytes received when something was last heard.
    heard: u64,
    /// Since when nothing was heard although something should have been.
    since: Instant,
    /// When the peer was asked, if nothing was heard since.
    asked: Option<Instant>,
    /// When the ping was sent that has no pong yet.
    pinged: Option<Instant>,
    rtt: Duration,
    /// When the round trip shall be measured again.
    measures: Instant,
    looked: Instant,
    moved: (u64, Instant),
}

impl Watch {
    pub(super) fn new(peer: NodeId, pulse: Arc<Pulse>, traffic: Traffic, reach: Arc<Reach>) -> Self {
        let now = Instant::now();
        let (heard, moved) = (traffic.received(), (0, now));
        let (asked, pinged, rtt) = (None, None, FIRST_GUESS);
        let (since, measures, looked) = (now, now, now);
        Self { peer, pulse, traffic, reach, heard, since, asked, pinged, rtt, measures, looked, moved }
    }

    /// Ends when the link is dead. Without it, a peer that lost its power would hold up every request until the kernel
    /// gives up, after many minutes.
    pub(super) async fn run(mut self, pings: Option<PingPong>) {
        let Some(mut pings) = pings else { return pending().await };
        loop {
            self.pulse.rest().await;
            let mut used = Instant::now();
            (self.since, self.looked) = (used, used);
            while self.looked - used < TIRED || self.asked.is_some() {
                self.look(&mut pings);
                if self.is_dead() {
                    return;
                }
                if self.pulse.note_use(self.looked) {
                    used = self.looked;
                }
                self.beat(&mut pings).await;
            }
        }
    }

    /// Waits until there is something to look at, or a pong comes.
    async fn beat(&mut self, pings: &mut PingPong) {
        let until = self.next_look();
        let Some(pinged) = self.pinged else { return sleep_until(until).await };
        tokio::select! {
            biased;
            pong = poll_fn(|cx| pings.poll_pong(cx)) => {
                self.pinged = None;
                match pong {
                    Ok(_) => self.measured(pinged.elapsed()),
                    // The connection has ended, which its own task is told.
                    Err(_) => pending().await,
                }
            }
            () = sleep_until(until) => {}
        }
    }

    fn measured(&mut self, sample: Duration) {
        self.rtt = if sample < self.rtt { sample } else { (self.rtt * 3 + sample) / 4 };
    }

    /// A time that leaves room for some round trips.
    fn margin(&self, least: Duration) -> Duration {
        least.max((self.rtt * ROUND_TRIPS).min(MAX_MARGIN))
    }

    fn look(&mut self, pings: &mut PingPong) {
        let now = Instant::now();
        let stood_still = now - self.looked > BEAT * 4;
        self.looked = now;
        self.note_bulk(now);
        let received = self.traffic.received();
        if received != self.heard {
            (self.heard, self.since, self.asked) = (received, now, None);
            self.hear();
        } else if stood_still {
            // It was this process that got no time: what came meanwhile may not have been read yet.
            self.since = now;
            self.asked = self.asked.map(|_| now);
        }
        match self.asked {
            Some(asked) if now - asked >= self.margin(GRACE) => self.fall_silent(),
            Some(_) => {}
            None => match self.patience() {
                None => self.since = now,
                Some(patience) if now - self.since >= patience => {
                    self.asked = Some(now);
                    self.ping(pings, now);
                }
                Some(_) => {}
            },
        }
        if now >= self.measures {
            self.ping(pings, now);
        }
    }

    fn ping(&mut self, pings: &mut PingPong, now: Instant) {
        self.measures = now + MEASURE_INTERVAL;
        // A pong that waits unread would keep the next ping from being sent.
        if self.pinged.is_some() && poll_fn(|cx| pings.poll_pong(cx)).now_or_never().is_some() {
            self.pinged = None;
        }
        if pings.send_ping(Ping::opaque()).is_ok() {
            self.pinged = Some(now);
        }
    }

    /// How long nothing may be heard; `None` when nothing is expected.
    fn patience(&self) -> Option<Duration> {
        if self.pulse.doubted.load(Ordering::SeqCst) {
            return Some(Duration::ZERO);
        }
        if self.pulse.waiting.load(Ordering::Relaxed) > 0 {
            return Some(self.margin(QUIET));
        }
        (self.pulse.open() > 0).then_some(RESTING)
    }

    fn next_look(&self) -> Instant {
        let due = match (self.asked, self.patience()) {
            (Some(asked), _) => Some(asked + self.margin(GRACE)),
            (None, Some(patience)) => Some(self.since + patience),
            (None, None) => None,
        };
        let beat = self.looked + BEAT;
        due.filter(|due| *due > self.looked).map_or(beat, |due| due.min(beat))
    }

    fn hear(&self) {
        self.pulse.doubted.store(false, Ordering::SeqCst);
        self.pulse.silent.store(false, Ordering::Release);
        self.reach.answers(self.peer);
    }

    fn fall_silent(&self) {
        if !self.pulse.silent.swap(true, Ordering::AcqRel) {
            self.pulse.fell_silent.notify_waiters();
            self.reach.fell_silent(self.peer);
        }
    }

    fn is_dead(&self) -> bool {
        self.asked.is_some() && self.looked - self.since >= SILENCE
    }

    fn note_bulk(&mut self, now: Instant) {
        let (before, at) = self.moved;
        if now - at < BEAT {
            return;
        }
        let moved = self.traffic.received() + self.traffic.sent();
        self.pulse.bulky.store(moved - before > BULK, Ordering::Relaxed);
        self.moved = (moved, now);
    }
}
