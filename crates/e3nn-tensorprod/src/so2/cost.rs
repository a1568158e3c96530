//! What the plans of an edge product cost: [`PlanCost`].

use super::FrameLayout;
use super::aligned::Aligned;
use super::op::wigner_offset;
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

// Rates of one thread in f32, measured by `cargo bench --bench edge_product -- --rates` on a virtual machine with AVX-512 at
// 2.x GHz. Only their ratios decide.

/// Multiplications and additions per nanosecond of the product kernels where pairs feed one copy each.
const PAIRS: f64 = 12.0;
/// The same where weights are applied in tiles.
const TILES: f64 = 35.0;
/// Of products of matrices.
const GEMM: f64 = 70.0;
/// Of rotations into frames and back, and of what is done channel by channel.
const ROTATE: f64 = 20.0;
/// Of the recursions that make harmonics and Wigner matrices.
const RECURSION: f64 = 4.0;
/// Bytes per nanosecond between caches and memory.
const BYTES: f64 = 8.0;

fn step(name: &'static str, flops: f64, rate: f64, values: f64) -> CostStep {
    let bytes = 4.0 * values;
    CostStep {
        name,
        flops,
        bytes,
        nanoseconds: flops / rate + bytes / BYTES,
    }
}

/// The direct plan.
pub(super) fn direct(plan: &ProductPlan, setting: &Setting) -> PlanCost {
    let cost = plan.explain();
    let harmonics = plan.irreps_in2().dim() as f64;
    let layers = setting.layers as f64;
    let flops = |engine: Engine, parts: [usize; 3]| {
        let paths = cost.paths.iter().filter(|path| path.engine == engine);
        let each = paths.map(|path| (0..3).map(|i| parts[i] * path.flops[i]).sum::<usize>());
        each.sum::<usize>() as f64
    };
    let tiles = flops(Engine::Tiles, [0, 0, 1]);
    let pairs = flops(Engine::Tiles, [1, 1, 0]) + flops(Engine::Pairs, [1, 1, 1]);
    let weights = if setting.shared { 0 } else { cost.weights };
    PlanCost {
        steps: vec![
            step(
                "harmonics",
                8.0 * harmonics / layers,
                RECURSION,
                harmonics / layers,
            ),
            step("symbols", pairs, PAIRS, (cost.values + weights) as f64),
            step("weights", tiles, TILES, 0.0),
        ],
    }
}

/// The plan in frames.
pub(super) fn in_frames(aligned: &Aligned, plan: &ProductPlan, setting: &Setting) -> PlanCost {
    let layers = setting.layers as f64;
    let [inputs, outputs] = [&aligned.inputs, &aligned.outputs];
    let matrices = wigner_offset(setting.lmax + 1) as f64;
    let rotation = |name, layout: &FrameLayout| {
        let values = layout.irreps().dim() + layout.dim();
        step(name, rotation(layout), ROTATE, values as f64 + matrices)
    };
    let local = (inputs.dim() + outputs.dim()) as f64;
    let mut steps = vec![
        step(
            "frames",
            15.0 * matrices / layers,
            RECURSION,
            4.0 * matrices / layers,
        ),
        rotation("rotate", inputs),
    ];
    if setting.shared {
        if let Some((mix, spread)) = &aligned.mix {
            let per_edge = setting.edges as f64;
            let values = (2 * mix.numel + spread.numel) as f64 / per_edge;
            steps.push(step(
                "matrices",
                spread.flops() as f64 / per_edge,
                ROTATE,
                values,
            ));
            steps.push(step("orders", mix.flops() as f64, GEMM, local));
        }
        if let Some((form, _)) = &aligned.single {
            let values = local + form.numel as f64;
            steps.push(step("copies", form.flops() as f64, ROTATE, values));
        }
    } else {
        let values = local + plan.weight_numel() as f64;
        let flops = aligned.per_edge.flops() as f64;
        steps.push(step("paths", flops, ROTATE, values));
    }
    steps.push(rotation("rotate back", outputs));
    PlanCost { steps }
}

/// Multiplications and additions of a rotation.
fn rotation(layout: &FrameLayout) -> f64 {
    let blocks = layout.irreps().iter().map(|block| {
        let n = block.irrep.dim();
        2 * block.mul * n * n.min(2 * layout.mmax() + 1)
    });
    blocks.sum::<usize>() as f64
}
