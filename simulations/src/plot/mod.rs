//! Plots: charts with axes, a legend and a few curves, as SVG that needs nothing else to be shown.

mod axis;
mod svg;

pub use axis::{Axis, Scale};

use svg::Drawing;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;

/// The part of the picture that the curves have.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 380.0;

/// Between two lines of the legend.
const LEGEND_STEP: f64 = 20.0;

/// Told apart by those who do not see all colours, too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// Its points, in the order of x.
    pub points: Vec<(f64, f64)>,
    /// How they are joined.
    pub join: Join,
}

/// How the points of a curve are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// By straight lines.
    Lines,
    /// By straight lines, each point being marked.
    MarkedLines,
    /// Level until the next point, as a cumulative distribution is.
    Steps,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let mut drawing = Drawing::new(WIDTH, HEIGHT);
        drawing.text(LEFT, TOP - 20.0, svg::Anchor::Start, "title", &self.title);
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x = self.x.fit(points().map(|point| point.0), LEFT, RIGHT);
        let y = self.y.fit(points().map(|point| point.1), BOTTOM, TOP);
        for (value, label) in x.ticks() {
            let at = x.place(value);
            drawing.line((at, TOP), (at, BOTTOM), "grid");
            drawing.text(at, BOTTOM + 18.0, svg::Anchor::Middle, "tick", &label);
        }
        for (value, label) in y.ticks() {
            let at = y.place(value);
            drawing.line((LEFT, at), (RIGHT, at), "grid");
            drawing.text(LEFT - 8.0, at + 4.0, svg::Anchor::End, "tick", &label);
        }
        drawing.text((LEFT + RIGHT) / 2.0, HEIGHT - 18.0, svg::Anchor::Middle, "label", &self.x.label);
        drawing.upright(20.0, (TOP + BOTTOM) / 2.0, "label", &self.y.label);
        for (index, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let placed: Vec<(f64, f64)> =
                curve.points.iter().map(|(right, up)| (x.place(*right), y.place(*up))).collect();
            drawing.path(&joined(&placed, curve.join), colour);
            if curve.join == Join::MarkedLines {
                placed.iter().for_each(|at| drawing.dot(*at, colour));
            }
            #[expect(clippy::cast_precision_loss, reason = "a few curves")]
            let line = TOP + 8.0 + LEGEND_STEP * index as f64;
            drawing.path(&[(RIGHT + 16.0, line), (RIGHT + 40.0, line)], colour);
            drawing.text(RIGHT + 46.0, line + 4.0, svg::Anchor::Start, "tick", &curve.name);
        }
        drawing.finish()
    }
}

fn joined(points: &[(f64, f64)], join: Join) -> Vec<(f64, f64)> {
    if join != Join::Steps {
        return points.to_vec();
    }
    let mut stairs: Vec<(f64, f64)> = Vec::with_capacity(points.len() * 2);
    for &(right, up) in points {
        if let Some(&(_, before)) = stairs.last() {
            stairs.push((right, before));
        }
        stairs.push((right, up));
    }
    stairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale) -> Chart {
        let axis = |label: &str| Axis { label: label.to_owned(), scale };
        let points = vec![(1.0, 10.0), (10.0, 1_000.0), (100.0, 20.0)];
        let curves = vec![Curve { name: "a < b & c".to_owned(), points, join: Join::Steps }];
        Chart { title: "t".to_owned(), x: axis("x"), y: axis("y"), curves }
    }

    #[test]
    fn all_points_lie_within_the_frame_and_text_is_escaped() {
        for scale in [Scale::Linear, Scale::Log] {
            let svg = chart(scale).svg();
            assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
            let path = svg.split("<path d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let numbers = path.split([' ', 'M', 'L', ',']).filter_map(|number| number.parse::<f64>().ok());
            let numbers: Vec<f64> = numbers.collect();
            assert_eq!(numbers.len(), 10, "{path}");
            for at in numbers.chunks(2) {
                assert!((LEFT..=RIGHT).contains(&at[0]) && (TOP..=BOTTOM).contains(&at[1]), "{path}");
            }
        }
    }

    #[test]
    fn a_chart_without_points_is_drawn_empty() {
        let empty = Chart { curves: Vec::new(), ..chart(Scale::Log) };
        assert!(!empty.svg().contains("NaN"));
    }
}
