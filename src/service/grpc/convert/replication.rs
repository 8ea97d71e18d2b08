//! Facts for other instances: from the wire, and to it.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use prost::{Message, bytes::Bytes};
use tonic::{Request, Status};

use super::requests::{Fields, caller};
use crate::{
    cache::{ChangeOutcome, FeedState},
    domain::{Catalogue, TenantId},
    proto::{FollowFactsResponse, replication as proto},
    service::{
        caller::Credentials,
        replication::{
            Changes, FactsQuery, FollowMessage, FollowQuery, Found, Heartbeat, Opened, Pings,
            Position,
        },
    },
    store::TenantKey,
    wire,
};

/// Tenants of one request, at most.
const MAX_TENANTS: usize = 1_000;
/// The facts in one message of changes, at most: some thousand tenants. They are left out of it where there
/// are more.
const MAX_FACTS_BYTES: usize = 1 << 20;
/// The length of a mark at most: a snapshot with some hundred transactions under way.
const MAX_MARK_BYTES: usize = 16 << 10;

pub(in crate::service) fn facts_query(
    request: &Request<proto::GetFactsRequest>,
) -> Result<FactsQuery<'_>, Status> {
    let proto::GetFactsRequest { tenants, min_revision } = request.get_ref();
    let mut fields = Fields::default();
    if tenants.len() > MAX_TENANTS {
        let problem = format!("must hold at most {MAX_TENANTS} keys, not {}", tenants.len());
        fields.violated("tenants", problem);
        return fields.all_good(None);
    }
    let keys: Vec<_> = tenants.iter().map(wire::tenant_key_of).collect();
    for (index, _) in keys.iter().enumerate().filter(|(_, key)| key.is_none()) {
        fields.violated(format!("tenants[{index}]"), "must be 16 bytes, or a subdomain");
    }
    if *min_revision > 0 && !matches!(*keys, [Some(TenantKey::Id(_))]) {
        fields.violated("min_revision", "needs one tenant, by its id");
    }
    let tenants = keys.into_iter().collect::<Option<Vec<_>>>();
    let tenants = fields.all_good(tenants)?;
    Ok(FactsQuery { caller: caller(request), tenants, min_revision: *min_revision })
}

pub(in crate::service) fn keys_response<'a>(
    keys: impl Iterator<Item = &'a TenantKey>,
) -> proto::ListTenantKeysResponse {
    proto::ListTenantKeysResponse { tenants: keys.map(wire::tenant_key).collect() }
}

pub(in crate::service) fn facts_response(
    found: Vec<Found>,
    instance: u64,
) -> proto::GetFactsResponse {
    proto::GetFactsResponse { found: found.into_iter().map(found_facts).collect(), instance }
}

fn found_facts(found: Found) -> proto::FoundFacts {
    use proto::found_facts::Outcome;
    let outcome = match found {
        Found::Facts(facts) => Outcome::Facts(wire::facts(&facts)),
        Found::Outdated(facts, was_so_at) => Outcome::OutdatedFacts(proto::OutdatedFacts {
            facts: Some(wire::facts(&facts)),
            was_so_at: Some(wire::instant(was_so_at)),
        }),
        Found::Absent { revision, as_of, stale } => Outcome::AbsentTenant(proto::AbsentTenant {
            revision,
            as_of: Some(wire::instant(as_of)),
            stale,
        }),
        Found::Unknown { is_unreadable } => {
            let message = if is_unreadable {
                "the database holds a row of it that cannot be read; the log says which"
            } else {
                "it is not held, and cannot be read"
            };
            Outcome::UnknownTenant(proto::UnknownTenant {
                message: message.to_owned(),
                unreadable: is_unreadable,
            })
        }
    };
    proto::FoundFacts { outcome: Some(outcome) }
}

pub(in crate::service) fn catalogue_response(
    catalogue: &Catalogue,
    stale: bool,
    instance: u64,
) -> proto::GetCatalogueResponse {
    proto::GetCatalogueResponse { catalogue: Some(wire::catalogue(catalogue)), stale, instance }
}

