//! What the loss compares the predictions with.

use burn::tensor::{Int, Tensor};

/// Targets of N rows, with optional weights of the rows. Only classes can be [shifted](crate::LossConfig::shift), and
/// [`Targets::top_k`] takes neither smoothing nor weights of classes.
#[derive(Debug, Clone)]
pub struct Targets {
    pub(crate) kind: Kind,
    /// `[N]`.
    pub(crate) weights: Option<Tensor<1>>,
}

/// See the constructors of [`Targets`].
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Classes {
        /// `[N]`.
        ids: Tensor<1, Int>,
        /// Length of a sequence: the last axis as given.
        time: usize,
    },
    Probabilities(Tensor<2>),
    TopK {
        classes: Tensor<2, Int>,
        probabilities: Tensor<2>,
        tail: bool,
    },
}

impl Targets {
    /// One class per row, `[..]` with N elements in the order of the rows; the last axis is time where the options
    /// [shift](crate::LossConfig::shift).
    pub fn classes<const R: usize>(ids: Tensor<R, Int>) -> Self {
        let time = ids.dims()[R - 1];
        Self::new(Kind::Classes {
            ids: ids.flatten(0, R - 1),
            time,
        })
    }

    /// A distribution over all classes per row, `[N, V]`: `loss_i = −Σ_v q_iv log p_iv`. Need not sum to 1.
    pub fn probabilities(q: Tensor<2>) -> Self {
        Self::new(Kind::Probabilities(q))
    }

    /// The largest probabilities of a teacher and their classes, distinct in a row, both `[N, K]`, for distillation: the
    /// Kullback–Leibler divergence `loss_i = Σ_k q_ik (log q_ik − log p_i,c(k))`. With `tail`, all other classes count as
    /// one more, whose probability is what is left of 1 on both sides.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn top_k(classes: Tensor<2, Int>, probabilities: Tensor<2>, tail: bool) -> Self {
        assert_eq!(
            classes.dims(),
            probabilities.dims(),
            "Targets::top_k: expected classes and probabilities of one shape"
        );
        Self::new(Kind::TopK {
            classes,
            probabilities,
            tail,
        })
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            weights: None,
        }
    }

    /// Weighs the loss of every row, `[N]`; the mean divides by the sum of the weights. Differentiable.
    pub fn with_weights(mut self, weights: Tensor<1>) -> Self {
        self.weights = Some(weights);
        self
    }

    /// Number of rows N.
    pub fn rows(&self) -> usize {
        match &self.kind {
            Kind::Classes { ids, .. } => ids.dims()[0],
            Kind::Probabilities(q) => q.dims()[0],
            Kind::TopK { classes, .. } => classes.dims()[0],
        }
    }
}

impl<const R: usize> From<Tensor<R, Int>> for Targets {
    fn from(ids: Tensor<R, Int>) -> Self {
        Self::classes(ids)
    }
}
