//! Reading a file of what was held. Its checksum is verified before anything in it is looked at.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read, Seek, SeekFrom},
};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;

use super::format::{
    CLOCK_TOLERANCE, DIGEST, MAGIC, MAX_RECORD, PREAMBLE, Refusal, UPSTREAMS, VERSION, kind,
};
use crate::{
    cache::{FactsCopy, ReadBefore},
    proto::replication::{Catalogue, Facts, OutdatedFacts, StateHead},
    wire::{self, Shared, Unreadable, required_instant},
};

/// What is read at once.
const BUFFER: usize = 256 << 10;

/// What a file must be like.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The database that it must be of.
    pub(super) location: String,
    pub(super) now: DateTime<Utc>,
    pub(super) max_stale: TimeDelta,
    /// Its size at most.
    pub(super) max_bytes: u64,
}

/// Reads a file of so many bytes.
pub(super) fn read(
    mut file: File,
    length: u64,
    expected: &Expected,
) -> Result<ReadBefore, Refusal> {
    if length > expected.max_bytes {
        return Err(Refusal::TooLarge(length, expected.max_bytes));
    }
    let version = verify(&file, length)?;
    if version > VERSION {
        return Err(Refusal::Newer(version));
    }
    if version < VERSION {
        return Err(Refusal::Malformed("there is no such version"));
    }
    file.seek(SeekFrom::Start(PREAMBLE as u64))?;
    let records = BufReader::with_capacity(BUFFER, file);
    Records { records, left: length - (PREAMBLE + DIGEST) as u64 }.read(expected)
}

/// Verifies the checksum, and gives the version.
fn verify(file: &File, length: u64) -> Result<u32, Refusal> {
    let mut file = BufReader::with_capacity(BUFFER, file);
    let mut magic = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    if !MAGIC.starts_with(&magic) {
        return Err(Refusal::Foreign);
    }
    let Some(mut left) = length.checked_sub((PREAMBLE + DIGEST) as u64) else {
        return Err(Refusal::Torn);
    };
    let mut digest = Context::new(&SHA256);
    let mut version = [0; 4];
    file.read_exact(&mut version).map_err(cut_off)?;
    digest.update(&magic);
    digest.update(&version);
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let most = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        let piece = &mut buffer[..most];
        file.read_exact(piece).map_err(cut_off)?;
        digest.update(piece);
        left -= most as u64;
    }
    let mut stored = Vec::new();
    // One byte more: it may have grown since its length was asked for.
    file.take(DIGEST as u64 + 1).read_to_end(&mut stored)?;
    let is_whole = stored == digest.finish().as_ref();
    if is_whole { Ok(u32::from_le_bytes(version)) } else { Err(Refusal::Torn) }
}

fn cut_off(error: std::io::Error) -> Refusal {
    if error.kind() == ErrorKind::UnexpectedEof { Refusal::Torn } else { Refusal::Io(error) }
}

/// The records of a file that is whole.
struct Records {
    records: BufReader<File>,
    /// How many bytes of them are left.
    left: u64,
}

