//! Tensors that know their irreps: [`IrrepsTensor`].

use crate::irreps::{Irreps, MulIrrep, SortOrder};
use burn::tensor::Tensor;
use burn::tensor::s;
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::zeros;

/// In which order the components of a block of `mul` copies of an irrep lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// Copy after copy: component `m` of copy `u` at `u (2l+1) + m`. e3nn.
    #[default]
    MulIr,
    /// Component after component: `m mul + u`. What kernels prefer; cuEquivariance's `ir_mul`.
    IrMul,
}

/// Values `[batch, dim]` with their irreps and layout. `V` is a [`Tensor`] or a [`Dual`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use e3nn_tensorprod::{IrrepsTensor, Layout, SortOrder, irreps};
///
/// let values = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]], &Device::flex());
/// let x = IrrepsTensor::new(values, irreps!("2x1o+1x0e"), Layout::MulIr);
/// assert_eq!(x.block(0).dims(), [1, 2, 3]);
/// let x = x.regroup(SortOrder::DegreeFirst).to_layout(Layout::IrMul);
/// assert_eq!(x.irreps(), &irreps!("1x0e+2x1o"));
/// let values = x.into_values().into_data();
/// values.assert_eq(&[[7.0_f32, 1.0, 4.0, 2.0, 5.0, 3.0, 6.0]].into(), true);
/// ```
#[derive(Debug, Clone)]
pub struct IrrepsTensor<V = Tensor<2>> {
    values: V,
    irreps: Irreps,
    layout: Layout,
}

impl<V: Value<2>> IrrepsTensor<V> {
    /// Values `[batch, irreps.dim()]` that lie in the given layout.
    ///
    /// # Panics
    /// If the second axis has not `irreps.dim()` elements.
    pub fn new(values: V, irreps: Irreps, layout: Layout) -> Self {
        let dual: Dual<2> = values.clone().into();
        let [batch, dim] = dual.dims();
        assert_eq!(
            dim,
            irreps.dim(),
            "IrrepsTensor: values of {irreps} must be [batch, {}], got [{batch}, {dim}]",
            irreps.dim()
        );
        Self {
            values,
            irreps,
            layout,
        }
    }

    /// The values, `[batch, dim]`.
    pub fn values(&self) -> &V {
        &self.values
    }

    /// The values, `[batch, dim]`.
    pub fn into_values(self) -> V {
        self.values
    }

    /// The irreps.
    pub fn irreps(&self) -> &Irreps {
        &self.irreps
    }

