//! Weights of a panel of edges.

use super::super::spec::Weighting;
use super::problem::Problem;
use super::spline;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, address_type, block, product};

/// Some edges with their weights.
pub(super) struct Panel {
    pub(super) edges: Range<usize>,
    /// Weights and their tangents, those of edge `first_weight` first.
    pub(super) w: [Option<CubeTensor>; 2],
    pub(super) first_weight: usize,
}

impl Problem<'_> {
    /// Whether weights are computed on the way.
    pub(super) fn computed(&self) -> bool {
        self.call.weighting != Weighting::Stored
    }

    /// Weights that a panel holds for each of its edges, tangents among them.
    pub(super) fn weights_of_an_edge(&self) -> usize {
        if self.computed() {
            self.call.paths.weight_numel() * (1 + usize::from(self.form.w_dot))
        } else {
            0
        }
    }

    /// Edges with their weights.
    pub(super) fn panel(&self, edges: Range<usize>) -> Panel {
        let w_dot = self.tangents[2].as_ref();
        let (w, first_weight) = match self.call.weighting {
            Weighting::Stored => ([Some(self.w.clone()), w_dot.cloned()], 0),
            Weighting::Product => {
                let multiply = |h: &CubeTensor| self.multiply(h, &edges);
                let w = [Some(multiply(&self.w)), w_dot.map(multiply)];
                (w, edges.start)
            }
            Weighting::Spline(knots) => {
                let weights = self.call.paths.weight_numel();
                let output = || self.output([edges.len(), weights]);
                let w = output();
                let w_dot = w_dot.map(|r_dot| (r_dot.clone(), output()));
                let count = edges.len() * weights;
                let (cubes, dim) = self.units(count);
                let arg = CubeTensor::into_tensor_arg;
                spline::evaluate::launch(
                    self.client(),
                    cubes,
                    dim,
                    address_type([&self.w, &self.matrix, &w]),
                    self.w.clone().into_tensor_arg(),
                    w_dot.clone().map(|(r_dot, _)| arg(r_dot)).into(),
                    self.matrix.clone().into_tensor_arg(),
                    w.clone().into_tensor_arg(),
                    w_dot.clone().map(|(_, w_dot)| arg(w_dot)).into(),
                    edges.start,
                    count,
                    spline::Grid::new(knots),
                    self.elem(),
                );
                ([Some(w), w_dot.map(|(_, w_dot)| w_dot)], edges.start)
            }
        };
        Panel {
            edges,
            w,
            first_weight,
        }
    }

    /// `h · matrix` for some edges.
    fn multiply(&self, h: &CubeTensor, edges: &Range<usize>) -> CubeTensor {
        let [hidden, weights] = self.matrix.meta.shape().dims();
        if hidden == 0 {
            return self.zeros([edges.len(), weights]);
        }
        let out = self.output([edges.len(), weights]);
        let h = block(h, edges.clone(), 0..hidden);
        product(h, self.matrix.clone(), out.clone());
        out
    }
}
