//! Clipping gradients by their common norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Scales all gradients by one factor so that their common norm is at most `bound`, as PyTorch's
/// `clip_grad_norm_` does. (Burn's own clipping bounds each parameter's norm by itself.)
pub fn clip_norm<M: Module>(model: &M, gradients: GradientsParams, bound: f64) -> GradientsParams {
    let mut squares = Squares {
        gradients: &gradients,
        sum: None,
    };
    model.visit(&mut squares);
    let Some(sum) = squares.sum else {
        return gradients;
    };
    let factor = ((sum.sqrt() + 1e-6).recip() * bound).clamp_max(1.0);
    let mut scale = Scale { gradients, factor };
    model.visit(&mut scale);
    scale.gradients
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Scale {
    gradients: GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let factor = self.factor.clone().reshape([1; D]);
            self.gradients.register(param.id, gradient * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InitialState, MinGruConfig};
    use burn::tensor::Device;
    use core_tensor::assert_close;

    #[test]
    fn all_gradients_are_scaled_by_one_factor() {
        let device = Device::flex().autodiff();
        let layer = MinGruConfig::new(3, 5).init(&device);
        let x = Tensor::<3>::ones([2, 7, 3], &device);
        let gradients = || {
            let (y, _) = layer.forward(x.clone(), InitialState::Zero);
            GradientsParams::from_grads((y * 100.0).sum().backward(), &layer)
        };
        let weight = layer.planes.weight.id;
        let bias = layer.planes.bias.as_ref().expect("a bias").id;
        let both = |gradients: &GradientsParams| {
            assert_eq!(gradients.len(), 2);
            let gradient = (gradients.get::<2>(weight), gradients.get::<1>(bias));
            (gradient.0.expect("weight"), gradient.1.expect("bias"))
        };
        let norm = |gradients: &GradientsParams| -> f64 {
            let (weight, bias) = both(gradients);
            let squares = weight.square().sum() + bias.square().sum();
            squares.sqrt().into_scalar()
        };
        let before = norm(&gradients());
        assert!(before > 10.0, "{before}");

        let clipped = clip_norm(&layer, gradients(), 2.0);
        assert!((norm(&clipped) - 2.0).abs() < 1e-5, "{}", norm(&clipped));
        let factor = 2.0 / before;
        let ((weight, bias), (all_weight, all_bias)) = (both(&clipped), both(&gradients()));
        assert_close!(weight, all_weight.clone() * factor, 1e-5, 1e-9);
        assert_close!(bias, all_bias.clone() * factor, 1e-5, 1e-9);

        let (weight, bias) = both(&clip_norm(&layer, gradients(), 2.0 * before));
        assert_close!(weight, all_weight, 0.0, 0.0, "small gradients stay");
        assert_close!(bias, all_bias, 0.0, 0.0, "small gradients stay");
    }
}
