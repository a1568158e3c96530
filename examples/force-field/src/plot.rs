//! What was learned, as an SVG picture.

use crate::train::Pairs;
use std::fmt::Write;

const SIDE: f64 = 300.0;
const MARGIN: f64 = 58.0;
/// Most points of a panel; more would not be seen.
const POINTS: usize = 1500;

/// A panel with its range.
struct Panel {
    left: f64,
    x: [f64; 2],
    y: [f64; 2],
}

impl Panel {
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let share = |v: f64, [a, b]: [f64; 2]| (v - a) / (b - a);
        [
            self.left + SIDE * share(x, self.x),
            MARGIN / 2.0 + SIDE * (1.0 - share(y, self.y)),
        ]
    }

    fn frame(&self, svg: &mut String, title: &str, [across, up]: [&str; 2], log: bool) {
        let (left, top) = (self.left, MARGIN / 2.0);
        let (middle, bottom) = (left + SIDE / 2.0, top + SIDE);
        let number = |v: f64| {
            if log {
                format!("{:.1e}", v.exp())
            } else {
                format!("{v:.1}")
            }
        };
        let _ = writeln!(
            svg,
            "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\"/>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{title}</text>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{across}</text>\
             <text x=\"{left}\" y=\"{}\">{:.1}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.1}</text>\
             <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">{up}</text>",
            top - 8.0,
            bottom + 32.0,
            bottom + 16.0,
            self.x[0],
            left + SIDE,
            bottom + 16.0,
            self.x[1],
            left - 5.0,
            number(self.y[0]),
            left - 5.0,
            top + 10.0,
            number(self.y[1]),
            left - 34.0,
            top + SIDE / 2.0,
        );
    }
}

fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| {
        [a.min(v), b.max(v)]
    });
    let pad = ((high - low) * 0.03).max(1e-9);
    [low - pad, high + pad]
}

/// The loss over steps, and predicted against true values, energies per atom and components of forces. Colours adapt to a
/// dark page.
pub(crate) fn svg(losses: &[f64], pairs: &Pairs) -> String {
    let pitch = SIDE + 1.6 * MARGIN;
    let (width, height) = (3.0 * pitch, SIDE + 1.4 * MARGIN);
    let mut svg = format!(
        "<svg class=\"field\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" role=\"img\" aria-label=\"Loss, energies, forces\">\n<style>.field text {{ fill: #667079; }} \
         .field .frame {{ fill: none; stroke: #c8ced3; }} .field .dot {{ fill: #2f6ea5; fill-opacity: 0.45; }} \
         .field .line {{ fill: none; stroke: #c2410c; stroke-width: 1.5; }}</style>\n"
    );
    let finite = || losses.iter().map(|l| l.max(1e-30).ln());
    let panel = Panel {
        left: MARGIN,
        x: [0.0, losses.len().max(1) as f64],
        y: range(finite()),
    };
    panel.frame(&mut svg, "loss of every step", ["steps", "loss"], true);
    svg.push_str("<path class=\"line\" d=\"");
    for (i, loss) in finite().enumerate() {
        let [x, y] = panel.place([i as f64, loss]);
        let _ = write!(svg, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    svg.push_str("\"/>\n");
    for (n, (title, points)) in [
        ("energy per atom, eV, less the mean", &pairs.energies),
        ("components of forces, eV/Å", &pairs.forces),
    ]
    .into_iter()
    .enumerate()
    {
        let both = range(points.iter().flatten().copied());
        let panel = Panel {
            left: MARGIN + pitch * (n + 1) as f64,
            x: both,
            y: both,
        };
        panel.frame(&mut svg, title, ["true", "predicted"], false);
        let [a, b] = [both[0], both[1]].map(|v| panel.place([v, v]));
        let _ = writeln!(
            svg,
            "<path class=\"line\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
            a[0], a[1], b[0], b[1]
        );
        let every = points.len().div_ceil(POINTS).max(1);
        for &pair in points.iter().step_by(every) {
            let [x, y] = panel.place(pair);
            let _ = write!(
                svg,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>"
            );
        }
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}
