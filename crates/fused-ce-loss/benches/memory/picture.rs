//! The memory picture.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 4] = ["#0072b2", "#009e73", "#e69f00", "#d55e00"];

/// A curve per way to compute the loss, both axes logarithmic.
pub(crate) fn draw(sizes: &[usize], curves: &[(&str, Vec<f64>)]) -> String {
    let values = curves.iter().flat_map(|c| &c.1);
    let largest = values.clone().copied().fold(1.0, f64::max).log10().ceil();
    let least = values
        .copied()
        .fold(f64::INFINITY, f64::min)
        .max(0.1)
        .log10()
        .floor();
    let (first, last) = (
        (sizes[0] as f64).log2(),
        (sizes[sizes.len() - 1] as f64).log2(),
    );
    let x = |v: f64| LEFT + (v.log2() - first) / (last - first) * (WIDTH - LEFT - RIGHT);
    let y = |mb: f64| {
        HEIGHT - BOTTOM - (mb.log10() - least) / (largest - least) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">Memory above inputs and gradients, MB (2048 tokens, width 640, f32)</text>\n"
    );
    for exponent in least as i32..=largest as i32 {
        let at = y(10.0_f64.powi(exponent));
        let label = 10.0_f64.powi(exponent);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for &size in sizes {
        let at = x(size as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{size}</text>",
            HEIGHT - BOTTOM + 20.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">classes</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    for ((name, values), colour) in curves.iter().zip(COLOURS) {
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .zip(values)
            .map(|(&v, &mb)| (x(v as f64), y(mb.max(0.1))))
            .collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            path.join(" ")
        );
        for (x, y) in &points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
            );
        }
        let (end_x, end_y) = points[points.len() - 1];
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            end_x + 10.0,
            end_y + 4.0
        );
    }
    svg + "</svg>\n"
}
