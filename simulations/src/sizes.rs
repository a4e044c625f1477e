//! How many members the views hold alive over time, beside how many there are: what `--plot` draws.

use meshnode::time::Duration;

use crate::cluster::Cluster;
use crate::model::State;
use crate::plot::{Axis, Chart, Curve, Join, Scale};

/// One look.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: f64,
    up: usize,
    least: usize,
    median: usize,
    most: usize,
}

/// The sizes of all views, look by look.
#[derive(Debug, Clone, Default)]
pub struct Sizes {
    looks: Vec<Look>,
}

impl Sizes {
    /// Notes how large the views of the nodes that are up are now.
    pub fn look(&mut self, cluster: &Cluster) {
        let up: Vec<usize> = cluster.model().in_state(State::Up).collect();
        let mut sizes: Vec<usize> =
            up.iter().filter_map(|&node| Some(cluster.view(node)?.live().count())).collect();
        sizes.sort_unstable();
        let (Some(&least), Some(&most)) = (sizes.first(), sizes.last()) else { return };
        let at = Duration::from_nanos(cluster.now().as_nanos()).as_secs_f64();
        self.looks.push(Look { at, up: up.len(), least, median: sizes[sizes.len() / 2], most });
    }

    /// The chart of what was noted.
    pub fn chart(&self, title: String) -> Chart {
        let curve = |name: &str, size: fn(&Look) -> usize| Curve {
            name: name.to_owned(),
            #[expect(clippy::cast_precision_loss, reason = "a few thousand nodes")]
            points: self.looks.iter().map(|look| (look.at, size(look) as f64)).collect(),
            join: Join::Steps,
        };
        Chart {
            title,
            x: linear("seconds"),
            y: linear("members held alive"),
            curves: vec![
                curve("nodes that are up", |look| look.up),
                curve("largest view", |look| look.most),
                curve("median view", |look| look.median),
                curve("smallest view", |look| look.least),
            ],
        }
    }
}

fn linear(label: &str) -> Axis {
    Axis { label: label.to_owned(), scale: Scale::Linear }
}
