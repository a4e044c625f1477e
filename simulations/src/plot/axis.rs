//! An axis: where a value lies on the picture, and which values are written beside it.

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero on.
    Linear,
    /// Each decade as wide as the next.
    Log,
}

/// What an axis says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What is counted, and in what unit.
    pub label: String,
    /// How values are spread.
    pub scale: Scale,
}

impl Axis {
    /// The axis for these values, from one place on the picture to another.
    pub(super) fn fit(&self, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Fitted {
        let usable =
            values.filter(|value| value.is_finite() && (self.scale == Scale::Linear || *value > 0.0));
        let (least, most) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let (least, most) = match self.scale {
            _ if least > most => (1.0, 10.0),
            Scale::Linear => (0.0, if most > 0.0 { most } else { 1.0 }),
            Scale::Log => {
                let (low, high) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
                (low, if high > low { high } else { low * 10.0 })
            }
        };
        Fitted { scale: self.scale, least, most, from, to }
    }
}

/// An axis that fits its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitted {
    scale: Scale,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Fitted {
    /// Where a value lies; what is beyond the axis lies at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Log => (value / self.least).log10() / (self.most / self.least).log10(),
        };
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.from + share * (self.to - self.from)
    }

    /// The values that are written beside the axis, with their text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let mut ticks = Vec::new();
        let (mut value, step) = match self.scale {
            Scale::Linear => (0.0, nice_step(self.most / 6.0)),
            Scale::Log => (self.least, 10.0),
        };
        while value <= self.most * (1.0 + 1e-9) {
            ticks.push((value, text(value)));
            value = if self.scale == Scale::Linear { value + step } else { value * step };
        }
        ticks
    }
}

/// The smallest of 1, 2 and 5, times a power of ten, that is at least `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * decade).find(|nice| *nice >= step).unwrap_or(step)
}

fn text(value: f64) -> String {
    if value == 0.0 || (0.001..1e6).contains(&value) {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let labels = |scale, values: &[f64]| -> Vec<String> {
            let axis = Axis { label: String::new(), scale };
            let fitted = axis.fit(values.iter().copied(), 0.0, 100.0);
            fitted.ticks().into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(Scale::Linear, &[0.3, 9.7]), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(Scale::Log, &[30.0, 9_000.0]), ["10", "100", "1000", "10000"]);
    }

    #[test]
    fn what_never_happened_lies_at_the_end() {
        let axis = Axis { label: String::new(), scale: Scale::Linear };
        let fitted = axis.fit([1.0, f64::INFINITY].into_iter(), 10.0, 20.0);
        assert!((fitted.place(f64::INFINITY) - 20.0).abs() < 1e-9);
        assert!((fitted.place(0.0) - 10.0).abs() < 1e-9);
    }
}
