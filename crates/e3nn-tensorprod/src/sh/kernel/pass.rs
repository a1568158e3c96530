//! A pass over the points of a task.

use super::block::{Points, load, store};
use super::lanes::{Lanes, Vectors, degree, each, ladder, powers};
use super::place::Place;
use super::plan::{Piece, Plan};
use super::sinks::{Directed, Stored, Summed};
use super::{Call, Output, Scalar, low};
use core_tensor::cpu::Kernel;

/// The kernel, `W` points at a time.
pub(super) struct Pass<'a, T, const W: usize>(pub(super) Call<'a, T>);

/// Memory for a block.
struct Work<'a, T, const W: usize> {
    /// `[c, s]` of every order, one after the other.
    powers: &'a mut [Lanes<T, W>],
    /// Values, then their derivatives along the direction, of all degrees in order.
    values: &'a mut [Lanes<T, W>],
    tangents: &'a mut [Lanes<T, W>],
    /// Components of the gradients of a piece, those by x, by y and by z one after the other; or its cotangents.
    piece: &'a mut [Lanes<T, W>],
}

impl<T: Scalar, const W: usize> Kernel for Pass<'_, T, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let values = matches!(self.0.output, Output::Values | Output::ValuesAndGradients);
        if values && low::suits(self.0.plan) {
            return low::run::<T, W>(self.0);
        }
        let Call {
            plan,
            output,
            vectors,
            tangents,
            cotangents,
            first,
            second,
        } = self.0;
        let points = vectors.len() / 3;
        let (dim, all) = (plan.dim, (plan.lmax + 1) * (plan.lmax + 1));
        let full = output == Output::ValuesAndGradients;
        let bent = output == Output::Curvatures;
        let sizes = [
            2 * (plan.lmax + 1),
            all,
            if bent || output == Output::Tangents {
                all
            } else {
                0
            },
            3 * plan.widest(),
        ];
        let mut memory = vec![[T::ZERO; W]; sizes.iter().sum()];
        let mut rest = &mut memory[..];
        let [powers, values, along, piece] = sizes.map(|size| {
            let (part, after) = core::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            part
        });
        let needed: &[usize] = match output {
            Output::Values => &[0],
            Output::ValuesAndGradients => &[0, 1],
            Output::Tangents | Output::Gradients => &[1],
            Output::Curvatures => &[1, 2],
        };
        let raised: &[usize] = if bent { &[1] } else { &[0] };
        let mut work = Work::<T, W> {
            powers,
            values,
            tangents: along,
            piece,
        };
        let mut vectors = Points::<T, W>::new(vectors);
        let mut tangents = (!tangents.is_empty()).then(|| Points::<T, W>::new(tangents));
        for start in (0..points).step_by(W) {
            let count = W.min(points - start);
            let at = |k: usize| start * k..(start + count) * k;
            let place = Place::new(vectors.take(start), plan.normalize);
            work.values(plan, needed, &place.u);
            let direction = tangents
                .as_mut()
                .map(|tangents| place.direction(&tangents.take(start), plan.normalize));
            if let Some((moved, _)) = &direction {
                work.tangents(plan, raised, moved);
            }
            match output {
                Output::Values | Output::ValuesAndGradients => {
                    let rows = &mut first[at(dim)];
                    for piece in &plan.pieces {
                        store(&work.values[piece.range()], rows, dim, piece.column, count);
                    }
                    if full {
                        let rows = &mut second[at(3 * dim)];
                        for piece in &plan.pieces {
                            work.gradients(plan, piece, &place);
                            let width = piece.width();
                            if width == dim {
                                store(&work.piece[..3 * dim], rows, 3 * dim, 0, count);
                                continue;
                            }
                            for (k, gradient) in work.piece[..3 * width].chunks(width).enumerate() {
                                store(gradient, rows, 3 * dim, k * dim + piece.column, count);
                            }
                        }
                    }
                }
                Output::Tangents => {
                    let rows = &mut first[at(dim)];
                    for piece in &plan.pieces {
                        store(
                            &work.tangents[piece.range()],
                            rows,
                            dim,
                            piece.column,
                            count,
                        );
                    }
                }
                Output::Gradients | Output::Curvatures => {
                    let [g, bend] = work.contract(plan, &cotangents[at(dim)], count, bent);
                    let out = match &direction {
                        None => place.project(&g, plan.normalize),
                        Some((moved, speed)) => place.bend(&g, &bend, moved, speed, plan.normalize),
                    };
                    store(&out, &mut first[at(3)], 3, 0, count);
                }
            }
        }
    }
}

