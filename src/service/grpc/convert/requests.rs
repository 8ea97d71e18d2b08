//! From the wire: strings to ids, or INVALID_ARGUMENT with every field that is invalid.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use tonic::{Request, Status};
use tonic_types::FieldViolation;

use crate::{
    domain::{
        ModuleCode, TenantId,
        ids::validate_key,
        limits::{HEARTBEAT_INTERVALS, MAX_BATCH, MAX_FEATURE_KEY_CHARS, MAX_PAGE, MAX_WATCHED},
    },
    proto::v1::{
        AuthorizeRequest, BatchCheckModulesRequest, CheckModuleRequest, ListEnabledModulesRequest,
        ListTenantIdsRequest, ResolveTenantRequest, WatchChangesRequest,
    },
    service::{
        caller::{CallerIdentity, Credentials},
        check::{BatchQuery, CheckQuery, ListQuery, TenantQuery},
        grpc::status,
        resolve::{AuthorizeQuery, Carried},
        tenants::TenantsQuery,
        watch::WatchQuery,
    },
    store::TenantKey,
};

/// The first and the last second that a proto Timestamp can hold: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

pub(in crate::service) fn caller<T>(request: &Request<T>) -> CallerIdentity<'_> {
    CallerIdentity::of(request.extensions(), request.metadata().as_ref())
}

pub(in crate::service) fn check_query(
    request: &Request<CheckModuleRequest>,
) -> Result<CheckQuery<'_>, Status> {
    let CheckModuleRequest { tenant_id, module_code, min_revision, at } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    fields.module("module_code", module_code);
    Ok(CheckQuery { tenant: fields.all_good(tenant)?, module: module_code })
}

pub(in crate::service) fn batch_query(
    request: &Request<BatchCheckModulesRequest>,
) -> Result<BatchQuery<'_>, Status> {
    let BatchCheckModulesRequest { tenant_id, module_codes, min_revision, at } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    fields.modules("module_codes", module_codes);
    Ok(BatchQuery { tenant: fields.all_good(tenant)?, modules: module_codes })
}

pub(in crate::service) fn list_query(
    request: &Request<ListEnabledModulesRequest>,
) -> Result<ListQuery<'_>, Status> {
    let ListEnabledModulesRequest {
        tenant_id,
        min_revision,
        at,
        include_upcoming,
        include_features,
    } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, at.as_ref());
    Ok(ListQuery {
        tenant: fields.all_good(tenant)?,
        include_upcoming: *include_upcoming,
        include_features: *include_features,
    })
}

pub(in crate::service) fn resolve_query(
    request: &Request<ResolveTenantRequest>,
) -> Result<Carried<'_>, Status> {
    let ResolveTenantRequest { tenant_id, host, bearer_token } = request.get_ref();
    let mut fields = Fields::default();
    let carried = fields.carried(caller(request), tenant_id, host, bearer_token);
    fields.all_good(Some(carried))
}

pub(in crate::service) fn authorize_query(
    request: &Request<AuthorizeRequest>,
) -> Result<AuthorizeQuery<'_>, Status> {
    let AuthorizeRequest { tenant_id, host, bearer_token, any_of_module_codes, feature_key } =
        request.get_ref();
    let mut fields = Fields::default();
    let carried = fields.carried(caller(request), tenant_id, host, bearer_token);
    fields.modules("any_of_module_codes", any_of_module_codes);
    let feature = (!feature_key.is_empty()).then_some(feature_key.as_str());
    if let Some(key) = feature {
        fields.key("feature_key", key, MAX_FEATURE_KEY_CHARS);
    }
    fields.all_good(Some(AuthorizeQuery { carried, any_of: any_of_module_codes, feature }))
}

pub(in crate::service) fn tenants_query(
    request: &Request<ListTenantIdsRequest>,
) -> Result<TenantsQuery<'_>, Status> {
    let ListTenantIdsRequest { module_code, page_size, page_token } = request.get_ref();
    let mut fields = Fields::default();
    let module = (!module_code.is_empty()).then_some(module_code.as_str());
    if let Some(module) = module {
        fields.module("module_code", module);
    }
    let size = fields.page_size(*page_size, MAX_PAGE);
    let after = fields.page_token(page_token, |token| TenantId::parse(token).ok());
    fields.all_good(Some(TenantsQuery { caller: caller(request), module, after, size }))
}

pub(in crate::service) fn watch_query(
    request: &Request<WatchChangesRequest>,
) -> Result<WatchQuery, Status> {
    let WatchChangesRequest { tenant_ids, announce_end, heartbeat_interval } = request.get_ref();
    let mut fields = Fields::default();
    if tenant_ids.len() > MAX_WATCHED {
        fields.violated(
            "tenant_ids",
            format!("must hold at most {MAX_WATCHED} ids, not {}", tenant_ids.len()),
        );
        return fields.all_good(None);
    }
    let mut tenants = HashSet::with_capacity(tenant_ids.len());
    for (index, id) in tenant_ids.iter().enumerate() {
        match TenantId::parse(id) {
            Ok(id) => drop(tenants.insert(id)),
            Err(error) => fields.violated(format!("tenant_ids[{index}]"), error.to_string()),
        }
    }
    let heartbeat_interval = heartbeat_interval.and_then(|interval| {
        let good = Duration::try_from(interval).ok().filter(|it| HEARTBEAT_INTERVALS.contains(it));
        if good.is_none() {
            fields.violated("heartbeat_interval", "must be from 1 to 10 s");
        }
        good
    });
    // The front has put them there.
    let credentials = request.extensions().get::<Credentials>().cloned().unwrap_or_default();
    fields.all_good(Some(WatchQuery {
        credentials,
        tenants,
        announce_end: *announce_end,
        heartbeat_interval,
    }))
}

