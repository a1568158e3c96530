//! Atoms inside the cell and every periodic image of them that some atom may see.

use super::lattice::Lattice;
use crate::atoms::AtomsError;
use crate::atoms::linalg::{self, Vec3};
use crate::cpu::map_parts;
use crate::graph::Shift;

/// Most images of one atom.
const MOST_IMAGES: f64 = (1 << 20) as f64;
/// Most atoms and images.
const MOST_SLOTS: f64 = (1_u64 << 31) as f64;
/// Atoms that one thread looks at, at a time.
const ATOMS: usize = 1 << 13;

/// An image of an atom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub(super) atom: u32,
    /// Place in the list of shifts.
    pub(super) shift: u32,
    /// In the frame of the lattice.
    pub(super) at: Vec3,
}

/// All atoms, wrapped, and their images within `reach` of the atoms.
#[derive(Debug)]
pub(super) struct Images {
    /// Atoms first, in their order.
    pub(super) images: Vec<Image>,
    /// Shifts of images, ascending, in terms of the given cell vectors.
    pub(super) shifts: Vec<Shift>,
    /// The place of no shift.
    pub(super) home: u32,
    /// What brings each atom into the cell, in terms of the given vectors; empty if all are inside.
    pub(super) wraps: Vec<Shift>,
    /// Corners of the box around the atoms, in the frame.
    pub(super) low: Vec3,
    pub(super) high: Vec3,
}

impl Images {
    pub(super) fn new(
        positions: &[Vec3],
        lattice: &Lattice,
        reach: f64,
    ) -> Result<Self, AtomsError> {
        let mut homes = Vec::with_capacity(positions.len());
        let parts = map_parts(positions.len(), ATOMS, |part| {
            let wrapped = part.map(|atom| {
                let periods = lattice.periods_into_cell(atom, positions[atom])?;
                Ok((lattice.to_frame(positions[atom], periods), periods))
            });
            wrapped.collect::<Result<Vec<(Vec3, [i32; 3])>, AtomsError>>()
        });
        for part in parts {
            homes.extend(part?);
        }
        let wraps: Vec<Shift> = if homes.iter().all(|(_, periods)| *periods == [0; 3]) {
            Vec::new()
        } else {
            homes
                .iter()
                .map(|(_, periods)| lattice.shift(*periods))
                .collect()
        };
        // Reduced vectors along the frame; a period is a row.
        let step = lattice
            .reduced
            .map(|v| lattice.frame.map(|axis| linalg::dot(axis, v)));
        let (low, high) = bounds(homes.iter().map(|(at, _)| *at));
        let inverse = linalg::inverse(&step);
        let fractional = |at: Vec3| linalg::row_times(at, &inverse);
        let (least, most) = bounds(homes.iter().map(|(at, _)| fractional(*at)));

        // An image that an atom sees lies within `reach / height` of the atoms, in fractions of the period.
        let heights = lattice.heights();
        let margin = heights.map(|h| reach / h + 1e-9);
        let periods: [f64; 3] = core::array::from_fn(|k| {
            if lattice.periodic[k] && !positions.is_empty() {
                (most[k] - least[k] + margin[k]).floor()
            } else {
                0.0
            }
        });
        let per_atom: f64 = periods.iter().map(|p| 2.0 * p + 1.0).product();
        if per_atom > MOST_IMAGES || per_atom * positions.len() as f64 > 64.0 * MOST_SLOTS {
            return Err(AtomsError::TooManyImages {
                heights,
                cutoff: reach,
            });
        }
        let [a, b, c] = periods.map(|p| p as i32);
        let mut table: Vec<(Shift, [i32; 3])> = (-a..=a)
            .flat_map(|i| (-b..=b).flat_map(move |j| (-c..=c).map(move |k| [i, j, k])))
            .map(|periods| (lattice.shift(periods), periods))
            .collect();
        table.sort_unstable();
        let home = table
            .iter()
            .position(|(_, p)| *p == [0; 3])
            .expect("no shift is a shift");

        let inside = |at: Vec3| (0..3).all(|k| at[k] >= low[k] - reach && at[k] <= high[k] + reach);
        // Images by the axis along which they leave the cell, for most atoms leave along none.
        let place = |periods: [i32; 3]| {
            let [i, j, k] = [periods[0] + a, periods[1] + b, periods[2] + c];
            ((i * (2 * b + 1) + j) * (2 * c + 1) + k) as usize
        };
        let mut ranks = vec![0_u32; table.len()];
        for (rank, (_, periods)) in table.iter().enumerate() {
            ranks[place(*periods)] = rank as u32;
        }
        let ghosts = map_parts(homes.len(), ATOMS, |part| {
            let mut ghosts = Vec::new();
            for atom in part {
                let at = homes[atom].0;
                let atom = atom as u32;
                let f = fractional(at);
                let range = |k: usize, p: i32| {
                    let first = (least[k] - margin[k] - f[k]).ceil().max(f64::from(-p));
                    let last = (most[k] + margin[k] - f[k]).floor().min(f64::from(p));
                    if p == 0 {
                        0..=0
                    } else {
                        first as i32..=last as i32
                    }
                };
                for i in range(0, a) {
                    for j in range(1, b) {
                        for k in range(2, c) {
                            let step = linalg::row_times([i, j, k].map(f64::from), &step);
                            let at = core::array::from_fn(|x| at[x] + step[x]);
                            if [i, j, k] != [0; 3] && inside(at) {
                                let shift = ranks[place([i, j, k])];
                                ghosts.push(Image { atom, shift, at });
                            }
                        }
                    }
                }
            }
            ghosts
        });
        let atoms = homes.iter().zip(0..).map(|(&(at, _), atom)| Image {
            atom,
            shift: home as u32,
            at,
        });
        let count = positions.len() + ghosts.iter().map(Vec::len).sum::<usize>();
        if count as f64 > MOST_SLOTS {
            return Err(AtomsError::TooManyImages {
                heights,
                cutoff: reach,
            });
        }
        let mut images = Vec::with_capacity(count);
        images.extend(atoms);
        ghosts.iter().for_each(|g| images.extend_from_slice(g));
        Ok(Self {
            images,
            shifts: table.into_iter().map(|(shift, _)| shift).collect(),
            home: home as u32,
            wraps,
            low,
            high,
        })
    }
}

/// Corners of the box around points; zero without any.
fn bounds(points: impl Iterator<Item = Vec3>) -> (Vec3, Vec3) {
    points
        .map(|p| (p, p))
        .reduce(|(low, high), (p, _)| {
            (
                core::array::from_fn(|k| low[k].min(p[k])),
                core::array::from_fn(|k| high[k].max(p[k])),
            )
        })
        .unwrap_or_default()
}
