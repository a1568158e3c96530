//! Trains a model on a synthetic task and tests it on sequences that it has not seen.
//!
//! ```text
//! cargo run --release -p seq-rnn-parallel-scan --example learn -- selective-copy
//! cargo run --release -p seq-rnn-parallel-scan --example learn -- parity --transition positive
//! ```

use burn::module::Module;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use seq_rnn_parallel_scan::tasks::{Experiment, Progress, Score, evaluate};
use seq_rnn_parallel_scan::{Cell, Transition};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Trains a minGRU on a synthetic task and tests it, longer sequences included.
#[derive(Parser)]
struct Args {
    /// The task.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Experiment::NAMES))]
    task: String,
    /// Number of layers [default: the recipe's].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    layers: Option<u16>,
    /// The forget factor [default: the recipe's].
    #[arg(long)]
    transition: Option<Sign>,
    /// Steps of training [default: the recipe's].
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of weights and sequences.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the learning curve to this SVG file.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Where the forget factor lies, see `Transition`.
#[derive(Clone, Copy, ValueEnum)]
enum Sign {
    /// In (0, 1): the paper's.
    Positive,
    /// In (−1, 1), independent of the update gate.
    Signed,
    /// In (−1, 1), bounded by the update gate.
    Coupled,
}

impl From<Sign> for Transition {
    fn from(sign: Sign) -> Self {
        match sign {
            Sign::Positive => Transition::Positive,
            Sign::Signed => Transition::Signed,
            Sign::Coupled => Transition::SignedCoupled,
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let mut experiment = Experiment::named(&args.task).ok_or("no such task")?;
    let recipe = &mut experiment.recipe;
    recipe.seed = args.seed;
    recipe.steps = args.steps.unwrap_or(recipe.steps);
    let stack = &mut recipe.model.stack;
    stack.layers = args.layers.map_or(stack.layers, usize::from);
    if let (Some(sign), Cell::MinGru { transition, .. }) = (args.transition, &mut stack.block.cell)
    {
        *transition = sign.into();
    }
    // A path that cannot be written should not cost a training run.
    if let Some(path) = &args.out {
        std::fs::write(path, "").map_err(|error| format!("{}: {error}", path.display()))?;
    }

    println!("{:?}", experiment.task);
    println!("{} layers, {:?}", stack.layers, stack.block.cell);
    let start = Instant::now();
    let every = (recipe.steps / 20).max(1);
    let mut recent = Vec::new();
    let trained = recipe.train(experiment.task.as_ref(), &device, |point| {
        recent.push(*point);
        if point.step.is_multiple_of(every) {
            let Progress { loss, accuracy, .. } = mean(&recent);
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "step {:>5}  loss {loss:.4}  accuracy {:.1} %  {seconds:.0} s",
                point.step,
                100.0 * accuracy
            );
            recent.clear();
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();

    let mut summary = format!(
        "{}: {} parameters, {} steps in {seconds:.0} s; accuracy (at the last answer; of the best guess)",
        args.task,
        trained.model.num_params(),
        trained.curve.len()
    );
    for (name, task) in &experiment.tests {
        let score = evaluate(&trained.model, task.as_ref(), args.seed, [16, 64], &device)?;
        let Score {
            accuracy,
            last,
            guess,
            ..
        } = score;
        write!(summary, "  {name}: {accuracy:.4} ({last:.4}; {guess:.2})")?;
    }
    println!("{summary}");
    if let Some(path) = &args.out {
        std::fs::write(path, curve(&args.task, &trained.curve))?;
    }
    Ok(())
}

/// Means over some steps; the step is that of the last.
fn mean(points: &[Progress]) -> Progress {
    let count = points.len().max(1) as f64;
    Progress {
        step: points.last().map_or(0, |point| point.step),
        loss: points.iter().map(|point| point.loss).sum::<f64>() / count,
        accuracy: points.iter().map(|point| point.accuracy).sum::<f64>() / count,
    }
}

/// Accuracy over steps as an SVG image: dots for means over a fiftieth of the run, and a line.
fn curve(title: &str, points: &[Progress]) -> String {
    let (width, height, margin) = (480.0, 300.0, 40.0);
    let steps = points.len().max(1) as f64;
    let x = |step: usize| margin + step as f64 / steps * (width - 2.0 * margin);
    let y = |share: f64| height - margin - share * (height - 2.0 * margin);
    let means: Vec<Progress> = points
        .chunks(points.len().div_ceil(50).max(1))
        .map(mean)
        .collect();
    let line: Vec<String> = means
        .iter()
        .map(|point| format!("{:.1},{:.1}", x(point.step), y(point.accuracy)))
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"20\" text-anchor=\"middle\">{title}: accuracy over steps</text>\n",
        width / 2.0
    );
    for tenth in [0, 5, 10] {
        let at = y(f64::from(tenth) / 10.0);
        svg += &format!(
            "<path d=\"M{margin} {at}H{}\" stroke=\"#ccc\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} %</text>\n",
            width - margin,
            margin - 4.0,
            at + 4.0,
            10 * tenth
        );
    }
    for step in [0, points.len() / 2, points.len()] {
        let (at, below) = (x(step), height - margin + 16.0);
        svg += &format!("<text x=\"{at}\" y=\"{below}\" text-anchor=\"middle\">{step}</text>\n");
    }
    svg += &format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fbf\" stroke-width=\"2\"/>\n</svg>\n",
        line.join(" ")
    );
    svg
}
