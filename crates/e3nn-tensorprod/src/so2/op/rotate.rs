//! Where the blocks of features lie, in the global frame and in frames of edges: [`Block`].

use super::super::FrameLayout;
use crate::tensor::Layout;

/// A block of features: its components in the global frame and its columns in frames.
pub(crate) struct Block {
    pub(crate) l: usize,
    pub(crate) mul: usize,
    /// Places in the global frame: first, of the next component, of the next copy.
    pub(crate) first: usize,
    pub(crate) component: usize,
    pub(crate) copy: usize,
    /// First column of each order that is kept, from the most negative.
    pub(crate) columns: Vec<usize>,
}

/// The blocks that have copies.
pub(crate) fn blocks(layout: &FrameLayout) -> Vec<Block> {
    let irreps = layout.irreps();
    let mut list = Vec::with_capacity(irreps.len());
    for (i, (block, range)) in irreps.iter().zip(irreps.slices()).enumerate() {
        let (l, mul) = (block.irrep.l(), block.mul);
        if mul == 0 {
            continue;
        }
        let reach = l.min(layout.mmax()) as isize;
        let orders = -reach..=reach;
        let column = |m| layout.block(i, m).expect("an order that is kept").start;
        let (component, copy) = match layout.layout() {
            Layout::MulIr => (1, 2 * l + 1),
            Layout::IrMul => (mul, 1),
        };
        list.push(Block {
            l,
            mul,
            first: range.start,
            component,
            copy,
            columns: orders.map(column).collect(),
        });
    }
    list
}

impl Block {
    /// The row of the matrix that the first order kept has.
    #[inline(always)]
    pub(crate) fn skipped(&self) -> usize {
        self.l - self.columns.len() / 2
    }
}
