//! QueryUsage.

use chrono::{DateTime, Utc};

use super::{TenantQuery, meter_id};
use crate::{
    domain::{LimitKind, limits::MAX_USAGE_SPANS},
    service::{Api, error::RequestError},
    store::{Granularity, UsageSpan, UsageSpans},
    usage::UsageError,
};

/// What is asked about.
#[derive(Debug)]
pub(in crate::service) struct SpansQuery<'a> {
    pub(in crate::service) tenant: TenantQuery<'a>,
    pub(in crate::service) meter: &'a str,
    /// `None`: all.
    pub(in crate::service) module: Option<&'a str>,
    pub(in crate::service) by_module: bool,
    pub(in crate::service) start: DateTime<Utc>,
    pub(in crate::service) end: DateTime<Utc>,
    pub(in crate::service) granularity: Granularity,
}

/// What was used, in order.
#[derive(Debug, Default)]
pub(in crate::service) struct UsedOverTime {
    pub(in crate::service) spans: Vec<UsageSpan>,
    pub(in crate::service) amount: i64,
    pub(in crate::service) late: i64,
}

impl Api {
    pub(in crate::service) async fn query_usage(
        &self,
        query: SpansQuery<'_>,
    ) -> Result<UsedOverTime, RequestError> {
        self.permit_modules(query.tenant.caller, query.module.into_iter())?;
        // What a caller may not ask about by itself is no part of a sum either.
        if query.module.is_none() {
            self.permit_all_modules(query.tenant.caller)?;
        }
        let Ok(meter) = self.meter_of(query.tenant, query.meter).await? else {
            // There is no such limit: nothing was counted with it.
            return Ok(UsedOverTime::default());
        };
        if meter.kind != LimitKind::Monthly {
            return Err(RequestError::NotMonthly);
        }
        let asked = UsageSpans {
            meter: meter_id(query.tenant, meter.key),
            module: query.module.map(|module| meter.catalogue.code_of_now(module).to_owned()),
            by_module: query.by_module,
            start: query.start,
            end: query.end,
            granularity: query.granularity,
        };
        let spans =
            self.database()?.usage.spans(&asked, &meter.zones).await.map_err(UsageError::Store)?;
        if spans.len() > MAX_USAGE_SPANS {
            return Err(RequestError::TooManySpans);
        }
        let sum = |number: fn(&UsageSpan) -> i64| {
            spans.iter().map(number).fold(0_i64, i64::saturating_add)
        };
        let (amount, late) = (sum(|span| span.amount), sum(|span| span.late));
        Ok(UsedOverTime { spans, amount, late })
    }
}
