//! How common routers read a path, for tests and fuzzing: a request that passes must not reach a
//! place with stricter requirements.
//!
//! | router | decodes | `;parameters` | `//` | case | slash at the end |
//! |---|---|---|---|---|---|
//! | Starlette, FastAPI (uvicorn) | once, before it matches | kept | told apart; merged by `StaticFiles` | matters | redirect |
//! | Django (WSGI or ASGI server) | once, before it matches | kept | told apart | matters | redirect (`APPEND_SLASH`) |
//! | Flask (Werkzeug) | once, before it matches | kept | redirect to the merged path | matters | redirect |
//! | Express | never; parameters once they are matched | kept | told apart | does not matter | does not matter |
//! | Go's `ServeMux` | once, before it matches | kept | redirect to the merged path | matters | redirect to `/a/` |
//! | chi, `gorilla/mux` with `UseEncodedPath` | not where encoding was needless | kept | told apart | matters | told apart |
//! | ASP.NET Core (Kestrel) | once, but for `%2F` | kept | told apart | does not matter | does not matter |
//! | Tomcat, Jetty, with Spring | once, after it has cut | cut off as sent | merged | matters | by version |
//! | Rails | once, after it has merged | kept | merged | matters | does not matter |
//!
//! In addition, there are servers, filters and proxies that decode first and then cut, so that
//! `%3B` begins parameters. Dot segments, encoded slashes and double encodings reach no router:
//! paths with these are refused. A redirect comes back as a request of its own.

use percent_encoding::percent_decode_str;

/// What a router does to a path before it matches it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// The routers that do this.
    pub(crate) name: &'static str,
    decode: bool,
    cut: Option<Cut>,
    merge: bool,
    /// It matches words without regard to case.
    pub(crate) ignores_case: bool,
}

/// When parameters are cut off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    AsSent,
    Decoded,
}

const fn habits(
    name: &'static str,
    decode: bool,
    cut: Option<Cut>,
    merge: bool,
    ignores_case: bool,
) -> Habits {
    Habits { name, decode, cut, merge, ignores_case }
}

/// Those of the table, and some combinations.
pub(crate) const ROUTERS: [Habits; 12] = [
    habits("Starlette, Django, Flask, Go", true, None, false, false),
    habits("Starlette's files, Rails", true, None, true, false),
    habits("Express", false, None, false, true),
    habits("chi", false, None, false, false),
    habits("ASP.NET Core", true, None, false, true),
    habits("Tomcat", true, Some(Cut::AsSent), true, false),
    habits("Spring behind a server that does not merge", true, Some(Cut::AsSent), false, false),
    habits("decodes, then cuts", true, Some(Cut::Decoded), false, false),
    habits("decodes, then cuts, then merges", true, Some(Cut::Decoded), true, false),
    habits("cuts and does not decode", false, Some(Cut::AsSent), true, false),
    habits("merges and does not decode", false, None, true, true),
    habits("all at once", true, Some(Cut::Decoded), true, true),
];

impl Habits {
    /// A path as the router matches it; in lower case if case does not matter to the router.
    pub(crate) fn read(&self, path: &str) -> String {
        let mut read = path.to_owned();
        if self.cut == Some(Cut::AsSent) {
            read = cut_off(&read);
        }
        if self.decode {
            read = percent_decode_str(&read).decode_utf8_lossy().into_owned();
        }
        if self.cut == Some(Cut::Decoded) {
            read = cut_off(&read);
        }
        while self.merge && read.contains("//") {
            read = read.replace("//", "/");
        }
        if self.ignores_case { read.to_uppercase().to_lowercase() } else { read }
    }
}

fn cut_off(path: &str) -> String {
    let cut = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    cut.collect::<Vec<_>>().join("/")
}
