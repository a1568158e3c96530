//! Causal depthwise convolution with a streaming state.

use super::min_rnn::linear;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, s};

/// Configuration of a [`CausalConv`].
#[derive(Config, Debug)]
pub struct CausalConvConfig {
    /// Features.
    pub d_model: usize,
    /// Number of steps that an output sees, its own included. The reference code uses 4.
    #[config(default = 4)]
    pub kernel: usize,
    /// Whether a linear map of the features follows.
    #[config(default = true)]
    pub pointwise: bool,
    /// Whether that map is as [`MinRnn::deterministic`](super::MinRnn::deterministic) has it.
    #[config(default = false)]
    pub deterministic: bool,
}

/// Depthwise convolution over the current and the `kernel − 1` preceding steps, then by default a
/// linear map of the features.
///
/// `y_t = W (b + Σ_j w_j ⊙ x_{t − j}) + …`, with zeros (or the carried tail) before the first step.
#[derive(Module, Debug)]
pub struct CausalConv {
    /// `[kernel, d_model]`; row `j` weighs the step `j` before the current one.
    pub weight: Param<Tensor<2>>,
    /// `[d_model]`.
    pub bias: Param<Tensor<1>>,
    /// The map of the features after it, if any.
    pub pointwise: Option<Linear>,
    /// See [`MinRnn::deterministic`](super::MinRnn::deterministic).
    #[module(skip)]
    pub deterministic: bool,
}

impl CausalConvConfig {
    /// Makes the layer with random weights.
    ///
    /// # Panics
    /// If a size is 0.
    pub fn init(&self, device: &Device) -> CausalConv {
        let Self {
            d_model,
            kernel,
            pointwise,
            deterministic,
        } = *self;
        assert!(d_model > 0 && kernel > 0, "CausalConv: sizes must not be 0");
        // As PyTorch's Conv1d with one group per channel: U(±1/√kernel).
        let bound = (kernel as f64).powf(-0.5);
        let uniform = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        CausalConv {
            weight: uniform.init([kernel, d_model], device),
            bias: uniform.init([d_model], device),
            pointwise: pointwise.then(|| LinearConfig::new(d_model, d_model).init(device)),
            deterministic,
        }
    }
}

impl CausalConv {
    /// Steps before the current one that an output sees.
    pub fn tail_len(&self) -> usize {
        self.weight.dims()[0] - 1
    }

    /// Output, and the last inputs that the next chunk needs.
    ///
    /// `starts`, `[batch, time]`, is 1 where a sequence begins (at a reset or a packed boundary), else 0:
    /// no output sees across, nor does the next chunk: what lies before the last start is 0 in the tail. The
    /// carried tail counts as the steps before the first.
    ///
    /// # Shapes
    /// - `x`, output: `[batch, time, d_model]`
    /// - tail: `[batch, kernel − 1, d_model]`
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn forward(
        &self,
        x: Tensor<3>,
        tail: Option<Tensor<3>>,
        starts: Option<Tensor<2>>,
    ) -> (Tensor<3>, Tensor<3>) {
        let [batch, time, features] = x.dims();
        let before = self.tail_len();
        let expected = [batch, before, features];
        let tail = tail.unwrap_or_else(|| Tensor::zeros(expected, (&x.device(), x.dtype())));
        assert_eq!(
            tail.dims(),
            expected,
            "CausalConv: expected a tail [batch, kernel − 1, d_model]"
        );
        let padded = if before == 0 {
            x.clone()
        } else {
            Tensor::cat(vec![tail, x.clone()], 1)
        };
        let weight = |j: usize| {
            self.weight
                .val()
                .slice(s![j..j + 1])
                .reshape([1, 1, features])
        };
        let mut y = x * weight(0) + self.bias.val().reshape([1, 1, features]);
        // 1 while no sequence began between the step looked at and the current one.
        let mut open: Option<Tensor<3>> = None;
        for j in 1..=before {
            let mut seen = padded
                .clone()
                .slice(s![.., before - j..before - j + time, ..]);
            if let Some(starts) = &starts {
                let began = shift(starts.clone(), j - 1).unsqueeze_dim::<3>(2);
                let still = -began + 1.0;
                let mask = open.map_or(still.clone(), |open| open * still);
                seen = masked(seen, mask.clone());
                open = Some(mask);
            }
            y = y + seen * weight(j);
        }
        let tail = padded.slice(s![.., time..time + before, ..]);
        let tail = match starts {
            Some(starts) if before > 0 => {
                let began =
                    Tensor::zeros([starts.dims()[0], before], (&tail.device(), tail.dtype()));
                let began = Tensor::cat(vec![began, starts], 1);
                closed(tail, began.slice(s![.., time..time + before]))
            }
            _ => tail,
        };
        let y = match &self.pointwise {
            Some(pointwise) => linear(pointwise, y, self.deterministic),
            None => y,
        };
        (y, tail)
    }

