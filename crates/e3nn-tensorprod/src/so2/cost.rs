//! What the plans of an edge product cost: [`PlanCost`].

use super::FrameLayout;
use super::aligned::Aligned;
use super::op::{PathForm, wigner_offset};
use crate::product::{Engine, ProductPlan};
use burn::tensor::Device;

/// How products with the harmonics of edges are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// By the kernels of tensor products, on harmonics.
    Direct,
    /// By SO(2) maps in the frames of the edges.
    EdgeFrame,
}

/// One step of a plan, per edge of a forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct CostStep {
    /// What is done.
    pub name: &'static str,
    /// Multiplications and additions.
    pub flops: f64,
    /// Bytes read and written in `f32`.
    pub bytes: f64,
    /// Estimated time on the machine of the rates, in nanoseconds.
    pub nanoseconds: f64,
}

/// What a plan costs per edge of a forward pass in `f32`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanCost {
    /// Step by step.
    pub steps: Vec<CostStep>,
}

impl PlanCost {
    /// Multiplications and additions per edge.
    pub fn flops(&self) -> f64 {
        self.steps.iter().map(|step| step.flops).sum()
    }

    /// Bytes read and written per edge, each step counted for itself.
    pub fn bytes(&self) -> f64 {
        self.steps.iter().map(|step| step.bytes).sum()
    }

    /// Estimated time per edge.
    pub fn nanoseconds(&self) -> f64 {
        self.steps.iter().map(|step| step.nanoseconds).sum()
    }
}

/// For whom the cost is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setting {
    pub(super) shared: bool,
    pub(super) edges: usize,
    pub(super) layers: usize,
    pub(super) lmax: usize,
    pub(super) rates: &'static Rates,
}

/// What things take on a machine, in nanoseconds in f32. Only ratios decide.
#[derive(Debug, PartialEq)]
pub(super) struct Rates {
    /// The machine.
    pub(super) machine: &'static str,
    /// The direct plan: a call; a harmonic.
    direct_call: f64,
    harmonic: f64,
    /// A multiplication or addition with symbols, and in tiles of weights.
    symbol: f64,
    tile: f64,
    /// A value read or written by the direct plan.
    direct_value: f64,
    /// Frames: a call; a value of the Wigner matrices.
    frames_call: f64,
    wigner: f64,
    /// The plan in frames, given these: a call.
    frame_call: f64,
    /// A rotation: an order of a block, a multiplication or addition (of whole lanes), a value read or written.
    row: f64,
    rotation: f64,
    value: f64,
    /// A multiplication or addition where matrices are put together (which are read again), and where they are applied.
    matrix: f64,
    product: f64,
    /// A row of weights applied to an order of a copy, with weights of every edge; a value where copies are not mixed.
    contact: f64,
    copy: f64,
}

/// Fitted to the times of `cargo bench -p e3nn-tensorprod --bench edge_product -- --fit` on a virtual machine with AVX-512 (an
/// Intel Xeon shared with other work). Of the estimates, those with shared weights were within 15 % of the times, the others
/// within a factor of 2; what was chosen took at most 1.25 times the time of the other plan.
const CPU: Rates = Rates {
    machine: "one thread of a CPU",
    direct_call: 12e3,
    harmonic: 2.0,
    symbol: 0.045,
    tile: 0.0105,
    direct_value: 0.4,
    frames_call: 120e3,
    wigner: 1.0,
    frame_call: 20e3,
    row: 10.0,
    rotation: 0.0125,
    value: 0.26,
    matrix: 3.8,
    product: 0.0042,
    contact: 2.2,
    copy: 0.3,
};

/// Fitted to products with shared weights on an NVIDIA H200, 20,000 edges, by `--example gpu_time` (the tables of
/// `docs/src/gpu.md`): 128 channels to l = 2, 64 to l = 3, 16 to l = 6 (3.31, 3.62, 7.72 ms directly, 1.28, 0.99, 0.83 in frames);
/// all estimates are within 25 %. Calls are what launches cost the host. With gradients the plan in frames gains more than
/// forward (8 to 27 times there), which this does not count.
const GPU: Rates = Rates {
    machine: "a GPU (NVIDIA H200)",
    direct_call: 50e3,
    harmonic: 0.03,
    symbol: 2.44e-3,
    tile: 9.8e-5,
    direct_value: 0.0,
    frames_call: 50e3,
    wigner: 0.016,
    frame_call: 100e3,
    row: 0.15,
    rotation: 0.0,
    value: 5.0e-3,
    matrix: 0.0,
    product: 5.3e-5,
    contact: 0.0,
    copy: 5.0e-3,
};