impl Records {
    fn read(mut self, expected: &Expected) -> Result<ReadBefore, Refusal> {
        let mut record = Vec::new();
        if self.next(&mut record)? != kind::HEAD {
            return Err(Refusal::Malformed("the first is not the head"));
        }
        let mut before = begin(decoded(&record)?, expected)?;
        let mut shared = Shared::default();
        loop {
            match self.next(&mut record)? {
                what @ (kind::CATALOGUE | kind::OUTDATED_CATALOGUE) => {
                    let catalogue = decoded::<Catalogue>(&record)?;
                    let catalogue = wire::catalogue_of(catalogue, &mut shared)?;
                    gathered(&mut before, catalogue.as_of, expected)?;
                    before.catalogue = Some((catalogue, what == kind::OUTDATED_CATALOGUE));
                }
                kind::TENANT => {
                    let facts = wire::facts_of(decoded::<Facts>(&record)?, &mut shared)?;
                    gathered(&mut before, facts.as_of, expected)?;
                    before.facts.push(FactsCopy { facts, outdated_after: None });
                }
                kind::OUTDATED_TENANT => {
                    let OutdatedFacts { facts, was_so_at } = decoded(&record)?;
                    let facts = facts.ok_or(Unreadable::missing("OutdatedFacts.facts"))?;
                    let facts = wire::facts_of(facts, &mut shared)?;
                    let was_so_at = required_instant("OutdatedFacts.was_so_at", was_so_at)?;
                    gathered(&mut before, facts.as_of, expected)?;
                    gathered(&mut before, was_so_at, expected)?;
                    before.facts.push(FactsCopy { facts, outdated_after: Some(was_so_at) });
                }
                kind::END => {
                    let count = (before.facts.len() as u64).to_le_bytes();
                    let is_all = self.left == 0 && *record == count;
                    let problem = Refusal::Malformed("their number is not what it says");
                    return if is_all { Ok(before) } else { Err(problem) };
                }
                _ => return Err(Refusal::Malformed("one is of a kind that there is not")),
            }
        }
    }

    /// Reads the next record, and gives its kind.
    fn next(&mut self, record: &mut Vec<u8>) -> Result<u8, Refusal> {
        let mut start = [0; 5];
        self.take(start.len() as u64)?;
        self.records.read_exact(&mut start).map_err(cut_off)?;
        let [kind, length @ ..] = start;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_RECORD {
            return Err(Refusal::Malformed("one is too long"));
        }
        self.take(length as u64)?;
        record.resize(length, 0);
        self.records.read_exact(record).map_err(cut_off)?;
        Ok(kind)
    }

    /// So many bytes are about to be read.
    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(Refusal::Malformed("the last is longer than the file"))?;
        Ok(())
    }
}

/// What the head says, if that is what is expected.
fn begin(head: StateHead, expected: &Expected) -> Result<ReadBefore, Refusal> {
    let StateHead { database, written_at, last_proof, changes_received, program_version: _ } = head;
    let written_at = required_instant("StateHead.written_at", written_at)?;
    let last_proof = required_instant("StateHead.last_proof", last_proof)?;
    let Expected { location, now, max_stale, .. } = expected;
    if !is_same_source(&database, location) {
        return Err(Refusal::AnotherDatabase { found: database, ours: location.clone() });
    }
    if written_at > *now + CLOCK_TOLERANCE {
        return Err(Refusal::FromTheFuture(written_at));
    }
    if last_proof > written_at {
        return Err(Refusal::Malformed("the last proof came after it was written"));
    }
    if *now - last_proof >= *max_stale {
        return Err(Refusal::TooOld(last_proof));
    }
    Ok(ReadBefore {
        facts: Vec::new(),
        catalogue: None,
        last_proof,
        gathered_at: written_at,
        changes_received,
    })
}

/// Are facts from the same database? Of an edge, which knows only whom it asks, if it may ask one whom
/// it could have asked before.
fn is_same_source(found: &str, ours: &str) -> bool {
    let upstreams = |location: &str| location.strip_prefix(UPSTREAMS).map(str::to_owned);
    match (upstreams(found), upstreams(ours)) {
        (Some(found), Some(ours)) => {
            found.split(' ').any(|one| ours.split(' ').any(|other| one == other))
        }
        _ => found == ours,
    }
}

/// Something of it was read then: perhaps while the file was being written, which takes a moment.
fn gathered(
    before: &mut ReadBefore,
    as_of: DateTime<Utc>,
    expected: &Expected,
) -> Result<(), Refusal> {
    if as_of > expected.now + CLOCK_TOLERANCE {
        return Err(Refusal::FromTheFuture(as_of));
    }
    before.gathered_at = before.gathered_at.max(as_of);
    Ok(())
}

fn decoded<T: Message + Default>(record: &[u8]) -> Result<T, Refusal> {
    T::decode(record).map_err(|_| Refusal::Malformed("one is no message of its kind"))
}
