//! Lines of the log, on standard error: pretty for people, JSON for machines, and never a secret, whatever level is asked for.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt, FilterFn, filter_fn};
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogConfig, LogFormat};

/// Starts logging to standard error for the rest of the process; `default` is the filter where `RUST_LOG` names none.
pub fn init(config: &LogConfig, default: &str) -> anyhow::Result<()> {
    let on_terminal = io::stderr().is_terminal();
    let format = config.format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let subscriber = subscriber(config.filter.as_deref().unwrap_or(default), format, on_terminal, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).context("logging was started twice")
}

/// What [`init`] starts, for lines that go elsewhere.
///
/// # Errors
/// A filter that cannot be read.
pub fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> anyhow::Result<impl Subscriber + use<W>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).with_context(|| format!("RUST_LOG cannot be used: {filter:?}"))?;
    let filter = filter.and(libraries_are_quiet());
    let lines = match format {
        LogFormat::Pretty => tracing_subscriber::fmt::layer()
            .with_ansi(colours)
            .with_writer(writer)
            .fmt_fields(
                format::debug_fn(|out, field, value| match field.name() {
                    "message" => write!(out, "{}", visible(&format!("{value:?}"))),
                    name => write!(out, "{name}={}", visible(&format!("{value:?}"))),
                })
                .delimited(" "),
            )
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(Escaped(writer))
            .boxed(),
    };
    Ok(Registry::default().with(lines.with_filter(filter)))
}

/// Other people's code may warn and no more: at finer levels hyper logs headers, octocrab requests, sqlx statements and openssh command lines,
/// and `RUST_LOG=trace` must not be a way to a token (T45).
fn libraries_are_quiet() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| {
        let target = metadata.target();
        let ours = target == "track" || target.starts_with("track::");
        ours || *metadata.level() <= Level::WARN
    })
}

/// Text in which every character that could move a cursor, begin a line or turn the reading direction is written out (T26).
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Control characters, line and paragraph separators, zero-width and bidirectional marks, tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Makes writers that escape.
struct Escaped<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Escaped<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }
}

/// A line of JSON in which hidden characters are `\u` escapes. They can only be inside strings: outside of them, JSON has none but the line's end.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c != '\n' && is_hidden(c) {
                let mut units = [0; 2];
                out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                out.push(c);
            }
        }
        self.0.write_all(out.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, act: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(filter, format, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    // T45
    #[test]
    fn libraries_stay_quiet_whatever_is_asked_for() {
        for filter in
            ["trace", "hyper::proto=trace,octocrab=debug,sqlx=info,openssh=trace,track=info", "[{authorization}]=trace"]
        {
            for format in [LogFormat::Pretty, LogFormat::Json] {
                let text = logged(filter, format, || {
                    tracing::trace!(target: "hyper::proto::h1", "authorization: Bearer canary");
                    tracing::debug!(target: "octocrab", token = "canary", "request");
                    tracing::info!(target: "sqlx::query", "select 'canary'");
                    tracing::debug!(target: "openssh::session", "ssh canary");
                    tracing::info!(target: "tracker", "canary");
                    let span = tracing::info_span!(target: "octocrab", "request", authorization = "canary");
                    span.in_scope(|| tracing::warn!(target: "hyper", "went wrong"));
                });
                assert!(!text.contains("canary"), "{filter}: {text}");
            }
        }
        assert!(logged("trace", LogFormat::Json, || tracing::trace!("ours")).contains("ours"));
        assert!(
            logged("info", LogFormat::Json, || tracing::warn!(target: "hyper", "went wrong")).contains("went wrong")
        );
    }

    // T26
    #[test]
    fn hostile_text_stays_on_its_line() {
        let hostile = "title\u{1b}[2J\r\nINFO forged\u{9b}31m\u{202e}\u{2028}\u{e0041}\0";
        let log = || tracing::info!(title = hostile, shown = %hostile, "issue {hostile}");
        let pretty = logged("info", LogFormat::Pretty, log);
        assert_eq!(pretty.matches('\n').count(), 1, "{pretty}");
        assert!(!pretty.trim_end().chars().any(is_hidden), "{pretty:?}");

        let json = logged("info", LogFormat::Json, log);
        assert!(!json.trim_end().chars().any(is_hidden), "{json:?}");
        let line: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!(line["title"], hostile);
        assert_eq!(line["message"], format!("issue {hostile}"));
    }

    #[test]
    fn a_line_carries_the_fields_of_its_spans() {
        let log = || tracing::info_span!("run", run = "01ARZ3").in_scope(|| tracing::info!("started"));
        assert!(
            logged("info", LogFormat::Pretty, log)
                .trim_end()
                .ends_with(r#"run{run="01ARZ3"}: track::logging::tests: started"#)
        );
        let json: serde_json::Value = serde_json::from_str(&logged("info", LogFormat::Json, log)).unwrap();
        assert_eq!(json["spans"][0]["run"], "01ARZ3");
    }
}