    /// The layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.dual().dims()[0]
    }

    fn dual(&self) -> Dual<2> {
        self.values.clone().into()
    }

    /// The same numbers under other irreps of as many components.
    fn from_dual(dual: Dual<2>, irreps: Irreps, layout: Layout) -> Self {
        Self::new(V::from_dual(dual), irreps, layout)
    }

    /// Block `i` as `[batch, mul, 2l+1]`, whatever the layout.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block(&self, i: usize) -> V::Rank<3> {
        V::Rank::<3>::from_dual(self.block_dual(i))
    }

    fn block_dual(&self, i: usize) -> Dual<3> {
        let blocks = self.irreps.len();
        assert!(i < blocks, "IrrepsTensor: no block {i} in {}", self.irreps);
        let block = self.irreps[i];
        self.columns(self.irreps.slices()[i].clone())
            .linear(|t| to_mul_ir(t, block, self.layout))
    }

    /// Some columns, without the edge case of a slice of none.
    fn columns(&self, range: core::ops::Range<usize>) -> Dual<2> {
        self.dual().linear(|t| {
            if range.is_empty() {
                let [batch, _] = t.dims();
                zeros([batch, 0], &t.device(), t.dtype())
            } else {
                t.slice(s![.., range.clone()])
            }
        })
    }

    /// The inverse of [`block`](Self::block): blocks `[batch, mul, 2l+1]`, one for each block of `irreps`.
    ///
    /// # Panics
    /// If numbers or shapes do not fit, or `irreps` have no block (nothing then says the batch).
    pub fn from_blocks(blocks: Vec<V::Rank<3>>, irreps: Irreps, layout: Layout) -> Self {
        assert_eq!(
            blocks.len(),
            irreps.len(),
            "IrrepsTensor: {irreps} need {} blocks",
            irreps.len()
        );
        assert!(!blocks.is_empty(), "IrrepsTensor: no block");
        let flat = blocks.into_iter().zip(&irreps).map(|(values, &block)| {
            let dual: Dual<3> = values.into();
            let [batch, mul, n] = dual.dims();
            assert!(
                [mul, n] == [block.mul, block.irrep.dim()],
                "IrrepsTensor: block {block} must be [batch, {}, {}], got [{batch}, {mul}, {n}]",
                block.mul,
                block.irrep.dim()
            );
            dual.linear(|t| from_mul_ir(t, layout))
        });
        let values = cat(flat.collect());
        Self::from_dual(values, irreps, layout)
    }

    /// The same values in another layout. Free where no block has both several copies and several components.
    pub fn to_layout(self, layout: Layout) -> Self {
        let alike = |block: &MulIrrep| block.mul <= 1 || block.irrep.l() == 0;
        if layout == self.layout || self.irreps.iter().all(alike) {
            return Self { layout, ..self };
        }
        let blocks = (0..self.irreps.len()).map(|i| {
            if alike(&self.irreps[i]) {
                self.columns(self.irreps.slices()[i].clone())
            } else {
                self.block_dual(i).linear(|t| from_mul_ir(t, layout))
            }
        });
        let values = cat(blocks.collect());
        Self::from_dual(values, self.irreps, layout)
    }

    /// One tensor after the other along the components, in the layout of the first.
    ///
    /// # Panics
    /// If there is none, or the numbers of rows differ.
    pub fn cat(parts: Vec<Self>) -> Self {
        let layout = parts
            .first()
            .expect("IrrepsTensor: nothing to concatenate")
            .layout;
        let irreps = parts
            .iter()
            .flat_map(|part| part.irreps.iter().copied())
            .collect();
        let parts = parts.into_iter().map(|part| part.to_layout(layout).dual());
        Self::from_dual(cat(parts.collect()), irreps, layout)
    }

    /// The blocks of the given numbers, in that order.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn select_blocks(&self, blocks: &[usize]) -> Self {
        let slices = self.irreps.slices();
        let irreps: Irreps = blocks.iter().map(|&i| self.irreps[i]).collect();
        if blocks.iter().copied().eq(0..self.irreps.len()) {
            return self.clone();
        }
        let columns = blocks.iter().map(|&i| self.columns(slices[i].clone()));
        let none = core::iter::once_with(|| self.columns(0..0));
        let parts = columns.chain(none.take(usize::from(blocks.is_empty())));
        Self::from_dual(cat(parts.collect()), irreps, self.layout)
    }

    /// The blocks for which `keep` holds.
    pub fn filter(&self, keep: impl Fn(MulIrrep) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.irreps.len())
            .filter(|&i| keep(self.irreps[i]))
            .collect();
        self.select_blocks(&kept)
    }

    /// Every row rotated by its own Wigner D matrices: each irrep vector becomes `D^l x`. `d[l]` is
    /// `[batch, 2l+1, 2l+1]`, as [`wigner_d_from_matrix`](crate::wigner::wigner_d_from_matrix) gives them.
    ///
    /// # Panics
    /// If a degree is missing, or numbers of rows differ.
    #[must_use]
    pub fn rotate(&self, d: &[V::Rank<3>]) -> Self {
        self.multiply(d, false)
    }

    /// The inverse of [`rotate`](Self::rotate): each irrep vector becomes `(D^l)ᵀ x`.
    ///
    /// # Panics
    /// As [`rotate`](Self::rotate).
    #[must_use]
    pub fn rotate_back(&self, d: &[V::Rank<3>]) -> Self {
        self.multiply(d, true)
    }

    fn multiply(&self, d: &[V::Rank<3>], transposed: bool) -> Self {
        let slices = self.irreps.slices();
        let parts = self.irreps.iter().zip(&slices).enumerate();
        let parts = parts.map(|(i, (block, range))| {
            let (l, n) = (block.irrep.l(), block.irrep.dim());
            let Some(d) = d.get(l) else {
                panic!(
                    "IrrepsTensor::rotate: {block} needs matrices of degree {l}, got {} degrees",
                    d.len()
                );
            };
            let d: Dual<3> = d.clone().into();
            let (want, got) = ([self.batch(), n, n], d.dims());
            assert_eq!(
                want, got,
                "IrrepsTensor::rotate: matrices of degree {l} must be {want:?}, got {got:?}"
            );
            if l == 0 || block.mul == 0 {
                return self.columns(range.clone());
            }
            // Copies are rows: x (D)ᵀ, or x D for the inverse.
            let d = if transposed { d } else { d.transpose() };
            let rotated = self.block_dual(i).matmul(d);
            rotated.linear(|t| from_mul_ir(t, self.layout))
        });
        let none = core::iter::once_with(|| self.columns(0..0));
        let parts: Vec<_> = parts
            .chain(none.take(usize::from(slices.is_empty())))
            .collect();
        Self::from_dual(cat(parts), self.irreps.clone(), self.layout)
    }

    /// The blocks in sorted order ([`Irreps::sort`]).
    pub fn sort(&self, order: SortOrder) -> Self {
        self.select_blocks(&self.irreps.sort(order).inv)
    }

    /// Neighbours of the same irrep merged ([`Irreps::simplify`]). Free in [`Layout::MulIr`].
    pub fn simplify(self) -> Self {
        let irreps = self.irreps.simplify();
        let merges = irreps.len() < self.irreps.remove_zero_multiplicities().len();
        if self.layout == Layout::MulIr || !merges {
            return Self { irreps, ..self };
        }
        // Copies of merged blocks lie one after the other in the other layout only.
        let Self { layout, .. } = self;
        let merged = self.to_layout(Layout::MulIr).simplify();
        merged.to_layout(layout)
    }

    /// Sorted and merged ([`Irreps::regroup`]): every irrep occurs at most once.
    pub fn regroup(&self, order: SortOrder) -> Self {
        self.sort(order).simplify()
    }
}

