//! The product of features with the harmonics of edges: [`EdgeProduct`].

use super::aligned::Aligned;
use super::cost::{Plan, Rates, Setting, direct, in_frames};
use super::{EdgeExplanation, EdgeFrames, EdgeProductError};
use crate::irreps::{Irreps, Parity, SortOrder};
use crate::product::{InstructionOrder, TensorProduct, TensorProductConfig, WeightRows};
use crate::sh::{HarmonicsError, Normalization, SphericalHarmonics, SphericalHarmonicsConfig};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::zeros;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which plan an [`EdgeProduct`] is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PlanChoice {
    /// The one that the cost model says is faster, which knows forward passes on one thread of a CPU, and with shared weights on
    /// a GPU.
    #[default]
    Auto,
    /// The kernels of tensor products, on harmonics.
    Direct,
    /// SO(2) maps in the frames of the edges.
    EdgeFrame,
}

/// Configuration of an [`EdgeProduct`].
#[derive(Config, Debug)]
pub struct EdgeProductConfig {
    /// The product; its second input is the harmonics, each of multiplicity 1. Weights are those of this product, in its
    /// order.
    pub product: TensorProductConfig,
    /// Scale of the harmonics.
    #[config(default = "Normalization::Component")]
    pub normalization: Normalization,
    /// Which plan.
    #[config(default = "PlanChoice::Auto")]
    pub plan: PlanChoice,
    /// The largest order `|m|` about the edge that is kept, as in eSCN and EquiformerV2; absent, all. Below the largest
    /// degree of features and result an approximation, made in frames whatever is faster: products that start or end in
    /// components of higher order in the frame are left out. It commutes with rotations and inversion exactly, but is
    /// no longer the product.
    pub mmax: Option<usize>,
    /// For the cost model: whether all edges share one row of weights. Calls may have either.
    #[config(default = true)]
    pub shared_weights: bool,
    /// For the cost model: edges of a call.
    #[config(default = 1000)]
    pub edges: usize,
    /// For the cost model: layers that use the same frames or harmonics.
    #[config(default = 1)]
    pub layers: usize,
}

impl EdgeProductConfig {
    /// All paths that there are, each with a weight for every triple of copies
    /// ([`TensorProductConfig::fully_connected`]).
    pub fn fully_connected(irreps_in: &Irreps, irreps_sh: &Irreps, irreps_out: &Irreps) -> Self {
        let product = TensorProductConfig::fully_connected(irreps_in, irreps_sh, irreps_out);
        Self::new(product)
    }

    /// The depth-wise product, every path with a block of its own ([`TensorProductConfig::depthwise`]).
    pub fn depthwise(irreps_in: &Irreps, irreps_sh: &Irreps, targets: &Irreps) -> Self {
        let (order, sort) = (InstructionOrder::Found, SortOrder::DegreeFirst);
        let product = TensorProductConfig::depthwise(irreps_in, irreps_sh, targets, order, sort);
        Self::new(product)
    }

    /// Makes the layer, with weights drawn from N(0, 1) if it has its own.
    ///
    /// # Errors
    /// If the product is wrong; its second input is no harmonics of a vector or, all blocks being even, of a pseudovector;
    /// a block of it has several copies; a size is 0; the plan asked for cannot do what is asked for.
    pub fn init(&self, device: &Device) -> Result<EdgeProduct, EdgeProductError> {
        for (name, size) in [("edges", self.edges), ("layers", self.layers)] {
            if size == 0 {
                return Err(EdgeProductError::Zero(name));
            }
        }
        let harmonics = self.harmonics()?;
        for (block, b) in harmonics.irreps().iter().enumerate() {
            if b.mul != 1 {
                return Err(EdgeProductError::HarmonicMultiplicity { block, mul: b.mul });
            }
        }
        let product = self.product.init(device)?;
        let plan = product.plan();
        let degrees = plan.irreps_in1().ls().chain(plan.irreps_out().ls());
        let lmax = degrees.max().unwrap_or(0);
        let truncated = self.mmax.filter(|&mmax| mmax < lmax);
        if let (Some(mmax), PlanChoice::Direct) = (truncated, self.plan) {
            return Err(EdgeProductError::DirectTruncation { mmax, lmax });
        }
        let aligned = Aligned::new(plan, self.normalization, self.mmax);
        let setting = Setting {
            shared: self.shared_weights,
            edges: self.edges,
            layers: self.layers,
            lmax: lmax.max(plan.irreps_in2().ls().max().unwrap_or(0)),
            rates: Rates::of(device, self.shared_weights),
        };
        let costs = [
            Some(direct(plan, &setting)),
            aligned.as_ref().ok().map(|a| in_frames(a, plan, &setting)),
        ];
        let (chosen, reason) = match (self.plan, &costs[1]) {
            (PlanChoice::Direct, _) => (Plan::Direct, "asked for".to_owned()),
            (PlanChoice::EdgeFrame, _) => (Plan::EdgeFrame, "asked for".to_owned()),
            _ if truncated.is_some() => (Plan::EdgeFrame, "orders are left out".to_owned()),
            (PlanChoice::Auto, None) => (Plan::Direct, "frames do not have all paths".to_owned()),
            (PlanChoice::Auto, Some(frames)) => cheaper(&costs[0], frames),
        };
        let aligned = match (chosen, aligned) {
            (Plan::EdgeFrame, aligned) => Some(Arc::new(aligned?)),
            (Plan::Direct, _) => None,
        };
        let [direct, frames] = costs;
        Ok(EdgeProduct {
            explanation: EdgeExplanation {
                direct: direct.expect("every product has a direct plan"),
                edge_frame: frames,
                chosen,
                reason,
                truncation: truncated,
                setting,
            },
            normalization: self.normalization,
            product,
            harmonics,
            aligned,
            lmax,
        })
    }

