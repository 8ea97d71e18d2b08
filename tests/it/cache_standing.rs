//! What the cache answers over sequences of commits, polls, silence, freezes, failures and time that
//! proptest makes up: what is not marked is proven.

use std::sync::{Arc, Mutex, atomic::Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    cache::{Cache, FeedState, Known},
    clock::Uptime,
    store::Change,
};
use proptest::prelude::*;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::harness::{
    NOW,
    fake::{Fake, mk_cache, tenant},
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A writer commits a change of the tenant.
    Commit,
    /// The feed reads the log.
    Poll,
    /// It does so, and the process is then stopped for longer than that proof is good for.
    PollAndFreeze,
    /// The feed hears nothing.
    Silence,
    /// The feed finds that triggers are missing.
    Disarm,
    /// Loads wait from here on, or those that wait are let go.
    Hold,
    LetGo,
    /// Loads fail from here on, or do not any more.
    Fail,
    Recover,
    Pass(TimeDelta),
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Commit),
        4 => Just(Step::Poll),
        1 => Just(Step::PollAndFreeze),
        1 => Just(Step::Silence),
        1 => Just(Step::Disarm),
        2 => Just(Step::Hold),
        2 => Just(Step::LetGo),
        1 => Just(Step::Fail),
        2 => Just(Step::Recover),
        2 => (1i64..400).prop_map(|seconds| Step::Pass(TimeDelta::seconds(seconds))),
        1 => (1i64..90).prop_map(|minutes| Step::Pass(TimeDelta::minutes(minutes))),
        8 => Just(Step::Ask),
    ]
}

/// What is so, as somebody knows who sees all of it.
struct World {
    now: DateTime<Utc>,
    /// Each commit's instant.
    commits: Vec<DateTime<Utc>>,
    feed: FeedState,
    /// The commits that were announced.
    announced: usize,
    /// Answers that were given, and those of them that are not marked.
    given: [usize; 2],
}

/// What was so when somebody asked.
#[derive(Clone, Copy)]
struct Asked {
    at: DateTime<Utc>,
    announced: usize,
}

impl World {
    fn revision_at(&self, instant: DateTime<Utc>) -> u64 {
        1 + self.commits.iter().filter(|commit| **commit <= instant).count() as u64
    }

    fn judge(&mut self, answer: &Known, asked: Asked) {
        self.given[usize::from(!answer.stale)] += 1;
        assert!(
            answer.revision >= self.revision_at(answer.as_of),
            "older than it says: {answer:?}"
        );
        if answer.stale {
            let replaced = self.commits.get(answer.revision as usize - 1);
            assert!(
                replaced.is_none_or(|commit| self.now - *commit < TimeDelta::hours(3)),
                "wrong for longer than what is bearable: {answer:?}"
            );
            return;
        }
        assert_ne!(self.feed, FeedState::Suspect, "nobody vouches for it: {answer:?}");
        assert!(
            answer.revision > asked.announced as u64,
            "a change was announced before: {answer:?}"
        );
        if self.feed == FeedState::Off {
            assert!(asked.at - answer.as_of < TimeDelta::seconds(300), "too old: {answer:?}");
        }
    }
}

struct Run {
    fake: Arc<Fake>,
    cache: Cache<Fake>,
    world: Arc<Mutex<World>>,
    asked: Vec<JoinHandle<()>>,
    is_held: bool,
}

impl Run {
    fn begin() -> Self {
        let fake = Fake::with(1);
        let cache = mk_cache(&fake, 50);
        cache.suspect();
        let world = World {
            now: NOW,
            commits: vec![],
            feed: FeedState::Suspect,
            announced: 0,
            given: [0; 2],
        };
        Self { fake, cache, world: Arc::new(world.into()), asked: vec![], is_held: false }
    }

    fn poll(&self, until: Uptime) {
        let mut world = self.world.lock().unwrap();
        let now = world.now;
        if world.feed == FeedState::Off {
            self.cache.reset(now);
        } else if world.announced < world.commits.len() {
            self.cache.apply_changes(&[Change::Tenant(tenant(0))], now);
        }
        world.announced = world.commits.len();
        self.cache.trust(now, until);
        world.feed = if until == Uptime::NEVER { FeedState::Live } else { FeedState::Suspect };
    }

    fn ask(&mut self) {
        let (cache, world) = (self.cache.clone(), Arc::clone(&self.world));
        let asked = {
            let world = world.lock().unwrap();
            Asked { at: world.now, announced: world.announced }
        };
        self.asked.push(tokio::spawn(async move {
            if let Ok(answer) = cache.get(tenant(0), asked.at).await {
                world.lock().unwrap().judge(&answer, asked);
            }
        }));
    }

    fn let_go(&mut self) {
        self.fake.gate.add_permits(Semaphore::MAX_PERMITS >> 2);
        self.is_held = false;
    }

    async fn take(&mut self, step: Step) {
        if matches!(step, Step::Pass(_)) && self.is_held {
            // No load takes that long.
            self.let_go();
            settle().await;
        }
        // No two steps at the same instant.
        self.world.lock().unwrap().now += TimeDelta::microseconds(1);
        match step {
            Step::Commit => {
                let mut world = self.world.lock().unwrap();
                let now = world.now;
                world.commits.push(now);
                self.fake.revision.fetch_add(1, Ordering::SeqCst);
            }
            Step::Poll => self.poll(Uptime::NEVER),
            Step::PollAndFreeze => self.poll(Uptime::now()),
            Step::Silence => {
                self.cache.suspect();
                self.world.lock().unwrap().feed = FeedState::Suspect;
            }
            Step::Disarm => {
                let mut world = self.world.lock().unwrap();
                self.cache.feed_off(Some(world.now));
                world.feed = FeedState::Off;
            }
            Step::Hold => {
                self.fake.gate.forget_permits(Semaphore::MAX_PERMITS);
                self.is_held = true;
            }
            Step::LetGo if self.is_held => self.let_go(),
            Step::LetGo => {}
            Step::Fail => *self.fake.failing.lock().unwrap() = true,
            Step::Recover => *self.fake.failing.lock().unwrap() = false,
            Step::Pass(time) => self.world.lock().unwrap().now += time,
            Step::Ask => self.ask(),
        }
        settle().await;
    }

    /// How many answers were given, marked and not.
    async fn end(mut self) -> [usize; 2] {
        if self.is_held {
            self.let_go();
        }
        for asked in self.asked {
            asked.await.unwrap();
        }
        self.world.lock().unwrap().given
    }
}

/// Whatever can go on does so.
async fn settle() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
}

fn run(steps: &[Step]) -> [usize; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::begin();
        for step in steps {
            run.take(*step).await;
        }
        run.end().await
    })
}

proptest! {
    #[test]
    fn what_is_not_marked_is_proven_whatever_has_happened(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}

#[test]
fn the_sequences_that_are_judged_have_answers_of_both_kinds() {
    let steps = [Step::Poll, Step::Ask, Step::PollAndFreeze, Step::Ask, Step::Silence, Step::Ask];
    assert_eq!(run(&steps), [2, 1]);
}