impl Rates {
    /// Those of a device. Products with weights of every edge were not timed on a GPU.
    pub(super) fn of(device: &Device, shared: bool) -> &'static Self {
        if shared && runs_on_gpu(device) {
            &GPU
        } else {
            &CPU
        }
    }
}

#[cfg(feature = "cube")]
fn runs_on_gpu(device: &Device) -> bool {
    core_tensor::ext::cube::runs_on(device)
}

#[cfg(not(feature = "cube"))]
fn runs_on_gpu(_: &Device) -> bool {
    false
}

/// Copies that rotations work on at a time.
const LANES: usize = 32;

fn step(name: &'static str, flops: f64, values: f64, nanoseconds: f64) -> CostStep {
    CostStep {
        name,
        flops,
        bytes: 4.0 * values,
        nanoseconds,
    }
}

/// The direct plan.
pub(super) fn direct(plan: &ProductPlan, setting: &Setting) -> PlanCost {
    let (cost, rates) = (plan.explain(), setting.rates);
    let flops = |engine: Engine, parts: [usize; 3]| {
        let paths = cost.paths.iter().filter(|path| path.engine == engine);
        let each = paths.map(|path| (0..3).map(|i| parts[i] * path.flops[i]).sum::<usize>());
        each.sum::<usize>() as f64
    };
    let tiles = flops(Engine::Tiles, [0, 0, 1]);
    let symbols = flops(Engine::Tiles, [1, 1, 0]) + flops(Engine::Pairs, [1, 1, 1]);
    let weights = if setting.shared { 0 } else { cost.weights };
    let values = (cost.values + weights) as f64;
    let harmonics = plan.irreps_in2().dim() as f64 / setting.layers as f64;
    let call = rates.direct_call / setting.edges as f64;
    PlanCost {
        steps: vec![
            step(
                "harmonics",
                8.0 * harmonics,
                harmonics,
                rates.harmonic * harmonics,
            ),
            step(
                "symbols",
                symbols,
                values,
                call + rates.symbol * symbols + rates.direct_value * values,
            ),
            step("weights", tiles, 0.0, rates.tile * tiles),
        ],
    }
}

/// The plan in frames.
pub(super) fn in_frames(aligned: &Aligned, plan: &ProductPlan, setting: &Setting) -> PlanCost {
    let (edges, layers) = (setting.edges as f64, setting.layers as f64);
    let rates = setting.rates;
    let [inputs, outputs] = [&aligned.inputs, &aligned.outputs];
    let wigner = wigner_offset(setting.lmax + 1) as f64;
    let rotation = |name, layout: &FrameLayout| {
        let (mut rows, mut flops, mut lanes) = (0, 0, 0);
        for block in layout.irreps() {
            let n = block.irrep.dim();
            let kept = n.min(2 * layout.mmax() + 1);
            rows += kept;
            flops += 2 * block.mul * n * kept;
            lanes += 2 * block.mul.next_multiple_of(LANES) * n * kept;
        }
        let values = (layout.irreps().dim() + layout.dim()) as f64;
        let time = rates.row * rows as f64 + rates.rotation * lanes as f64 + rates.value * values;
        step(name, flops as f64, values + wigner, time)
    };
    let local = (inputs.dim() + outputs.dim()) as f64;
    let paths = |name, form: &PathForm, weights: usize| {
        let values = local + weights as f64;
        let mixes = form.terms.iter().any(|term| term.mixes);
        let copies = if mixes { 0.0 } else { rates.copy * values };
        let time = rates.contact * form.rows() as f64 + copies;
        step(name, form.flops() as f64, values, time)
    };
    let made = (rates.frames_call / edges + rates.wigner * wigner) / layers;
    let mut steps = vec![
        step(
            "frames",
            15.0 * wigner / layers,
            4.0 * wigner / layers,
            made,
        ),
        rotation("rotate", inputs),
    ];
    steps[1].nanoseconds += rates.frame_call / edges;
    if setting.shared {
        if let Some((mix, spread)) = &aligned.mix {
            let flops = spread.flops() as f64 / edges;
            let values = (2 * mix.numel + spread.numel) as f64 / edges;
            steps.push(step("matrices", flops, values, rates.matrix * flops));
            let flops = mix.flops() as f64;
            steps.push(step("orders", flops, local, rates.product * flops));
        }
        if let Some((form, places)) = &aligned.single {
            steps.push(paths("copies", form, places.len()));
        }
    } else {
        steps.push(paths("paths", &aligned.per_edge, plan.weight_numel()));
    }
    steps.push(rotation("rotate back", outputs));
    PlanCost { steps }
}
