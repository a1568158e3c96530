//! Gradients from planes, saved states and the gradient of the states.

use super::super::Cotangent;
use super::rows::GradientRow;
use super::{Problem, Stores, Tile, rows_of};
use core_tensor::cpu::{Real, RowsMut, Storage};
use core_tensor::ext::flex::{Compute, FlexTensor, Output, Rows, contiguous_rows, output, scratch};

/// Where the backward pass finds the states of the forward pass.
enum Saved<'a, E: Storage> {
    /// All of them.
    All(Rows<'a, E>),
    /// One every `stride` steps, from its first row; the others are computed again.
    Borders {
        rows: &'a [Compute<E>],
        stride: usize,
    },
}

/// The states of one chunk between borders, computed again.
struct Replay<T> {
    chunk: Option<usize>,
    states: Vec<T>,
}

impl<E: Storage> Problem<'_, E>
where
    Compute<E>: Storage,
{
    /// Gradients of the planes and of the initial state.
    #[allow(unsafe_code)]
    pub(super) fn backward(
        &self,
        saved: &FlexTensor,
        cotangent: &FlexTensor,
        kind: Cotangent,
    ) -> (Vec<E>, Vec<Compute<E>>) {
        let (width, planes) = (self.width, self.spec.cell.planes());
        let saved_rows = contiguous_rows(saved);
        let saved = match self.spec.checkpoint {
            None => Saved::All(Rows::<E>::new(&saved_rows)),
            Some(stride) => Saved::Borders {
                rows: saved_rows.storage(),
                stride,
            },
        };
        let cotangent_rows = contiguous_rows(cotangent);
        let cotangent_last = cotangent.to_contiguous();
        let upstream = (kind == Cotangent::States).then(|| Rows::<E>::new(&cotangent_rows));

        let mut gradients = Output::<E>::new(planes * self.rows * width);
        let stores = Stores::of::<E>(planes * self.rows * width);
        let mut initial = output::<Compute<E>>(self.spec.sequences.count() * width);
        let columns = if self.spec.packed_planes {
            planes * width
        } else {
            width
        };
        let gradient_rows = gradients.rows(columns);
        let initial_rows = RowsMut::new(&mut initial, width);
        self.for_each_tile(|tile| {
            let channels = &tile.channels;
            let n = channels.len();
            let (mut wide, mut grads) = (rows_of(n), rows_of(n));
            let [mut before_wide, mut after_wide, mut up_wide] = rows_of(n);
            let (zeros, empty) = (scratch(n), vec![self.empty(); n]);
            let mut replay = Replay {
                chunk: None,
                states: Vec::new(),
            };
            // SAFETY: here and below, a tile alone writes its channels of its sequence's rows.
            let carry = unsafe { initial_rows.piece(tile.sequence, channels.clone()) };
            match kind {
                Cotangent::States => carry.fill(Compute::<E>::ZERO),
                Cotangent::Last => {
                    let last: &[Compute<E>] = cotangent_last.storage();
                    carry.copy_from_slice(&last[tile.sequence * width..][channels.clone()]);
                }
            }
            for i in (0..tile.len).rev() {
                let t = self.time_of(&tile, i);
                let reset = self.resets(&tile, t);
                self.reach(&saved, &tile, i, &mut replay);
                let before = if reset {
                    &empty
                } else {
                    self.state(&saved, &tile, i, &replay, &mut before_wide)
                };
                let after = if self.kernels.uses_after {
                    self.state(&saved, &tile, i + 1, &replay, &mut after_wide)
                } else {
                    before
                };
                let upstream = match &upstream {
                    Some(rows) => {
                        E::widen(rows.piece(tile.batch, t, channels.start, n), &mut up_wide)
                    }
                    None => &zeros,
                };
                let planes_at = self.planes(&tile, t, &mut wide);
                self.kernels.gradient(GradientRow {
                    planes: planes_at,
                    before,
                    after,
                    upstream,
                    carry,
                    out: &mut grads,
                });
                let row = tile.batch * self.time + t;
                for (p, grad) in grads.iter().enumerate().take(planes) {
                    let (row, first) = if self.spec.packed_planes {
                        (row, p * width)
                    } else {
                        (p * self.rows + row, 0)
                    };
                    let columns = first + channels.start..first + channels.end;
                    // SAFETY: see above; every plane has rows or columns of its own.
                    stores.write::<E>(grad, unsafe { gradient_rows.piece(row, columns) });
                }
                if reset {
                    carry.fill(Compute::<E>::ZERO);
                }
            }
            stores.finish();
        });
        // SAFETY: the tiles cover all channels of all sequences, and sequences all rows.
        (unsafe { gradients.finish() }, initial)
    }

    /// Computes the chunk around step `i` again, if states were saved at borders only.
    fn reach(&self, saved: &Saved<'_, E>, tile: &Tile, i: usize, replay: &mut Replay<Compute<E>>) {
        let Saved::Borders { rows, stride } = saved else {
            return;
        };
        let chunk = i / stride;
        if replay.chunk == Some(chunk) {
            return;
        }
        let n = tile.channels.len();
        let mut wide = rows_of(n);
        let border = self.first_borders[tile.sequence] + chunk;
        replay.chunk = Some(chunk);
        replay.states.clear();
        replay
            .states
            .extend_from_slice(&rows[border * self.width..][tile.channels.clone()]);
        for i in chunk * stride..tile.len.min((chunk + 1) * stride) {
            let t = self.time_of(tile, i);
            let from = replay.states.len() - n;
            replay.states.extend_from_within(from..);
            let state = &mut replay.states[from + n..];
            if self.resets(tile, t) {
                state.fill(self.empty());
            }
            let planes = self.planes(tile, t, &mut wide);
            self.kernels.step(planes, state);
        }
    }

    /// The state after `steps` steps.
    #[inline(always)]
    fn state<'s>(
        &'s self,
        saved: &Saved<'s, E>,
        tile: &Tile,
        steps: usize,
        replay: &'s Replay<Compute<E>>,
        wide: &'s mut [Compute<E>],
    ) -> &'s [Compute<E>] {
        let n = tile.channels.len();
        match saved {
            Saved::Borders { stride, .. } => {
                let chunk = replay.chunk.unwrap_or(0);
                &replay.states[(steps - chunk * stride) * n..][..n]
            }
            Saved::All(_) if steps == 0 => self.initial(tile),
            Saved::All(rows) => {
                let t = self.time_of(tile, steps - 1);
                E::widen(rows.piece(tile.batch, t, tile.channels.start, n), wide)
            }
        }
    }
}
