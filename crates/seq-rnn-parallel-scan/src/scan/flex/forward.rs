//! States from planes.

use super::{Problem, Stores, rows_of};
use core_tensor::cpu::{RowsMut, Storage};
use core_tensor::ext::flex::{Compute, Output, output};

impl<E: Storage> Problem<'_, E>
where
    Compute<E>: Storage,
{
    /// All states, the last state of every sequence and, if asked for, the states at the borders.
    #[allow(unsafe_code)]
    pub(super) fn forward(&self) -> (Vec<E>, Vec<Compute<E>>, Vec<Compute<E>>) {
        let (width, sequences) = (self.width, &self.spec.sequences);
        let mut states = Output::<E>::new(self.rows * width);
        let mut last = output::<Compute<E>>(sequences.count() * width);
        let mut borders = output::<Compute<E>>(self.spec.border_rows() * width);
        let stores = Stores::of::<E>(self.rows * width);
        let states_rows = states.rows(width);
        let last_rows = RowsMut::new(&mut last, width);
        let border_rows = RowsMut::new(&mut borders, width);
        self.for_each_tile(|tile| {
            let border = self.spec.checkpoint;
            let border = border.map(|stride| (stride, self.first_borders[tile.sequence]));
            let mut wide = rows_of(tile.channels.len());
            // SAFETY: here and below, a tile alone writes its channels of its sequence's rows.
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
                self.kernels.step(planes, state);
                let row = tile.batch * self.time + t;
                // SAFETY: see above.
                let out = unsafe { states_rows.piece(row, tile.channels.clone()) };
                stores.write::<E>(state, out);
            }
            stores.finish();
        });
        // SAFETY: the tiles cover all channels of all sequences, and sequences all rows.
        (unsafe { states.finish() }, last, borders)
    }
}
