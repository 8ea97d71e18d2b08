//! Log lines that cannot be forged: text from others neither ends a line nor acts on a terminal.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::escape::{escape_control, escape_control_json};

/// Writes the fields of a line for people. tracing's own writer lets line breaks through, and in
/// all fields except the message also every other control character.
pub(super) struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_empty: true, message: String::new(), outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    /// The message, whose contents need not be repeated as fields.
    message: String,
    outcome: fmt::Result,
}

impl Line<'_> {
    fn add(&mut self, field: &Field, value: &str) {
        // Records of the `log` crate have their origin in fields, which the line shows elsewhere.
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            let name = field.name();
            self.outcome = self.write(name.strip_prefix("r#").unwrap_or(name), value);
        }
    }

    /// Messages mention what matters among their fields: programs read the field, people the
    /// message.
    fn add_text(&mut self, field: &Field, text: &str, value: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
        } else if !text.is_empty() && self.message.contains(text) {
            return;
        }
        self.add(field, value);
    }

    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        let gap = if self.is_empty { "" } else { " " };
        self.is_empty = false;
        let value = escape_control(value);
        match name {
            "message" => write!(self.writer, "{gap}{value}"),
            // Italic, and then dimmed, as in tracing's own format.
            _ if self.writer.has_ansi_escapes() => {
                write!(self.writer, "{gap}\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}")
            }
            _ => write!(self.writer, "{gap}{name}={value}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let quoted = format!("{value:?}");
        self.add_text(field, value, if field.name() == "message" { value } else { &quoted });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        self.add_text(field, &value, &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let value = value.to_string();
        self.add_text(field, &value, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value.to_string());
    }
}

/// Writes lines of JSON to standard error, each in one write.
pub(super) struct JsonLines;

impl Write for JsonLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        match str::from_utf8(line) {
            Ok(text) => out.write_all(escape_control_json(text).as_bytes()),
            Err(_) => out.write_all(line),
        }?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Kept {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_for_people_is_one_line_whatever_is_in_its_fields_and_its_span() {
        let kept = Kept::default();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(kept.clone())
            .with_ansi(false)
            .without_time();
        let registry = tracing_subscriber::registry().with(lines.fmt_fields(PlainFields));
        let forged = "a\nERROR \u{1b}[2J\u{9b}\u{2028}\u{202e}b";
        let error: io::Error = io::Error::other(forged);
        tracing::subscriber::with_default(registry, || {
            let span = tracing::info_span!("span", %forged);
            let _inside = span.enter();
            let cause: &(dyn Error + 'static) = &error;
            tracing::warn!(word = forged, shown = %forged, debug = ?forged, cause, r#type = 1, "said");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let once = r"a\nERROR \u{1b}[2J\u{9b}\u{2028}\u{202e}b";
        let target = "entitlementd::observability::telemetry::lines::tests";
        assert_eq!(
            text,
            format!(
                " WARN span{{forged={once}}}: {target}: said word=\"{once}\" shown={once} debug=\"{once}\" \
                 cause={once} type=1\n"
            )
        );
    }

    #[test]
    fn a_field_that_the_message_has_said_is_not_said_again_and_a_number_is() {
        let kept = Kept::default();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(kept.clone())
            .with_ansi(false)
            .without_time();
        let registry =
            tracing_subscriber::registry().with(lines.fmt_fields(PlainFields).with_target(false));
        tracing::subscriber::with_default(registry, || {
            let (error, path, others) = (io::Error::other("it is gone"), "/a", 3);
            tracing::warn!(%error, path, others, other = "/b", "{path} failed 3 times: {error}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, " WARN /a failed 3 times: it is gone others=3 other=\"/b\"\n");
    }
}
