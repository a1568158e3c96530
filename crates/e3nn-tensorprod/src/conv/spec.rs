//! What a convolution computes, apart from its tensors: [`Paths`].

use super::ConvError;
use super::table::Knots;
use crate::Layout;
use crate::irreps::{Irreps, MulIrrep};
use crate::wigner::{is_triangle, wigner_3j};
use core::fmt;
use core_tensor::graph::Graph;
use std::sync::Arc;

/// One path of a convolution: which block of the features meets which block of the harmonics, and where the
/// result goes. Weights of paths follow each other in the order of the paths, one per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvPath {
    /// Block of the features; its multiplicity is the number of channels of the path.
    pub input: usize,
    /// Block of the harmonics, of multiplicity 1.
    pub harmonic: usize,
    /// Block of the output, of the same multiplicity as the features' block.
    pub output: usize,
    /// Factor of the path; it multiplies the Wigner 3j symbols, whose Frobenius norm is 1.
    pub coefficient: f64,
}

/// A coefficient `C_abc` that is not zero, the factor of its path included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Term {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) c: usize,
    pub(crate) value: f64,
}

/// Where a block lies in a row: component `c` of channel `u` at `first + c · component + u · channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) first: usize,
    pub(crate) component: usize,
    pub(crate) channel: usize,
}

/// A path with its places and coefficients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// Numbers of components of the three irreps.
    pub(crate) dims: [usize; 3],
    pub(crate) channels: usize,
    /// Places in rows whose blocks are all ordered component by component.
    pub(crate) input: Place,
    pub(crate) output: Place,
    /// Places in rows as the caller orders them.
    pub(crate) outer: [Place; 2],
    /// First component of the harmonic.
    pub(crate) harmonic: usize,
    /// First weight.
    pub(crate) weight: usize,
    /// By ascending (a, c, b).
    pub(crate) terms: Vec<Term>,
}

#[derive(Debug, PartialEq)]
struct Inner {
    irreps: [Irreps; 3],
    listed: Vec<ConvPath>,
    paths: Vec<Path>,
    weights: usize,
    layout: Layout,
    #[cfg(feature = "cube")]
    kernels: super::cube::Kernels,
}

/// The paths of a convolution over given irreps, with their coefficients. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Paths(Arc<Inner>);

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = &self.0.irreps;
        write!(f, "Paths({x} ⊗ {y} → {z}, {} paths)", self.0.paths.len())
    }
}

impl Paths {
    /// Paths from blocks of `features` and `harmonics` to blocks of `output`. Neighbouring blocks of one irrep in
    /// `output` are merged in the result ([`irreps_out`](Self::irreps_out)); several paths may end in one block and add
    /// up there.
    ///
    /// # Errors
    /// If a block does not exist, a product does not contain its output, a harmonic has a multiplicity other than 1, or
    /// multiplicities differ.
    pub fn new(
        features: &Irreps,
        harmonics: &Irreps,
        output: &Irreps,
        paths: &[ConvPath],
        layout: Layout,
    ) -> Result<Self, ConvError> {
        let get = |irreps: &Irreps, operand, block: usize, path| {
            let found = irreps.get(block).copied();
            found.ok_or_else(|| ConvError::NoSuchBlock {
                path,
                operand,
                block,
                irreps: irreps.to_string(),
            })
        };
        let merged = merged_places(output, layout);
        let (starts, harmonic_starts) = (features.slices(), harmonics.slices());
        let mut weights = 0;
        let mut compiled = Vec::with_capacity(paths.len());
        for (n, path) in paths.iter().enumerate() {
            let x = get(features, "features", path.input, n)?;
            let y = get(harmonics, "harmonics", path.harmonic, n)?;
            let z = get(output, "output", path.output, n)?;
            check(n, x, y, z)?;
            let first = starts[path.input].start;
            let [inner, outer] = merged[path.output];
            let [l1, l2, l3] = [x, y, z].map(|block| block.irrep.l());
            compiled.push(Path {
                dims: [x, y, z].map(|block| block.irrep.dim()),
                channels: x.mul,
                input: block_place(Layout::IrMul, first, x.irrep.dim(), x.mul, 0),
                output: inner,
                outer: [block_place(layout, first, x.irrep.dim(), x.mul, 0), outer],
                harmonic: harmonic_starts[path.harmonic].start,
                weight: weights,
                terms: terms([l1, l2, l3], path.coefficient),
            });
            weights += x.mul;
        }
        Ok(Self(Arc::new(Inner {
            irreps: [features.clone(), harmonics.clone(), output.simplify()],
            listed: paths.to_vec(),
            paths: compiled,
            weights,
            layout,
            #[cfg(feature = "cube")]
            kernels: Default::default(),
        })))
    }

