//! Paths as the micro-kernels take them.

use super::super::spec::{Path, Paths};
use super::lanes::{Block, Lanes, blocks};
use super::tables::Tables;
use core::ops::Range;

/// Numbers of output components that there are micro-kernels for.
const WIDTHS: [usize; 4] = [7, 5, 3, 1];

/// A path, or, above degree 3, some of the output components of a path.
#[derive(Debug)]
pub(super) struct Piece<T> {
    /// Components of the features.
    pub(super) n1: usize,
    /// Output components of this piece; one of [`WIDTHS`].
    pub(super) width: usize,
    /// Where component 0 of channel 0 of the features lies, and how far apart components are.
    pub(super) x: (usize, usize),
    /// The same of the first output component of this piece.
    pub(super) out: (usize, usize),
    /// First weight.
    pub(super) weight: usize,
    /// First row of the tables, of `n1 · width`, by (a, c).
    pub(super) table: usize,
    /// First component of the harmonic.
    pub(super) harmonic: usize,
    /// Whether no piece of the same path came before.
    pub(super) first: bool,
    /// Terms of component `a` of the features: `terms[by_a[a]]`.
    pub(super) by_a: Vec<Range<usize>>,
    pub(super) terms: Vec<PieceTerm<T>>,
    pub(super) blocks: Vec<Block>,
}

/// A coefficient: output component of the piece, component of the harmonic, value.
#[derive(Debug, Clone, Copy)]
pub(super) struct PieceTerm<T> {
    pub(super) c: usize,
    pub(super) b: usize,
    pub(super) value: T,
}

/// All pieces of the paths of a convolution, and how their tables are computed.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    pub(super) list: Vec<Piece<T>>,
    pub(super) tables: Tables<T>,
    /// Blocks of the piece with most channels.
    pub(super) blocks: usize,
}

impl<T: Lanes> Pieces<T> {
    /// Pieces for the plain kernels or for those that carry tangents, which hold twice as much in registers.
    pub(super) fn new(paths: &Paths, dual: bool) -> Self {
        let mut list = Vec::new();
        let mut tables = Tables::new(paths.dims()[1]);
        for path in paths.compiled() {
            let mut c0 = 0;
            while c0 < path.dims[2] {
                let fits = |&width: &usize| width <= path.dims[2] - c0;
                let width = WIDTHS.into_iter().find(fits).expect("1 fits");
                list.push(piece(path, c0..c0 + width, dual, &mut tables));
                c0 += width;
            }
        }
        let blocks = list.iter().map(|piece| piece.blocks.len()).max();
        Self {
            blocks: blocks.unwrap_or(0),
            list,
            tables,
        }
    }

    /// Calls `run(piece, block of channels)` so that what blocks of channels read and write stays in the caches.
    #[inline]
    pub(super) fn for_each_block(&self, mut run: impl FnMut(&Piece<T>, Block)) {
        for block in 0..self.blocks {
            for piece in &self.list {
                if let Some(&block) = piece.blocks.get(block) {
                    run(piece, block);
                }
            }
        }
    }
}

fn piece<T: Lanes>(
    path: &Path,
    components: Range<usize>,
    dual: bool,
    tables: &mut Tables<T>,
) -> Piece<T> {
    let [n1, _, _] = path.dims;
    let width = components.len();
    let (mut by_a, mut terms) = (Vec::with_capacity(n1), Vec::new());
    let table = tables.rows();
    for a in 0..n1 {
        let start = terms.len();
        for c in components.clone() {
            let here = path.terms.iter().filter(|t| t.a == a && t.c == c);
            tables.push(
                here.clone()
                    .map(|t| (path.harmonic + t.b, T::from_f64(t.value))),
            );
            terms.extend(here.map(|t| PieceTerm {
                c: c - components.start,
                b: t.b,
                value: T::from_f64(t.value),
            }));
        }
        by_a.push(start..terms.len());
    }
    Piece {
        n1,
        width,
        x: (path.input.first, path.input.component),
        out: (
            path.output.first + components.start * path.output.component,
            path.output.component,
        ),
        weight: path.weight,
        table,
        harmonic: path.harmonic,
        first: components.start == 0,
        by_a,
        terms,
        blocks: blocks::<T>(path.channels, dual),
    }
}
