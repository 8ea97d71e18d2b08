//! How a client is set up.

use std::{collections::HashMap, fmt, path::Path, sync::Arc, time::Duration};

use crate::{
    UsageOutage,
    clock::{Clock, ManualClock},
    environment::{self, Found},
};

/// What is answered while the server cannot be asked. There is no default: you choose when you make
/// a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnOutage {
    /// Denies: nobody keeps access that they may have lost.
    Deny,
    /// Answers from what is held, if the server last vouched for it no longer ago than this. Starts
    /// and expiries still apply. Otherwise denies.
    ServeStale(Duration),
    /// Grants: nobody is kept from what they may be entitled to.
    Allow,
}

impl fmt::Display for OnOutage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny => f.write_str("denied"),
            Self::ServeStale(most) => write!(f, "given from what is held, for up to {most:?}"),
            Self::Allow => f.write_str("granted"),
        }
    }
}

/// How a client is set up. [`Config::new`] takes what is required, and [`Config::from_env`] finds out where the
/// server is; the rest has good defaults.
#[derive(Clone)]
#[must_use]
pub struct Config {
    pub(crate) endpoints: Vec<String>,
    /// So many of them, the first ones, are those of the variable.
    pub(crate) of_variable: usize,
    pub(crate) on_outage: OnOutage,
    pub(crate) deadline: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) tries: u32,
    pub(crate) keep_alive_interval: Duration,
    pub(crate) capacity: usize,
    pub(crate) bearer_token: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) traceparent: Option<Traceparent>,
    pub(crate) watch: bool,
    pub(crate) usage_outage: HashMap<String, UsageOutage>,
    pub(crate) clock: Clock,
}

/// Where the `traceparent` of a question comes from.
#[derive(Clone)]
pub(crate) struct Traceparent(pub(crate) Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traceparent")
    }
}

/// How the server proves that it is the right one.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    pub(crate) ca_pem: Vec<u8>,
    pub(crate) domain: Option<String>,
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Config {
    /// A server at this address: `127.0.0.1:50051`, `http://host:port`, `https://host:port` or `unix:/path`.
    pub fn new(endpoint: impl Into<String>, on_outage: OnOutage) -> Self {
        Self::of(vec![endpoint.into()], 0, on_outage)
    }

    /// The server that the environment names: `ENTITLEMENTD_ENDPOINT`, an address as [`Config::new`] takes it,
    /// or several with commas; where that is not set, or empty, the socket `/run/entitlementd/edge.sock`, if it
    /// is there: the instance on this machine, or in this pod.
    ///
    /// What says where the server is should not depend on which of two processes has started first: where
    /// this one may be the first, set the variable to `unix:/run/entitlementd/edge.sock`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoEndpoint`] where there is neither, and [`ConfigError::Variable`] where the variable
    /// names none. What it names is looked at by [`Entitlements::connect`](crate::Entitlements::connect), whose
    /// errors name it as well.
    pub fn from_env(on_outage: OnOutage) -> Result<Self, ConfigError> {
        let variable = std::env::var_os(environment::VARIABLE);
        environment::find(variable, Path::new(environment::SOCKET))
            .map(|found| Self::found(found, on_outage))
    }

    pub(crate) fn found(found: Found, on_outage: OnOutage) -> Self {
        match found {
            Found::InVariable(endpoints) => {
                let count = endpoints.len();
                Self::of(endpoints, count, on_outage)
            }
            Found::Socket(endpoint) => Self::new(endpoint, on_outage),
        }
    }

    fn of(endpoints: Vec<String>, of_variable: usize, on_outage: OnOutage) -> Self {
        Self {
            endpoints,
            of_variable,
            on_outage,
            deadline: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            tries: 3,
            keep_alive_interval: Duration::from_secs(10),
            capacity: 100_000,
            bearer_token: None,
            tls: None,
            traceparent: None,
            watch: true,
            usage_outage: HashMap::new(),
            clock: Clock::System,
        }
    }

    /// Another instance of the server. One is used at a time; the next is used when it does not
    /// answer.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// How long a question to the server may take, including all attempts. Default 2 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long connecting may take. Default 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many times a question is sent while the server answers UNAVAILABLE. Default 3.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// How long a connection may be silent before it is asked for a sign of life. Default 10 s.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.keep_alive_interval = interval;
        self
    }

    /// How many tenants are held, and how many answers of `resolve`. Default 100 000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// Identifies the caller by this token. Refused if it would travel unencrypted, except on this
    /// machine.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.bearer_token = Some(token.into());
        self
    }

    /// CA certificates, in PEM, that the certificate of an `https` endpoint must descend from.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.get_or_insert_default().ca_pem = pem.into();
        self
    }

    /// The name in the server's certificate, if it differs from the endpoint's.
    pub fn tls_domain(mut self, domain: impl Into<String>) -> Self {
        self.tls.get_or_insert_default().domain = Some(domain.into());
        self
    }

    /// The caller's own certificate and its key, in PEM, for a server that asks for one (mutual
    /// TLS).
    pub fn tls_identity(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.get_or_insert_default().identity = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// The `traceparent` of the current operation ([W3C trace
    /// context](https://www.w3.org/TR/trace-context/)), so that the server's spans belong to the
    /// caller's trace. With `tracing-opentelemetry`, inject `Span::current().context()`.
    pub fn traceparent(
        mut self,
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.traceparent = Some(Traceparent(Arc::new(current)));
        self
    }

    /// Does not watch for changes: answers are held for their `max_age` only. For short-lived
    /// programs, such as a command.
    pub fn without_watch(mut self) -> Self {
        self.watch = false;
        self
    }

    /// What becomes of [`reserve`](crate::Entitlements::reserve), and of a lease's
    /// [`take`](crate::LeasedUsage::take), of this meter while the server cannot be asked. Default: it is
    /// an error.
    pub fn usage_outage(mut self, meter: impl Into<String>, rule: UsageOutage) -> Self {
        self.usage_outage.insert(meter.into(), rule);
        self
    }

    /// Uses a clock that is moved by hand: for tests.
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Clock::Manual(clock);
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("on_outage", &self.on_outage)
            .field("deadline", &self.deadline)
            .field("has_bearer_token", &self.bearer_token.is_some())
            .finish_non_exhaustive()
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An endpoint is not an address.
    #[error("the endpoint {endpoint:?} is not an address: {cause}")]
    Endpoint {
        /// The endpoint, as given.
        endpoint: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The token would travel unencrypted.
    #[error("the bearer token would travel in the clear to {0:?}: use https")]
    TokenInTheClear(String),
    /// The token cannot be sent in a header.
    #[error("the bearer token holds characters that cannot stand in a header")]
    Token,
    /// What the environment says cannot be used.
    #[error("{variable} cannot be used: {cause}")]
    Variable {
        /// The variable's name.
        variable: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// Nothing says where the server is. Has what became of the socket.
    #[error(
        "nothing says where entitlementd is: ENTITLEMENTD_ENDPOINT is not set, and {0}: set the variable to HOST:PORT or \
         unix:/PATH, run an edge that listens there, or name the endpoint in the code"
    )]
    NoEndpoint(String),
    /// The client was made where there is no tokio runtime.
    #[error("a client must be made within a tokio runtime")]
    NoRuntime,
}