    fn harmonics(&self) -> Result<SphericalHarmonics, HarmonicsError> {
        let irreps = &self.product.irreps_in2;
        let even = irreps.iter().all(|b| b.irrep.parity() == Parity::Even);
        let config = SphericalHarmonicsConfig::new(irreps.clone());
        let config = config.with_normalization(self.normalization);
        config.init().or_else(|error| {
            if even {
                config.with_pseudovector(true).init()
            } else {
                Err(error)
            }
        })
    }
}

/// The plan with the smaller estimate, and why.
fn cheaper(direct: &Option<super::PlanCost>, frames: &super::PlanCost) -> (Plan, String) {
    let direct = direct
        .as_ref()
        .map_or(f64::INFINITY, super::PlanCost::nanoseconds);
    let frames = frames.nanoseconds();
    let (plan, ratio) = if frames < direct {
        (Plan::EdgeFrame, direct / frames)
    } else {
        (Plan::Direct, frames / direct)
    };
    (
        plan,
        format!("estimated {ratio:.1} times as fast as the other"),
    )
}

/// The product of features with the spherical harmonics of edges, `out = x ⊗_w Y(v/|v|)`, from vectors; made by
/// [`EdgeProductConfig::init`].
///
/// The same numbers, weights and derivatives as a [`TensorProduct`] of the features with
/// [`spherical_harmonics`](crate::sh::spherical_harmonics) (normalised), by the plan that is faster ([`explain`](Self::explain)
/// says which and why). All values are tensors, or all duals. Weights of every edge of the form
/// `w_p · r_e` with a factor for each copy of the features are features times factors, with shared weights.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use e3nn_tensorprod::irreps;
/// use e3nn_tensorprod::so2::{EdgeProductConfig, Plan};
///
/// let device = Device::flex();
/// let features = irreps!("32x0e+32x1o+32x2e+32x3o+32x4e");
/// let harmonics = irreps!("0e+1o+2e+3o+4e");
/// let product = EdgeProductConfig::fully_connected(&features, &harmonics, &features).init(&device)?;
/// assert_eq!(product.plan(), Plan::EdgeFrame);
/// println!("{}", product.explain());
///
/// let x = Tensor::<2>::random([7, 800], Distribution::Default, &device);
/// let vectors = Tensor::<2>::random([7, 3], Distribution::Default, &device);
/// assert_eq!(product.forward(x, vectors).dims(), [7, 800]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct EdgeProduct {
    /// The product, with the weights if the layer owns them.
    pub product: TensorProduct,
    #[module(skip)]
    harmonics: SphericalHarmonics,
    #[module(skip)]
    normalization: Normalization,
    #[module(skip)]
    aligned: Option<Arc<Aligned>>,
    #[module(skip)]
    explanation: EdgeExplanation,
    #[module(skip)]
    lmax: usize,
}

impl EdgeProduct {
    /// The plan that runs.
    pub fn plan(&self) -> Plan {
        self.explanation.chosen
    }

    /// What both plans cost, and why this one runs; as text, a table.
    pub fn explain(&self) -> &EdgeExplanation {
        &self.explanation
    }

    /// Number of weights of a row.
    pub fn weight_numel(&self) -> usize {
        self.product.weight_numel()
    }

    /// The degree up to which frames for this layer need Wigner matrices.
    pub fn lmax(&self) -> usize {
        match self.plan() {
            Plan::EdgeFrame => self.lmax,
            Plan::Direct => self.harmonics.irreps().ls().max().unwrap_or(0),
        }
    }

    /// The product with the layer's own weights, or without any.
    ///
    /// # Shapes
    /// - `x`: `[edges, irreps_in.dim()]`; `vectors`: `[edges, 3]`; output `[edges, irreps_out.dim()]`
    ///
    /// # Panics
    /// If shapes or dtypes disagree, or the product has weights but the layer does not own them.
    pub fn forward<V: Value<2>>(&self, x: V, vectors: V) -> V {
        self.on_vectors(x, vectors, self.own_weights())
    }

    /// The product with given weights, one row for all edges (`[1, weight_numel]`) or one per edge
    /// (`[edges, weight_numel]`).
    ///
    /// # Panics
    /// If shapes or dtypes disagree.
    pub fn forward_weighted<V: Value<2>>(&self, x: V, vectors: V, w: V) -> V {
        self.on_vectors(x, vectors, Some(w.into()))
    }

