//! Equivariant linear maps: [`Linear`].

use crate::irreps::{Irrep, Irreps};
use crate::product::{
    ConnectionMode, Instruction, Normalization, PathNormalization, ProductError, ProductPlan,
    RowClasses, WeightRows, normal,
};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::zeros;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which blocks of the output of a [`Linear`] have a bias.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Biases {
    /// None.
    #[default]
    None,
    /// All that are invariant, 0e.
    Scalars,
    /// Those marked.
    Blocks(Vec<bool>),
}

/// Configuration of a [`Linear`].
#[derive(Config, Debug)]
pub struct LinearConfig {
    /// Irreps of the input.
    pub irreps_in: Irreps,
    /// Irreps of the output.
    pub irreps_out: Irreps,
    /// Pairs of a block of the input and one of the output; absent, all of equal irrep.
    pub instructions: Option<Vec<(usize, usize)>>,
    /// How contributions to one block of the output share its variance ([`PathNormalization::None`] does not scale).
    #[config(default = "PathNormalization::Element")]
    pub path_normalization: PathNormalization,
    /// Which blocks of the output have a bias.
    #[config(default = "Biases::None")]
    pub biases: Biases,
    /// Number of inputs that are mixed along with the multiplicities: rows are `[f_in, irreps_in]`.
    #[config(default = 1)]
    pub f_in: usize,
    /// Number of outputs that are made along with the multiplicities: rows are `[f_out, irreps_out]`.
    #[config(default = 1)]
    pub f_out: usize,
    /// Number of classes of rows, such as species, each with weights of its own: the layer is e3nn's
    /// `FullyConnectedTensorProduct` with a one-hot vector of the class.
    pub classes: Option<usize>,
    /// Whether the layer owns its weights and biases; otherwise they are given with every call.
    #[config(default = true)]
    pub internal_weights: bool,
}

