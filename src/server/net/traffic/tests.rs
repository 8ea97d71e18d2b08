//! Tests of the parent module.

use tokio::io::AsyncReadExt;

use super::*;

/// How many requests are cancelled until the peer is asked to leave, and until its connection is
/// ended, at this rate per second and with this many answers per second.
fn borne(cancelled_a_second: u32, answers: u32, most: u32) -> [Option<u32>; 2] {
    let began = Instant::now();
    let mut budget = CancellationBudget::new(1024, began);
    let mut ends = [None; 2];
    for number in 1..=most {
        (0..answers).for_each(|_| budget.answered());
        let now = began + Duration::from_secs(1) * number / cancelled_a_second;
        if budget.cancelled(now) {
            ends[0] = ends[0].or(Some(number));
        }
        if budget.is_overdrawn() {
            ends[1] = ends[1].or(Some(number));
        }
    }
    ends
}

#[test]
fn who_only_cancels_is_asked_to_leave_and_then_made_to() {
    assert_eq!(borne(1_000_000, 0, 10_000), [Some(1_025), Some(2_049)]);
}

#[test]
fn who_has_as_many_requests_answered_may_cancel_for_ever() {
    assert_eq!(borne(1_000_000, 1, 1_000_000), [None, None]);
}

#[test]
fn who_cancels_everything_because_it_takes_too_long_is_borne_with() {
    assert_eq!(borne(100, 0, 100_000), [None, None]);
    assert_eq!(borne(127, 0, 100_000), [None, None]);
    let [asked, _] = borne(1_000, 0, 100_000);
    assert!(asked.is_some_and(|asked| asked > 1_100), "{asked:?}");
}

#[test]
fn nobody_saves_up_more_than_there_was_at_first() {
    let began = Instant::now();
    let mut budget = CancellationBudget::new(1024, began);
    (0..1_000_000).for_each(|_| budget.answered());
    let later = began + Duration::from_hours(24);
    let asked = (1..10_000).find(|_| budget.cancelled(later));
    assert_eq!(asked, Some(1_025));
}

fn requests(count: usize) -> Vec<u8> {
    [vec![b'P'; 24], [0, 0, 0, HEADERS, 5, 0, 0, 0, 1].repeat(count)].concat()
}

#[tokio::test]
async fn no_more_is_read_while_as_many_wait_as_may() {
    let traffic = Traffic::new(1);
    let bytes = requests(MAX_WAITING);
    let mut stream = Metered::new(tokio::io::join(&bytes[..], tokio::io::sink()), traffic.clone());
    let mut buffer = [0; 32];
    let mut read = |length: usize| {
        let mut context = Context::from_waker(std::task::Waker::noop());
        Pin::new(&mut stream).poll_read(&mut context, &mut ReadBuf::new(&mut buffer[..length]))
    };
    assert!(read(24).is_ready());
    for waiting in [MAX_WAITING, MAX_WAITING + 1] {
        traffic.begin_turn(waiting);
        assert!(read(9).is_pending() && traffic.end_turn().is_paused);
    }
    traffic.begin_turn(MAX_WAITING - 2);
    assert!(!traffic.end_turn().is_paused);
    assert!(read(9).is_ready() && read(9).is_ready() && read(9).is_pending());
    assert!(traffic.end_turn().is_paused);
    traffic.begin_turn(0);
    assert!(stream.read(&mut [0; 9]).await.is_ok_and(|count| count == 9));
}
