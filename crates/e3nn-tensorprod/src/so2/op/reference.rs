//! The forms in plain tensor operations, on any device; Burn differentiates them by itself.

use super::{Form, Mix, PathForm, Slot, Spread, wigner_offset};
use crate::so2::FrameLayout;
use crate::tensor::{IrrepsTensor, Layout};
use burn::tensor::{Int, Tensor, TensorData};
use core_tensor::product::matmul;

/// What [`trilinear`](super::trilinear) computes, for the slots that layers ask for: outputs, and features rotated back.
///
/// # Panics
/// For another slot.
pub(super) fn trilinear(form: &Form, slot: Slot, [a, b]: [Tensor<2>; 2]) -> Tensor<2> {
    match (form, slot) {
        (Form::Rotate { layout, lmax }, Slot::Output) => into_frame(layout, *lmax, a, b),
        (Form::Rotate { layout, lmax }, Slot::Input) => out_of_frame(layout, *lmax, a, b),
        (Form::Mix(mix), Slot::Output) => mixed(mix, a, b),
        (Form::Paths(form), Slot::Output) => paths(form, a, b),
        (Form::Spread(spread), Slot::Output) => matrices(spread, b),
        (_, slot) => panic!("edge frames: {slot:?} is left to autodiff on this device"),
    }
}

fn places(list: Vec<usize>, beside: &Tensor<2>) -> Tensor<1, Int> {
    let list: Vec<i64> = list.into_iter().map(|i| i as i64).collect();
    let count = list.len();
    Tensor::from_data(TensorData::new(list, [count]), &beside.device())
}

/// The columns `places` of a tensor; a place beyond the last is 0.
fn columns(x: Tensor<2>, list: Vec<usize>) -> Tensor<2> {
    let [rows, _] = x.dims();
    let zeros = Tensor::zeros([rows, 1], (&x.device(), x.dtype()));
    let at = places(list, &x);
    Tensor::cat(vec![x, zeros], 1).select(1, at)
}

fn wigner(d: &Tensor<2>, lmax: usize) -> Vec<Tensor<3>> {
    let [edges, _] = d.dims();
    let degree = |l: usize| {
        let n = 2 * l + 1;
        let values = d.clone().narrow(1, wigner_offset(l), n * n);
        values.reshape([edges, n, n])
    };
    (0..=lmax).map(degree).collect()
}

/// For each column in frames its place in the global frame, copy after copy.
fn global_places(layout: &FrameLayout) -> Vec<usize> {
    let mut list = vec![0; layout.dim()];
    for (i, (block, range)) in layout
        .irreps()
        .iter()
        .zip(layout.irreps().slices())
        .enumerate()
    {
        let l = block.irrep.l() as isize;
        for m in -l..=l {
            for (u, column) in layout.block(i, m).into_iter().flatten().enumerate() {
                list[column] = range.start + u * block.irrep.dim() + (l + m) as usize;
            }
        }
    }
    list
}

fn into_frame(layout: &FrameLayout, lmax: usize, x: Tensor<2>, d: Tensor<2>) -> Tensor<2> {
    let x = scalars_times(x, layout, &d);
    let x = IrrepsTensor::new(x, layout.irreps().clone(), layout.layout());
    let rotated = x.rotate(&wigner(&d, lmax)).to_layout(Layout::MulIr);
    columns(rotated.into_values(), global_places(layout))
}

fn out_of_frame(layout: &FrameLayout, lmax: usize, d: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    let mut list = vec![layout.dim(); layout.irreps().dim()];
    for (column, place) in global_places(layout).into_iter().enumerate() {
        list[place] = column;
    }
    let y = IrrepsTensor::new(columns(y, list), layout.irreps().clone(), Layout::MulIr);
    let back = y.rotate_back(&wigner(&d, lmax));
    scalars_times(back.to_layout(layout.layout()).into_values(), layout, &d)
}

/// Blocks of degree 0 times the matrices of degree 0: 1 for rotations, 0 for tangents of rotations. Those of an
/// [`IrrepsTensor`] do not see their matrices.
fn scalars_times(x: Tensor<2>, layout: &FrameLayout, d: &Tensor<2>) -> Tensor<2> {
    let blocks = layout.irreps().iter();
    let marks = blocks.flat_map(|b| {
        let scalar = f64::from(u8::from(b.irrep.l() == 0));
        core::iter::repeat_n(scalar, b.dim())
    });
    let marks: Vec<f64> = marks.collect();
    let marks = crate::rotation::constant(marks, [1, layout.irreps().dim()], &x);
    let factor = d.clone().narrow(1, 0, 1);
    x * (factor * marks.clone() + (-marks + 1.0))
}

/// Ranges of columns, zeros between them.
struct Columns {
    parts: Vec<(usize, Tensor<2>)>,
}

impl Columns {
    fn add(&mut self, first: usize, values: Tensor<2>) {
        match self.parts.iter_mut().find(|(at, _)| *at == first) {
            Some((_, sum)) => *sum = sum.clone() + values,
            None => self.parts.push((first, values)),
        }
    }

