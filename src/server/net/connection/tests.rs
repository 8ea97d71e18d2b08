//! What becomes of peers that do not send, or do not read.

mod client;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use self::client::{
    Client, Contents, DATA, Frame, HEADERS, PREFACE, Quiet, REQUEST, RST_STREAM, SETTINGS, WHOLE,
    frame, window_update,
};
use super::FIRST_BYTES;
use crate::server::net::unread::MAX_STALL;

#[tokio::test(start_paused = true)]
async fn who_does_not_finish_its_hello_is_not_waited_for() {
    let settings = frame(SETTINGS, 0, 0, &[]);
    for hello in [&b"P"[..], PREFACE, &[PREFACE, &settings[..8]].concat()] {
        let mut client = Client::by(Contents::default());
        client.send(hello).await;
        assert!(client.end().await < FIRST_BYTES + Duration::from_secs(1), "{hello:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_said_hello_may_be_idle() {
    let mut client = Client::greeted(Contents::default(), 0).await;
    let is_over = tokio::time::timeout(FIRST_BYTES * 20, client.next()).await;
    assert!(is_over.is_err() && !client.serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_peer_takes_nothing_of_the_answer_is_reset_and_no_other() {
    let mut client = Client::greeted(Contents { size: 1, ..Contents::default() }, 0).await;
    client.ask([1]).await;
    assert_eq!(client.next_of(HEADERS).await, 1);
    assert_eq!(client.next_of(RST_STREAM).await, 1);
    assert!((MAX_STALL..MAX_STALL * 2).contains(&client.began.elapsed()));
    client.ask([3]).await;
    client.send(&window_update(3, 1_000)).await;
    assert_eq!(client.next_of(DATA).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_peer_has_no_room_for_all_of_the_answer_is_reset() {
    for window in [1, 100, 20_000] {
        let mut client =
            Client::greeted(Contents { size: 50_000, ..Contents::default() }, window).await;
        client.ask([1]).await;
        assert_eq!(client.next_of(RST_STREAM).await, 1);
        assert!((MAX_STALL..MAX_STALL * 2).contains(&client.began.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn of_answers_that_fill_a_connection_those_are_reset_that_do_not_go_on_however_small_their_window_is()
 {
    let front = Contents { size: 3_000, ..Contents::default() };
    let mut client = Client::greeted(front, 1).await;
    // 300 kB, where 64 KiB are nobody's business.
    client.ask((0..100).map(|number| number * 2 + 1)).await;
    for reset in 0..78 {
        client.next_of(RST_STREAM).await;
        assert!((MAX_STALL..MAX_STALL * 2).contains(&client.began.elapsed()), "{reset}");
    }
    client.send(&window_update(0, 100_000)).await;
    client.ask([201]).await;
    client.send(&window_update(201, 10_000)).await;
    while client.next().await.stream != 201 {}
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_asked_to_end_that_lets_an_answer_pass_only_in_part() {
    for window in [1, 2_999] {
        let front = Contents { size: 3_000, ..Contents::default() };
        let mut client = Client::greeted(front, window).await;
        client.ask([1]).await;
        assert_eq!(client.next_of(DATA).await, 1);
        let asked = client.began.elapsed();
        client.ask([3]).await;
        client.send(&window_update(3, 10_000)).await;
        assert_eq!(client.next_of(DATA).await, 3, "others go on");
        assert!(asked < MAX_STALL);
        // Nothing more is sent to the server: no window for the first.
        assert!(client.end().await < MAX_STALL * 3);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_will_answer_go_with_their_connection() {
    let front = Contents::default();
    let (answered, front) = (Arc::clone(&front.answered), front);
    let mut client = Client::greeted(front, 1_000).await;
    // More than are read at once, so that some wait for their turn when what ends the connection is
    // read: DATA on no stream (RFC 9113, section 6.1).
    let request = [&REQUEST[..], &[0, 1, b'x', 100], &[b'y'; 100]].concat();
    let requests = (0..300).flat_map(|number| frame(HEADERS, WHOLE, number * 2 + 1, &request));
    client.send(&requests.chain(frame(DATA, 0, 0, &[0])).collect::<Vec<_>>()).await;
    client.end().await;
    assert_eq!(Arc::strong_count(&answered), 1, "the front is gone, and so are they");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_all_of_its_answer() {
    const SIZE: usize = 50_000;
    let mut client = Client::greeted(Contents { size: SIZE, ..Contents::default() }, 0).await;
    client.ask([1]).await;
    let mut read = 0;
    while read < SIZE {
        tokio::time::sleep(MAX_STALL / 2).await;
        client.send(&window_update(1, 4 * 1024)).await;
        client.send(&window_update(0, 4 * 1024)).await;
        read += loop {
            match client.next().await {
                Frame { kind: DATA, size, .. } => break size,
                Frame { kind: HEADERS, .. } => {}
                frame => panic!("{frame:?}"),
            }
        };
    }
    assert!(client.began.elapsed() > MAX_STALL * 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_happens_stays() {
    let mut client = Client::greeted(Quiet, 1_000).await;
    client.ask([1]).await;
    assert_eq!(client.next_of(HEADERS).await, 1);
    assert!(tokio::time::timeout(MAX_STALL * 20, client.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_peer_reads_nothing_is_ended() {
    let mut client =
        Client::greeted(Contents { size: 100_000, ..Contents::default() }, 1 << 30).await;
    client.send(&window_update(0, 1 << 30)).await;
    client.ask([1, 3, 5]).await;
    assert!(client.end().await < MAX_STALL * 2);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_while_a_connection_holds_too_much_that_is_not_read() {
    let front = Contents { size: 64 * 1024, ..Contents::default() };
    let answered = Arc::clone(&front.answered);
    let mut client = Client::greeted(front, 0).await;
    client.ask((0..100).map(|number| number * 2 + 1)).await;
    for stream in 0..16 {
        assert_eq!(client.next_of(HEADERS).await, stream * 2 + 1);
    }
    assert!(tokio::time::timeout(MAX_STALL / 2, client.next()).await.is_err());
    assert_eq!(answered.load(Ordering::Relaxed), 16, "1 MiB");
    // Those that do not go on make room for others.
    assert_eq!(client.next_of(RST_STREAM).await, 1);
    assert_eq!(client.next_of(HEADERS).await, 33);
}
