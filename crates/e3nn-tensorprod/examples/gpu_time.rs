//! Times of the GPU kernels beside the same in plain tensor operations, and as a share of the bandwidth of a copy in the same
//! run: `cargo run --release -p e3nn-tensorprod --features cuda --example gpu_time`, or with `vulkan` or `wgpu`.
//! `SCALE=0.01` takes a hundredth of the rows, for software drivers; of `harmonics`, `wigner`, `products` and `frames` those named
//! as arguments run, by default all.

#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "wgpu")))]
fn main() {
    println!("built without a GPU: choose a feature of cuda, vulkan, wgpu");
}

#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
fn main() {
    timed::main();
}

#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
mod timed {
    use burn::tensor::{Device, Distribution, Tensor};
    use core_tensor::testing::{gpu_device, median};
    use e3nn_tensorprod::product::op::{Slot, partial, reference};
    use e3nn_tensorprod::product::{InstructionOrder, WeightRows, tensor_product};
    use e3nn_tensorprod::sh::{self, Normalization, Spec};
    use e3nn_tensorprod::so2::{EdgeFrames, EdgeProductConfig, FrameLayout, PlanChoice};
    use e3nn_tensorprod::wigner::{wigner_d_from_matrix, wigner_d_reference};
    use e3nn_tensorprod::{Irreps, Layout, Parity, ProductPlan, SortOrder, TensorProductConfig};
    use std::sync::Arc;
    use std::time::Instant;

    const ROUNDS: usize = 10;

    struct Bench {
        device: Device,
        scale: f64,
        /// Bytes per second of a copy.
        copy: f64,
    }

    impl Bench {
        /// Seconds of a call on a quiet device; the first, which compiles, does not count.
        fn seconds<const D: usize>(&self, f: impl Fn() -> Tensor<D>) -> f64 {
            let once = || {
                self.device.sync().expect("a device");
                let start = Instant::now();
                let out = f();
                self.device.sync().expect("a device");
                drop(out);
                start.elapsed().as_secs_f64()
            };
            once();
            median((0..ROUNDS).map(|_| once()).collect())
        }

        fn random(&self, shape: [usize; 2]) -> Tensor<2> {
            Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device)
        }

        fn rows(&self, rows: usize) -> usize {
            ((rows as f64 * self.scale) as usize).max(64)
        }

        /// `values` are what must at least be read and written.
        fn line(&self, what: &str, seconds: f64, values: usize, plain: Option<f64>) {
            let share = 4.0 * values as f64 / seconds / self.copy * 100.0;
            let plain = plain.map_or_else(String::new, |plain| {
                format!(", plain operations {:.1} times", plain / seconds)
            });
            let time = seconds * 1e3;
            println!("{what}: {time:.3} ms, {share:.0} % of the bandwidth of a copy{plain}");
        }

        fn harmonics(&self, lmax: usize) {
            let points = self.rows(200_000);
            let degrees: Vec<usize> = (0..=lmax).collect();
            let n = Normalization::Component;
            let spec = Spec {
                degrees: degrees.clone().into(),
                normalize: true,
                normalization: n,
            };
            let (v, g) = (self.random([points, 3]), self.random([points, spec.dim()]));
            let seconds = self.seconds(|| sh::spherical_harmonics(&degrees, v.clone(), true, n));
            let plain =
                self.seconds(|| sh::reference::spherical_harmonics(&spec, v.clone().into()).value);
            let values = points * (3 + spec.dim());
            let what = format!("harmonics to l = {lmax}, {points} points");
            self.line(&what, seconds, values, Some(plain));
            let seconds = self.seconds(|| {
                sh::spherical_harmonics_gradient(&degrees, v.clone(), g.clone(), true, n)
            });
            self.line("  gradient", seconds, values + 3 * points, None);
        }

        fn wigner(&self) {
            let batch = self.rows(50_000);
            let r = self.random([batch, 9]).reshape([batch, 3, 3]);
            let last = |all: Vec<Tensor<3>>| all.into_iter().last().expect("degrees");
            let seconds = self.seconds(|| last(wigner_d_from_matrix(6, r.clone())));
            let plain = self.seconds(|| last(wigner_d_reference(6, r.clone())));
            let sizes: usize = (2..=6).map(|l: usize| (2 * l + 1).pow(2)).sum();
            let what = format!("Wigner D to l = 6, {batch} rotations");
            self.line(&what, seconds, batch * (sizes + 9), Some(plain));
        }

