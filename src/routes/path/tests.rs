//! Tests of the parent module.

use super::*;

#[test]
fn what_no_honest_client_sends_is_refused() {
    let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
    for (path, reason) in [
        ("", RefusedPath::NoSlash),
        ("*", RefusedPath::NoSlash),
        ("http://host/a", RefusedPath::NoSlash),
        (long.as_str(), RefusedPath::TooLong),
        ("/a\\b", RefusedPath::Slash),
        ("/a%5cb", RefusedPath::Slash),
        ("/a%2Fb", RefusedPath::Slash),
        ("/a%00", RefusedPath::Control),
        ("/a\tb", RefusedPath::Control),
        ("/a%0d%0ab", RefusedPath::Control),
        ("/a#b", RefusedPath::Control),
        ("/a/./b", RefusedPath::DotSegment),
        ("/a/..", RefusedPath::DotSegment),
        ("/a/%2e%2E/b", RefusedPath::DotSegment),
        ("/a/.%2e/b", RefusedPath::DotSegment),
        ("/a/..;x=1/b", RefusedPath::DotSegment),
        ("/a/..%3b/b", RefusedPath::DotSegment),
        ("/%2561", RefusedPath::DoubleEncoding),
        ("/%252e%252e/b", RefusedPath::DoubleEncoding),
        ("/%25%32%65%25%32%65/b", RefusedPath::DoubleEncoding),
        ("/..%25%32%66b", RefusedPath::DoubleEncoding),
        ("/%252%65/b", RefusedPath::DoubleEncoding),
        ("/%25%32e/b", RefusedPath::DoubleEncoding),
        ("/%25%33%42", RefusedPath::DoubleEncoding),
        ("/%25%34%66", RefusedPath::DoubleEncoding),
        ("/%2525%32%65", RefusedPath::DoubleEncoding),
        ("/%25%32%35%32%65", RefusedPath::DoubleEncoding),
        ("/%25%2", RefusedPath::Malformed),
        ("/%u002e/b", RefusedPath::Malformed),
        ("/%zz", RefusedPath::Malformed),
        ("/a%", RefusedPath::Malformed),
        ("/a%4", RefusedPath::Malformed),
        ("/a%+1", RefusedPath::Malformed),
    ] {
        assert_eq!(check(path), Err(reason), "{path:?}");
    }
    assert_eq!(readings("/%c0%af", PathReading::Any).unwrap_err(), RefusedPath::Malformed);
}

#[test]
fn what_is_odd_and_means_one_thing_passes() {
    for path in [
        "/",
        "/a/b",
        "/a.b/c..d",
        "/...",
        "/100%25",
        "/100%25/%41",
        "/5%25%20x",
        "/5%252x",
        "/caf%C3%A9",
        "/a//b/",
        "/a;v=1",
    ] {
        assert_eq!(check(path), Ok(()), "{path:?}");
    }
}

#[test]
fn a_path_without_oddities_is_read_in_one_way() {
    for path in ["/", "/a/b", "/a/b/", "/caf%C3%A9", "/a%20b"] {
        assert_eq!(readings(path, PathReading::Any).unwrap().len(), 1, "{path}");
    }
}

#[test]
fn each_oddity_is_a_reading_more() {
    assert_eq!(readings("/%61", PathReading::Any).unwrap(), ["/%61", "/a"]);
    assert_eq!(readings("/a//b", PathReading::Any).unwrap(), ["/a//b", "/a/b"]);
    assert_eq!(readings("/a;v=1/b", PathReading::Any).unwrap(), ["/a;v=1/b", "/a/b"]);
    assert_eq!(readings("/a//%62;c", PathReading::Any).unwrap().len(), 8);
    assert_eq!(readings("/a//%62;c/", PathReading::Normalized).unwrap(), ["/a/b/"]);
    assert_eq!(readings("/a//%62;c/", PathReading::Literal).unwrap(), ["/a//%62;c/"]);
    assert_eq!(readings("/;a/b", PathReading::Normalized).unwrap(), ["/b"]);
}

#[test]
fn an_encoded_semicolon_begins_parameters_for_who_decodes_first() {
    assert_eq!(readings("/a%3Bx/b", PathReading::Any).unwrap(), ["/a%3Bx/b", "/a;x/b", "/a/b"]);
    assert_eq!(readings("/a%3bx/b", PathReading::Normalized).unwrap(), ["/a;x/b", "/a/b"]);
    assert_eq!(readings("/a%3bx/b", PathReading::Literal).unwrap(), ["/a%3bx/b"]);
    let readings = readings("/%3Bx/a;y%3Bz/b", PathReading::Any).unwrap();
    assert!(
        readings.iter().any(|read| read == "/a/b") && readings.iter().any(|read| read == "//a/b"),
        "{readings:?}"
    );
}
