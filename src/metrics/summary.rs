//! The metrics of the summary: writes, budget, and what went wrong last.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::view::SummaryStatus;

/// The longest error that becomes a label, in characters.
const MAX_ERROR_LEN: usize = 200;

/// What this node knows of the summary and its store.
#[derive(Debug, Clone, Default)]
pub struct SummaryMetrics {
    store_ok: Gauge,
    writes_today: Gauge,
    budget_left: Gauge,
    last_write: Gauge,
    next_slot: Gauge,
    last_error: Family<ErrorLabels, Gauge>,
}

/// Tells errors apart by their text; there is one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    /// The sentence.
    pub error: String,
}

impl SummaryMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("store_ok", "1 while the summary's store is not known to fail", self.store_ok.clone());
        r.register("summary_writes_today", "Attempts of all on the store's day", self.writes_today.clone());
        r.register(
            "summary_budget_left",
            "Attempts left today, -1 without a limit",
            self.budget_left.clone(),
        );
        r.register(
            "summary_last_write_timestamp_seconds",
            "When the value was last stored, 0 when not known",
            self.last_write.clone(),
        );
        r.register(
            "summary_next_slot_timestamp_seconds",
            "When the store's next hour begins, 0 when not known",
            self.next_slot.clone(),
        );
        r.register(
            "summary_last_error",
            "1 with the last error, absent after a write",
            self.last_error.clone(),
        );
    }

    pub(super) fn observe(&self, status: &SummaryStatus) {
        let time = |unix: Option<u64>| i64::try_from(unix.unwrap_or_default()).unwrap_or(i64::MAX);
        self.store_ok.set(status.store_ok.into());
        self.writes_today.set(status.writes_today.into());
        self.budget_left.set(status.budget_left.map_or(-1, i64::from));
        self.last_write.set(time(status.last_write));
        self.next_slot.set(time(status.next_slot));
        self.last_error.clear();
        if let Some(error) = &status.last_error {
            let error = error.chars().take(MAX_ERROR_LEN).collect();
            self.last_error.get_or_create(&ErrorLabels { error }).set(1);
        }
    }
}
