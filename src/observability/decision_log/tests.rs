//! Tests of the parent module.

use std::{
    fs,
    sync::{Mutex, mpsc},
};

use super::*;

fn entry(number: usize) -> DecisionRecord {
    DecisionRecord {
        asked: "CheckModule".to_owned(),
        module: format!("module-{number}"),
        ..DecisionRecord::default()
    }
}

fn lines(path: &std::path::Path) -> Vec<DecisionRecord> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Blocks until it is released.
struct Stuck(Mutex<Receiver<()>>, Arc<AtomicU64>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error means that the sender is gone, which releases it too.
        _ = self.0.lock().unwrap().recv();
        let lines = bytes.split(|byte| *byte == b'\n').count() - 1;
        self.1.fetch_add(lines as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_that_is_stuck_keeps_nobody_waiting_and_what_is_dropped_is_counted() {
    let (release, stuck) = mpsc::channel();
    let arrived = Arc::new(AtomicU64::new(0));
    let out = Stuck(Mutex::new(stuck), Arc::clone(&arrived));
    let log = DecisionLog::write_to(Box::new(out), 1).unwrap();
    (0..3 * QUEUE).for_each(|number| log.add(entry(number)));
    let sent = 3 * QUEUE as u64;
    let [_, dropped] = log.counts();
    assert!(dropped > 0, "{sent} entries fit into a queue of {QUEUE}");
    drop(release);
    let ended = log.clone();
    while ended.counts()[0] + dropped < sent {
        thread::yield_now();
    }
    ended.end(Duration::from_secs(30));
    assert_eq!(log.counts(), [sent - dropped, dropped]);
    assert_eq!(arrived.load(Ordering::Relaxed), sent - dropped);
}

#[test]
fn a_file_is_put_aside_when_it_is_large_and_no_line_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let target = LogTarget::File { path: path.clone(), max_bytes: 100_000, kept: 2 };
    for round in 0..4 {
        // Another process, later, appends to the file of the first.
        let log = DecisionLog::open(&target, 1).unwrap();
        for number in 0..1000 {
            log.add(entry(1000 * round + number));
        }
        log.end(Duration::from_secs(30));
        assert_eq!(log.counts(), [1000, 0]);
    }
    let [now, before, oldest] = ["", ".1", ".2"]
        .map(|suffix| lines(&folder.path().join(format!("decisions.jsonl{suffix}"))));
    assert!(!folder.path().join("decisions.jsonl.3").exists());
    let kept: Vec<DecisionRecord> = [oldest, before, now].concat();
    assert_eq!(*kept, (4000 - kept.len()..4000).map(entry).collect::<Vec<_>>());
}

#[test]
fn denials_are_always_wanted_and_of_grants_one_in_so_many() {
    let log = DecisionLog::write_to(Box::new(io::sink()), 4).unwrap();
    assert!((0..100).all(|_| log.wants(false)));
    assert_eq!((0..100).filter(|_| log.wants(true)).count(), 25);
    let log = DecisionLog::write_to(Box::new(io::sink()), 0).unwrap();
    assert!(!(0..100).any(|_| log.wants(true)));
}
