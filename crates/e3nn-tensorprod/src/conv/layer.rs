//! [`Convolution`]: paths chosen from irreps.

use super::{ConvError, ConvPath, Paths, RadialTable, convolve, convolve_radial, convolve_spline};
use crate::Layout;
use crate::irreps::{Irreps, SortOrder};
use crate::product::{Instruction, InstructionOrder, depthwise_paths};
use burn::tensor::Tensor;
use core_tensor::dual::Value;
use core_tensor::graph::Graph;

/// Configuration of a [`Convolution`].
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionConfig {
    irreps_in: Irreps,
    irreps_sh: Irreps,
    targets: Irreps,
    order: InstructionOrder,
    sort: SortOrder,
    layout: Layout,
}

impl ConvolutionConfig {
    /// All paths from a block of `irreps_in` and one of `irreps_sh` (of multiplicity 1) to an irrep that `targets` has;
    /// multiplicities of `targets` do not count.
    pub fn new(irreps_in: Irreps, irreps_sh: Irreps, targets: Irreps) -> Self {
        Self {
            irreps_in,
            irreps_sh,
            targets,
            order: InstructionOrder::default(),
            sort: SortOrder::default(),
            layout: Layout::default(),
        }
    }

    /// With another order of paths, by default [`InstructionOrder::Found`].
    pub fn with_order(self, order: InstructionOrder) -> Self {
        Self { order, ..self }
    }

    /// With another order of irreps in the output, by default e3nn's for PyTorch.
    pub fn with_sort(self, sort: SortOrder) -> Self {
        Self { sort, ..self }
    }

    /// With another layout of features and output, by default e3nn's. [`Layout::IrMul`] is what the kernels compute in.
    pub fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// Lists the paths.
    ///
    /// # Errors
    /// If there is none, or a harmonic has a multiplicity other than 1.
    pub fn init(&self) -> Result<Convolution, ConvError> {
        let (x, y) = (&self.irreps_in, &self.irreps_sh);
        let (slots, instructions) = depthwise_paths(x, y, &self.targets, self.order, self.sort);
        // Component normalisation, and one path per slot: the factor √(2l+1).
        let path = |path: &Instruction| ConvPath {
            input: path.in1,
            harmonic: path.in2,
            output: path.out,
            coefficient: (slots[path.out].irrep.dim() as f64).sqrt(),
        };
        let paths: Vec<ConvPath> = instructions.iter().map(path).collect();
        if paths.is_empty() {
            return Err(ConvError::NoPath {
                input: self.irreps_in.to_string(),
                harmonics: self.irreps_sh.to_string(),
                wanted: self.targets.to_string(),
            });
        }
        let paths = Paths::new(x, y, &slots, &paths, self.layout)?;
        Ok(Convolution { paths })
    }
}

/// The channel-wise tensor product of a message-passing layer, gathered and summed over a graph. It has no parameters: its
/// weights come from a radial network, one set per edge.
///
/// Every path has an output block of its own; blocks are sorted by irrep and merged ([`irreps_out`](Self::irreps_out)).
/// The sum is not divided by anything; NequIP divides by `√(average number of neighbours)`.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use core_tensor::graph::Graph;
/// use e3nn_tensorprod::conv::ConvolutionConfig;
///
/// let conv = ConvolutionConfig::new(
///     "8x0e+8x1o".parse()?,
///     "0e+1o+2e".parse()?,
///     "0e+1o+2e".parse()?,
/// )
/// .init()?;
/// assert_eq!(conv.irreps_out().to_string(), "16x0e+24x1o+16x2e");
/// assert_eq!(conv.weight_numel(), 7 * 8);
///
/// // Edges 1 → 0 and 2 → 0; harmonics and weights in the order of the graph.
/// let graph = Graph::new(3, &[1, 2], &[0, 0], &[])?;
/// let device = Device::flex();
/// let x = Tensor::<2>::ones([3, conv.irreps_in().dim()], &device);
/// let y = Tensor::<2>::ones([2, 9], &device);
/// let w = Tensor::<2>::ones([2, conv.weight_numel()], &device);
/// assert_eq!(conv.forward(x, y, w, &graph).dims(), [3, conv.irreps_out().dim()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    paths: Paths,
}

impl Convolution {
    /// Irreps of the features.
    pub fn irreps_in(&self) -> &Irreps {
        self.paths.irreps_in()
    }

    /// Irreps of the harmonics.
    pub fn irreps_sh(&self) -> &Irreps {
        self.paths.irreps_sh()
    }

    /// Irreps of the output: sorted and merged.
    pub fn irreps_out(&self) -> &Irreps {
        self.paths.irreps_out()
    }

    /// Number of weights of an edge.
    pub fn weight_numel(&self) -> usize {
        self.paths.weight_numel()
    }

    /// The paths, in the order of their weights.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// [`convolve`] over these paths.
    ///
    /// # Panics
    /// If a shape or dtype is another than there.
    pub fn forward<V: Value<2>>(&self, x: V, y: V, w: V, graph: &Graph) -> V {
        convolve(x, y, w, &self.paths, graph)
    }

    /// [`convolve_radial`] over these paths.
    ///
    /// # Panics
    /// If a shape or dtype is another than there.
    pub fn forward_radial<V: Value<2>>(
        &self,
        x: V,
        y: V,
        hidden: V,
        matrix: Tensor<2>,
        graph: &Graph,
    ) -> V {
        convolve_radial(x, y, hidden, matrix, &self.paths, graph)
    }

    /// [`convolve_spline`] over these paths.
    ///
    /// # Panics
    /// If a shape or dtype is another than there.
    pub fn forward_spline<V: Value<2>>(
        &self,
        x: V,
        y: V,
        r: V,
        table: &RadialTable,
        graph: &Graph,
    ) -> V {
        convolve_spline(x, y, r, table, &self.paths, graph)
    }
}