        fn product(&self, what: &str, plan: &Arc<ProductPlan>, rows: &WeightRows, batch: usize) {
            let x = self.random([batch, plan.irreps_in1().dim()]);
            let y = self.random([batch, plan.irreps_in2().dim()]);
            let w = self.random([rows.count(batch), plan.weight_numel()]);
            let g = self.random([batch, plan.irreps_out().dim()]);
            let all = |slot: Slot| match slot {
                Slot::In1 => x.clone(),
                Slot::In2 => y.clone(),
                Slot::Weight => w.clone(),
                Slot::Out => g.clone(),
            };
            let values: usize = Slot::ALL
                .map(|slot| all(slot).shape().num_elements())
                .iter()
                .sum();
            let given = Some(w.clone());
            let seconds =
                self.seconds(|| tensor_product(plan, x.clone(), y.clone(), given.clone(), rows));
            let plain = self.seconds(|| {
                reference::tensor_product(plan, x.clone(), y.clone(), given.clone(), rows)
            });
            self.line(
                &format!("{what}, {batch} rows"),
                seconds,
                values,
                Some(plain),
            );
            for slot in [Slot::In1, Slot::In2, Slot::Weight] {
                let seconds = self.seconds(|| partial(plan, slot, slot.others().map(all), rows));
                self.line(&format!("  gradient of {slot:?}"), seconds, values, None);
            }
        }
    }

    /// `copies` of every degree up to `lmax`.
    fn natural(lmax: usize, copies: usize) -> Irreps {
        let one = Irreps::spherical_harmonics(lmax, Parity::Odd);
        Irreps::new(one.iter().map(|block| (copies, block.irrep)))
    }

    impl Bench {
        /// Into frames and back, in both layouts.
        fn rotation(&self, lmax: usize, copies: usize) {
            let (features, edges) = (natural(lmax, copies), self.rows(20_000));
            let frames = EdgeFrames::new(self.random([edges, 3]), lmax);
            let x = self.random([edges, features.dim()]);
            let matrices: usize = (0..=lmax).map(|l| (2 * l + 1).pow(2)).sum();
            let values = edges * (2 * features.dim() + matrices);
            for layout in [Layout::MulIr, Layout::IrMul] {
                let frame = FrameLayout::new(&features, None).with_layout(layout);
                let what = format!("{copies} channels to l = {lmax}, {layout:?}, {edges} edges");
                let seconds = self.seconds(|| frames.rotate(x.clone(), &frame));
                self.line(&format!("into frames, {what}"), seconds, values, None);
                let seconds = self.seconds(|| frames.rotate_back(x.clone(), &frame));
                self.line("  back", seconds, values, None);
            }
        }

        /// A fully connected product with harmonics by both plans, forward and with all gradients.
        fn edge_product(&self, lmax: usize, copies: usize) {
            let (features, harmonics) = (natural(lmax, copies), natural(lmax, 1));
            let edges = self.rows(20_000);
            let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
            let x = self.random([edges, features.dim()]);
            let vectors = self.random([edges, 3]);
            let times = [PlanChoice::Direct, PlanChoice::EdgeFrame].map(|plan| {
                let layer = config.clone().with_plan(plan).init(&self.device);
                let layer = layer.expect("a product");
                let w = self.random([1, layer.weight_numel()]);
                let frames = EdgeFrames::new(vectors.clone(), layer.lmax());
                let forward = || layer.forward_weighted_in(x.clone(), &frames, w.clone());
                let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
                let train = || {
                    let [x, v, w] = [&x, &vectors, &w].map(leaf);
                    let out = layer.forward_weighted(x, v.clone(), w);
                    let grads = out.square().sum().backward();
                    v.grad(&grads).expect("a gradient")
                };
                let flops = layer.explain().cost().flops() * edges as f64;
                [self.seconds(forward), self.seconds(train), flops]
            });
            let [direct, frames] = times;
            println!(
                "product with harmonics, {copies} channels to l = {lmax}, {edges} edges: direct {:.3} ms forward, {:.3} ms \
                 train; in frames {:.3} ms ({:.1} TFLOP/s), {:.3} ms",
                direct[0] * 1e3,
                direct[1] * 1e3,
                frames[0] * 1e3,
                frames[2] / frames[0] / 1e12,
                frames[1] * 1e3
            );
        }
    }

    fn irreps(text: &str) -> Irreps {
        text.parse().expect("irreps")
    }

    pub(super) fn main() {
        let scale = std::env::var("SCALE").map_or(1.0, |scale| scale.parse().expect("a number"));
        let mut bench = Bench {
            device: gpu_device(),
            scale,
            copy: 1.0,
        };
        let rows = bench.rows(1 << 16);
        let x = bench.random([rows, 1024]);
        bench.copy = 8.0 * (rows * 1024) as f64 / bench.seconds(|| x.clone() + 1.0);
        println!("copy: {:.1} GB/s", bench.copy / 1e9);
        let named: Vec<String> = std::env::args().skip(1).collect();
        let wanted = |name: &str| named.is_empty() || named.iter().any(|other| other == name);
        if wanted("harmonics") {
            for lmax in [2, 3, 6, 11] {
                bench.harmonics(lmax);
            }
        }
        if wanted("wigner") {
            bench.wigner();
        }
        if wanted("products") {
            products(&bench);
        }
        if wanted("frames") {
            for (lmax, copies) in [(2, 128), (6, 128)] {
                bench.rotation(lmax, copies);
            }
            for (lmax, copies) in [(2, 128), (3, 64), (6, 16), (6, 64)] {
                bench.edge_product(lmax, copies);
            }
        }
    }

    fn products(bench: &Bench) {
        let features = irreps("128x0e+128x1o+128x2e");
        let plan = |config: TensorProductConfig| config.plan().expect("a plan");
        let linear = TensorProductConfig::fully_connected(&features, &irreps("0e"), &features);
        let rows = bench.rows(10_000);
        bench.product(
            "linear, 128 channels to l = 2",
            &plan(linear),
            &WeightRows::Shared,
            rows,
        );
        let mix = TensorProductConfig::fully_connected(
            &irreps("32x0e+32x1o"),
            &irreps("4x0e+4x1o"),
            &irreps("32x0e+32x1o"),
        );
        bench.product(
            "fully connected, 32 channels",
            &plan(mix),
            &WeightRows::Shared,
            rows,
        );
        let depthwise = TensorProductConfig::depthwise(
            &irreps("32x0e+32x1o+32x2e"),
            &irreps("0e+1o+2e"),
            &irreps("0e+1o+2e"),
            InstructionOrder::Found,
            SortOrder::DegreeFirst,
        );
        let rows = bench.rows(50_000);
        let plan = plan(depthwise);
        bench.product(
            "depth-wise, 32 channels to l = 2",
            &plan,
            &WeightRows::PerRow,
            rows,
        );
    }
}
