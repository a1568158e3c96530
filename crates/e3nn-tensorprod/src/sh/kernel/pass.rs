//! A pass over the points of a task.

use super::block::{load, load_vectors, store};
use super::lanes::{Lanes, Sink, Vectors, degree, dot, each, ladder, powers};
use super::plan::Plan;
use super::{Call, Output, Scalar};
use core_tensor::cpu::Kernel;

/// The kernel, `W` points at a time.
pub(super) struct Pass<'a, T, const W: usize>(pub(super) Call<'a, T>);

/// Where a block of points lies on the unit sphere; for solid harmonics, where it lies.
struct Place<T, const W: usize> {
    /// `v / |v|`, 0 for the zero vector; or `v`.
    u: Vectors<T, W>,
    /// `1 / |v|`, 0 for the zero vector; or 1.
    inverse: Lanes<T, W>,
}

/// Memory for a block.
struct Work<T, const W: usize> {
    powers: Vec<[Lanes<T, W>; 2]>,
    /// Values, then their derivatives along the direction, of all degrees in order.
    values: Vec<Lanes<T, W>>,
    tangents: Vec<Lanes<T, W>>,
    /// Components of the gradient.
    gradients: [Vec<Lanes<T, W>>; 3],
    cotangents: Vec<Lanes<T, W>>,
}