/// A flat block `[batch, mul (2l+1)]` as `[batch, mul, 2l+1]`.
fn to_mul_ir(values: Tensor<2>, block: MulIrrep, layout: Layout) -> Tensor<3> {
    let [batch, _] = values.dims();
    let (mul, n) = (block.mul, block.irrep.dim());
    match layout {
        // An axis of size 0 may not be reshaped into another place.
        _ if mul == 0 => values.reshape([batch, 0, n]),
        Layout::MulIr => values.reshape([batch, mul, n]),
        Layout::IrMul => values.reshape([batch, n, mul]).swap_dims(1, 2),
    }
}

/// The inverse of [`to_mul_ir`].
fn from_mul_ir(values: Tensor<3>, layout: Layout) -> Tensor<2> {
    let [batch, mul, n] = values.dims();
    let values = match layout {
        Layout::IrMul if mul > 0 => values.swap_dims(1, 2),
        _ => values,
    };
    values.reshape([batch, mul * n])
}

/// Columns one after the other; those of no width take no part.
fn cat(mut parts: Vec<Dual<2>>) -> Dual<2> {
    let width = |part: &Dual<2>| part.dims()[1];
    let first = parts.first().expect("at least one part").clone();
    parts.retain(|part| width(part) > 0);
    match parts.len() {
        0 => first,
        1 => parts.remove(0),
        _ => Dual::cat(parts, 1),
    }
}
