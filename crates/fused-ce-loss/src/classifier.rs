//! The linear layer in front of the loss.

use crate::engine::Layout;
use burn::nn::Linear;
use burn::tensor::Tensor;

/// The last linear layer of a classifier or language model: `logits = hidden · weightᵀ + bias`.
#[derive(Debug, Clone)]
pub struct Classifier {
    pub(crate) weight: Tensor<2>,
    pub(crate) bias: Option<Tensor<1>>,
    pub(crate) layout: Layout,
}

impl Classifier {
    /// From a weight `[V, D]`, a row per class, as in PyTorch's `Linear` or a tied embedding.
    pub fn from_rows(weight: Tensor<2>) -> Self {
        Self {
            weight,
            bias: None,
            layout: Layout::Rows,
        }
    }

    /// From a weight `[D, V]`, a column per class, as in Burn's `Linear`; it is read as it lies, without a copy.
    pub fn from_columns(weight: Tensor<2>) -> Self {
        Self {
            weight,
            bias: None,
            layout: Layout::Columns,
        }
    }

    /// Adds a bias `[V]` to the logits.
    ///
    /// # Panics
    /// If its length is not the number of classes.
    pub fn with_bias(mut self, bias: Tensor<1>) -> Self {
        assert_eq!(
            bias.dims(),
            [self.classes()],
            "Classifier: expected a bias [classes] = [{}], got {:?}",
            self.classes(),
            bias.dims()
        );
        self.bias = Some(bias);
        self
    }

    /// Without gradient.
    pub(crate) fn detach(mut self) -> Self {
        self.weight = self.weight.detach();
        self.bias = self.bias.map(Tensor::detach);
        self
    }

    /// Number of classes V.
    pub fn classes(&self) -> usize {
        let [rows, columns] = self.weight.dims();
        if self.layout == Layout::Rows {
            rows
        } else {
            columns
        }
    }

    /// Width D of the hidden states.
    pub fn width(&self) -> usize {
        let [rows, columns] = self.weight.dims();
        if self.layout == Layout::Rows {
            columns
        } else {
            rows
        }
    }
}

impl From<Tensor<2>> for Classifier {
    /// [`Classifier::from_rows`].
    fn from(weight: Tensor<2>) -> Self {
        Self::from_rows(weight)
    }
}

impl From<&Linear> for Classifier {
    fn from(linear: &Linear) -> Self {
        let classifier = Self::from_columns(linear.weight.val());
        match &linear.bias {
            Some(bias) => classifier.with_bias(bias.val()),
            None => classifier,
        }
    }
}
