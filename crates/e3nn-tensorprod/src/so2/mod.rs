//! Products with spherical harmonics in the frames of edges, and SO(2) linear maps (eSCN).
//!
//! Rotated so that the edge lies along the polar axis, of the harmonics of the edge only `m = 0` is left, and a
//! Clebsch-Gordan product with them takes order `m` of the features to `±m` of the result and nowhere else. With features
//! `x' = D x` in the frame, a product with weights `w_p` of paths `p = (l₁, l₂, l₃)` is for every `m > 0`
//!
//! ```text
//! | y'_m  |   | a  −b | | x'_m  |      a = Σ_p w_p k_p C(l₁ m, l₂ 0, l₃ m) √(2l₂+1)     l₁ + l₂ + l₃ even
//! | y'_−m | = | b   a | | x'_−m |      b = Σ_p w_p k_p C(l₁ m, l₂ 0, l₃ −m) √(2l₂+1)    l₁ + l₂ + l₃ odd
//! ```
//!
//! between copies of irreps, `y'_0 = a x'_0`, and `y = Dᵀ y'` (Passaro and Zitnick, arXiv 2302.03655). Sums over
//! `l₂` are in the matrices, made once for all edges. So [`EdgeProduct`] has two plans, the kernels of
//! [`product`](crate::product) on harmonics and this one, and takes the one that its cost model says is faster. They agree to
//! rounding, derivatives included.
//!
//! [`EdgeFrames`] are frames with their Wigner matrices, made once for all layers; [`So2Linear`] is the map in frames that
//! eSCN, EquiformerV2 and UMA have, with weights of its own for every order.

mod aligned;
mod cost;
mod error;
mod explain;
mod frames;
mod layout;
mod linear;
mod op;
mod product;

pub use cost::{CostStep, Plan, PlanCost};
pub use error::EdgeProductError;
pub use explain::EdgeExplanation;
pub use frames::EdgeFrames;
pub use layout::FrameLayout;
pub use linear::{So2Linear, So2LinearConfig};
#[cfg(feature = "testing")]
pub use op::every_form;
pub use product::{EdgeProduct, EdgeProductConfig, PlanChoice};
