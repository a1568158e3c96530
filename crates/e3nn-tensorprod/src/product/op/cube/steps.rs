//! The second input of a fully connected path that has few copies of it, harmonics above all, in two steps.
//!
//! Its partial product `y_vj = Σ C_ijk x_ui w_uvw g_wk` has few values, each a sum over all pairs of copies of the others. With
//! `t_uvk = Σ_w w_uvw g_wk`, a matrix product, it is `Σ C_ijk x_ui t_uvk`, a sum over one of them. Both are partial products of
//! other plans: that by the first input of `t ⊗ 1`, and that by the second of the pairs `x ⊗ y` without weights.

use super::walk::Group;
use super::{Call, LARGE};
use crate::cube::Uploads;
use crate::irreps::Irreps;
use crate::product::op::{Slot, Spec};
use crate::product::tables::Table;
use crate::product::{ConnectionMode, Instruction, Path, ProductPlan, WeightRows};
use crate::wigner::W3jEntry;
use core_tensor::ext::cube::{CubeTensor, zeros};
use std::sync::{Arc, Mutex};

/// A one. The second input of the first step has no columns, so that all rows read the same value.
static ONE: Uploads<()> = Uploads::new();

/// The plans of both steps of a path.
#[derive(Debug)]
struct Steps {
    /// `t ⊗ 1 → out`, with the weights of the path.
    mix: Arc<ProductPlan>,
    /// `x ⊗ y → t`.
    meet: Arc<ProductPlan>,
}

/// The plans of the paths that have asked for them, by number.
#[derive(Debug, Default)]
pub(crate) struct AllSteps(Mutex<Vec<(usize, Arc<Steps>)>>);

impl AllSteps {
    fn of(&self, plan: &ProductPlan, number: usize, path: &Path) -> Arc<Steps> {
        let mut all = self.0.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some((_, steps)) = all.iter().find(|(n, _)| *n == number) {
            return steps.clone();
        }
        let steps = Arc::new(Steps::new(plan, path));
        all.push((number, steps.clone()));
        steps
    }
}

impl Steps {
    fn new(plan: &ProductPlan, path: &Path) -> Self {
        let [in1, in2, out] = [plan.irreps_in1(), plan.irreps_in2(), plan.irreps_out()];
        let ([m1, m2, m3], [l1, l2, l3]) = (path.mul, path.l);
        let [o1, o2, o3] = path.offset;
        let irrep = out[path.instruction.out].irrep;
        let between = Irreps::new([(m1 * m2, irrep)]);
        let through = |k| W3jEntry {
            i: k,
            j: 0,
            k,
            value: 1.0,
        };
        let entries: Vec<W3jEntry> = (0..=2 * l3).map(through).collect();
        let mix = Path {
            coefficient: 1.0,
            mul: [m1 * m2, 1, m3],
            l: [l3, 0, l3],
            offset: [0, 0, o3],
            tables: [0, 1].map(|inner| Table::new(&entries, 1.0, [l3, 0, l3], inner)),
            meetings: Vec::new(),
            ..path.clone()
        };
        let meet = Path {
            instruction: Instruction {
                mode: ConnectionMode::Uvuv,
                has_weight: false,
                ..path.instruction
            },
            mul: [m1, m2, m1 * m2],
            l: [l1, l2, l3],
            offset: [o1, o2, 0],
            weights: 0..0,
            meetings: Vec::new(),
            ..path.clone()
        };
        let numel = plan.weight_numel();
        Self {
            mix: ProductPlan::of_path(
                [between.clone(), Irreps::default(), out.clone()],
                mix,
                numel,
            ),
            meet: ProductPlan::of_path([in1.clone(), in2.clone(), between], meet, 0),
        }
    }
}

impl Call<'_> {
    /// Whether a path is computed in two steps.
    pub(super) fn in_steps(&self, path: &Path) -> bool {
        let [m1, m2, m3] = path.mul;
        self.spec.slot == Slot::In2
            && path.instruction.mode == ConnectionMode::Uvw
            && path.instruction.has_weight
            && !matches!(self.spec.rows, WeightRows::PerRow)
            && m2 < LARGE
            && (m1 * m2).min(m3) >= LARGE
    }

    /// Adds what a path brings.
    pub(super) fn step(&self, number: usize, path: &Path, out: &CubeTensor) {
        let spec = self.spec;
        let (client, device, dtype) = (&self.beside.client, &self.beside.device, self.beside.dtype);
        let steps = spec.plan.steps.of(&spec.plan, number, path);
        let [x, w, g] = [Slot::In1, Slot::Weight, Slot::Out].map(|s| self.operand(s).cloned());
        let one = ONE.get((), &self.beside, || (Vec::new(), vec![1.0], ()));
        let mix = Spec {
            plan: steps.mix.clone(),
            slot: Slot::In1,
            ..spec.clone()
        };
        let between = zeros(client, device, mix.shape(Slot::In1), dtype);
        let call = Call {
            spec: &mix,
            beside: self.beside.clone(),
            operands: [None, Some(one.numbers.clone()), w, g],
        };
        call.multiply(0, &mix.plan.paths()[0], &between);
        let meet = Spec {
            plan: steps.meet.clone(),
            ..spec.clone()
        };
        let call = Call {
            spec: &meet,
            beside: self.beside.clone(),
            operands: [x, None, None, Some(between)],
        };
        let group = Group {
            mode: ConnectionMode::Uvuv,
            weighted: false,
            all: true,
            paths: vec![&meet.plan.paths()[0]],
        };
        call.walk(&group, &call.tables(&group), out, true);
    }
}