impl LinearConfig {
    /// Makes the layer, with weights drawn from N(0, 1) and biases 0 if it has its own.
    ///
    /// # Errors
    /// If an instruction names a block that is not there or joins different irreps, a bias is asked for on anything but
    /// 0e, or a size is 0 or beyond measure.
    pub fn init(&self, device: &Device) -> Result<Linear, ProductError> {
        let sizes = [
            ("f_in", self.f_in),
            ("f_out", self.f_out),
            ("classes", self.classes.unwrap_or(1)),
        ];
        if let Some((name, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(ProductError::Zero(name));
        }
        let pairs = match &self.instructions {
            Some(pairs) => pairs.clone(),
            None => equal_pairs(&self.irreps_in, &self.irreps_out),
        };
        self.check(&pairs)?;
        // Inputs and outputs are laid out side by side.
        const MOST: u64 = 1 << 24;
        let list = |blocks: usize, times: usize| blocks.max(1).saturating_mul(times);
        for (what, size) in [
            (
                "blocks of all inputs",
                list(self.irreps_in.len(), self.f_in),
            ),
            (
                "blocks of all outputs",
                list(self.irreps_out.len(), self.f_out),
            ),
            (
                "paths",
                list(pairs.len(), self.f_in).saturating_mul(self.f_out),
            ),
        ] {
            if size as u64 > MOST {
                return Err(ProductError::TooLarge {
                    what: format!("{size} {what}"),
                    most: MOST,
                });
            }
        }
        let biased = self.biased()?;
        let plan = self.plan(&pairs)?;
        let classes = self.classes.unwrap_or(1);
        let bias_numel: usize = biased.iter().map(|&block| self.irreps_out[block].mul).sum();
        let bias_numel = self.f_out * bias_numel;
        let own = self.internal_weights;
        let weights = [classes, plan.weight_numel()];
        Ok(Linear {
            weight: (own && weights[1] > 0).then(|| normal().init(weights, device)),
            bias: (own && bias_numel > 0).then(|| Initializer::Zeros.init([bias_numel], device)),
            plan,
            irreps_out: self.irreps_out.clone(),
            biased,
            f_out: self.f_out,
            classes: self.classes,
            path_shapes: pairs
                .iter()
                .map(|&(i, o)| [self.irreps_in[i].mul, self.irreps_out[o].mul])
                .collect(),
        })
    }

    fn check(&self, pairs: &[(usize, usize)]) -> Result<(), ProductError> {
        for (instruction, &(i, o)) in pairs.iter().enumerate() {
            for (operand, block, irreps) in [
                ("irreps_in", i, &self.irreps_in),
                ("irreps_out", o, &self.irreps_out),
            ] {
                if block >= irreps.len() {
                    return Err(ProductError::NoSuchBlock {
                        instruction,
                        operand,
                        block,
                        blocks: irreps.len(),
                        irreps: irreps.to_string(),
                    });
                }
            }
            let (input, output) = (self.irreps_in[i].irrep, self.irreps_out[o].irrep);
            if input != output {
                return Err(ProductError::DifferentIrreps {
                    instruction,
                    input: input.to_string(),
                    block_in: i,
                    output: output.to_string(),
                    block_out: o,
                });
            }
        }
        Ok(())
    }

    /// Blocks of the output with a bias.
    fn biased(&self) -> Result<Vec<usize>, ProductError> {
        let blocks = 0..self.irreps_out.len();
        let is_scalar = |&block: &usize| self.irreps_out[block].irrep.is_scalar();
        match &self.biases {
            Biases::None => Ok(Vec::new()),
            Biases::Scalars => Ok(blocks.filter(is_scalar).collect()),
            Biases::Blocks(marks) => {
                if marks.len() != self.irreps_out.len() {
                    return Err(ProductError::Length {
                        what: "biases",
                        got: marks.len(),
                        want: self.irreps_out.len(),
                    });
                }
                let biased: Vec<usize> = blocks.filter(|&block| marks[block]).collect();
                match biased.iter().find(|block| !is_scalar(block)) {
                    None => Ok(biased),
                    Some(&block) => Err(ProductError::BiasOnNonScalar {
                        block,
                        irrep: self.irreps_out[block].irrep.to_string(),
                    }),
                }
            }
        }
    }

    /// The map as a product with the number 1, the inputs and outputs side by side.
    fn plan(&self, pairs: &[(usize, usize)]) -> Result<Arc<ProductPlan>, ProductError> {
        let (blocks_in, blocks_out) = (self.irreps_in.len(), self.irreps_out.len());
        let mut instructions = Vec::new();
        for fi in 0..self.f_in {
            for fo in 0..self.f_out {
                instructions.extend(pairs.iter().map(|&(i, o)| {
                    let (i, o) = (fi * blocks_in + i, fo * blocks_out + o);
                    Instruction::new(i, 0, o, ConnectionMode::Uvw)
                }));
            }
        }
        let normalization = Normalization {
            path: self.path_normalization,
            // A one-hot vector counts as that many terms.
            in2_var: self.classes.map(|classes| vec![classes as f64]),
            ..Normalization::default()
        };
        ProductPlan::new(
            &self.irreps_in.repeat(self.f_in),
            &Irreps::from(Irrep::SCALAR),
            &self.irreps_out.repeat(self.f_out),
            &instructions,
            &normalization,
            Default::default(),
        )
    }
}

fn equal_pairs(irreps_in: &Irreps, irreps_out: &Irreps) -> Vec<(usize, usize)> {
    let blocks = irreps_in.iter().enumerate();
    blocks
        .flat_map(|(i, a)| {
            let same = irreps_out.iter().enumerate();
            let same = same.filter(|(_, b)| a.irrep == b.irrep);
            same.map(move |(o, _)| (i, o))
        })
        .collect()
}

/// A linear map that commutes with rotations and inversion: copies of each irrep are mixed,
/// `out_wk = Σ_u w_uw x_uk / √n + b_w`, e3nn's `o3.Linear`; made by [`LinearConfig::init`].
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use e3nn_tensorprod::LinearConfig;
///
/// let device = Device::flex();
/// let linear = LinearConfig::new("4x0e+16x1o".parse()?, "8x0e+8x1o".parse()?).init(&device)?;
/// assert_eq!(linear.weight_numel(), 160);
/// let x = Tensor::<2>::random([10, 52], Distribution::Default, &device);
/// assert_eq!(linear.forward(x).dims(), [10, 32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct Linear {
    /// `[classes or 1, weight_numel]`, a row being `[f_in, f_out, …]` of the weights of all instructions one after the
    /// other, each `[mul_in, mul_out]`.
    pub weight: Option<Param<Tensor<2>>>,
    /// `[f_out · biases]`, those of the blocks that have one, in order.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    plan: Arc<ProductPlan>,
    #[module(skip)]
    irreps_out: Irreps,
    #[module(skip)]
    biased: Vec<usize>,
    #[module(skip)]
    f_out: usize,
    #[module(skip)]
    classes: Option<usize>,
    #[module(skip)]
    path_shapes: Vec<[usize; 2]>,
}

