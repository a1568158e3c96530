//! What is said before and after training.

use crate::cli::Cli;
use crate::console::{Console, thousands};
use crate::device::DeviceName;
use crate::sample::{Sample, printable};
use crate::settings::Settings;
use crate::shapes::Shapes;
use crate::train::Trainer;
use crate::vocabulary::Vocabulary;
use burn::module::Module;
use std::f64::consts::LN_2;
use std::path::Path;
use std::time::Duration;

/// Says what is about to happen.
pub(crate) fn introduce(
    console: &mut Console,
    trainer: &Trainer,
    vocabulary: &Vocabulary,
    cli: &Cli,
    total: u64,
) {
    let settings = &trainer.settings;
    let data = &trainer.data;
    console.line(&format!(
        "text: {} ({} characters to learn from, {} for validation, {} distinct)",
        settings.source,
        data.training().len(),
        data.validation().len(),
        vocabulary.len()
    ));
    console.line(&format!(
        "model: minGRU language model, {} layers of width {}, {} parameters, on {}",
        settings.layers,
        settings.d_model,
        trainer.model.num_params(),
        cli.device
    ));
    let done = trainer.state.step;
    let from = if done == 0 {
        String::new()
    } else {
        format!(", {done} of them done")
    };
    console.line(&format!(
        "training: {total} steps of {} × {} characters{from}",
        settings.batch, settings.context
    ));
}

/// Says how well shapes are told apart.
pub(crate) fn shapes(console: &mut Console, shapes: &Shapes) {
    console.line(&format!(
        "shapes in any orientation: {:.1} % recognised, {:.1} % of mirror images, after {} steps in {:.1} s",
        100.0 * shapes.turned,
        100.0 * shapes.mirrored,
        shapes.steps,
        shapes.seconds
    ));
}

/// Says what came of it.
pub(crate) fn conclude(
    console: &mut Console,
    trainer: &Trainer,
    sample: &Sample,
    elapsed: Duration,
) {
    let settings = &trainer.settings;
    console.line(&format!(
        "\n{}{}\n",
        printable(&sample.prompt),
        printable(&sample.text)
    ));
    if let (Some(last), Some((step, best))) = (trainer.history.last(), trainer.history.best()) {
        console.line(&format!(
            "validation loss {last:.4} nats per character ({:.3} bits), lowest {best:.4} at step {step}",
            last / LN_2
        ));
    }
    let speed = trainer.history.speed(settings.batch * settings.context);
    console.line(&format!(
        "speed: {}/s in training, {}/s in generation; {:.1} s in all",
        thousands(speed),
        thousands(sample.speed),
        elapsed.as_secs_f64()
    ));
    console.line(&format!("weights: sha256 {}", trainer.digest()));
}

/// The command that goes on with a run.
pub(crate) fn continuation(cli: &Cli, directory: &Path, settings: &Settings, total: u64) -> String {
    let mut command = "cargo run --release -- --resume".to_owned();
    if cli.out.is_some() || cli.smoke {
        command += &format!(" --out {}", directory.display());
    }
    if total != settings.steps {
        command += &format!(" --steps {total}");
    }
    if cli.device != DeviceName::Flex {
        command += &format!(" --device {}", cli.device);
    }
    command
}
