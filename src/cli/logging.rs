//! Log lines with etcd's keys: `level`, `ts`, `caller`, `msg`, then the event's fields.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::os::OsRuntime;
use crate::runtime::{Runtime, is_caught};

/// Turns logs on for this process, on standard error.
pub fn start(level: &str, json: bool) {
    let level = match level {
        "panic" | "fatal" => "error",
        other => other,
    };
    // openraft speaks for developers: its warnings are enough here.
    let filter = EnvFilter::new(format!("{level},openraft=error"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that is already there was set by a test.
    let _ = if json {
        subscriber.event_format(EtcdJson).try_init()
    } else {
        subscriber.with_ansi(false).try_init()
    };
}

/// A panic is a broken invariant, in whichever task or thread it is: it is logged, and the process
/// ends (SIGABRT), unless somebody waits for it.
pub fn end_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("fatal: {panic}");
        tell(panic);
        if !is_caught() {
            std::process::abort();
        }
    }));
}

struct EtcdJson;

struct Fields(Map<String, Value>, String);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.1 = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        } else {
            self.0.insert(field.name().replace('_', "-"), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_string()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl<S, N> FormatEvent<S, N> for EtcdJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields(Map::new(), String::new());
        event.record(&mut fields);
        let file = metadata.file().unwrap_or("").trim_start_matches("src/");
        let mut line = Map::new();
        line.insert("level".to_string(), metadata.level().as_str().to_ascii_lowercase().into());
        line.insert("ts".to_string(), timestamp(OsRuntime::wall().0).into());
        line.insert("caller".to_string(), format!("{file}:{}", metadata.line().unwrap_or(0)).into());
        line.insert("msg".to_string(), fields.1.into());
        line.extend(fields.0);
        writeln!(out, "{}", Value::Object(line))
    }
}

/// RFC 3339 with microseconds, in UTC.
fn timestamp(nanos: i128) -> String {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0);
    let micros = nanos.rem_euclid(1_000_000_000) / 1000;
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Days since 1970-01-01 as a date of the Gregorian calendar, counted in eras of 400 years that
/// begin on the first of March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::runtime::catch;

    /// Set for the process that the test starts, which is itself once more.
    const PANICS: &str = "ETCHED_TEST_PANICS";

    #[test]
    fn a_panic_in_a_task_ends_the_process() {
        if std::env::var_os(PANICS).is_some() {
            return panic_in_a_task();
        }
        let program = std::env::current_exe().expect("a path");
        let itself = ["--exact", "cli::logging::tests::a_panic_in_a_task_ends_the_process", "--nocapture"];
        let ended = Command::new(program).args(itself).env(PANICS, "").output().expect("it runs");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{told}");
        assert!(told.contains(r#""level":"error""#) && told.contains("on purpose"), "{told}");
        assert!(told.contains("fatal: panicked at"), "{told}");
    }

    /// After one that somebody waits for, and which ends nothing.
    fn panic_in_a_task() {
        start("info", true);
        end_on_panic();
        assert!(catch(|| panic!("in vain")).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let task = OsRuntime::spawn("task", async { panic!("on purpose") });
            let _: Result<(), _> = task.await;
        });
    }

    #[test]
    fn timestamps_are_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(951_782_400_000_001_000), "2000-02-29T00:00:00.000001Z");
        assert_eq!(timestamp(1_795_521_600_999_999_999), "2026-11-24T12:00:00.999999Z");
    }
}
