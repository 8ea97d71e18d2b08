//! The formats of settings.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use url::{Host, Url};

use crate::domain::{
    ModuleCode, Money, TenantId,
    calendar::Day,
    ids::validate_key,
    limits::{
        MAX_AUDIENCE_BYTES, MAX_FEATURE_KEY_CHARS, MAX_LIMIT_KEY_CHARS, MAX_OFFER_NAME_CHARS,
        MAX_USAGE_AGE, SIGNED_LEASES,
    },
};

/// Codes of modules, as the value of one flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Codes(pub Vec<ModuleCode>);

/// A value, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonValue(pub serde_json::Value);

/// A limit; `None`: unlimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitValue(pub Option<i64>);

/// A span of time, written like `30s`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(Duration);

impl Span {
    /// As a `std` duration, for timers.
    pub fn std(self) -> Duration {
        self.0
    }

    /// As a chrono duration, for calculating with instants.
    pub fn delta(self) -> TimeDelta {
        // `positive` limits spans to a hundred years.
        TimeDelta::from_std(self.0).unwrap_or(TimeDelta::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);
        let span = humantime::parse_duration(text)
            .map_err(|error| format!("expected a duration such as 30s, 5m or 1h30m: {error}"))?;
        if span > LONGEST {
            Err("expected a duration below a hundred years".into())
        } else {
            Ok(Self(span))
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A span greater than zero.
pub(super) fn positive(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.0.is_zero() { Err("expected a duration above zero".into()) } else { Ok(span) }
}

/// How long something may take that the server cannot start without: long enough for a round trip,
/// and short enough for somebody to see that it has failed.
pub(super) fn patience(text: &str) -> Result<Span, String> {
    const BOUNDS: [Duration; 2] = [Duration::from_millis(100), Duration::from_mins(10)];
    let span: Span = text.parse()?;
    if (BOUNDS[0]..=BOUNDS[1]).contains(&span.0) {
        Ok(span)
    } else {
        Err("expected a duration from 100ms to 10m".into())
    }
}

/// How long leases may last.
pub(super) fn lease_max(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if SIGNED_LEASES.contains(&span.0) {
        Ok(span)
    } else {
        Err("expected a duration from 1m to 31d".into())
    }
}

/// The name of who issues leases.
pub(super) fn lease_issuer(text: &str) -> Result<String, String> {
    let is_good = (1..=MAX_AUDIENCE_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_good
        .then(|| text.to_owned())
        .ok_or_else(|| format!("expected 1 to {MAX_AUDIENCE_BYTES} printable ASCII characters"))
}

/// An address and port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDRESS:PORT such as 127.0.0.1:9464".to_owned())
}

/// A module's code.
pub(super) fn module_code(text: &str) -> Result<String, String> {
    ModuleCode::validate(text)
        .map(str::to_owned)
        .map_err(|error| format!("a module's code {error}"))
}

/// Module codes, separated by commas; empty: none.
pub(super) fn module_codes(text: &str) -> Result<Codes, String> {
    let codes = text.split(',').filter(|code| !code.is_empty());
    codes
        .map(|code| module_code(code).map(|code| ModuleCode::new(&code)))
        .collect::<Result<_, _>>()
        .map(Codes)
}

/// JSON; empty: null.
pub(super) fn json(text: &str) -> Result<JsonValue, String> {
    if text.is_empty() {
        return Ok(JsonValue(serde_json::Value::Null));
    }
    let read = serde_json::from_str(text).map(JsonValue);
    read.map_err(|error| format!("expected JSON, such as 7, true or '\"text\"': {error}"))
}

/// A number from 0, or `unlimited`.
pub(super) fn limit(text: &str) -> Result<LimitValue, String> {
    if text == "unlimited" {
        return Ok(LimitValue(None));
    }
    let number = text.parse().ok().filter(|number| *number >= 0);
    number
        .map(|number| LimitValue(Some(number)))
        .ok_or_else(|| "expected a whole number from 0, or unlimited".to_owned())
}

/// The key of a feature.
pub(super) fn feature_key(text: &str) -> Result<String, String> {
    key(text, MAX_FEATURE_KEY_CHARS)
}

/// The key of a limit.
pub(super) fn limit_key(text: &str) -> Result<String, String> {
    key(text, MAX_LIMIT_KEY_CHARS)
}

fn key(text: &str, most: usize) -> Result<String, String> {
    let key = validate_key(text, most).map(str::to_owned);
    key.map_err(|_| format!("expected 1 to {most} characters, without control characters"))
}

/// The name of a module or plan.
pub(super) fn offer_name(text: &str) -> Result<String, String> {
    let is_good = !text.trim().is_empty()
        && text.chars().count() <= MAX_OFFER_NAME_CHARS
        && !text.contains(char::is_control);
    if is_good {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected 1 to {MAX_OFFER_NAME_CHARS} characters, not all of them blanks, and no control characters"
    ))
}

/// A price.
pub(super) fn price(text: &str) -> Result<Money, String> {
    let price = Money::parse(text).filter(|price| price.is_price());
    price.ok_or_else(|| {
        "expected an amount such as 9999.00, not negative, with at most two decimals".to_owned()
    })
}

/// An instant in RFC 3339, or a date (its first instant in UTC).
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let midnight = |date: chrono::NaiveDate| Some(date.and_hms_opt(0, 0, 0)?.and_utc());
    let date = || text.parse().ok().and_then(midnight);
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .ok()
        .or_else(date)
        .ok_or_else(|| "expected an instant such as 2026-12-31T23:59:59Z, or a date".to_owned())
}

/// Reads a day.
pub(super) fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| format!("{text:?} is not a day, such as 2026-11-30"))
}

