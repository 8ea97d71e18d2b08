//! By which convention a proxy asks: the headers in which it says what about, and the responses that it
//! understands.

use crate::observability::metrics::{MetricLabel, label};

label! {
    /// A convention, by its name in the path of the question: `/auth/traefik`.
    pub(crate) enum Dialect {
        /// `X-Forwarded-Method`, `-Uri` and `-Host`; every status and body reaches the client.
        Forwarded => "forwarded",
        /// Traefik's ForwardAuth: as `forwarded`.
        Traefik => "traefik",
        /// Caddy's `forward_auth`: as `forwarded`.
        Caddy => "caddy",
        /// The script in `deploy/haproxy`: as `forwarded`.
        Haproxy => "haproxy",
        /// nginx's `auth_request`, set up to send `X-Original-Method`, `-URI` and `-Host`. It takes 2xx,
        /// 401 and 403 only, and no body.
        Nginx => "nginx",
        /// What ingress-nginx makes of `auth-url`: as `nginx`, with all of the URL in `X-Original-URL`.
        IngressNginx => "ingress-nginx",
        /// Envoy's external authorization over HTTP, Istio's `envoyExtAuthzHttp`: the question has the
        /// request's own method and host, and its path after `/auth/envoy`.
        Envoy => "envoy",
    }
}

/// Where a dialect says what is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    /// In headers: of the method, of the path with its query, of the host.
    InHeaders { method: ProxyHeader, target: ProxyHeader, host: ProxyHeader },
    /// In headers: of the method, and of all of the URL.
    WithUrl { method: ProxyHeader, url: ProxyHeader },
    /// In the question itself.
    InItself,
}

/// Which responses a proxy understands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Understands {
    /// Every status and body, which reach the client.
    All,
    /// The same; of a client that speaks gRPC, it makes the response itself.
    AllAndGrpc,
    /// 2xx, 401 and 403, without a body.
    Few,
}

label! {
    /// A header by which a proxy says what is asked about.
    pub(crate) enum ProxyHeader {
        /// As `forwarded`.
        ForwardedMethod => "x-forwarded-method",
        /// As `forwarded`.
        ForwardedUri => "x-forwarded-uri",
        /// As `forwarded`.
        ForwardedHost => "x-forwarded-host",
        /// As `nginx`.
        OriginalMethod => "x-original-method",
        /// As `nginx`.
        OriginalUri => "x-original-uri",
        /// As `nginx`.
        OriginalHost => "x-original-host",
        /// As `ingress-nginx`.
        OriginalUrl => "x-original-url",
        /// Of the question, where no other header says it.
        Host => "host",
        /// No header: the path, which chooses the dialect.
        Path => ":path",
    }
}

impl Dialect {
    /// Where it says what is asked about.
    pub(super) fn asks(self) -> Asks {
        match self {
            Self::Forwarded | Self::Traefik | Self::Caddy | Self::Haproxy => Asks::InHeaders {
                method: ProxyHeader::ForwardedMethod,
                target: ProxyHeader::ForwardedUri,
                host: ProxyHeader::ForwardedHost,
            },
            Self::Nginx => Asks::InHeaders {
                method: ProxyHeader::OriginalMethod,
                target: ProxyHeader::OriginalUri,
                host: ProxyHeader::OriginalHost,
            },
            Self::IngressNginx => {
                Asks::WithUrl { method: ProxyHeader::OriginalMethod, url: ProxyHeader::OriginalUrl }
            }
            Self::Envoy => Asks::InItself,
        }
    }

    /// Which responses it understands.
    pub(super) fn understands(self) -> Understands {
        match self {
            Self::Forwarded | Self::Traefik | Self::Caddy | Self::Haproxy => Understands::All,
            Self::Envoy => Understands::AllAndGrpc,
            Self::Nginx | Self::IngressNginx => Understands::Few,
        }
    }

    /// The dialect that the path of a question names, and what follows the name; `None`: it names one that
    /// there is not. What is not below `/auth/` names none, and is in `otherwise`.
    pub(super) fn of_path(path: &str, otherwise: Self) -> Option<(Self, &str)> {
        let Some(named) = path.strip_prefix("/auth/") else { return Some((otherwise, path)) };
        let end = named.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let (name, rest) = named.split_at(end.unwrap_or(named.len()));
        Self::ALL.iter().find(|dialect| dialect.word() == name).map(|dialect| (*dialect, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_auth_names_its_dialect_and_any_other_none() {
        fn of(path: &str) -> Option<(Dialect, &str)> {
            Dialect::of_path(path, Dialect::Nginx)
        }
        assert_eq!(of("/"), Some((Dialect::Nginx, "/")));
        assert_eq!(of("/auth"), Some((Dialect::Nginx, "/auth")));
        assert_eq!(of("/verify?x=/auth/envoy"), Some((Dialect::Nginx, "/verify?x=/auth/envoy")));
        for dialect in Dialect::ALL {
            let path = format!("/auth/{}", dialect.word());
            assert_eq!(of(&path), Some((*dialect, "")));
            assert_eq!(of(&format!("{path}/a?b")), Some((*dialect, "/a?b")));
        }
        assert_eq!(of("/auth/envoy//a/../b"), Some((Dialect::Envoy, "//a/../b")));
        assert_eq!(of("/auth/envoy?a"), Some((Dialect::Envoy, "?a")));
        for path in ["/auth/", "/auth//", "/auth/traefik2", "/auth/Traefik", "/auth/envoyapi"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