impl Linear {
    /// The map as a product with the number 1; its irreps are those of all inputs and outputs side by side.
    pub fn plan(&self) -> &Arc<ProductPlan> {
        &self.plan
    }

    /// Number of weights (per class).
    pub fn weight_numel(&self) -> usize {
        self.plan.weight_numel()
    }

    /// Number of biases.
    pub fn bias_numel(&self) -> usize {
        let per_output = self.biased.iter().map(|&block| self.irreps_out[block].mul);
        self.f_out * per_output.sum::<usize>()
    }

    /// The map with the layer's own weights and biases.
    ///
    /// # Shapes
    /// - `x`: `[batch, f_in · irreps_in.dim()]`; output: `[batch, f_out · irreps_out.dim()]`
    ///
    /// # Panics
    /// If shapes or dtypes disagree, the layer does not own its weights, or has weights by class.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        assert!(
            self.classes.is_none(),
            "linear: weights are by class, which `forward_by_class` takes"
        );
        self.with_own(x, &WeightRows::Shared)
    }

    /// The map with the layer's own weights, each row with those of its class.
    ///
    /// # Panics
    /// If shapes or dtypes disagree, or the layer does not own weights by class.
    pub fn forward_by_class<V: Value<2>>(&self, x: V, classes: &Arc<RowClasses>) -> V {
        assert!(
            self.classes == Some(classes.classes()),
            "linear: rows of {} classes given, the layer has weights for {:?}",
            classes.classes(),
            self.classes
        );
        self.with_own(x, &WeightRows::ByClass(classes.clone()))
    }

    /// The map with given weights, `[1, weight_numel]`, `[batch, weight_numel]` (each row its own) or, with
    /// `classes`, `[classes, weight_numel]`; biases `[1, bias_numel]` or `[batch, bias_numel]`, absent where there are
    /// none. (e3nn 0.6.0 cannot be built with biases and weights per row.)
    ///
    /// # Panics
    /// If shapes or dtypes disagree.
    pub fn forward_weighted<V: Value<2>>(
        &self,
        x: V,
        w: V,
        bias: Option<V>,
        rows: &WeightRows,
    ) -> V {
        let (x, w): (Dual<2>, Dual<2>) = (x.into(), w.into());
        V::from_dual(self.apply(x, Some(w), bias.map(Into::into), rows))
    }

    /// Weights by class `[classes, weight_numel]` from the weights of e3nn's `FullyConnectedTensorProduct` with a
    /// one-hot vector, where the class is the middle axis of each instruction: `[mul_in, classes, mul_out]`.
    ///
    /// # Panics
    /// If the layer has no weights by class, `f_in` or `f_out` is not 1, or the length disagrees.
    pub fn class_weights_from_one_hot(&self, flat: Tensor<1>) -> Tensor<2> {
        let classes = self.classes.expect("the layer has weights by class");
        let numel = self.weight_numel();
        self.one_input_and_output("class_weights_from_one_hot");
        assert!(
            flat.dims() == [classes * numel],
            "class_weights_from_one_hot: {} weights given, expected {}",
            flat.dims()[0],
            classes * numel
        );
        if numel == 0 {
            return zeros([classes, 0], &flat.device(), flat.dtype());
        }
        let mut start = 0;
        let parts = self.filled_paths().map(|[mul_in, mul_out]| {
            let len = mul_in * classes * mul_out;
            let part = flat.clone().narrow(0, start, len);
            start += len;
            let part = part.reshape([mul_in, classes, mul_out]).swap_dims(0, 1);
            part.reshape([classes, mul_in * mul_out])
        });
        Tensor::cat(parts.collect(), 1)
    }

    /// The way back of [`class_weights_from_one_hot`](Self::class_weights_from_one_hot).
    ///
    /// # Panics
    /// If the layer has no weights by class, `f_in` or `f_out` is not 1, or the shape disagrees.
    pub fn one_hot_from_class_weights(&self, weights: Tensor<2>) -> Tensor<1> {
        let classes = self.classes.expect("the layer has weights by class");
        let expected = [classes, self.weight_numel()];
        self.one_input_and_output("one_hot_from_class_weights");
        assert!(
            weights.dims() == expected,
            "one_hot_from_class_weights: expected {expected:?}, got {:?}",
            weights.dims()
        );
        if expected[1] == 0 {
            return zeros([0], &weights.device(), weights.dtype());
        }
        let mut start = 0;
        let parts = self.filled_paths().map(|[mul_in, mul_out]| {
            let part = weights.clone().narrow(1, start, mul_in * mul_out);
            start += mul_in * mul_out;
            let part = part.reshape([classes, mul_in, mul_out]).swap_dims(0, 1);
            part.reshape([mul_in * classes * mul_out])
        });
        Tensor::cat(parts.collect(), 0)
    }

    /// Copies of the blocks of every path that has weights.
    fn filled_paths(&self) -> impl Iterator<Item = [usize; 2]> {
        let paths = self.path_shapes.iter().copied();
        paths.filter(|shape| !shape.contains(&0))
    }

    /// With several inputs or outputs, e3nn has no product with a one-hot vector to compare with.
    fn one_input_and_output(&self, function: &str) {
        let sizes = self.filled_paths().map(|[a, b]| a * b);
        assert!(
            self.f_out == 1 && sizes.sum::<usize>() == self.weight_numel(),
            "{function}: expected f_in and f_out to be 1"
        );
    }

    /// Whether each class of rows has weights of its own.
    #[cfg(feature = "import")]
    pub(crate) fn by_class(&self) -> bool {
        self.classes.is_some()
    }

    fn with_own<V: Value<2>>(&self, x: V, rows: &WeightRows) -> V {
        let need = |have: bool, numel: usize, what: &str| {
            assert!(
                have || numel == 0,
                "linear: the layer owns no {what}, {numel} are needed"
            );
        };
        need(self.weight.is_some(), self.weight_numel(), "weights");
        need(self.bias.is_some(), self.bias_numel(), "biases");
        let w = self.weight.as_ref().map(|w| Dual::constant(w.val()));
        let bias = self.bias.as_ref().map(|b| b.val().unsqueeze_dim::<2>(0));
        V::from_dual(self.apply(x.into(), w, bias.map(Dual::constant), rows))
    }

    fn apply(
        &self,
        x: Dual<2>,
        w: Option<Dual<2>>,
        bias: Option<Dual<2>>,
        rows: &WeightRows,
    ) -> Dual<2> {
        let [batch, _] = x.value.dims();
        let (device, dtype) = (x.value.device(), x.value.dtype());
        let one = if batch == 0 {
            zeros([0, 1], &device, dtype)
        } else {
            Tensor::ones([batch, 1], (&device, dtype))
        };
        let out = self.plan.apply(x, Dual::constant(one), w, rows);
        match bias {
            None => {
                let numel = self.bias_numel();
                assert!(numel == 0, "linear: no biases given, expected {numel}");
                out
            }
            Some(bias) => out + bias.linear(|bias| self.spread_bias(bias)),
        }
    }

    /// Biases at their places in a row of the output.
    fn spread_bias(&self, bias: Tensor<2>) -> Tensor<2> {
        let ([rows, given], numel) = (bias.dims(), self.bias_numel());
        assert!(
            given == numel,
            "linear: {given} biases given, expected {numel}"
        );
        let mut at = 0;
        let mut parts = Vec::new();
        for _ in 0..self.f_out {
            for (i, block) in self.irreps_out.iter().enumerate() {
                if block.dim() == 0 {
                    continue;
                }
                if self.biased.contains(&i) {
                    parts.push(bias.clone().narrow(1, at, block.dim()));
                    at += block.dim();
                } else {
                    let shape = [rows, block.dim()];
                    parts.push(Tensor::zeros(shape, (&bias.device(), bias.dtype())));
                }
            }
        }
        if parts.is_empty() {
            return bias;
        }
        Tensor::cat(parts, 1)
    }
}
