//! A call on the CPU: its operands, and how its rows are cut into blocks.

use super::super::{Slot, Spec};
use crate::product::WeightRows;
use core::ops::Range;
use core_tensor::cpu::Real;

/// The operands of a partial product; that of the slot to compute is empty.
pub(super) struct Call<'a, T> {
    pub(super) spec: &'a Spec,
    /// In the order of [`Slot::ALL`], contiguous.
    pub(super) operands: [&'a [T]; 4],
    /// The values of each path's table in use.
    pub(super) symbols: Vec<Vec<T>>,
}

impl<'a, T: Real> Call<'a, T> {
    pub(super) fn new(spec: &'a Spec, given: [&'a [T]; 3]) -> Self {
        let mut operands: [&[T]; 4] = [&[]; 4];
        for (slot, operand) in spec.slot.others().into_iter().zip(given) {
            operands[slot as usize] = operand;
        }
        let paths = spec.plan.paths().iter();
        let symbols = paths
            .map(|path| {
                let values = path.table().values.iter();
                values.map(|&x| T::from_f64(x)).collect()
            })
            .collect();
        Self {
            spec,
            operands,
            symbols,
        }
    }

    /// What a slot holds.
    pub(super) fn operand(&self, slot: Slot) -> &'a [T] {
        self.operands[slot as usize]
    }

    /// Values of a row of a slot.
    pub(super) fn width(&self, slot: Slot) -> usize {
        self.spec.shape(slot)[1]
    }
}

/// Rows that lie in lanes together; all with the same weights, unless each has its own.
pub(super) struct Block<'a> {
    rows: Rows<'a>,
    /// The row of weights, if they share it.
    pub(super) weight_row: usize,
}

enum Rows<'a> {
    Range(Range<usize>),
    List(&'a [u32]),
}

impl Block<'_> {
    /// Number of rows.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Range(range) => range.len(),
            Rows::List(list) => list.len(),
        }
    }

    /// The row in a lane.
    #[inline(always)]
    pub(super) fn row(&self, lane: usize) -> usize {
        match &self.rows {
            Rows::Range(range) => range.start + lane,
            Rows::List(list) => list[lane] as usize,
        }
    }
}

/// All rows in blocks of at most `lanes`, by ascending row of weights.
pub(super) fn blocks(spec: &Spec, lanes: usize) -> Vec<Block<'_>> {
    match &spec.rows {
        WeightRows::ByClass(classes) => (0..classes.classes())
            .flat_map(|class| {
                classes.rows_of(class).chunks(lanes).map(move |rows| Block {
                    rows: Rows::List(rows),
                    weight_row: class,
                })
            })
            .collect(),
        WeightRows::Shared | WeightRows::PerRow => (0..spec.batch)
            .step_by(lanes)
            .map(|first| Block {
                rows: Rows::Range(first..spec.batch.min(first + lanes)),
                weight_row: 0,
            })
            .collect(),
    }
}
