//! Inputs of a call in a form that kernels can borrow from.

use super::buffer::Buffer;
use super::matrix::{Matrix, convert_row, widen_row};
use super::product::Product;
use crate::engine::spec::{Layout, Spec};
use burn::tensor::DType;
use core::ops::Range;
use core_tensor::cpu::{Real, Storage, for_each_task};
use core_tensor::ext::flex::{Compute, FlexTensor};

/// The tensors of a call.
pub(super) struct Tensors {
    pub(super) hidden: FlexTensor,
    pub(super) classifier: FlexTensor,
    pub(super) bias: FlexTensor,
    pub(super) targets: FlexTensor,
    pub(super) picks: FlexTensor,
    /// Classes of the largest logits, which the backward pass treats as picked.
    pub(super) top: Option<FlexTensor>,
    pub(super) weights: FlexTensor,
    pub(super) dense: FlexTensor,
}

/// A call over borrowed data.
pub(super) struct Inputs<'a, E: Product> {
    /// `[N, D]`.
    pub(super) hidden: Matrix<'a, E>,
    /// `[V, D]`, whatever its layout in memory.
    pub(super) classifier: Matrix<'a, E>,
    pub(super) bias: Option<Vec<Compute<E>>>,
    /// Weights common to all rows, `[V]`.
    pub(super) weights: Option<&'a [Compute<E>]>,
    /// Weights of each row, `[N, V]`.
    pub(super) dense: Option<Matrix<'a, Compute<E>>>,
    /// Picked classes, `[N, picks]`, in a backward pass `[N, picks + top]`; `None` outside this shard.
    pub(super) picks: Vec<Option<usize>>,
    /// Target of every row that counts; `None` outside this shard, or where there are no targets.
    pub(super) targets: Vec<Option<usize>>,
    /// The rows that count, in rising order.
    pub(super) live: Vec<usize>,
    /// Picks per row.
    per_row: usize,
    pub(super) tokens: usize,
    pub(super) classes: usize,
    pub(super) width: usize,
    pub(super) spec: &'a Spec,
}

/// The integers of a tensor.
fn integers(x: &FlexTensor) -> Vec<i64> {
    let x = x.to_contiguous();
    match x.dtype() {
        DType::I64 => x.storage::<i64>().to_vec(),
        DType::I32 => x.storage::<i32>().iter().map(|&v| v.into()).collect(),
        // What does not fit is no class either way.
        DType::U64 => x
            .storage::<u64>()
            .iter()
            .map(|&v| i64::try_from(v).unwrap_or(i64::MAX))
            .collect(),
        DType::U32 => x.storage::<u32>().iter().map(|&v| v.into()).collect(),
        DType::I16 => x.storage::<i16>().iter().map(|&v| v.into()).collect(),
        DType::U16 => x.storage::<u16>().iter().map(|&v| v.into()).collect(),
        DType::I8 => x.storage::<i8>().iter().map(|&v| v.into()).collect(),
        DType::U8 => x.storage::<u8>().iter().map(|&v| v.into()).collect(),
        other => panic!("linear_cross_entropy: expected integers as classes, got {other:?}"),
    }
}

impl Tensors {
    /// Brings the small inputs into contiguous form; the large ones are read through their strides.
    pub(super) fn prepare(self) -> Self {
        Self {
            bias: self.bias.to_contiguous(),
            weights: self.weights.to_contiguous(),
            dense: forwards(core_tensor::ext::flex::contiguous_rows(&self.dense)),
            hidden: forwards(core_tensor::ext::flex::contiguous_rows(&self.hidden)),
            classifier: forwards(self.classifier),
            ..self
        }
    }
}

/// A tensor whose elements do not follow each other backwards in memory, as in the view that `flip` makes.
fn forwards(x: FlexTensor) -> FlexTensor {
    if x.layout().strides().iter().any(|&stride| stride < 0) {
        x.to_contiguous()
    } else {
        x
    }
}

/// A two-dimensional tensor as a matrix.
pub(super) fn matrix<E: Storage>(x: &FlexTensor) -> Matrix<'_, E> {
    let layout = x.layout();
    let [rows, columns] = layout.shape().dims();
    let strides = (layout.strides()[0], layout.strides()[1]);
    let data = x.storage::<E>();
    Matrix::new(
        &data[layout.start_offset().min(data.len())..],
        rows,
        columns,
        strides,
    )
}

