//! Paths to which a layer makes an exception.

/// Exact paths, with or without a slash at their end, and prefixes that end where a segment does: `/api/admin` does not cover
/// `/api/adminfoo`.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Paths {
    pub(super) fn add(&mut self, path: &str) {
        self.exact.push(bare(path).to_owned());
    }

    pub(super) fn add_prefix(&mut self, prefix: &str) {
        self.prefixes.push(prefix.trim_end_matches('/').to_owned());
    }

    pub(super) fn contain(&self, path: &str) -> bool {
        self.exact.iter().any(|exact| exact == bare(path))
            || (self.prefixes.iter().any(|prefix| begins_with(path, prefix)) && !leads_up(path))
    }
}

fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A service behind this one may resolve dot segments, also if they are written as `%2e`.
fn leads_up(path: &str) -> bool {
    path.split('/').any(|segment| {
        matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_whole_segments_and_never_the_way_up() {
        let mut public = Paths::default();
        public.add("/health");
        public.add_prefix("/api/admin/");
        for (path, is_public) in [
            ("/health", true),
            ("/health/", true),
            ("/health//", false),
            ("/health/x", false),
            ("/healthz", false),
            ("/api/admin", true),
            ("/api/admin/", true),
            ("/api/admin/users", true),
            ("/api/adminfoo", false),
            ("/api/admin/../finance", false),
            ("/api/admin/%2E%2e/finance", false),
            ("/API/admin", false),
            ("/", false),
        ] {
            assert_eq!(public.contain(path), is_public, "{path}");
        }
    }
}