    fn join(mut self, edges: usize, width: usize, beside: &Tensor<2>) -> Tensor<2> {
        let zeros = |n: usize| Tensor::<2>::zeros([edges, n], (&beside.device(), beside.dtype()));
        self.parts.sort_by_key(|(first, _)| *first);
        let (mut all, mut at) = (Vec::new(), 0);
        for (first, values) in self.parts {
            if first > at {
                all.push(zeros(first - at));
            }
            at = first + values.dims()[1];
            all.push(values);
        }
        if at < width {
            all.push(zeros(width - at));
        }
        Tensor::cat(all, 1)
    }
}

fn mixed(mix: &Mix, x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    let [edges, _] = x.dims();
    let mut out = Columns { parts: Vec::new() };
    for term in &mix.terms {
        let [k, n] = [term.inputs.len(), term.outputs.len()];
        let at = (0..k).flat_map(|i| (0..n).map(move |j| term.weight + i * term.stride + j));
        let w = w
            .clone()
            .select(1, places(at.collect(), &w))
            .reshape([k, n]);
        let y = matmul(x.clone().narrow(1, term.inputs.start, k), w);
        out.add(term.outputs.start, if term.negative { -y } else { y });
    }
    out.join(edges, mix.outputs, &x)
}

fn paths(form: &PathForm, x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    let [edges, _] = x.dims();
    let mut out = Columns { parts: Vec::new() };
    for term in &form.terms {
        let [copies, n] = term.mul;
        let w = term
            .weights
            .clone()
            .map(|range| w.clone().narrow(1, range.start, range.len()));
        for contact in &term.contacts {
            let x = x.clone().narrow(1, contact.input, copies) * contact.value;
            let y = match &w {
                Some(w) if term.mixes => {
                    let w = w.clone().reshape([edges, copies, n]);
                    matmul(x.reshape([edges, 1, copies]), w).reshape([edges, n])
                }
                Some(w) => x * w.clone(),
                None => x,
            };
            out.add(contact.output, y);
        }
    }
    out.join(edges, form.outputs, &x)
}

fn matrices(spread: &Spread, w: Tensor<2>) -> Tensor<2> {
    // Of every value its multiples of weights, as many rounds as the value with most of them has.
    let mut sources: Vec<Vec<(usize, f64)>> = vec![Vec::new(); spread.outputs];
    for e in &spread.entries {
        for row in 0..e.rows {
            for column in 0..e.columns {
                let from = e.weight + row * e.columns + column;
                sources[e.out + row * e.stride + column].push((from, e.value));
            }
        }
    }
    let rounds = sources.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = Tensor::<2>::zeros([1, spread.outputs], (&w.device(), w.dtype()));
    for round in 0..rounds {
        let of = |list: &Vec<(usize, f64)>| list.get(round).copied().unwrap_or((0, 0.0));
        let at = sources.iter().map(|list| of(list).0).collect();
        let values: Vec<f64> = sources.iter().map(|list| of(list).1).collect();
        let values = TensorData::new(values, [1, spread.outputs]);
        let values = Tensor::<2>::from_data(values, (&w.device(), w.dtype()));
        out = out + w.clone().select(1, places(at, &w)) * values;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::forms;
    use super::super::trilinear as kernel;
    use super::*;
    use burn::tensor::{DType, Device, Distribution};
    use core_tensor::assert_close;

    /// Values and gradients of both operands, by the kernels and here.
    fn agrees(form: &Form, slot: Slot, edges: usize) {
        let device = Device::flex().autodiff();
        let random = |shape: [usize; 2]| {
            Tensor::<2>::random(shape, Distribution::Default, (&device, DType::F64))
        };
        let operands = slot.others().map(|other| {
            let shape = form.shape(other, edges);
            if matches!(form, Form::Spread(_)) && other == Slot::Input {
                Tensor::ones(shape, (&device, DType::F64))
            } else {
                random(shape).require_grad()
            }
        });
        let cotangent = random(form.shape(slot, edges));
        let run = |f: fn(&Form, Slot, [Tensor<2>; 2]) -> Tensor<2>| {
            let out = f(form, slot, operands.clone());
            let grads = (out.clone() * cotangent.clone()).sum().backward();
            let gradients = operands.each_ref().map(|operand| operand.grad(&grads));
            (out, gradients)
        };
        let ((got, gots), (want, wants)) = (run(kernel), run(trilinear));
        assert_close!(got, want, 0.0, 1e-12, "{form:?} {slot:?}");
        for (got, want) in gots.into_iter().zip(wants) {
            if let (Some(got), Some(want)) = (got, want) {
                assert_close!(got, want, 0.0, 1e-11, "gradient of {form:?} {slot:?}");
            }
        }
    }

    #[test]
    fn kernels_match_plain_tensor_operations() {
        for form in forms() {
            match form {
                Form::Rotate { .. } => {
                    agrees(&form, Slot::Output, 7);
                    agrees(&form, Slot::Input, 7);
                }
                Form::Paths(_) => agrees(&form, Slot::Output, 5),
                Form::Mix(_) => agrees(&form, Slot::Output, 300),
                Form::Spread(_) => agrees(&form, Slot::Output, 1),
            }
        }
    }
}
