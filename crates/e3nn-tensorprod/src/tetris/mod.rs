//! The tetris task: eight shapes of four points, to be told apart in any orientation.
//!
//! Two of them are mirror images, so a network must be sensitive to handedness, which a pseudoscalar `0o` is and no
//! scalar: it takes the product of three edge vectors, hence three convolutions. From the e3nn tutorial and
//! Tensor Field Networks (arXiv 1802.08219, Section 5.1).

mod draw;
mod network;
mod train;

pub use draw::picture;
pub use network::{TetrisNet, TetrisNetConfig};
pub use train::{Progress, Recipe, Trained, evaluate};

use crate::rotation::Orthogonal;
use core_tensor::graph::Graph;
use rand::Rng;

/// Names of the shapes.
pub const NAMES: [&str; 8] = [
    "chiral 1", "chiral 2", "square", "line", "corner", "L", "T", "zigzag",
];

/// Four points of every shape, with neighbours at distance 1.
pub const SHAPES: [[[f64; 3]; 4]; 8] = [
    [[0., 0., 0.], [0., 0., 1.], [1., 0., 0.], [1., 1., 0.]],
    [[0., 0., 0.], [0., 0., 1.], [1., 0., 0.], [1., -1., 0.]],
    [[0., 0., 0.], [1., 0., 0.], [0., 1., 0.], [1., 1., 0.]],
    [[0., 0., 0.], [0., 0., 1.], [0., 0., 2.], [0., 0., 3.]],
    [[0., 0., 0.], [0., 0., 1.], [0., 1., 0.], [1., 0., 0.]],
    [[0., 0., 0.], [0., 0., 1.], [0., 0., 2.], [0., 1., 0.]],
    [[0., 0., 0.], [0., 0., 1.], [0., 0., 2.], [0., 1., 1.]],
    [[0., 0., 0.], [1., 0., 0.], [1., 1., 0.], [2., 1., 0.]],
];

/// Number of points of a shape.
pub const POINTS: usize = 4;

/// The shape that a shape becomes in a mirror.
pub const fn mirrored(shape: usize) -> usize {
    match shape {
        0 => 1,
        1 => 0,
        same => same,
    }
}

/// All shapes, each moved by a random rotation, as the points of one graph.
#[derive(Debug, Clone)]
pub struct Points {
    /// Positions of all points, shape after shape.
    pub positions: Vec<[f64; 3]>,
    /// Points at distance 1 are joined, both ways.
    pub graph: Graph,
}

impl Points {
    /// The shapes as they are, or each turned by an element of its own.
    pub fn new(mut turn: impl FnMut() -> Orthogonal) -> Self {
        let turned = SHAPES.iter().map(|shape| {
            let matrix = turn().matrix();
            shape.map(|point| matrix.map(|row| (0..3).map(|i| row[i] * point[i]).sum()))
        });
        let positions: Vec<[f64; 3]> = turned.flatten().collect();
        let near =
            |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>() < 1.21;
        let (mut sources, mut destinations) = (Vec::new(), Vec::new());
        for (i, &a) in positions.iter().enumerate() {
            for (j, &b) in positions.iter().enumerate() {
                if i != j && i / POINTS == j / POINTS && near(a, b) {
                    sources.push(j as u32);
                    destinations.push(i as u32);
                }
            }
        }
        let graph = Graph::new(positions.len(), &sources, &destinations, &[]);
        Self {
            positions,
            graph: graph.expect("every edge joins two of the points"),
        }
    }

    /// The shapes, each turned at random, without reflections.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self::new(|| Orthogonal {
            inversion: false,
            ..Orthogonal::random(rng)
        })
    }
}