    /// Irreps of the features.
    pub fn irreps_in(&self) -> &Irreps {
        &self.0.irreps[0]
    }

    /// Irreps of the harmonics.
    pub fn irreps_sh(&self) -> &Irreps {
        &self.0.irreps[1]
    }

    /// Irreps of the output, neighbours merged.
    pub fn irreps_out(&self) -> &Irreps {
        &self.0.irreps[2]
    }

    /// Number of weights of an edge.
    pub fn weight_numel(&self) -> usize {
        self.0.weights
    }

    /// Order of components of features and output.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The paths in the order of their weights.
    pub fn paths(&self) -> &[ConvPath] {
        &self.0.listed
    }

    /// Numbers of components of features, harmonics, output.
    pub(crate) fn dims(&self) -> [usize; 3] {
        [0, 1, 2].map(|i| self.0.irreps[i].dim())
    }

    pub(crate) fn compiled(&self) -> &[Path] {
        &self.0.paths
    }

    /// What kernels on a GPU unroll.
    #[cfg(feature = "cube")]
    pub(super) fn kernels(&self) -> &super::cube::Kernels {
        &self.0.kernels
    }

    /// Number of coefficients of all paths that are not zero.
    pub fn nonzeros(&self) -> usize {
        self.0.paths.iter().map(|path| path.terms.len()).sum()
    }
}

/// The non-zero coefficients of a path.
fn terms([l1, l2, l3]: [usize; 3], coefficient: f64) -> Vec<Term> {
    let symbols = wigner_3j(l1, l2, l3);
    let term = |e: &crate::wigner::W3jEntry| Term {
        a: e.i,
        b: e.j,
        c: e.k,
        value: coefficient * e.value,
    };
    let mut terms: Vec<Term> = symbols.nonzeros().iter().map(term).collect();
    terms.sort_by_key(|t| (t.a, t.c, t.b));
    terms
}

fn check(path: usize, x: MulIrrep, y: MulIrrep, z: MulIrrep) -> Result<(), ConvError> {
    let [l1, l2, l3] = [x, y, z].map(|block| block.irrep.l());
    let parity = x.irrep.parity().times(y.irrep.parity());
    if !is_triangle(l1, l2, l3) || parity != z.irrep.parity() {
        return Err(ConvError::Forbidden {
            path,
            input: x.irrep,
            harmonic: y.irrep,
            output: z.irrep,
        });
    }
    if y.mul != 1 {
        return Err(ConvError::HarmonicMultiplicity { path, mul: y.mul });
    }
    if x.mul != z.mul {
        return Err(ConvError::Multiplicities {
            path,
            input: x.mul,
            output: z.mul,
        });
    }
    Ok(())
}

/// Where the channels from `channel` on of a block of `mul` channels lie.
fn block_place(layout: Layout, first: usize, dim: usize, mul: usize, channel: usize) -> Place {
    match layout {
        Layout::IrMul => Place {
            first: first + channel,
            component: mul,
            channel: 1,
        },
        Layout::MulIr => Place {
            first: first + channel * dim,
            component: 1,
            channel: dim,
        },
    }
}