/// Where degree `l` begins among all in order.
#[inline(always)]
const fn first(l: usize) -> usize {
    l * l
}

impl<T: Scalar, const W: usize> Work<'_, T, W> {
    #[inline(always)]
    fn values(&mut self, plan: &Plan<T>, above: &[usize], u: &Vectors<T, W>) {
        let (powers_of, _) = self.powers.as_chunks_mut::<2>();
        powers(u, powers_of);
        let rho2 = each(|i| u[0][i].fma(u[0][i], u[2][i] * u[2][i]));
        for l in (0..=plan.lmax).filter(|&l| plan.wants(l, above)) {
            let out = &mut self.values[first(l)..first(l + 1)];
            degree(l, &plan.table, &u[1], &rho2, powers_of, out);
        }
    }

    /// Gradients by `v` of the degrees of a piece.
    #[inline(always)]
    fn gradients(&mut self, plan: &Plan<T>, piece: &Piece, place: &Place<T, W>) {
        let width = piece.width();
        let (x, rest) = self.piece[..3 * width].split_at_mut(width);
        let (y, z) = rest.split_at_mut(width);
        for l in piece.first..=piece.last {
            let at = first(l) - first(piece.first)..first(l + 1) - first(piece.first);
            let out = [&mut x[at.clone()], &mut y[at.clone()], &mut z[at]];
            if l == 0 {
                out.into_iter().for_each(|out| out[0] = [T::ZERO; W]);
                continue;
            }
            let mut sink = Stored {
                out,
                here: &self.values[first(l)..first(l + 1)],
                place,
                // Y is homogeneous: u·∇Y = l Y.
                along: plan.normalize.then(|| T::from_f64(l as f64)),
            };
            let below = &self.values[first(l - 1)..first(l)];
            ladder(l, &plan.table, below, &mut sink);
        }
    }

    /// Derivatives along a direction of `u`.
    #[inline(always)]
    fn tangents(&mut self, plan: &Plan<T>, above: &[usize], moved: &Vectors<T, W>) {
        self.tangents[0] = [T::ZERO; W];
        for l in (1..=plan.lmax).filter(|&l| plan.wants(l, above)) {
            let out = &mut self.tangents[first(l)..first(l + 1)];
            let below = &self.values[first(l - 1)..first(l)];
            ladder(l, &plan.table, below, &mut Directed { out, moved });
        }
    }

    /// `Σ g_i ∇Y_i`, and with `bent` also its derivative along the direction.
    #[inline(always)]
    fn contract(
        &mut self,
        plan: &Plan<T>,
        cotangents: &[T],
        count: usize,
        bent: bool,
    ) -> [Vectors<T, W>; 2] {
        let mut sums = [[[T::ZERO; W]; 3]; 2];
        for piece in &plan.pieces {
            let given = &mut self.piece[..piece.width()];
            load(cotangents, plan.dim, piece.column, count, given);
            for l in piece.first.max(1)..=piece.last {
                let weights = &given[first(l) - first(piece.first)..][..=2 * l];
                let [sum, bend] = &mut sums;
                let below = first(l - 1)..first(l);
                let values = &self.values[below.clone()];
                ladder(l, &plan.table, values, &mut Summed { weights, sum });
                if bent {
                    let tangents = &self.tangents[below];
                    ladder(l, &plan.table, tangents, &mut Summed { weights, sum: bend });
                }
            }
        }
        sums
    }
}
