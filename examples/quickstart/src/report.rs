//! The report: one HTML file that needs nothing else.

use crate::chart;
use crate::console::thousands;
use crate::sample::{Sample, printable};
use crate::shapes::Shapes;
use crate::train::Trainer;
use burn::module::Module;
use std::f64::consts::LN_2;
use std::fmt::Write;
use std::time::Duration;

const STYLE: &str = "
:root { color-scheme: light dark; --back: #fdfdfc; --card: #fff; --ink: #1d2327; --faint: #667079;
  --line: #e2e5e8; --training: #9db7d5; --validation: #c2410c; --prompt: #1d6fb8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --card: #1b1f23; --ink: #e3e7ea;
  --faint: #95a0a9; --line: #30363c; --training: #4a6a8f; --validation: #fb923c; --prompt: #7cb8ee; } }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .7rem; }
.lead { color: var(--faint); margin: .3rem 0 1.6rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; }
.figure, .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.figure { padding: .8rem 1rem; } .figure b { display: block; font-size: 1.35rem; font-weight: 600; }
.figure span { color: var(--faint); font-size: .85rem; }
.card { padding: 1rem; overflow-x: auto; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); fill: none; }
.tick { fill: var(--faint); font-size: 12px; }
.training { stroke: var(--training); fill: none; stroke-width: 1.5; }
.validation { stroke: var(--validation); fill: none; stroke-width: 2.2; }
.point { fill: var(--validation); }
.key { font-size: .85rem; color: var(--faint); margin: .6rem 0 0; }
.key i { display: inline-block; width: 1.4rem; height: .22rem; margin: 0 .35rem .2rem 0; border-radius: 1px; }
.key i + i { margin-left: 1.2rem; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px/1.5 ui-monospace, 'Cascadia Code', Menlo, monospace; }
pre b { color: var(--prompt); font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > * { border-bottom: 0; } th { color: var(--faint); font-weight: 400; width: 16rem; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
";

/// What a report is about.
pub(crate) struct Report<'a> {
    /// The run.
    pub(crate) trainer: &'a Trainer,
    /// Distinct characters.
    pub(crate) vocabulary: usize,
    /// What it runs on.
    pub(crate) device: String,
    /// Steps it is to have.
    pub(crate) total: u64,
    /// Time since this process began.
    pub(crate) elapsed: Duration,
    /// What the model writes, once it has been asked.
    pub(crate) sample: Option<&'a Sample>,
    /// What the equivariant network recognises, once it has learned.
    pub(crate) shapes: Option<&'a Shapes>,
}

/// The page.
pub(crate) fn html(report: &Report<'_>) -> String {
    let trainer = report.trainer;
    let (settings, history) = (&trainer.settings, &trainer.history);
    let parameters = grouped(trainer.model.num_params());
    let done = trainer.state.step;
    let state = if done < report.total {
        format!("{done} of {} steps so far", report.total)
    } else {
        format!("{done} steps")
    };
    let loss = |loss: Option<f64>| loss.map_or("–".to_owned(), |loss| format!("{loss:.3}"));
    let speed = match history.training.len() {
        0 => "–".to_owned(),
        _ => thousands(history.speed(settings.batch * settings.context)) + "/s",
    };
    let written = report
        .sample
        .map_or("–".to_owned(), |sample| thousands(sample.speed) + "/s");
    let figures = [
        (loss(history.last()), "validation loss, nats per character"),
        (loss(history.last().map(|x| x / LN_2)), "bits per character"),
        (speed, "training speed"),
        (written, "generation speed"),
    ];
    let figures = figures
        .iter()
        .fold(String::new(), |mut html, (value, name)| {
            let _ = write!(
                html,
                "<div class=\"figure\"><b>{value}</b><span>{name}</span></div>"
            );
            html
        });
    let curves = chart::svg(history, report.total);
    let sample = report.sample.map_or(String::new(), |sample| {
        let [prompt, text] = [&sample.prompt, &sample.text].map(|text| escape(&printable(text)));
        format!(
            "<h2>What it writes</h2>\n<div class=\"card\"><pre><b>{prompt}</b>{text}</pre></div>\n"
        )
    });
    let shapes = report.shapes.map_or(String::new(), |shapes| {
        format!(
            "<h2>Shapes in any orientation</h2>\n<div class=\"card\">{}<p class=\"key\">An equivariant network of three \
             convolutions, {} steps in {:.1} s: {:.1} % of the shapes recognised in orientations that it has not seen, \
             and {:.1} % of their mirror images, where the chiral pair changes places.</p></div>\n",
            shapes.picture,
            shapes.steps,
            shapes.seconds,
            100.0 * shapes.turned,
            100.0 * shapes.mirrored
        )
    });
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>minGRU language model</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>minGRU language model</h1>\n\
         <p class=\"lead\">{parameters} parameters, {state}, on {source}.</p>\n\
         <div class=\"figures\">{figures}</div>\n\
         <h2>Learning curves</h2>\n<div class=\"card\">{curves}\n\
         <p class=\"key\"><i style=\"background:var(--training)\"></i>training\
         <i style=\"background:var(--validation);margin-left:1.2rem\"></i>validation</p></div>\n\
         {sample}{shapes}<h2>Settings and timing</h2>\n<div class=\"card\"><table>{table}</table></div>\n\
         </main>\n</body>\n</html>\n",
        source = escape(&settings.source),
        table = table(report),
    )
}

fn table(report: &Report<'_>) -> String {
    let trainer = report.trainer;
    let (settings, history, data) = (&trainer.settings, &trainer.history, &trainer.data);
    let best = history.best();
    let rows = [
        ("text", settings.source.clone()),
        ("text, SHA-256", settings.text_sha256.clone()),
        (
            "characters",
            format!(
                "{} to learn from, {} for validation, {} distinct",
                grouped(data.training().len()),
                grouped(data.validation().len()),
                report.vocabulary
            ),
        ),
        (
            "model",
            format!(
                "{} blocks of width {}: causal convolution 4, minGRU ×2, MLP ×4, RMSNorm",
                settings.layers, settings.d_model
            ),
        ),
        (
            "step",
            format!("{} × {} characters", settings.batch, settings.context),
        ),
        (
            "optimiser",
            format!(
                "AdamW, β 0.9 and 0.99, weight decay 0.1, each gradient clipped to norm 1; \
                 rate up to {}, cosine over {} steps",
                settings.lr, settings.steps
            ),
        ),
        ("seed", settings.seed.to_string()),
        ("device", report.device.clone()),
        (
            "lowest validation loss",
            best.map_or("–".to_owned(), |(step, loss)| {
                format!("{loss:.4} at step {step}")
            }),
        ),
        (
            "time in training steps",
            format!("{:.1} s", history.seconds),
        ),
        (
            "time of this process",
            format!("{:.1} s", report.elapsed.as_secs_f64()),
        ),
        ("weights, SHA-256", trainer.digest()),
    ];
    rows.iter().fold(String::new(), |mut html, (name, value)| {
        let _ = writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", escape(value));
        html
    })
}

/// Text as it must be written in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A count with its digits in groups of three.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    digits
        .char_indices()
        .fold(String::new(), |mut text, (i, digit)| {
            if i > 0 && i % 3 == first {
                text.push(',');
            }
            text.push(digit);
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_markup_is_text() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (480_640, "480,640"),
        ];
        for (count, text) in cases {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(escape("<b>\"&\""), "&lt;b&gt;&quot;&amp;&quot;");
    }
}
