//! Trains an equivariant interatomic potential on energies and forces, on the CPU: ethanol in a few minutes, or any extended
//! XYZ file with `--data`. See `--help`.
//!
//! [`data`] reads structures, [`model`] is the potential, [`mod@train`] the steps and errors, [`plot`] draws.

mod data;
mod model;
mod plot;
mod train;

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::Device;
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use core_tensor::atoms::Cutoffs;
use core_tensor::{seeded, write_atomic};
use indicatif::{ProgressBar, ProgressStyle};
use model::ForceFieldConfig;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use train::{Schedule, evaluate, train};

/// Graphs are made of large buffers that live for a step; mimalloc recycles them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains an equivariant potential (after NequIP) on energies and forces, and writes its weights and a picture of what it
/// learned.
#[derive(Debug, Parser)]
#[command(name = "force-field", version, max_term_width = 100)]
struct Cli {
    /// Extended XYZ with `energy` and `forces` [default: 400 frames of ethanol by GFN2-xTB].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Frames to test on [default: those of the data that are not trained on].
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Frames to train on, the first of the data.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count(1_000_000))]
    train: usize,
    /// Passes over them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    epochs: usize,
    /// Structures per step.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(100_000))]
    batch: usize,
    /// Highest learning rate.
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    lr: f64,
    /// Copies of every irrep.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count(4096))]
    channels: usize,
    /// Largest degree of features and harmonics.
    #[arg(long, value_name = "L", default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(0..=8))]
    lmax: usize,
    /// Rounds of messages.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count(16))]
    layers: usize,
    /// Distance up to which atoms see each other, Å.
    #[arg(long, value_name = "R", default_value_t = 4.0)]
    cutoff: f64,
    /// Where the weights and the order of frames come from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Directory for `weights.safetensors` and `report.svg`.
    #[arg(long, value_name = "DIR", default_value = "runs/force-field")]
    out: PathBuf,
    /// A very small run, to see that everything works: a second instead of minutes.
    #[arg(long)]
    smoke: bool,
}

fn count(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli) -> Result<()> {
    if cli.smoke {
        (cli.train, cli.epochs, cli.channels, cli.layers) = (20, 2, 4, 2);
    }
    ensure!(
        cli.lr.is_finite() && cli.lr > 0.0,
        "--lr: expected a positive number"
    );
    let cutoffs = Cutoffs::uniform(cli.cutoff).context("--cutoff")?;
    let frames = data::read(cli.data.as_deref())?;
    ensure!(
        cli.train <= frames.len(),
        "--train: {} frames asked for, the data has {}",
        cli.train,
        frames.len()
    );
    let (training, rest) = frames.split_at(cli.train);
    let test = match &cli.test {
        Some(path) => data::read(Some(path))?,
        None => rest.to_vec(),
    };
    ensure!(
        !test.is_empty(),
        "no frames are left to test on: give fewer to --train, or --test"
    );
    std::fs::create_dir_all(&cli.out).with_context(|| cli.out.display().to_string())?;

    let known = data::Statistics::of(training, &cutoffs)?;
    let device = Device::flex().autodiff();
    let config = ForceFieldConfig {
        species: known.species,
        cutoff: cli.cutoff,
        channels: cli.channels,
        lmax: cli.lmax,
        layers: cli.layers,
        neighbors: known.neighbors,
        shift: known.shift,
        scale: known.scale,
    };
    let mut refused = None;
    let model = seeded(&device, cli.seed, || {
        config.init(&device).map_err(|e| refused = Some(e)).ok()
    });
    let model = match (model, refused) {
        (Some(model), _) => model,
        (None, Some(error)) => return Err(error),
        (None, None) => unreachable!("either there is a model or a reason"),
    };
    println!(
        "{} frames to train on, {} to test on; {} parameters, {:.1} neighbours within {} Å, forces of {:.2} eV/Å",
        training.len(),
        test.len(),
        model.num_params(),
        known.neighbors,
        cli.cutoff,
        known.scale,
    );
    let zero = evaluate(&model.valid(), &test, &cutoffs, &device)?.errors();
    println!(
        "before: energy {:.2} meV/atom, forces {:.1} meV/Å (mean absolute errors)",
        zero.energy, zero.forces
    );

    let schedule = Schedule {
        epochs: cli.epochs,
        batch: cli.batch,
        learning_rate: cli.lr,
        seed: cli.seed,
    };
    let (start, mut losses) = (Instant::now(), Vec::new());
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:30} step {pos}/{len}  loss {msg}  {eta} left")
            .expect("a valid template"),
    );
    let model = train(
        model,
        training,
        &cutoffs,
        schedule,
        &device,
        |step, steps, loss| {
            losses.push(loss);
            bar.set_length(steps as u64);
            bar.set_position(step as u64);
            if step % 20 == 0 || step == steps {
                let last = &losses[losses.len().saturating_sub(20)..];
                bar.set_message(format!(
                    "{:.2e}",
                    last.iter().sum::<f64>() / last.len() as f64
                ));
            }
        },
    )?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let pairs = evaluate(&model.valid(), &test, &cutoffs, &device)?;
    let errors = pairs.errors();
    println!(
        "after {} steps in {seconds:.0} s ({:.1} ms each): energy {:.2} meV/atom, forces {:.1} meV/Å",
        losses.len(),
        1000.0 * seconds / losses.len() as f64,
        errors.energy,
        errors.forces
    );
    let weights = cli.out.join("weights.safetensors");
    write(&weights, &model.to_bytes()?)?;
    // What is written is the model.
    let bytes = std::fs::read(&weights).with_context(|| weights.display().to_string())?;
    let again = config.init(&device)?.with_bytes(&bytes, &device)?;
    let same = evaluate(&again.valid(), &test, &cutoffs, &device)?;
    ensure!(same.forces == pairs.forces, "the weights do not read back");
    let picture = cli.out.join("report.svg");
    write(&picture, plot::svg(&losses, &pairs).as_bytes())?;
    println!("{}\n{}", weights.display(), picture.display());
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_atomic(path, contents).with_context(|| path.display().to_string())
}
