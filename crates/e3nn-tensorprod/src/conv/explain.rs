//! What a convolution costs: [`Paths::explain`].
//!
//! # Why it is direct
//! [`so2`](crate::so2) evaluates products with harmonics in the frames of edges, which needs fewer multiplications where copies
//! are mixed (`uvw`): sums over the harmonics' degrees are then in matrices that all edges share, and a result is
//! rotated back once for all that mixes into it. The convolution here is channel-wise, with weights of every edge and a
//! block of the output for every path. Nothing can be summed before it is rotated back, and that costs `(2l₃ + 1)²` per
//! channel and path, no less than the `(a, c)` pairs of the direct form, of which
//! there are at most `(2l₁ + 1)(2l₃ + 1)`; features would be rotated into every edge's frame besides
//! ([`ConvExplanation::frame_flops`] counts both). The frames differ from edge to edge, so messages cannot be summed
//! before either. And a convolution is bound by what it reads, most of it weights, which no frame makes fewer.

use super::{Convolution, Paths};
use crate::irreps::Irrep;
use core::fmt;
use std::collections::BTreeSet;

/// What one path costs in a forward pass, per edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvPathCost {
    /// The path, as `features x harmonic -> output`.
    pub path: String,
    /// Channels, and so weights.
    pub channels: usize,
    /// Coefficients `C_abc` that are not 0.
    pub terms: usize,
    /// Pairs `(a, c)` that have some.
    pub pairs: usize,
    /// Multiplications and additions in the two steps of the kernels: `A_ac = Σ_b C_abc y_b`, once per edge, then
    /// `out_c += w Σ_a A_ac x_a` per channel.
    pub flops: usize,
    /// The same in the frame of the edge, where the result is rotated back path by path.
    pub frame_flops: usize,
}

/// What a convolution costs in a forward pass, per edge; as text, a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvExplanation {
    /// Path by path, in the order of the weights.
    pub paths: Vec<ConvPathCost>,
    /// Values of the features of a node, of the harmonics of an edge, of the output of a node.
    pub values: [usize; 3],
    /// Weights of an edge.
    pub weights: usize,
    /// Multiplications and additions that rotate the features into the frame of an edge.
    pub rotation: usize,
}

impl ConvExplanation {
    /// Multiplications and additions per edge.
    pub fn flops(&self) -> usize {
        self.paths.iter().map(|path| path.flops).sum()
    }

    /// Multiplications and additions per edge that evaluation in the frames of edges would take, those of Wigner matrices
    /// not counted.
    pub fn frame_flops(&self) -> usize {
        let paths = self.paths.iter().map(|path| path.frame_flops);
        self.rotation + paths.sum::<usize>()
    }

    /// Coefficients of all paths that are not 0.
    pub fn terms(&self) -> usize {
        self.paths.iter().map(|path| path.terms).sum()
    }

    /// Bytes read per edge with stored weights, for values of that size: features, harmonics, weights. Sums stay in caches.
    pub fn bytes_stored(&self, size: usize) -> usize {
        size * (self.values[0] + self.values[1] + self.weights)
    }

    /// Bytes read per edge if weights are computed from `hidden` values of the radial network
    /// ([`convolve_radial`](super::convolve_radial)).
    pub fn bytes_fused(&self, size: usize, hidden: usize) -> usize {
        size * (self.values[0] + self.values[1] + hidden)
    }

    /// Multiplications and additions per edge that make weights from `hidden` values.
    pub fn flops_fused(&self, hidden: usize) -> usize {
        2 * hidden * self.weights
    }

    /// Bytes read per edge if weights are splines of the distance ([`convolve_spline`](super::convolve_spline)), whose
    /// table stays in caches.
    pub fn bytes_spline(&self, size: usize) -> usize {
        size * (self.values[0] + self.values[1] + 1)
    }

    /// Multiplications and additions per edge that make weights from splines: four of each per weight.
    pub fn flops_spline(&self) -> usize {
        8 * self.weights
    }

    /// Bytes per edge of the messages, which are never stored: what a product and a sum one after the other would write and
    /// read again.
    pub fn bytes_messages(&self, size: usize) -> usize {
        size * self.values[2]
    }
}

impl Paths {
    /// What the convolution costs, path by path, and what it would in the frames of the edges.
    ///
    /// ```
    /// use e3nn_tensorprod::{ConvolutionConfig, irreps};
    ///
    /// let conv = ConvolutionConfig::new(irreps!("8x0e+8x1o"), irreps!("0e+1o"), irreps!("0e+1o")).init()?;
    /// let explained = conv.explain();
    /// assert_eq!(explained.terms(), 1 + 3 + 3 + 3);
    /// assert_eq!(explained.bytes_stored(4), 4 * (32 + 4 + 32));
    /// println!("{explained}");
    /// # Ok::<(), e3nn_tensorprod::ConvError>(())
    /// ```
    pub fn explain(&self) -> ConvExplanation {
        let [features, harmonics, _] = self.dims();
        let listed = self.paths().iter().zip(self.compiled());
        let paths: Vec<ConvPathCost> = listed
            .map(|(listed, path)| {
                let pairs: BTreeSet<_> = path.terms.iter().map(|t| (t.a, t.c)).collect();
                let [d1, _, d3] = path.dims;
                let (channels, terms, pairs) = (path.channels, path.terms.len(), pairs.len());
                let (x, y) = (
                    self.irreps_in()[listed.input],
                    self.irreps_sh()[listed.harmonic],
                );
                let parity = x.irrep.parity().times(y.irrep.parity());
                let irrep = Irrep::new(d3 / 2, parity);
                ConvPathCost {
                    path: format!("{x} x {y} -> {channels}x{irrep}"),
                    channels,
                    terms,
                    pairs,
                    flops: 2 * terms + channels * 2 * (pairs + d3),
                    frame_flops: channels * 2 * (d1.min(d3) + d3 * d3),
                }
            })
            .collect();
        let squares = self
            .irreps_in()
            .iter()
            .map(|b| b.mul * b.irrep.dim().pow(2));
        ConvExplanation {
            values: [features, harmonics, self.irreps_out().dim()],
            weights: self.weight_numel(),
            rotation: 2 * squares.sum::<usize>(),
            paths,
        }
    }
}

impl Convolution {
    /// [`Paths::explain`] of these paths.
    pub fn explain(&self) -> ConvExplanation {
        self.paths().explain()
    }
}

impl fmt::Display for ConvExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32} {:>8} {:>6} {:>6} {:>11} {:>15}",
            "path", "channels", "terms", "pairs", "flops/edge", "flops in frames"
        )?;
        for path in &self.paths {
            writeln!(
                f,
                "{:<32} {:>8} {:>6} {:>6} {:>11} {:>15}",
                path.path, path.channels, path.terms, path.pairs, path.flops, path.frame_flops
            )?;
        }
        writeln!(
            f,
            "total: {} flops per edge ({} in frames, with the rotation of the features)",
            self.flops(),
            self.frame_flops()
        )?;
        write!(
            f,
            "f32 bytes per edge: {} with stored weights, {} fused with 64 hidden values, {} with splines; messages of {} bytes \
             are never stored",
            self.bytes_stored(4),
            self.bytes_fused(4, 64),
            self.bytes_spline(4),
            self.bytes_messages(4)
        )
    }
}