/// Gathers the violations of a request. Costs nothing while there are none.
#[derive(Default)]
pub(super) struct Fields(Vec<FieldViolation>);

impl Fields {
    /// A tenant by its UUID or subdomain.
    pub(super) fn tenant_key(&mut self, field: &str, text: &str) -> Option<TenantKey> {
        let key = TenantKey::parse(text);
        if key.is_none() {
            self.violated(field, "must be a UUID in 36-character form, or a subdomain");
        }
        key
    }

    pub(super) fn violated(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// The value, unless a field was violated. A caller that passes `None` has recorded the
    /// violation.
    pub(super) fn all_good<T>(self, value: Option<T>) -> Result<T, Status> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(status::invalid_fields(self.0)),
        }
    }

    pub(super) fn tenant_id(&mut self, text: &str) -> Option<TenantId> {
        TenantId::parse(text).map_err(|error| self.violated("tenant_id", error.to_string())).ok()
    }

    pub(super) fn tenant<'a>(
        &mut self,
        caller: CallerIdentity<'a>,
        id: &str,
        min_revision: Option<u64>,
        at: Option<&Timestamp>,
    ) -> Option<TenantQuery<'a>> {
        let tenant = self.tenant_id(id);
        let at = self.instant("at", at);
        Some(TenantQuery {
            caller,
            tenant: tenant?,
            min_revision: min_revision.unwrap_or_default(),
            at,
        })
    }

    /// The maximum number of results; `default` if the caller leaves it open.
    pub(super) fn page_size(&mut self, size: i32, default: u32) -> u32 {
        match u32::try_from(size) {
            Ok(0) => default,
            Ok(size) => size.min(MAX_PAGE),
            Err(_) => {
                self.violated("page_size", "must not be negative");
                default
            }
        }
    }

    /// Where a page starts; `None`: it is the first.
    pub(super) fn page_token<T>(
        &mut self,
        token: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if token.is_empty() {
            return None;
        }
        let read = read(token);
        if read.is_none() {
            self.violated("page_token", "must be the next_page_token of a page");
        }
        read
    }

    fn carried<'a>(
        &mut self,
        caller: CallerIdentity<'a>,
        tenant_id: &str,
        host: &'a str,
        bearer_token: &'a str,
    ) -> Carried<'a> {
        if tenant_id.is_empty() && host.is_empty() && bearer_token.is_empty() {
            for field in ["tenant_id", "host", "bearer_token"] {
                self.violated(field, "one of tenant_id, host and bearer_token must be given");
            }
        }
        let given = |text: &'a str| (!text.is_empty()).then_some(text);
        let tenant_id = if tenant_id.is_empty() { None } else { self.tenant_id(tenant_id) };
        Carried {
            caller,
            by_certificate: None,
            tenant_id,
            host: given(host),
            bearer_token: given(bearer_token),
        }
    }

    /// The key of a feature or a limit.
    pub(super) fn key(&mut self, field: &str, key: &str, max_chars: usize) {
        if let Err(error) = validate_key(key, max_chars) {
            self.violated(field, error.to_string());
        }
    }

    pub(super) fn module(&mut self, field: &str, code: &str) {
        if let Err(error) = ModuleCode::validate(code) {
            self.violated(field, error.to_string());
        }
    }

    fn modules(&mut self, field: &str, codes: &[String]) {
        if !(1..=MAX_BATCH).contains(&codes.len()) {
            self.violated(field, format!("must hold 1 to {MAX_BATCH} codes, not {}", codes.len()));
            return;
        }
        self.codes(field, codes);
    }

    /// The codes of a list; violations name the index of each.
    pub(super) fn codes(&mut self, field: &str, codes: &[String]) {
        for (index, code) in codes.iter().enumerate() {
            if let Err(error) = ModuleCode::validate(code) {
                self.violated(format!("{field}[{index}]"), error.to_string());
            }
        }
    }

    pub(super) fn instant(&mut self, field: &str, at: Option<&Timestamp>) -> Option<DateTime<Utc>> {
        let Timestamp { seconds, nanos } = at?;
        let instant = u32::try_from(*nanos)
            .ok()
            .filter(|nanos| *nanos < 1_000_000_000 && TIMESTAMP_SECONDS.contains(seconds))
            .and_then(|nanos| DateTime::from_timestamp(*seconds, nanos));
        if instant.is_none() {
            self.violated(field, "must be an instant in the years 1 to 9999");
        }
        instant
    }
}
