//! How far a primary's log has come, and how far a replica has replayed it.

use sea_orm::{DbErr, QueryResult};

use super::{RUN, StoreError};
use crate::store::replica::{TIMELINE_OF_PRIMARY, TIMELINE_OF_REPLICA, identity_of};

/// What a page of the log begins with, at most. The log of an idle primary may end behind it, and what
/// was replayed of it before.
const PAGE_HEADER: u64 = 40;

/// How far a primary's log had come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrimaryPosition {
    /// Which database of which cluster that is, on which timeline.
    identity: String,
    end: u64,
}

/// How far a server has replayed its primary's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    identity: String,
    replayed: u64,
    /// The size of the log's pages.
    page: u64,
}

/// Does a server show what a primary had committed?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It lags.
    NotYet,
    /// It is none of that primary's.
    Alien,
}

/// What asks a primary. The end of the log, whether written or not: a commit can be visible before its
/// record is written. Fails on a standby.
pub(super) fn of_primary() -> String {
    let identity = identity_of(TIMELINE_OF_PRIMARY);
    format!("SELECT pg_current_wal_insert_lsn()::text AS lsn, {identity} AS identity")
}

/// What asks a replica. One that was promoted answers too: the primary may be it.
pub(super) fn of_replica() -> String {
    let timeline = format!(
        "CASE WHEN pg_is_in_recovery() THEN {TIMELINE_OF_REPLICA} ELSE {TIMELINE_OF_PRIMARY} END"
    );
    let identity = identity_of(&timeline);
    format!(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                     ELSE pg_current_wal_insert_lsn() END::text AS lsn,
                {identity} AS identity, current_setting('wal_block_size')::bigint AS page, {RUN} AS run"
    )
}

impl PrimaryPosition {
    pub(super) fn of(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self { identity: row.try_get("", "identity")?, end: lsn(row)? })
    }
}

impl Reached {
    pub(super) fn of(row: &QueryResult) -> Result<Self, StoreError> {
        let page: i64 = row.try_get("", "page")?;
        let page = u64::try_from(page).unwrap_or_default().max(1);
        Ok(Self { identity: row.try_get("", "identity")?, replayed: lsn(row)?, page })
    }

    /// Does it show what the primary had committed by then?
    pub fn holds(&self, primary: &PrimaryPosition) -> Holds {
        if self.identity != primary.identity {
            return Holds::Alien;
        }
        // No record fits between the end of a page and the end of the next one's header.
        let is_at_page = self.replayed.is_multiple_of(self.page);
        let missing = primary.end.saturating_sub(self.replayed);
        if missing == 0 || is_at_page && missing <= PAGE_HEADER {
            Holds::Yes
        } else {
            Holds::NotYet
        }
    }
}

#[cfg(test)]
impl PrimaryPosition {
    /// Of a cluster, for tests.
    pub fn at(identity: &str, end: u64) -> Self {
        Self { identity: identity.to_owned(), end }
    }
}

#[cfg(test)]
impl Reached {
    /// Of a cluster, for tests.
    pub fn at(identity: &str, replayed: u64) -> Self {
        Self { identity: identity.to_owned(), replayed, page: 8192 }
    }
}

/// A position in the log: two numbers in hexadecimal digits. A server that has yet to replay anything
/// has none.
fn lsn(row: &QueryResult) -> Result<u64, StoreError> {
    let text: Option<String> = row.try_get("", "lsn")?;
    let text = text.unwrap_or_else(|| "0/0".to_owned());
    parse(&text).ok_or_else(|| DbErr::Custom(format!("{text:?} is no position in a log")).into())
}

fn parse(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let [high, low] = [high, low].map(|part| u32::from_str_radix(part, 16).ok());
    Some(u64::from(high?) << 32 | u64::from(low?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(replayed: &str, end: &str) -> Holds {
        let [replayed, end] = [replayed, end].map(|text| parse(text).unwrap());
        Reached::at("a", replayed).holds(&PrimaryPosition::at("a", end))
    }

    #[test]
    fn a_replica_holds_what_it_has_replayed_and_no_more() {
        assert_eq!(holds("1/0", "0/FFFFFFFF"), Holds::Yes);
        assert_eq!(holds("0/3000100", "0/3000100"), Holds::Yes);
        assert_eq!(holds("0/3000100", "0/3000108"), Holds::NotYet);
        assert_eq!(holds("0/FFFFFFFF", "1/0"), Holds::NotYet);
    }

    #[test]
    fn the_header_of_a_page_that_has_no_record_yet_is_not_waited_for() {
        assert_eq!(holds("0/4000000", "0/4000028"), Holds::Yes, "as after pg_switch_wal");
        assert_eq!(holds("0/4002000", "0/4002018"), Holds::Yes);
        assert_eq!(holds("0/4000000", "0/4000060"), Holds::NotYet, "a record");
        assert_eq!(holds("0/4000100", "0/4000118"), Holds::NotYet, "within a page");
    }

    #[test]
    fn a_server_of_another_cluster_or_timeline_holds_nothing() {
        let (reached, primary) =
            (Reached::at("a 16384 2", 100), PrimaryPosition::at("a 16384 1", 1));
        assert_eq!(reached.holds(&primary), Holds::Alien);
    }
}
