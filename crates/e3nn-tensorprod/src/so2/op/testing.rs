//! The forms that kernels are tested with.

use super::{Form, Slot, trilinear};
use crate::irreps::Irreps;
use crate::product::{ConnectionMode, Instruction, TensorProductConfig};
use crate::sh::Normalization;
use crate::so2::FrameLayout;
use crate::so2::aligned::Aligned;
use crate::tensor::Layout;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn irreps(text: &str) -> Irreps {
    text.parse().expect("irreps")
}

/// Products with harmonics: fully connected, depth-wise, both side by side, some paths of which have no weights.
fn products(features: &Irreps) -> [TensorProductConfig; 3] {
    use ConnectionMode::{Uvu, Uvw};
    let harmonics = irreps("0e+1o+2e");
    let path = Instruction::new;
    let paths = vec![
        path(0, 0, 0, Uvu).unweighted(),
        path(0, 1, 1, Uvw),
        path(1, 2, 1, Uvu),
        path(1, 2, 1, Uvu).unweighted(),
        path(1, 1, 2, Uvw),
    ];
    let both = irreps("4x0e+4x1o+5x1e");
    [
        TensorProductConfig::fully_connected(features, &harmonics, features),
        TensorProductConfig::depthwise(
            features,
            &harmonics,
            features,
            Default::default(),
            Default::default(),
        ),
        TensorProductConfig::new(both.clone(), harmonics, both, paths),
    ]
}

/// Forms of every kind, in both layouts, with all orders and without some.
pub(super) fn forms() -> Vec<Form> {
    let features = irreps("3x0e+2x1o+33x2e+1x1e+0x2o");
    let mut list = Vec::new();
    for mmax in [None, Some(1)] {
        for layout in [Layout::MulIr, Layout::IrMul] {
            let layout = FrameLayout::new(&features, mmax).with_layout(layout);
            list.push(Form::Rotate { layout, lmax: 3 });
        }
        for product in products(&features) {
            let plan = product.plan().expect("a product");
            let aligned = Aligned::new(&plan, Normalization::Component, mmax).expect("paths");
            list.push(Form::Paths(aligned.per_edge));
            if let Some((mix, spread)) = aligned.mix {
                list.extend([Form::Mix(mix), Form::Spread(spread)]);
            }
            if let Some((single, _)) = aligned.single {
                list.push(Form::Paths(single));
            }
        }
    }
    list
}

/// For tests: the three partial derivatives of every form that layers are made of, for so many edges with always the same
/// operands, which f32 holds exactly; of each the gradients of both operands, for an arbitrary cotangent.
///
/// The name of a result has the number of its form, the form, and the slot.
pub fn every_form(edges: usize, device: &Device, dtype: DType) -> Vec<(String, TensorData)> {
    let device = device.clone().autodiff();
    let mut results = Vec::new();
    for (number, form) in forms().into_iter().enumerate() {
        let edges = if matches!(form, Form::Spread(_)) {
            1
        } else {
            edges
        };
        for slot in [Slot::Input, Slot::Factor, Slot::Output] {
            let draw = |slot: Slot| {
                let shape = form.shape(slot, edges);
                let mut rng = ChaCha8Rng::seed_from_u64(slot as u64);
                let mut next = || f64::from(rng.random_range(-1.0..1.0_f32));
                let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| next()).collect();
                Tensor::<2>::from_data(TensorData::new(values, shape), (&device, dtype))
            };
            let operands = slot.others().map(|other| draw(other).require_grad());
            let out = trilinear(&form, slot, operands.clone());
            let gradients = (out.clone() * draw(slot)).sum().backward();
            let name = format!("{number} {} {slot:?}", form.name());
            results.push((name.clone(), out.into_data()));
            for (other, operand) in slot.others().into_iter().zip(operands) {
                let gradient = operand.grad(&gradients).expect("a gradient");
                let name = format!("{name}, gradient of {other:?}");
                results.push((name, gradient.into_data()));
            }
        }
    }
    results
}
