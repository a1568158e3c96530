//! Trains the tetris task, says how well the shapes are told apart in any orientation, and draws it:
//!
//! ```sh
//! cargo run --release -p e3nn-tensorprod --features recipes --example tetris [-- FILE.svg]
//! ```

use burn::tensor::Device;
use e3nn_tensorprod::tetris::{Recipe, evaluate};
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let file = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "tetris.svg".into());
    let device = Device::flex();
    let start = Instant::now();
    let trained = Recipe::default().train(&device, |p| {
        if p.step.is_power_of_two() || p.step % 20 == 0 {
            println!(
                "step {:3}   loss {:.4}   recognised {:.0} %",
                p.step,
                p.loss,
                100.0 * p.accuracy
            );
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let [turned, mirrored] = evaluate(&trained.model, 100, 1, &device);
    println!("trained in {seconds:.1} s");
    println!(
        "recognised in 100 random orientations each: {:.1} %",
        100.0 * turned
    );
    println!(
        "their mirror images, chiral ones exchanged: {:.1} %",
        100.0 * mirrored
    );
    std::fs::write(&file, trained.picture(&device))?;
    println!("drawn in {file}");
    Ok(())
}
