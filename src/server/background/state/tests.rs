use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
};

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use super::{format::*, *};
use crate::domain::{
    Catalogue, Facts, Module, ModuleCode, Subscription, SubscriptionStatus, Tenant, TenantStatus,
};

const LOCATION: &str = "postgres://db:5432/erp";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200 + seconds, 0).unwrap()
}

fn facts(number: u128) -> Facts {
    let tenant = Tenant {
        own: None,
        plan_slug: Some("growth".into()),
        id: Uuid::from_u128(number).into(),
        name: "Acme".into(),
        subdomain: format!("acme{number}").into(),
        database_schema: "tenant_acme".into(),
        status: TenantStatus::Active,
    };
    let row = Subscription {
        id: Uuid::nil(),
        module: ModuleCode::new("finance"),
        status: SubscriptionStatus::Active,
        starts_at: Some(at(0)),
        expires_at: None,
        is_trial: false,
        trial_ends_at: None,
    };
    Facts::new(tenant, vec![row], 7, at(5))
}

fn copy(number: u128, outdated_after: Option<DateTime<Utc>>) -> FactsCopy {
    FactsCopy { facts: facts(number), outdated_after }
}

fn catalogue() -> Catalogue {
    let module = Module {
        name: "Finance".into(),
        display_order: 1,
        sections: vec![1],
        ..Module::of_code(ModuleCode::new("finance"))
    };
    Catalogue::new(vec![module], Vec::new(), 3, at(1))
}

fn head() -> StateHead {
    StateHead {
        database: LOCATION.into(),
        written_at: Some(instant(at(10))),
        last_proof: Some(instant(at(9))),
        changes_received: true,
        program_version: "1".into(),
    }
}

fn expected() -> Expected {
    Expected {
        location: LOCATION.into(),
        now: at(20),
        max_stale: TimeDelta::hours(1),
        max_bytes: max_bytes(1),
    }
}

/// A file of two tenants, the second outdated, with this head.
fn file_with(head: &StateHead) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut writer = StateWriter::begin(File::create(&path).unwrap(), max_bytes(1)).unwrap();
    assert!(writer.record(kind::HEAD, head).unwrap());
    assert!(writer.record(kind::CATALOGUE, &wire::catalogue(&catalogue())).unwrap());
    assert!(writer.tenant(&copy(1, None)).unwrap());
    assert!(writer.tenant(&copy(2, Some(at(7)))).unwrap());
    let bytes = writer.end().unwrap();
    let content = fs::read(&path).unwrap();
    assert_eq!(bytes, content.len() as u64);
    content
}

fn read_bytes(bytes: &[u8], expected: &Expected) -> Result<ReadBefore, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    read(File::open(&path).unwrap(), bytes.len() as u64, expected)
}

/// The same bytes with a checksum that is right.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - DIGEST);
    let digest = digest(&SHA256, &bytes);
    bytes.extend(digest.as_ref());
    bytes
}

#[test]
fn what_is_written_is_read() {
    let before = read_bytes(&file_with(&head()), &expected()).unwrap();
    let [one, other] = &before.facts[..] else { panic!("{before:?}") };
    assert_eq!((&one.facts, one.outdated_after), (&facts(1), None));
    assert_eq!((&other.facts, other.outdated_after), (&facts(2), Some(at(7))));
    let (read, is_outdated) = before.catalogue.unwrap();
    assert!(read.says_the_same_as(&catalogue()) && !is_outdated && read.revision == 3);
    assert_eq!((before.last_proof, before.gathered_at), (at(9), at(10)));
    assert!(before.changes_received);
}

#[test]
fn a_file_that_is_torn_at_any_byte_is_refused() {
    let whole = file_with(&head());
    for length in 0..whole.len() {
        let refusal = read_bytes(&whole[..length], &expected()).unwrap_err();
        assert!(matches!(refusal, Refusal::Torn), "{length} of {}: {refusal}", whole.len());
    }
}

#[test]
fn a_file_that_differs_in_any_byte_is_refused() {
    let whole = file_with(&head());
    for place in 0..whole.len() {
        let mut other = whole.clone();
        other[place] ^= 1;
        let refusal = read_bytes(&other, &expected()).unwrap_err();
        let is_named = match place {
            0..16 => matches!(refusal, Refusal::Foreign),
            _ => matches!(refusal, Refusal::Torn),
        };
        assert!(is_named, "{place}: {refusal}");
    }
}

#[test]
fn a_file_that_something_was_appended_to_is_refused() {
    for more in [&b"\0"[..], &[0; 64], &file_with(&head())] {
        let longer = [&file_with(&head()), more].concat();
        assert!(matches!(read_bytes(&longer, &expected()).unwrap_err(), Refusal::Torn));
    }
}

#[test]
fn a_file_of_somebody_else_is_refused_whatever_it_is() {
    for bytes in [&b"SQLite format 3\0"[..], b"x", &[0; 1000]] {
        assert!(matches!(read_bytes(bytes, &expected()).unwrap_err(), Refusal::Foreign));
    }
}

