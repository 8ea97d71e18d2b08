//! Somebody who asks an instance of the chain again and again, and what is demanded of the answers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    CheckModuleResponse, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use crate::harness::{history::History, process, server::check_request};

/// The tenants that are asked for, which everybody holds: one that changes all the time, and one that
/// does not.
pub const CHANGING: u32 = 0;
pub const QUIET: u32 = 1;
/// No answer takes longer, also where something has changed that is yet to be read, from what hangs; on a
/// machine that has little time for it.
const LONGEST: Duration = Duration::from_secs(4);
/// An answer of what is held that takes longer has waited: for what hangs it is half a second at least, or
/// for the machine.
const AT_ONCE: Duration = Duration::from_millis(400);
/// An answer was made so long before it came at most, likewise.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// An answer that is not marked was so this long ago at most, at the core; and so much more for each
/// hop.
const OLDEST: Duration = Duration::from_secs(4);
const FOR_EACH_HOP: Duration = Duration::from_secs(2);
/// A change has travelled by then, also over a network that is narrow. Loads that are under way at the
/// same time are told of it in either order.
const TRAVELLED: Duration = Duration::from_secs(3);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// What is so of a tenant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    pub reason: DecisionReason,
    pub revision: u64,
}

/// What was so of each when.
pub type Truth = Arc<Mutex<[History<State>; 2]>>;

/// A question, and its answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub asked: Instant,
    pub received: Instant,
    outcome: Result<CheckModuleResponse, Status>,
}

/// What was answered of each tenant.
pub type Answers = [Vec<Answer>; 2];

/// Those who ask, one for each tenant.
pub struct Asking {
    client: EntitlementServiceClient<Channel>,
    answers: Arc<Mutex<Answers>>,
    _asks: JoinSet<()>,
}

/// How old an answer may be that is not marked, after so many hops.
pub fn oldest(hops: usize) -> Duration {
    OLDEST + FOR_EACH_HOP * u32::try_from(hops).unwrap()
}

impl Asking {
    pub async fn start(address: &str) -> Self {
        let (answers, mut asks) = (Arc::<Mutex<Answers>>::default(), JoinSet::new());
        for tenant in [CHANGING, QUIET] {
            let client = process::connect(address).await;
            asks.spawn(keep_asking(client, tenant, Arc::clone(&answers)));
        }
        Self { client: process::connect(address).await, answers, _asks: asks }
    }

    /// Asks once, for any tenant.
    pub async fn ask(&self, tenant: u32) -> Result<CheckModuleResponse, Status> {
        let answer = self.client.clone().check_module(check_request(tenant, "finance")).await;
        answer.map(tonic::Response::into_inner)
    }

    /// What was answered so far.
    pub fn answers(&self) -> Answers {
        self.answers.lock().unwrap().clone()
    }

    /// The first answer of one tenant, asked for after an instant, of which this holds.
    pub fn first(
        &self,
        tenant: u32,
        since: Instant,
        such: impl Fn(&Answer) -> bool,
    ) -> Option<Answer> {
        let answers = &self.answers.lock().unwrap()[tenant as usize];
        let first = answers.partition_point(|answer| answer.asked < since);
        answers[first..].iter().find(|answer| such(answer)).cloned()
    }
}

async fn keep_asking(
    mut client: EntitlementServiceClient<Channel>,
    tenant: u32,
    answers: Arc<Mutex<Answers>>,
) {
    loop {
        let asked = Instant::now();
        let outcome = client.check_module(check_request(tenant, "finance")).await;
        let outcome = outcome.map(tonic::Response::into_inner);
        let answer = Answer { asked, received: Instant::now(), outcome };
        answers.lock().unwrap()[tenant as usize].push(answer);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Answer {
    pub fn is_marked(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|answer| answer.freshness.unwrap().stale)
    }

    /// It is of a revision at least, and not marked.
    pub fn is_as_new_as(&self, revision: u64) -> bool {
        let state = self.state();
        state.is_some_and(|state| state.revision >= revision) && !self.is_marked()
    }

    /// What it says is so.
    fn state(&self) -> Option<State> {
        let answer = self.outcome.as_ref().ok()?;
        Some(State { reason: answer.reason(), revision: answer.freshness.unwrap().revision })
    }

    /// Demands that it is one that the database gave, and not too long ago if it is not marked.
    fn is_right(&self, hops: usize, truth: &History<State>, stood: Option<Instant>) -> bool {
        let Some(state) = self.state() else { return false };
        // It was made a moment before it came, or before who made it was stopped.
        let moment_before = self.received.checked_sub(UNDER_WAY).unwrap();
        let is_of_before = stood.is_some_and(|stood| self.asked < stood);
        let made = if is_of_before { self.asked } else { self.asked.max(moment_before) };
        let since = made.checked_sub(oldest(hops)).unwrap();
        let was_ever = (0..=truth.last_such(|_| true).unwrap()).map(|number| truth.get(number));
        let mut was_so = truth.within(since, self.received).map(|(_, was)| was);
        was_so.any(|was| *was == state)
            || self.is_marked() && was_ever.into_iter().any(|was| *was == state)
    }
}

/// Demands of answers after so many hops that each is right, that none says what had ceased to be so long
/// before something newer was said, and that none was waited for without end, unless who was asked has
/// `stood` still from some instant on.
pub fn judge(answers: &[Answer], hops: usize, truth: &History<State>, stood: Option<Instant>) {
    // What has waited for longer than it may is refused once the process goes on.
    let refused = |it: &&Answer| {
        it.outcome.as_ref().is_err_and(|status| status.code() == Code::DeadlineExceeded)
    };
    let mut newest: Option<(u64, Instant)> = None;
    for answer in answers.iter().filter(|it| !(stood.is_some() && refused(it))) {
        assert!(
            answer.is_right(hops, truth, stood),
            "after {hops} hops: wrong, or too old: {answer:?}"
        );
        let state = answer.state().unwrap();
        if let Some((_, asked)) = newest.filter(|(revision, _)| state.revision < *revision) {
            let since = asked.checked_sub(TRAVELLED).unwrap();
            let mut was_so = truth.within(since, answer.received).map(|(_, was)| was);
            assert!(was_so.any(|was| *was == state), "after {hops} hops: {answer:?}: {newest:?}");
        } else {
            newest = Some((state.revision, answer.asked));
        }
        let took = answer.received - answer.asked;
        assert!(
            stood.is_some() || took < LONGEST,
            "after {hops} hops: it took {took:?}: {answer:?}"
        );
    }
}

/// Demands that those who asked while something hung, or whatever it was, were answered at once nearly all
/// of the time.
pub fn did_not_wait(answers: &[Answer], hops: usize, (began, ended): (Instant, Instant)) {
    let within = |answer: &Answer| {
        let took = answer.received.min(ended).saturating_duration_since(answer.asked.max(began));
        if took < AT_ONCE { Duration::ZERO } else { took }
    };
    let waited: Duration = answers.iter().map(within).sum();
    println!("after {hops} hops {waited:?} of {:?} were waited", ended - began);
    assert!(waited < (ended - began) / 2, "after {hops} hops: {waited:?} of {:?}", ended - began);
}