    /// The tail of every sequence packed into the single entry of `x` at the cumulative lengths `at`,
    /// `[sequences, kernel − 1, d_model]`; `starts` as [`CausalConv::forward`] takes it.
    pub(super) fn packed_tails(&self, x: Tensor<3>, starts: Tensor<2>, at: &[usize]) -> Tensor<3> {
        let ([_, _, features], before) = (x.dims(), self.tail_len());
        let (sequences, options) = (at.len() - 1, (&x.device(), x.dtype()));
        if before == 0 || sequences == 0 {
            return Tensor::zeros([sequences, before, features], options);
        }
        // Row 0 is one of zeros: no step of the sequence.
        let place = |first: usize, end: usize, i: usize| {
            let step = end + i;
            if step < first + before {
                0
            } else {
                step as i64
            }
        };
        let places: Vec<i64> = at
            .windows(2)
            .flat_map(|w| (0..before).map(move |i| place(w[0], w[1], i)))
            .collect();
        let places = TensorData::new(places, [sequences * before]);
        let places = Tensor::<1, Int>::from_data(places, options.0);
        let x = Tensor::cat(vec![Tensor::zeros([1, before, features], options), x], 1);
        let starts = Tensor::cat(vec![Tensor::zeros([1, before], options), starts], 1);
        closed(
            x.select(1, places.clone())
                .reshape([sequences, before, features]),
            starts.select(1, places).reshape([sequences, before]),
        )
    }
}

/// A tail `[sequences, steps, d_model]` with zeros before the last step at which a sequence `began`, `[sequences, steps]`.
fn closed(tail: Tensor<3>, began: Tensor<2>) -> Tensor<3> {
    let [sequences, steps, _] = tail.dims();
    let mut open = Tensor::<2>::ones([sequences, 1], (&tail.device(), tail.dtype()));
    let mut kept = vec![open.clone()];
    for step in (1..steps).rev() {
        open = open * (-began.clone().slice(s![.., step..step + 1]) + 1.0);
        kept.push(open.clone());
    }
    kept.reverse();
    masked(tail, Tensor::cat(kept, 1).unsqueeze_dim(2))
}

/// `x`, and 0 where `open`, `[batch, time, 1]`, is 0: a product would let NaN through.
fn masked(x: Tensor<3>, open: Tensor<3>) -> Tensor<3> {
    let shape = x.dims();
    x.mask_fill(open.equal_elem(0.0).expand(shape), 0.0)
}

/// `x[:, t − by]`, 0 before the first step.
fn shift(x: Tensor<2>, by: usize) -> Tensor<2> {
    let [batch, time] = x.dims();
    let by = by.min(time);
    if by == 0 {
        return x;
    }
    let zeros = Tensor::zeros([batch, by], (&x.device(), x.dtype()));
    if by == time {
        zeros
    } else {
        Tensor::cat(vec![zeros, x.slice(s![.., ..time - by])], 1)
    }
}
