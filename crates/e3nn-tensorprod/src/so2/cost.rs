//! What the plans of an edge product cost: [`PlanCost`].

use super::FrameLayout;
use super::aligned::Aligned;
use super::op::{PathForm, wigner_offset};
use crate::product::{Engine, ProductPlan};

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
    /// Estimated time on one thread, in nanoseconds.
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

    /// Estimated time per edge on one thread.
    pub fn nanoseconds(&self) -> f64 {
        self.steps.iter().map(|step| step.nanoseconds).sum()
    }
}

/// For whom the cost is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) shared: bool,
    pub(super) edges: usize,
    pub(super) layers: usize,
    pub(super) lmax: usize,
}

// Nanoseconds of one thread in f32, fitted to the times of `cargo bench -p e3nn-tensorprod --bench edge_product -- --fit` on a virtual
// machine with AVX-512 (an Intel Xeon shared with other work). Of the estimates, those with shared weights were within 15 % of
// the times, the others within a factor of 2; what was chosen took at most 1.25 times the time of the other plan. Only ratios decide.

/// The direct plan: a call; a harmonic.
const DIRECT_CALL: f64 = 12e3;
const HARMONIC: f64 = 2.0;
/// A multiplication or addition with symbols, and in tiles of weights.
const SYMBOL: f64 = 0.045;
const TILE: f64 = 0.0105;
/// A value read or written by the direct plan.
const DIRECT_VALUE: f64 = 0.4;
/// Frames: a call; a value of the Wigner matrices.
const FRAMES_CALL: f64 = 120e3;
const WIGNER: f64 = 1.0;
/// The plan in frames, given these: a call.
const FRAME_CALL: f64 = 20e3;
/// A rotation: an order of a block, a multiplication or addition (of whole lanes), a value read or written.
const ROW: f64 = 10.0;
const ROTATION: f64 = 0.0125;
const VALUE: f64 = 0.26;
/// A multiplication or addition where matrices are put together (which are read again), and where they are applied.
const MATRIX: f64 = 3.8;
const PRODUCT: f64 = 0.0042;
/// A row of weights applied to an order of a copy, with weights of every edge; a value where copies are not mixed.
const CONTACT: f64 = 2.2;
const COPY: f64 = 0.3;

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
    let cost = plan.explain();
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
    let call = DIRECT_CALL / setting.edges as f64;
    PlanCost {
        steps: vec![
            step(
                "harmonics",
                8.0 * harmonics,
                harmonics,
                HARMONIC * harmonics,
            ),
            step(
                "symbols",
                symbols,
                values,
                call + SYMBOL * symbols + DIRECT_VALUE * values,
            ),
            step("weights", tiles, 0.0, TILE * tiles),
        ],
    }
}

/// The plan in frames.
pub(super) fn in_frames(aligned: &Aligned, plan: &ProductPlan, setting: &Setting) -> PlanCost {
    let (edges, layers) = (setting.edges as f64, setting.layers as f64);
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
        let time = ROW * rows as f64 + ROTATION * lanes as f64 + VALUE * values;
        step(name, flops as f64, values + wigner, time)
    };
    let local = (inputs.dim() + outputs.dim()) as f64;
    let paths = |name, form: &PathForm, weights: usize| {
        let values = local + weights as f64;
        let mixes = form.terms.iter().any(|term| term.mixes);
        let copies = if mixes { 0.0 } else { COPY * values };
        let time = CONTACT * form.rows() as f64 + copies;
        step(name, form.flops() as f64, values, time)
    };
    let made = (FRAMES_CALL / edges + WIGNER * wigner) / layers;
    let mut steps = vec![
        step(
            "frames",
            15.0 * wigner / layers,
            4.0 * wigner / layers,
            made,
        ),
        rotation("rotate", inputs),
    ];
    steps[1].nanoseconds += FRAME_CALL / edges;
    if setting.shared {
        if let Some((mix, spread)) = &aligned.mix {
            let flops = spread.flops() as f64 / edges;
            let values = (2 * mix.numel + spread.numel) as f64 / edges;
            steps.push(step("matrices", flops, values, MATRIX * flops));
            let flops = mix.flops() as f64;
            steps.push(step("orders", flops, local, PRODUCT * flops));
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