#[test]
fn a_whole_file_of_a_newer_version_is_told_from_a_torn_one() {
    let mut newer = file_with(&head());
    newer[MAGIC.len()] = 9;
    assert!(matches!(read_bytes(&newer, &expected()).unwrap_err(), Refusal::Torn));
    assert!(matches!(read_bytes(&sealed(newer), &expected()).unwrap_err(), Refusal::Newer(9)));
}

#[test]
fn a_file_that_says_something_unexpected_is_refused_by_what_it_says() {
    let refused = |head: StateHead| read_bytes(&file_with(&head), &expected()).unwrap_err();
    let other = StateHead { database: "postgres://other:5432/erp".into(), ..head() };
    let refusal = refused(other);
    assert!(matches!(&refusal, Refusal::AnotherDatabase { .. }), "{refusal}");
    assert!(refusal.to_string().contains("//other:"), "{refusal}");
    let proof_after = StateHead { last_proof: Some(instant(at(11))), ..head() };
    assert!(matches!(refused(proof_after), Refusal::Malformed(_)));
    let undated = StateHead { written_at: None, ..head() };
    assert!(matches!(refused(undated), Refusal::Unreadable(_)));
}

#[test]
fn a_file_from_the_future_has_no_age() {
    let read_at = |now| read_bytes(&file_with(&head()), &Expected { now, ..expected() });
    read_at(at(8)).unwrap();
    assert!(matches!(read_at(at(7)).unwrap_err(), Refusal::FromTheFuture(_)));
    // What it holds counts too: the clock may have been set back before it was written.
    let early =
        StateHead { written_at: Some(instant(at(2))), last_proof: Some(instant(at(2))), ..head() };
    let expected = Expected { now: at(2), ..expected() };
    let refusal = read_bytes(&file_with(&early), &expected).unwrap_err();
    assert!(matches!(refusal, Refusal::FromTheFuture(_)), "{refusal}");
}

#[test]
fn a_file_is_too_old_once_the_last_proof_is_and_not_sooner() {
    let read_at = |now| read_bytes(&file_with(&head()), &Expected { now, ..expected() });
    read_at(at(9 + 3_599)).unwrap();
    assert!(matches!(read_at(at(9 + 3_600)).unwrap_err(), Refusal::TooOld(_)));
}

#[test]
fn a_file_has_a_size_at_most_and_so_has_what_is_read_of_it() {
    let whole = file_with(&head());
    let small = Expected { max_bytes: whole.len() as u64 - 1, ..expected() };
    assert!(matches!(read_bytes(&whole, &small).unwrap_err(), Refusal::TooLarge(..)));
    let length = PREAMBLE + 1;
    for too_long in [u32::MAX, u32::try_from(whole.len()).unwrap()] {
        let mut other = whole.clone();
        other[length..length + 4].copy_from_slice(&too_long.to_le_bytes());
        let refusal = read_bytes(&sealed(other), &expected()).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal}");
    }
}

#[test]
fn what_has_no_room_is_left_out_and_the_rest_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut writer = StateWriter::begin(File::create(&path).unwrap(), 1_000).unwrap();
    writer.record(kind::HEAD, &head()).unwrap();
    let mut written = 0;
    for number in 0..100 {
        written += usize::from(writer.tenant(&copy(number, None)).unwrap());
    }
    let bytes = writer.end().unwrap();
    assert!(bytes <= 1_000 && (1..100).contains(&written));
    let before = read(File::open(&path).unwrap(), bytes, &expected()).unwrap();
    assert_eq!(before.facts.len(), written);
}

#[test]
fn a_directory_is_made_for_one_user_and_one_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    drop(Directory::open(&path).unwrap());
    assert_eq!(mode(&path), 0o700);
    for open_to in [0o702, 0o720, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open_to)).unwrap();
        let problem = Directory::open(&path).unwrap_err();
        assert!(problem.contains("others may write to"), "{problem}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(Directory::open(&path).unwrap());
    assert!(Directory::open(&folder.path().join("missing/state")).is_err());
    let file = folder.path().join("file");
    File::create(&file).unwrap();
    assert!(Directory::open(&file).unwrap_err().contains("no directory"));
}

#[test]
fn one_process_at_a_time_writes_and_nobody_else_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let [ours, other] = [(); 2].map(|()| Directory::open(&path).unwrap());
    drop(ours.begin().unwrap());
    assert!(other.begin().unwrap_err().to_string().contains("another process"));
    // What was left unfinished is begun anew.
    drop(ours.begin().unwrap());
    ours.commit().unwrap();
    assert_eq!(ours.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(other.open_file().unwrap().is_some());
    fs::set_permissions(ours.file(), fs::Permissions::from_mode(0o622)).unwrap();
    assert!(other.open_file().is_err(), "anybody may have written it");
    drop(ours);
    other.begin().unwrap();
}