/// A span for which it is still known what was counted.
pub(super) fn accept_late(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.0 > MAX_USAGE_AGE { Err("expected at most 35d".into()) } else { Ok(span) }
}

/// A level that is put right each night, and the query that says which things there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NightlyLevel {
    /// The level's key.
    pub meter: String,
    /// The query.
    pub sql: String,
}

/// Reads a level and its query.
pub(super) fn nightly_level(text: &str) -> Result<NightlyLevel, String> {
    let (meter, sql) = text
        .split_once('=')
        .ok_or("expected the key of a level, `=`, and a query: users=SELECT id FROM users")?;
    let meter = limit_key(meter)?;
    if sql.trim().is_empty() {
        return Err("there is no query after the `=`".to_owned());
    }
    Ok(NightlyLevel { meter, sql: sql.to_owned() })
}

/// Reads a time of day.
pub(super) fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .map_err(|_| format!("{text:?} is not a time of day, such as 02:30"))
}

/// A tenant's time zone; `None`: that of the servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TenantZone(pub Option<Tz>);

/// Reads a tenant's time zone.
pub(super) fn tenant_zone(name: &str) -> Result<TenantZone, String> {
    if matches!(name, "" | "servers") {
        return Ok(TenantZone(None));
    }
    time_zone(name)
        .map(|zone| TenantZone(Some(zone)))
        .map_err(|problem| format!("{problem}; or servers, for theirs"))
}

/// Reads the name of a time zone.
pub(crate) fn time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        format!(
            "{name:?} is not the name of a time zone, such as Asia/Kolkata, Europe/Paris or UTC"
        )
    })
}

/// Where an issuer publishes its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JwksUrl {
    /// The `iss` of its tokens; `None`: any that tokens may have.
    pub issuer: Option<String>,
    /// The address of the key set.
    pub url: Url,
}

impl FromStr for JwksUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected an https URL, or ISSUER=URL; http is for loopback addresses only".to_owned()
        };
        // An issuer is often a URL itself, and may contain a `=`.
        let split = ["=https://", "=http://"].iter().filter_map(|start| text.rfind(start)).max();
        let (issuer, url) = match split {
            Some(at) => (Some(text[..at].to_owned()), &text[at + 1..]),
            None => (None, text),
        };
        let url: Url = url.parse().map_err(|_| expected())?;
        let is_near = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(domain)) => domain == "localhost",
            None => false,
        };
        let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_near;
        if is_safe && issuer.as_deref() != Some("") {
            Ok(Self { issuer, url })
        } else {
            Err(expected())
        }
    }
}

/// A tenant that an issuer may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerTenant {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The tenant.
    pub tenant: TenantId,
}

impl FromStr for IssuerTenant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An issuer is often a URL, and may contain a `=`; an id contains none.
        let split = text.rsplit_once('=').filter(|(issuer, _)| !issuer.is_empty());
        let (issuer, id) = split.ok_or("expected ISSUER=ID, with the id of a tenant")?;
        let tenant = TenantId::parse(id).map_err(|error| format!("the id of a tenant {error}"))?;
        Ok(Self { issuer: issuer.to_owned(), tenant })
    }
}