/// A contiguous tensor as a slice.
fn vector<E: Storage>(x: &FlexTensor) -> &[E] {
    let first = x.layout().start_offset();
    &x.storage::<E>()[first..first + x.layout().shape().num_elements()]
}

impl<'a, E: Product> Inputs<'a, E> {
    /// Reads `tensors`, which come from [`Tensors::prepare`].
    ///
    /// # Panics
    /// If a target or pick is out of range.
    pub(super) fn new(tensors: &'a Tensors, spec: &'a Spec) -> Self {
        let hidden = matrix::<E>(&tensors.hidden);
        let classifier = matrix::<E>(&tensors.classifier);
        let classifier = match spec.layout {
            Layout::Rows => classifier,
            Layout::Columns => classifier.transposed(),
        };
        let [tokens, width] = tensors.hidden.layout().shape().dims();
        let classes = classifier.height();
        let class = |i: usize, v: i64, what: &str| match spec.shard_start {
            None => {
                assert!(
                    (0..classes as i64).contains(&v),
                    "linear_cross_entropy: {what} {v} of row {i} is outside the {classes} classes"
                );
                Some(v as usize)
            }
            Some(first) => {
                let v = v - first as i64;
                (0..classes as i64).contains(&v).then_some(v as usize)
            }
        };
        let (live, targets) = if spec.has_targets {
            let given = integers(&tensors.targets);
            let counts = |&(_, &y): &(usize, &i64)| y != spec.ignore_index;
            let live = given.iter().enumerate().filter(counts);
            live.map(|(i, &y)| (i, class(i, y, "target"))).unzip()
        } else {
            ((0..tokens).collect(), vec![None; tokens])
        };
        let top = tensors.top.as_ref().filter(|_| spec.top > 0);
        let per_row = spec.picks + if top.is_some() { spec.top } else { 0 };
        let mut picks = vec![None; tokens * per_row];
        let mut place = |given: &[i64], first: usize, count: usize, shard: bool| {
            for &i in &live {
                for k in 0..count {
                    let v = given[i * count + k];
                    picks[i * per_row + first + k] = if shard {
                        class(i, v, "picked class")
                    } else {
                        usize::try_from(v).ok()
                    };
                }
            }
        };
        if spec.picks > 0 {
            place(&integers(&tensors.picks), 0, spec.picks, true);
        }
        if let Some(top) = top {
            // Classes of this shard, or −1.
            place(&integers(top), spec.picks, spec.top, false);
        }
        let bias = spec.has_bias.then(|| {
            let mut bias = vec![Compute::<E>::ZERO; classes];
            widen_row::<E>(vector(&tensors.bias), &mut bias);
            bias
        });
        Self {
            hidden,
            classifier,
            bias,
            weights: spec.has_sum.then(|| vector(&tensors.weights)),
            dense: spec.has_dense.then(|| matrix(&tensors.dense)),
            picks,
            per_row,
            targets,
            live,
            tokens,
            classes,
            width,
            spec,
        }
    }

    /// The picked classes of a row.
    pub(super) fn picks_of(&self, row: usize) -> &[Option<usize>] {
        &self.picks[row * self.per_row..][..self.per_row]
    }

    /// Hidden states of the live rows `range` as a factor: borrowed where they are adjacent and of its type, otherwise
    /// gathered into `scratch`.
    pub(super) fn gather<'b>(
        &'b self,
        range: Range<usize>,
        scratch: &'b mut Buffer<E::Factor>,
    ) -> Matrix<'b, E::Factor> {
        let live = &self.live[range];
        let (count, width) = (live.len(), self.width);
        let adjacent = count == 0 || live[count - 1] - live[0] + 1 == count;
        if adjacent {
            let first = live.first().copied().unwrap_or(0);
            return E::factor(self.hidden.block(first..first + count, 0..width), scratch);
        }
        let scratch = scratch.sized(count * width);
        let rows = core_tensor::cpu::RowsMut::new(scratch, width);
        for_each_task(count.div_ceil(64), |task| {
            let own = live.iter().enumerate().skip(task * 64).take(64);
            for (i, &from) in own {
                // SAFETY: every row is written by one task.
                #[allow(unsafe_code)]
                let row = unsafe { rows.piece(i, 0..width) };
                convert_row::<E, E::Factor>(self.hidden.row(from), row);
            }
        });
        Matrix::rows(scratch, count, width)
    }
}
