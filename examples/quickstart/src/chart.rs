//! The learning curves as an SVG.

use crate::history::History;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
/// Room for the axes: left, right, top, bottom.
const MARGIN: [f64; 4] = [56.0, 16.0, 14.0, 46.0];
/// Most points of the training curve; more would not be seen.
const POINTS: usize = 240;

/// Where data goes on paper.
struct Frame {
    x: [f64; 2],
    y: [f64; 2],
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let [left, right, ..] = MARGIN;
        left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let [.., top, bottom] = MARGIN;
        top + (self.y[1] - value) / (self.y[1] - self.y[0]) * (HEIGHT - top - bottom)
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        points
            .iter()
            .enumerate()
            .fold(String::new(), |mut path, (i, &(x, y))| {
                let command = if i == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", self.x(x), self.y(y));
                path
            })
    }
}

/// Training and validation loss over steps. Colours are classes, for the page to define.
pub(crate) fn svg(history: &History, total: u64) -> String {
    let training = thinned(&history.training);
    let validation: Vec<_> = history
        .validation
        .iter()
        .map(|&(step, loss)| (step as f64, loss))
        .collect();
    let losses = || training.iter().chain(&validation).map(|point| point.1);
    let low = losses().fold(f64::INFINITY, f64::min);
    let high = losses().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let y_ticks = ticks(low, high);
    let steps = total.max(history.training.len() as u64).max(1) as f64;
    let frame = Frame {
        x: [0.0, steps],
        y: [y_ticks[0], y_ticks[y_ticks.len() - 1]],
    };

    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Training and validation loss over steps\">\n"
    );
    let [left, right, top, bottom] = MARGIN;
    let (floor, wall) = (HEIGHT - bottom, WIDTH - right);
    for &tick in &y_ticks {
        let y = frame.y(tick);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{wall}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 4.0,
            label(tick)
        );
    }
    for tick in ticks(0.0, steps).into_iter().filter(|&tick| tick <= steps) {
        let x = frame.x(tick);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {top}V{floor}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 18.0,
            label(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<path class=\"axis\" d=\"M{left} {top}V{floor}H{wall}\"/>\
         <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step</text>\
         <text class=\"tick\" transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">\
         loss, nats per character</text>",
        (left + wall) / 2.0,
        HEIGHT - 8.0,
        (top + floor) / 2.0
    );
    let _ = writeln!(
        svg,
        "<path class=\"training\" d=\"{}\"/>",
        frame.path(&training)
    );
    let _ = writeln!(
        svg,
        "<path class=\"validation\" d=\"{}\"/>",
        frame.path(&validation)
    );
    for &(step, loss) in &validation {
        let _ = writeln!(
            svg,
            "<circle class=\"point\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\">\
             <title>step {step}: validation {loss:.4}</title></circle>",
            frame.x(step),
            frame.y(loss)
        );
    }
    svg + "</svg>"
}

/// Means of equal stretches of the losses, each at the middle of its stretch.
fn thinned(losses: &[f32]) -> Vec<(f64, f64)> {
    let stretch = losses.len().div_ceil(POINTS).max(1);
    losses
        .chunks(stretch)
        .enumerate()
        .map(|(i, chunk)| {
            let mean = chunk.iter().copied().map(f64::from).sum::<f64>() / chunk.len() as f64;
            ((i * stretch) as f64 + (chunk.len() + 1) as f64 / 2.0, mean)
        })
        .collect()
}

/// Round numbers that enclose a range: at least two, about six.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = (high - low).max(1e-3);
    let power = 10f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| span / step <= 5.0);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    (0..=(last - first) as usize)
        .map(|i| (first + i as f64) * step)
        .collect()
}

/// A tick without the digits that rounding left.
fn label(tick: f64) -> String {
    let text = format!("{tick:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose() {
        assert_eq!(
            ticks(0.0, 1000.0),
            [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
        );
        assert_eq!(ticks(0.0, 1.0).last(), Some(&1.0));
        for (low, high) in [
            (1.63, 4.2),
            (2.0, 2.0),
            (0.0, 7.0),
            (1e-9, 1e-9),
            (3.0, 1e7),
        ] {
            let ticks = ticks(low, high);
            assert!((2..=8).contains(&ticks.len()), "{ticks:?}");
            assert!(
                ticks[0] <= low && *ticks.last().unwrap() >= high,
                "{ticks:?}"
            );
        }
        assert_eq!(label(1.5), "1.5");
        assert_eq!(label(200.0), "200");
    }

    #[test]
    fn a_run_without_steps_draws_without_nan() {
        for steps in [0, 1, 2, 1000] {
            let history = History {
                training: vec![2.0; steps],
                ..History::default()
            };
            assert!(!svg(&history, 10).contains("NaN"));
        }
    }
}