impl<T: Scalar, const W: usize> Kernel for Pass<'_, T, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
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
        let room = |wanted: bool, n: usize| vec![[T::ZERO; W]; if wanted { n } else { 0 }];
        let full = output == Output::ValuesAndGradients;
        let bent = output == Output::Curvatures;
        let contracted = bent || output == Output::Gradients;
        let mut work = Work {
            powers: vec![[[T::ZERO; W]; 2]; plan.lmax + 1],
            values: room(true, all),
            tangents: room(bent || output == Output::Tangents, all),
            gradients: [(); 3].map(|()| room(full, all)),
            cotangents: room(contracted, 2 * plan.lmax + 1),
        };
        let needed = plan.degrees(match output {
            Output::Values => &[0],
            Output::ValuesAndGradients => &[0, 1],
            Output::Tangents | Output::Gradients => &[1],
            Output::Curvatures => &[1, 2],
        });
        let raised = plan.degrees(if bent { &[1] } else { &[0] });
        for start in (0..points).step_by(W) {
            let count = W.min(points - start);
            let at = |k: usize| start * k..(start + count) * k;
            let place = Place::new(load_vectors(&vectors[at(3)], count), plan.normalize);
            work.values(plan, &needed, &place.u);
            if full {
                work.gradients(plan, &raised, &place);
            }
            let direction = (!tangents.is_empty())
                .then(|| place.direction(&load_vectors(&tangents[at(3)], count), plan.normalize));
            if let Some((moved, _)) = &direction {
                work.tangents(plan, &raised, moved);
            }
            match output {
                Output::Values | Output::ValuesAndGradients => {
                    let rows = &mut first[at(dim)];
                    for run in &plan.runs {
                        store(&work.values[run.range()], rows, dim, run.column, count);
                    }
                    if full {
                        let rows = &mut second[at(3 * dim)];
                        for (k, gradient) in work.gradients.iter().enumerate() {
                            for run in &plan.runs {
                                let column = k * dim + run.column;
                                store(&gradient[run.range()], rows, 3 * dim, column, count);
                            }
                        }
                    }
                }
                Output::Tangents => {
                    let rows = &mut first[at(dim)];
                    for run in &plan.runs {
                        store(&work.tangents[run.range()], rows, dim, run.column, count);
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

impl<T: Scalar, const W: usize> Place<T, W> {
    #[inline(always)]
    fn new(v: Vectors<T, W>, normalize: bool) -> Self {
        if !normalize {
            return Self {
                u: v,
                inverse: [T::ONE; W],
            };
        }
        // Divided by the largest component first, so that squares keep in range.
        let largest: Lanes<T, W> = each(|i| {
            v[0][i]
                .absolute()
                .larger(v[1][i].absolute())
                .larger(v[2][i].absolute())
        });
        let least = T::min_positive_value();
        let scale: Lanes<T, W> = each(|i| {
            let inverse = T::ONE / largest[i];
            if largest[i] >= least {
                inverse
            } else {
                T::ZERO
            }
        });
        let v: Vectors<T, W> = v.map(|v| each(|i| v[i] * scale[i]));
        let square = dot(&v, &v);
        let root: Lanes<T, W> = each(|i| {
            let inverse = T::ONE / num_traits::Float::sqrt(square[i]);
            if square[i] > T::ZERO {
                inverse
            } else {
                T::ZERO
            }
        });
        Self {
            u: v.map(|v| each(|i| v[i] * root[i])),
            inverse: each(|i| scale[i] * root[i]),
        }
    }

    /// How `u` moves when `v` moves by `tangent`, and the change of `|v|`.
    #[inline(always)]
    fn direction(&self, tangent: &Vectors<T, W>, normalize: bool) -> (Vectors<T, W>, Lanes<T, W>) {
        if !normalize {
            return (*tangent, [T::ZERO; W]);
        }
        let speed = dot(&self.u, tangent);
        let across =
            |k: usize| each(|i| (tangent[k][i] - self.u[k][i] * speed[i]) * self.inverse[i]);
        ([across(0), across(1), across(2)], speed)
    }

    /// The gradient by `v` from that by `u`: `(g − u (u·g)) / |v|`.
    #[inline(always)]
    fn project(&self, g: &Vectors<T, W>, normalize: bool) -> Vectors<T, W> {
        if !normalize {
            return *g;
        }
        let along = dot(&self.u, g);
        let part = |k: usize| each(|i| (g[k][i] - self.u[k][i] * along[i]) * self.inverse[i]);
        [part(0), part(1), part(2)]
    }

    /// The derivative of [`project`](Self::project) along the direction, where `g` moves by `bend`.
    #[inline(always)]
    fn bend(
        &self,
        g: &Vectors<T, W>,
        bend: &Vectors<T, W>,
        moved: &Vectors<T, W>,
        speed: &Lanes<T, W>,
        normalize: bool,
    ) -> Vectors<T, W> {
        if !normalize {
            return *bend;
        }
        let Self { u, inverse } = self;
        let along = dot(u, g);
        let (turned, grown) = (dot(moved, g), dot(u, bend));
        let part = |k: usize| {
            each(|i| {
                let across = g[k][i] - u[k][i] * along[i];
                let change = bend[k][i] - moved[k][i] * along[i] - u[k][i] * (turned[i] + grown[i]);
                (change - across * (speed[i] * inverse[i])) * inverse[i]
            })
        };
        [part(0), part(1), part(2)]
    }
}

/// Where degree `l` begins among all in order.
#[inline(always)]
const fn first(l: usize) -> usize {
    l * l
}

impl<T: Scalar, const W: usize> Work<T, W> {
    #[inline(always)]
    fn values(&mut self, plan: &Plan<T>, degrees: &[usize], u: &Vectors<T, W>) {
        powers(u, &mut self.powers);
        let rho2 = each(|i| u[0][i].fma(u[0][i], u[2][i] * u[2][i]));
        for &l in degrees {
            let out = &mut self.values[first(l)..first(l + 1)];
            degree(l, &plan.table, &u[1], &rho2, &self.powers, out);
        }
    }

    /// Gradients by `v` of the given degrees.
    #[inline(always)]
    fn gradients(&mut self, plan: &Plan<T>, degrees: &[usize], place: &Place<T, W>) {
        for &l in degrees {
            if l == 0 {
                self.gradients.iter_mut().for_each(|g| g[0] = [T::ZERO; W]);
                continue;
            }
            let range = first(l)..first(l + 1);
            let [x, y, z] = &mut self.gradients;
            let mut sink = Stored {
                out: [
                    &mut x[range.clone()],
                    &mut y[range.clone()],
                    &mut z[range.clone()],
                ],
                here: &self.values[range],
                place,
                // Y is homogeneous: u·∇Y = l Y.
                along: plan.normalize.then(|| T::from_f64(l as f64)),
            };
            ladder(
                l,
                &plan.table,
                &self.values[first(l - 1)..first(l)],
                &mut sink,
            );
        }
    }

    /// Derivatives along a direction of `u`, of the given degrees.
    #[inline(always)]
    fn tangents(&mut self, plan: &Plan<T>, degrees: &[usize], moved: &Vectors<T, W>) {
        for &l in degrees {
            let out = &mut self.tangents[first(l)..first(l + 1)];
            if l == 0 {
                out[0] = [T::ZERO; W];
                continue;
            }
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
        for run in &plan.runs {
            for l in run.first.max(1)..=run.last {
                let column = run.column + first(l) - first(run.first);
                let given = &mut self.cotangents[..=2 * l];
                load(cotangents, plan.dim, column, count, given);
                let weights = &*given;
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

/// Gradients by `v`, for all components.
struct Stored<'a, T, const W: usize> {
    out: [&'a mut [Lanes<T, W>]; 3],
    here: &'a [Lanes<T, W>],
    place: &'a Place<T, W>,
    /// The degree, where the part along `u` is to be taken off.
    along: Option<T>,
}

impl<T: Scalar, const W: usize> Sink<T> for Stored<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        // First all of it into registers: the outputs might be the inputs, for all the compiler knows.
        let [mut x, mut y, mut z] = [[T::ZERO; W]; 3];
        for i in 0..W {
            [x[i], y[i], z[i]] = gradient(i);
        }
        if let Some(degree) = self.along {
            let (Place { u, inverse }, here) = (self.place, &self.here[row]);
            let along: Lanes<T, W> = each(|i| degree * here[i]);
            x = each(|i| (x[i] - u[0][i] * along[i]) * inverse[i]);
            y = each(|i| (y[i] - u[1][i] * along[i]) * inverse[i]);
            z = each(|i| (z[i] - u[2][i] * along[i]) * inverse[i]);
        }
        let [out_x, out_y, out_z] = &mut self.out;
        (out_x[row], out_y[row], out_z[row]) = (x, y, z);
    }
}

/// Their products with a direction.
struct Directed<'a, T, const W: usize> {
    out: &'a mut [Lanes<T, W>],
    moved: &'a Vectors<T, W>,
}

impl<T: Scalar, const W: usize> Sink<T> for Directed<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        let [u, v, w] = self.moved;
        self.out[row] = each(|i| {
            let [x, y, z] = gradient(i);
            u[i].fma(x, v[i].fma(y, w[i] * z))
        });
    }
}

/// Their sum, weighted.
struct Summed<'a, T, const W: usize> {
    weights: &'a [Lanes<T, W>],
    sum: &'a mut Vectors<T, W>,
}

impl<T: Scalar, const W: usize> Sink<T> for Summed<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        let (g, [x, y, z]) = (&self.weights[row], &mut *self.sum);
        for i in 0..W {
            let [dx, dy, dz] = gradient(i);
            x[i] = g[i].fma(dx, x[i]);
            y[i] = g[i].fma(dy, y[i]);
            z[i] = g[i].fma(dz, z[i]);
        }
    }
}