pub(in crate::service) fn follow_query(
    proto::FollowFactsRequest { position, ping }: proto::FollowFactsRequest,
    credentials: Credentials,
    pings: Pings,
) -> Result<FollowQuery, Status> {
    let mut fields = Fields::default();
    if position.as_ref().is_some_and(|position| position.mark.len() > MAX_MARK_BYTES) {
        let problem = format!("must have at most {MAX_MARK_BYTES} bytes");
        fields.violated("position.mark", problem);
    }
    let position = position.map(|proto::Position { instance, sequence, mark }| Position {
        instance,
        sequence,
        mark: Arc::from(&*mark),
    });
    fields.all_good(Some(FollowQuery { credentials, position, ping, pings }))
}

pub(in crate::service) fn follow_response(sent: FollowMessage) -> FollowFactsResponse {
    match sent {
        FollowMessage::Opened(opened) => {
            FollowFactsResponse { opened: Some(follow_opened(opened)), ..Default::default() }
        }
        FollowMessage::Batch(batch) => {
            let encoded = batch.encoded.get_or_init(|| encoded(&batch.changes, &batch.position));
            changed(encoded.clone())
        }
        FollowMessage::Changes(changes, position) => changed(encoded(&changes, &position)),
        FollowMessage::Heartbeat(heartbeat) => FollowFactsResponse {
            heartbeat: Some(follow_heartbeat(heartbeat)),
            ..Default::default()
        },
    }
}

fn changed(changes: Bytes) -> FollowFactsResponse {
    FollowFactsResponse { changes: Some(changes), ..Default::default() }
}

fn encoded(changes: &Changes, position: &Position) -> Bytes {
    let Changes { reset, directory, catalogue, tenants, outcomes } = changes;
    let mut message = proto::FactChanges {
        position: Some(follow_position(position)),
        reset: *reset,
        directory_changed: *directory,
        catalogue_changed: *catalogue,
        changed_tenant_ids: tenants.iter().copied().flat_map(bytes).collect(),
        ..Default::default()
    };
    let mut left = MAX_FACTS_BYTES;
    for (id, outcome) in outcomes {
        match outcome {
            ChangeOutcome::Facts(facts) => {
                let facts = wire::facts(facts);
                match left.checked_sub(facts.encoded_len()) {
                    Some(rest) => {
                        message.facts.push(facts);
                        left = rest;
                    }
                    // Whoever wants them asks for them.
                    None => message.unread_tenant_ids.extend(bytes(*id)),
                }
            }
            ChangeOutcome::Gone(id, revision) => {
                let (id, revision) = (bytes(*id).to_vec(), *revision);
                message.gone_tenants.push(proto::GoneTenant { id, revision });
            }
            ChangeOutcome::Unread(id) => message.unread_tenant_ids.extend(bytes(*id)),
        }
    }
    message.encode_to_vec().into()
}

fn bytes(id: TenantId) -> [u8; 16] {
    id.uuid().into_bytes()
}

fn follow_position(Position { instance, sequence, mark }: &Position) -> proto::Position {
    proto::Position { instance: *instance, sequence: *sequence, mark: mark.to_vec() }
}

fn follow_opened(Opened { reset, position }: Opened) -> proto::FollowOpened {
    proto::FollowOpened { reset, position: Some(follow_position(&position)) }
}

fn follow_heartbeat(heartbeat: Heartbeat) -> proto::FollowHeartbeat {
    let Heartbeat { ping, feed, proof_age, valid_for, position } = heartbeat;
    let feed = match feed {
        FeedState::Live => proto::FeedState::Live,
        FeedState::Suspect => proto::FeedState::Suspect,
        FeedState::Off => proto::FeedState::Off,
    };
    proto::FollowHeartbeat {
        ping,
        feed: feed.into(),
        proof_age: proof_age.as_ref().and_then(span),
        valid_for: duration(valid_for),
        position: Some(follow_position(&position)),
    }
}

fn span(span: &TimeDelta) -> Option<prost_types::Duration> {
    span.to_std().ok().and_then(duration)
}

fn duration(span: Duration) -> Option<prost_types::Duration> {
    span.try_into().ok()
}