    /// As [`forward`](Self::forward), with frames that are there already.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), or if the frames have no matrices of a degree ([`lmax`](Self::lmax)).
    pub fn forward_in<V: Value<2>>(&self, x: V, frames: &EdgeFrames<V>) -> V {
        self.in_frames(x, frames, self.own_weights())
    }

    /// As [`forward_weighted`](Self::forward_weighted), with frames that are there already.
    ///
    /// # Panics
    /// As [`forward_weighted`](Self::forward_weighted), or if the frames have no matrices of a degree
    /// ([`lmax`](Self::lmax)).
    pub fn forward_weighted_in<V: Value<2>>(&self, x: V, frames: &EdgeFrames<V>, w: V) -> V {
        self.in_frames(x, frames, Some(w.into()))
    }

    fn own_weights(&self) -> Option<Dual<2>> {
        self.product.own_weights().map(Dual::constant)
    }

    fn on_vectors<V: Value<2>>(&self, x: V, vectors: V, w: Option<Dual<2>>) -> V {
        match self.plan() {
            Plan::Direct => {
                let y: Dual<2> = self.harmonics.forward(vectors).into();
                V::from_dual(self.direct(x.into(), y, w))
            }
            Plan::EdgeFrame => self.in_frames(x, &EdgeFrames::new(vectors, self.lmax), w),
        }
    }

    fn in_frames<V: Value<2>>(&self, x: V, frames: &EdgeFrames<V>, w: Option<Dual<2>>) -> V {
        let Some(aligned) = &self.aligned else {
            let degrees: Vec<usize> = self.harmonics.irreps().ls().collect();
            let y = frames.harmonics(&degrees, self.normalization);
            return V::from_dual(self.direct(x.into(), y.into(), w));
        };
        let edges = frames.edges();
        let dual: Dual<2> = x.clone().into();
        let (got, want) = (dual.dims(), [edges, aligned.inputs.irreps().dim()]);
        assert!(
            got == want,
            "edge product: features have shape {got:?}, expected {want:?}"
        );
        let shared = self.check_weights(w.as_ref(), edges);
        if edges == 0 {
            let none = [0, aligned.outputs.irreps().dim()];
            return V::from_dual(dual.linear(|x| zeros(none, &x.device(), x.dtype())));
        }
        let local: Dual<2> = frames.rotate(x, &aligned.inputs).into();
        let local = aligned.apply(&local, w.as_ref(), shared);
        let out = frames.rotate_back(V::from_dual(local), &aligned.outputs);
        match frames.zero() {
            None => out,
            Some(zero) => V::from_dual(self.patch(out.into(), dual, w, shared, zero)),
        }
    }

    /// Whether weights are shared by all edges.
    fn check_weights(&self, w: Option<&Dual<2>>, edges: usize) -> bool {
        let numel = self.weight_numel();
        let Some(w) = w else {
            assert!(
                numel == 0,
                "edge product: no weights given, expected {numel} per row"
            );
            return true;
        };
        let [rows, columns] = w.dims();
        assert!(
            columns == numel && (rows == 1 || rows == edges),
            "edge product: weights have shape {:?}, expected [1, {numel}] or [{edges}, {numel}]",
            [rows, columns]
        );
        rows == 1
    }

    fn direct(&self, x: Dual<2>, y: Dual<2>, w: Option<Dual<2>>) -> Dual<2> {
        let rows = match &w {
            Some(w) if w.dims()[0] != 1 => WeightRows::PerRow,
            _ => WeightRows::Shared,
        };
        self.product.plan().apply(x, y, w, &rows)
    }

    /// Of edges of length zero, which have no direction, the product with harmonics that are 0 but for degree 0.
    fn patch(
        &self,
        out: Dual<2>,
        x: Dual<2>,
        w: Option<Dual<2>>,
        shared: bool,
        zero: &Tensor<2, Bool>,
    ) -> Dual<2> {
        let device = out.device();
        let zero: Vec<bool> = zero.clone().into_data().iter::<bool>().collect();
        let places = |list: Vec<i64>| {
            let count = list.len();
            Tensor::<1, Int>::from_data(TensorData::new(list, [count]), &device)
        };
        let rows = (0_i64..).zip(&zero).filter(|(_, zero)| **zero);
        let rows = places(rows.map(|(row, _)| row).collect());
        let count = rows.dims()[0];
        let none = Tensor::<2>::zeros([count, 3], (&device, out.dtype()));
        let y = Dual::constant(self.harmonics.forward(none));
        let w = w.map(|w| if shared { w } else { w.select(0, rows.clone()) });
        let patch = self.direct(x.select(0, rows), y, w);
        let mut next = zero.len() as i64;
        let order = zero.iter().enumerate().map(|(row, &zero)| {
            if zero {
                next += 1;
                next - 1
            } else {
                row as i64
            }
        });
        let order = places(order.collect());
        Dual::cat(vec![out, patch], 0).select(0, order)
    }
}
