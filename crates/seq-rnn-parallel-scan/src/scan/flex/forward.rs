//! States from planes.

use super::super::cell::Step;
use super::{Problem, rows_of};
use core::marker::PhantomData;
use core_tensor::cpu::{Kernel, Real, RowsMut, Storage};
use core_tensor::ext::flex::{Compute, output};

/// One step of all channels of a tile.
pub(super) struct StepRow<'a, S, T> {
    pub(super) planes: [&'a [T]; 3],
    pub(super) state: &'a mut [T],
    pub(super) cell: PhantomData<S>,
}

impl<S: Step, T: Real> Kernel for StepRow<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let n = self.state.len();
        let [p, q, r] = self.planes.map(|plane| &plane[..n]);
        for i in 0..n {
            self.state[i] = S::step([p[i], q[i], r[i]], self.state[i]);
        }
    }
}

impl<E: Storage> Problem<'_, E>
where
    Compute<E>: Storage,
{
    /// All states, the last state of every sequence and, if asked for, the states at the borders.
    #[allow(unsafe_code)]
    pub(super) fn forward<S: Step>(&self) -> (Vec<E>, Vec<Compute<E>>, Vec<Compute<E>>) {
        let (width, sequences) = (self.width, &self.spec.sequences);
        let mut states = output::<E>(self.rows * width);
        let mut last = output::<Compute<E>>(sequences.count() * width);
        let mut borders = output::<Compute<E>>(self.spec.border_rows() * width);
        let states_rows = RowsMut::new(&mut states, width);
        let last_rows = RowsMut::new(&mut last, width);
        let border_rows = RowsMut::new(&mut borders, width);
        self.for_each_tile(|tile| {
            let border = self.spec.checkpoint;
            let border =
                border.map(|stride| (stride, sequences.first_border(tile.sequence, stride)));
            let mut wide = rows_of(tile.channels.len());
            // SAFETY, here and below: a tile alone writes its channels of its sequence's rows.
            let state = unsafe { last_rows.piece(tile.sequence, tile.channels.clone()) };
            state.copy_from_slice(self.initial(&tile));
            for i in 0..tile.len {
                let t = self.time_of(&tile, i);
                if let Some((stride, first)) = border
                    && i.is_multiple_of(stride)
                {
                    // SAFETY: see above.
                    let border =
                        unsafe { border_rows.piece(first + i / stride, tile.channels.clone()) };
                    border.copy_from_slice(state);
                }
                if self.resets(&tile, t) {
                    state.fill(self.empty());
                }
                let planes = self.planes(&tile, t, &mut wide);
                self.isa.run(StepRow::<S, _> {
                    planes,
                    state,
                    cell: PhantomData,
                });
                let row = tile.batch * self.time + t;
                // SAFETY: see above.
                E::narrow(state, unsafe {
                    states_rows.piece(row, tile.channels.clone())
                });
            }
        });
        (states, last, borders)
    }
}
