//! Time to compute every Wigner 3j symbol up to a degree (8 unless given):
//! `cargo run -p e3nn-tensorprod --example wigner_3j_time -- 8`.

use e3nn_tensorprod::wigner::{is_triangle, wigner_3j};

fn main() {
    let lmax = std::env::args()
        .nth(1)
        .map_or(8, |text| text.parse().expect("a degree"));
    let start = std::time::Instant::now();
    let (mut tensors, mut values) = (0, 0);
    for l1 in 0..=lmax {
        for l2 in 0..=lmax {
            for l3 in (0..=lmax).filter(|&l3| is_triangle(l1, l2, l3)) {
                values += wigner_3j(l1, l2, l3).nonzeros().len();
                tensors += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("l <= {lmax}: {tensors} tensors, {values} values that are not zero, {seconds:.3} s");
}
