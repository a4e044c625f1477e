//! Tables without borders, and how values look in them.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use jiff::Timestamp;

use crate::admin::Moment;
use crate::clock;
use crate::id::NodeId;

/// Shown where nothing is known.
pub(super) const UNKNOWN: &str = "-";

/// How much of an id is shown; the first eight characters are the same for all.
const ID_LEN: usize = 16;

/// The rows under the header, in columns.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|text| Cell::new(printable(&text))));
    }
    aligned(table)
}

/// Names and values, one a line.
pub(super) fn list<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        table.add_row([Cell::new(name), Cell::new(printable(&value))]);
    }
    aligned(table)
}

fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Text that other machines chose, without what would steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Enough of an id to tell workers apart, and to ask `why` with.
pub(super) fn short(id: &NodeId) -> String {
    id.to_string().chars().take(ID_LEN).collect()
}

/// A name and the id, as far as both are known.
pub(super) fn worker(name: &str, id: &NodeId) -> String {
    if name.is_empty() { short(id) } else { format!("{name} ({})", short(id)) }
}

pub(super) fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

/// A name or version; a dash when it is empty.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() }
}

pub(super) fn percent(load: Option<f32>) -> String {
    or_unknown(load.map(|load| format!("{:.0}%", load * 100.0)))
}

pub(super) fn rtt(ms: Option<f64>) -> String {
    or_unknown(ms.map(|ms| format!("{ms:.1}ms")))
}

/// The wall clock now.
pub(super) fn now() -> Timestamp {
    let unix = clock::unix_now();
    Moment { now: crate::time::Instant::ORIGIN, unix }.timestamp(crate::time::Instant::ORIGIN)
}

/// How long ago `then` was, in its largest unit: `3s`, `5m`, `2h`, `4d`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}