/// Places of all blocks after neighbours of one irrep have been merged: component by component, and in `layout`.
fn merged_places(irreps: &Irreps, layout: Layout) -> Vec<[Place; 2]> {
    let mut places = Vec::with_capacity(irreps.len());
    let (mut block, mut first) = (0, 0);
    while block < irreps.len() {
        let irrep = irreps[block].irrep;
        // Blocks without channels do not part their neighbours, as in `simplify`.
        let same = |b: &&MulIrrep| b.irrep == irrep || b.mul == 0;
        let count = irreps[block..].iter().take_while(same).count();
        let mul: usize = irreps[block..block + count].iter().map(|b| b.mul).sum();
        let mut channel = 0;
        for b in &irreps[block..block + count] {
            places.push(
                [Layout::IrMul, layout]
                    .map(|layout| block_place(layout, first, irrep.dim(), mul, channel)),
            );
            channel += b.mul;
        }
        first += mul * irrep.dim();
        block += count;
    }
    places
}

/// What an operation is given beside its tensors.
#[derive(Clone)]
pub struct Call {
    pub(crate) paths: Paths,
    pub(crate) graph: Graph,
    /// Which of features, harmonics and weights have a tangent.
    pub(crate) tangents: [bool; 3],
    pub(crate) weighting: Weighting,
}

/// Where weights come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Weighting {
    /// They are given.
    Stored,
    /// `hidden · matrix`.
    Product,
    /// Splines of distances.
    Spline(Knots),
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, edges) = (self.graph.nodes(), self.graph.edges());
        let Self {
            paths, tangents, ..
        } = self;
        write!(
            f,
            "{paths:?} over {nodes} nodes, {edges} edges, tangents {tangents:?}"
        )
    }
}

impl Call {
    /// Whether value and tangent are computed.
    pub(crate) fn dual(&self) -> bool {
        self.tangents.contains(&true)
    }

    /// Tensors packed in a result: 1, or 2 with tangents.
    pub(crate) fn parts(&self) -> usize {
        1 + usize::from(self.dual())
    }

    /// Shapes of the gradients of features, harmonics, weights, and of the matrix, given the shapes of weights and matrix.
    #[cfg_attr(
        not(any(feature = "flex", feature = "cube")),
        allow(dead_code, reason = "of kernels")
    )]
    pub(crate) fn gradient_shapes(
        &self,
        [weights, matrix]: [[usize; 2]; 2],
        wanted: [bool; 4],
    ) -> ([[usize; 3]; 3], [usize; 2]) {
        let [features, harmonics, _] = self.paths.dims();
        let sizes = [
            [self.graph.nodes(), features],
            [self.graph.edges(), harmonics],
            weights,
        ];
        let shape = |i: usize| {
            let [rows, columns] = sizes[i];
            [if wanted[i] { self.parts() } else { 0 }, rows, columns]
        };
        (
            [0, 1, 2].map(shape),
            if wanted[3] { matrix } else { [0, 0] },
        )
    }

    /// Whether there is a matrix that may have a gradient.
    pub(crate) fn has_matrix(&self) -> bool {
        self.weighting == Weighting::Product
    }
}

/// Shapes and dtypes that the operations promise to Fusion.
#[cfg(feature = "cube")]
pub(super) mod promised {
    use super::Call;
    use core_tensor::ext::TensorSpec;

    pub(crate) fn sums(x: &TensorSpec, call: &Call) -> TensorSpec {
        let [_, _, width] = call.paths.dims();
        let shape = [call.parts(), call.graph.nodes(), width];
        TensorSpec::new(shape.into(), x.dtype)
    }

    pub(crate) fn gradients(
        x: &TensorSpec,
        w: &TensorSpec,
        matrix: &TensorSpec,
        wanted: [bool; 4],
        call: &Call,
    ) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
        let given = [w.shape.dims(), matrix.shape.dims()];
        let (three, matrix) = call.gradient_shapes(given, wanted);
        let [gx, gy, gw] = three.map(|shape| TensorSpec::new(shape.into(), x.dtype));
        (gx, gy, gw, TensorSpec::new(matrix.into(), x.dtype))
    }
}
