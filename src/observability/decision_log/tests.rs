//! Tests of the parent module.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver},
    },
};

use super::{
    writer::{Outcome, Trouble},
    *,
};

fn entry(number: usize) -> DecisionRecord {
    DecisionRecord {
        asked: "CheckModule".to_owned(),
        module: format!("module-{number}"),
        ..DecisionRecord::default()
    }
}

fn lines(path: &Path) -> Vec<DecisionRecord> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Blocks until it is released.
struct Stuck(Mutex<Receiver<()>>, Arc<AtomicU64>);

impl LineSink for Stuck {
    fn write_lines(&mut self, lines: &[u8]) -> Outcome {
        // An error means that the sender is gone, which releases it too.
        _ = self.0.lock().unwrap().recv();
        let count = lines.split(|byte| *byte == b'\n').count() - 1;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Outcome { written: lines.len(), trouble: None }
    }

    fn follow(&mut self, _anew: bool) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Has room for so many bytes.
struct Room(usize);

impl LineSink for Room {
    fn write_lines(&mut self, lines: &[u8]) -> Outcome {
        let full = || Trouble::Write(io::ErrorKind::StorageFull.into());
        let trouble = (self.0 < lines.len()).then(full);
        Outcome { written: self.0.min(lines.len()), trouble }
    }

    fn follow(&mut self, _anew: bool) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Written, and lost: behind, full, failed.
fn counts(log: &DecisionLog) -> [u64; 4] {
    let [behind, full, failed] =
        [LossReason::Behind, LossReason::Full, LossReason::Failed].map(|it| log.counts().lost(it));
    [log.counts().written(), behind, full, failed]
}

#[test]
fn a_log_that_is_stuck_keeps_nobody_waiting_and_what_is_lost_is_counted() {
    let (release, stuck) = mpsc::channel();
    let arrived = Arc::new(AtomicU64::new(0));
    let log = DecisionLog::write_to(Stuck(Mutex::new(stuck), Arc::clone(&arrived)), 1).unwrap();
    (0..3 * QUEUE).for_each(|number| log.add(entry(number)));
    let sent = 3 * QUEUE as u64;
    let [_, behind, ..] = counts(&log);
    assert!(behind > 0, "{sent} entries fit into a queue of {QUEUE}");
    drop(release);
    while counts(&log)[0] + behind < sent {
        thread::yield_now();
    }
    log.end(Duration::from_secs(30));
    assert_eq!(counts(&log), [sent - behind, behind, 0, 0]);
    assert_eq!(arrived.load(Ordering::Relaxed), sent - behind);
}

#[test]
fn a_line_counts_as_written_once_all_of_it_is() {
    let line = serde_json::to_string(&entry(0)).unwrap().len() + 1;
    // Only the end of the line may be missing: whoever reads it has the rest.
    for (room, whole) in
        [(3 * line, 3), (3 * line - 1, 3), (3 * line - 2, 2), (line, 1), (line - 2, 0), (0, 0)]
    {
        let counted = Arc::new(LogCounts::default());
        let mut writer = Writer::new(Room(room), Arc::clone(&counted));
        (0..3).for_each(|number| writer.add(&entry(number)));
        writer.flush();
        assert_eq!((counted.written(), counted.lost(LossReason::Full)), (whole, 3 - whole));
    }
}

#[test]
fn a_file_is_put_aside_when_it_is_large_and_no_line_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let target = LogTarget::File { path: path.clone(), max_bytes: 100_000, kept: 2 };
    for round in 0..4 {
        // Another process, later, appends to the file of the first.
        let log = DecisionLog::open(target.clone(), 1).unwrap();
        for number in 0..1000 {
            log.add(entry(1000 * round + number));
        }
        log.end(Duration::from_secs(30));
        assert_eq!(counts(&log), [1000, 0, 0, 0]);
    }
    let [now, before, oldest] = ["", ".1", ".2"]
        .map(|suffix| lines(&folder.path().join(format!("decisions.jsonl{suffix}"))));
    assert!(!folder.path().join("decisions.jsonl.3").exists());
    let kept: Vec<DecisionRecord> = [oldest, before, now].concat();
    assert_eq!(*kept, (4000 - kept.len()..4000).map(entry).collect::<Vec<_>>());
}

fn target(folder: &Path) -> LogTarget {
    LogTarget::File { path: folder.join("decisions.jsonl"), max_bytes: 100_000, kept: 2 }
}

fn write(log: &DecisionLog, number: usize) {
    log.add(entry(number));
    log.end(Duration::from_secs(30));
}

#[test]
fn a_file_that_was_moved_gets_no_further_lines() {
    let folder = tempfile::tempdir().unwrap();
    let [path, moved] = ["decisions.jsonl", "moved"].map(|name| folder.path().join(name));
    let log = DecisionLog::open(target(folder.path()), 1).unwrap();
    write(&log, 1);
    fs::rename(&path, &moved).unwrap();
    write(&log, 2);
    assert_eq!((lines(&moved), lines(&path)), (vec![entry(1)], vec![entry(2)]));
    fs::remove_file(&path).unwrap();
    // Also while there is nothing to write: whoever follows the log finds it.
    while !path.exists() {
        thread::yield_now();
    }
    write(&log, 3);
    assert_eq!(lines(&path), [entry(3)]);
    assert_eq!(counts(&log), [3, 0, 0, 0]);
}

#[test]
fn what_nobody_can_read_does_not_count_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let log = DecisionLog::open(target(&inner), 1).unwrap();
    write(&log, 1);
    fs::remove_dir_all(&inner).unwrap();
    write(&log, 2);
    assert_eq!(counts(&log), [1, 0, 0, 1]);
    fs::create_dir(&inner).unwrap();
    write(&log, 3);
    assert_eq!(counts(&log), [2, 0, 0, 1]);
    assert_eq!(lines(&inner.join("decisions.jsonl")), [entry(3)]);
}

#[test]
fn a_line_after_one_that_was_cut_off_stands_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    fs::write(&path, "{\"time\":\"20").unwrap();
    let log = DecisionLog::open(target(folder.path()), 1).unwrap();
    write(&log, 1);
    write(&log, 2);
    let text = fs::read_to_string(&path).unwrap();
    let whole: Vec<DecisionRecord> =
        text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(whole, [entry(1), entry(2)]);
}

#[test]
fn a_rotation_that_fails_again_and_again_pushes_no_file_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let aside = |number: u8| folder.path().join(format!("decisions.jsonl.{number}"));
    // A folder cannot be overwritten by a file.
    fs::create_dir(aside(2)).unwrap();
    fs::write(aside(1), "old").unwrap();
    fs::write(&path, "x".repeat(200_000) + "\n").unwrap();
    let log = DecisionLog::open(target(folder.path()), 1).unwrap();
    write(&log, 1);
    write(&log, 2);
    assert_eq!(counts(&log), [2, 0, 0, 0]);
    assert_eq!(fs::read_to_string(aside(1)).unwrap(), "old");
    fs::remove_dir(aside(2)).unwrap();
    write(&log, 3);
    assert_eq!(lines(&path), [entry(3)]);
    assert_eq!(fs::read_to_string(aside(2)).unwrap(), "old");
}

#[test]
fn denials_are_always_wanted_and_of_grants_one_in_so_many() {
    let log = DecisionLog::write_to(Room(0), 4).unwrap();
    assert!((0..100).all(|_| log.wants(false)));
    assert_eq!((0..100).filter(|_| log.wants(true)).count(), 25);
    let log = DecisionLog::write_to(Room(0), 0).unwrap();
    assert!(!(0..100).any(|_| log.wants(true)));
}
