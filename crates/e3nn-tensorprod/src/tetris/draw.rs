//! The shapes, what the network takes them for, and how it learned, as an SVG picture.

use super::{NAMES, Progress, SHAPES};
use core::fmt::Write;

/// Size of the cell of a shape.
const CELL: [f64; 2] = [150.0, 170.0];
/// Edge of a drawn cube.
const UNIT: f64 = 20.0;
/// Columns of shapes.
const COLUMNS: usize = 4;

/// A picture of every shape with the probability that the network gives it (the softmax of its scores, one row
/// of `scores` per shape), and of the loss over the steps. Colours adapt to a dark page.
///
/// # Panics
/// If there are not eight rows of eight scores.
pub fn picture(scores: &[Vec<f64>], curve: &[Progress]) -> String {
    assert!(
        scores.len() == NAMES.len() && scores.iter().all(|row| row.len() == NAMES.len()),
        "tetris: expected 8 × 8 scores"
    );
    let [width, height] = [COLUMNS as f64 * CELL[0], 2.0 * CELL[1] + 190.0];
    let mut svg = format!(
        "<svg class=\"tetris\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" role=\"img\" aria-label=\"Tetris shapes and loss\">\n<style>.tetris text {{ fill: #667079; }} .tetris .top {{ fill: #9dc3e6; }} \
         .tetris .left {{ fill: #5b93c7; }} .tetris .right {{ fill: #2f6ea5; }} .tetris .wrong {{ fill: #c2410c; }} \
         .tetris .loss {{ fill: none; stroke: #c2410c; stroke-width: 2; }} .tetris .axis {{ stroke: #c8ced3; }}</style>\n"
    );
    for (n, row) in scores.iter().enumerate() {
        let corner = [
            (n % COLUMNS) as f64 * CELL[0],
            (n / COLUMNS) as f64 * CELL[1],
        ];
        shape(&mut svg, n, row, corner);
    }
    losses(
        &mut svg,
        curve,
        [45.0, 2.0 * CELL[1] + 20.0],
        [width - 65.0, 130.0],
    );
    svg.push_str("</svg>\n");
    svg
}

/// One shape as cubes seen from (1, 1, 1), under its name and probability.
fn shape(svg: &mut String, n: usize, scores: &[f64], corner: [f64; 2]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
    let probability = (scores[n] - largest).exp() / sum;
    let guess = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let guess = guess.unwrap_or(n);
    let mut cubes = SHAPES[n];
    let depth = |p: &[f64; 3]| p.iter().sum::<f64>();
    cubes.sort_by(|a, b| depth(a).total_cmp(&depth(b)));
    let project = |[x, y, z]: [f64; 3]| {
        let [across, down] = [(x - z) * 0.866, (x + z) * 0.5 - y];
        [across * UNIT, down * UNIT]
    };
    let middle = cubes.iter().fold([0.0; 2], |sum, &cube| {
        let [x, y] = project(cube.map(|c| c + 0.5));
        [sum[0] + x / 4.0, sum[1] + y / 4.0]
    });
    let at = |p: [f64; 3]| {
        let [x, y] = project(p);
        let x = corner[0] + CELL[0] / 2.0 + x - middle[0];
        let y = corner[1] + 75.0 + y - middle[1];
        format!("{x:.1},{y:.1}")
    };
    for [x, y, z] in cubes {
        let [far_x, far_y, far_z] = [x + 1.0, y + 1.0, z + 1.0];
        let faces = [
            (
                "top",
                [
                    [x, far_y, z],
                    [far_x, far_y, z],
                    [far_x, far_y, far_z],
                    [x, far_y, far_z],
                ],
            ),
            (
                "left",
                [
                    [x, y, far_z],
                    [far_x, y, far_z],
                    [far_x, far_y, far_z],
                    [x, far_y, far_z],
                ],
            ),
            (
                "right",
                [
                    [far_x, y, z],
                    [far_x, far_y, z],
                    [far_x, far_y, far_z],
                    [far_x, y, far_z],
                ],
            ),
        ];
        for (class, points) in faces {
            let points = points.map(at).join(" ");
            let _ = writeln!(svg, "<polygon class=\"{class}\" points=\"{points}\"/>");
        }
    }
    let [x, y] = [corner[0] + CELL[0] / 2.0, corner[1] + CELL[1] - 22.0];
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
        NAMES[n]
    );
    let (class, verdict) = if guess == n {
        ("", format!("{:.1} %", 100.0 * probability))
    } else {
        (" class=\"wrong\"", format!("taken for {}", NAMES[guess]))
    };
    let _ = writeln!(
        svg,
        "<text{class} x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{verdict}</text>",
        y + 15.0
    );
}

/// The loss over the steps, on a logarithmic scale of whole powers of ten.
fn losses(svg: &mut String, curve: &[Progress], [left, top]: [f64; 2], [width, height]: [f64; 2]) {
    let finite = curve.iter().filter(|p| p.loss > 0.0 && p.loss.is_finite());
    let exponents = finite.clone().map(|p| p.loss.log10());
    let low = exponents.clone().fold(0.0_f64, f64::min).floor();
    let high = exponents.fold(low + 1.0, f64::max).ceil();
    let y = |exponent: f64| top + height * (high - exponent) / (high - low);
    for exponent in low as i32..=high as i32 {
        let y = y(f64::from(exponent));
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">1e{exponent}</text>",
            left + width,
            left - 6.0,
            y + 4.0
        );
    }
    let last = curve.last().map_or(1, |p| p.step).max(2);
    let points = finite.map(|p| {
        let x = left + width * (p.step - 1) as f64 / (last - 1) as f64;
        format!("{x:.1},{:.1}", y(p.loss.log10()))
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = writeln!(svg, "<polyline class=\"loss\" points=\"{points}\"/>");
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">loss in nats over {last} steps</text>",
        left + width,
        top + height + 22.0
    );
}
