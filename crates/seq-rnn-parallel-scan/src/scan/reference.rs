//! The scans in plain tensor operations, one step after the other: slow, differentiable on every
//! backend, obviously right. The oracle for the kernels, and for your own.

use super::options::{Call, Planes, ScanOptions, ScanOutput};
use super::spec::{Candidate, Cell, Sequences, Transition};
use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid, softplus, tanh};

/// [`super::scan`], step by step.
///
/// # Panics
/// As [`super::scan`].
pub fn scan(cell: Cell, planes: impl Into<Planes>, options: ScanOptions) -> ScanOutput {
    let call = Call::new(cell, planes.into(), options);
    let spec = &call.spec;
    let dtype = call.tensors[0].dtype();
    let carried = call.initial.dtype();
    let [batch, time, columns] = call.tensors[0].dims();
    let width = if spec.packed_planes {
        columns / cell.planes()
    } else {
        columns
    };
    if batch == 0 || width == 0 {
        // Element-wise operations refuse tensors of no elements.
        return ScanOutput {
            states: Tensor::zeros([batch, time, width], (&call.initial.device(), dtype)),
            last: call.initial,
        };
    }
    let planes: Vec<Tensor<3>> = (0..cell.planes())
        .map(|p| {
            let plane = if spec.packed_planes {
                call.tensors[0].clone().narrow(2, p * width, width)
            } else {
                call.tensors[p].clone()
            };
            plane.cast(carried)
        })
        .collect();
    // Batch entries are independent of each other; packed sequences are taken one at a time.
    let groups = match &spec.sequences {
        Sequences::Batch { .. } => vec![(0, batch, 0, time)],
        Sequences::Packed { at } => at
            .windows(2)
            .enumerate()
            .map(|(s, w)| (s, 1, w[0], w[1] - w[0]))
            .collect(),
    };
    let (mut states, mut last) = (Vec::new(), Vec::new());
    for (row, rows, first, len) in groups {
        let mut h = call.initial.clone();
        if rows < h.dims()[0] {
            h = h.slice(row..row + rows);
        }
        let mut steps = vec![None; len];
        for i in 0..len {
            let t = spec.step_at(first, len, i);
            if spec.has_reset {
                let mask = call
                    .reset
                    .clone()
                    .narrow(1, t, 1)
                    .equal_elem(1.0)
                    .expand([rows, width]);
                h = h.mask_fill(mask, cell.empty_state());
            }
            let at: Vec<Tensor<2>> = planes
                .iter()
                .map(|p| p.clone().narrow(1, t, 1).squeeze_dim(1))
                .collect();
            h = step(cell, &at, h);
            steps[t - first] = Some(h.clone().unsqueeze_dim::<3>(1));
        }
        states.extend((len > 0).then(|| Tensor::cat(steps.into_iter().flatten().collect(), 1)));
        last.push(h);
    }
    let states = if states.is_empty() {
        Tensor::zeros([batch, time, width], (&call.initial.device(), carried))
    } else {
        Tensor::cat(states, 1)
    };
    ScanOutput {
        states: states.cast(dtype),
        last: Tensor::cat(last, 0),
    }
}

/// One step of a cell: planes and state `[rows, channels]`.
pub fn step(cell: Cell, planes: &[Tensor<2>], before: Tensor<2>) -> Tensor<2> {
    let p = |i: usize| planes[i].clone();
    match cell {
        Cell::Linear => p(0) * before + p(1),
        Cell::Log => log_add_exp(p(0) + before, p(1)),
        Cell::MinGru {
            candidate,
            transition,
        } => {
            let keep = sigmoid(-p(0));
            let a = match transition {
                Transition::Positive => keep,
                Transition::SignedCoupled => keep * tanh(p(2)),
                Transition::Signed => tanh(p(2)),
            };
            a * before + sigmoid(p(0)) * activate(candidate, p(1))
        }
        Cell::MinLstm {
            candidate,
            normalized,
        } => {
            let c = activate(candidate, p(2));
            if normalized {
                let u = log_sigmoid(p(0)) - log_sigmoid(p(1));
                sigmoid(u.clone()) * before + sigmoid(-u) * c
            } else {
                sigmoid(p(0)) * before + sigmoid(p(1)) * c
            }
        }
    }
}

/// The candidate's activation.
pub fn activate<const D: usize>(candidate: Candidate, v: Tensor<D>) -> Tensor<D> {
    match candidate {
        Candidate::Linear => v,
        Candidate::Tanh => tanh(v),
        Candidate::G => {
            let positive = v.clone().greater_equal_elem(0.0);
            sigmoid(v.clone()).mask_where(positive, v + 0.5)
        }
    }
}

/// `log g(v)`: `log(v + ½)` for `v ≥ 0`, `−softplus(−v)` below (the paper's Listing 6).
pub fn log_g<const D: usize>(v: Tensor<D>) -> Tensor<D> {
    let positive = v.clone().greater_equal_elem(0.0);
    // The branch not taken must stay finite, or its gradient poisons the other.
    let above = (v.clone().clamp_min(0.0) + 0.5).log();
    (-softplus(-v, 1.0)).mask_where(positive, above)
}

/// Heinsen's form of a linear recurrence with positive coefficients, as the paper's Appendix B and
/// the public implementations use it: `a* = cumsum(log a)`, `h = exp(a* + logcumsumexp(log b − a*))`.
///
/// Here to be compared with, not to be used: `a*` grows with the number of steps, and what is left of
/// `log b − a*` in a float shrinks with it. The error grows linearly with time and the gradient's
/// faster (`docs/`, chapter Numerics); a gate that is exactly 0 gives NaN. Starts from 0.
///
/// # Shapes
/// - `log_a`, `log_b`, output: `[batch, time, channels]`
pub fn heinsen_scan(log_a: Tensor<3>, log_b: Tensor<3>) -> Tensor<3> {
    let a_star = log_a.cumsum(1);
    let x = log_b - a_star.clone();
    // logcumsumexp with one reference for the whole sequence would underflow; one per step.
    let [_, time, _] = x.dims();
    let mut sum: Option<Tensor<3>> = None;
    let steps: Vec<Tensor<3>> = (0..time)
        .map(|t| {
            let x = x.clone().narrow(1, t, 1);
            let next = match sum.take() {
                None => x,
                Some(sum) => log_add_exp(sum, x),
            };
            sum = Some(next.clone());
            next
        })
        .collect();
    (a_star + Tensor::cat(steps, 1)).exp()
}

/// `log(e^x + e^y)`; `−∞` where both are.
fn log_add_exp<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    // −∞ − −∞ is NaN: stand in a finite pair, and put −∞ back.
    let none = x
        .clone()
        .equal_elem(f64::NEG_INFINITY)
        .bool_and(y.clone().equal_elem(f64::NEG_INFINITY));
    let x = x.mask_fill(none.clone(), 0.0);
    let y = y.mask_fill(none.clone(), 0.0);
    // log σ(d) = −softplus(−d) keeps the gradient of both sides.
    let first_larger = x.clone().greater_equal(y.clone());
    let gap = (x.clone() - y.clone()).abs();
    let max = y.mask_where(first_larger, x);
    (max + softplus_of_negative(gap)).mask_fill(none, f64::NEG_INFINITY)
}

/// `log(1 + e^−d)` for `d ≥ 0`.
fn softplus_of_negative<const D: usize>(d: Tensor<D>) -> Tensor<D> {
    (-d).exp().log1p()
}
