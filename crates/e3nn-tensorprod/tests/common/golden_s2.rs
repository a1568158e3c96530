//! The generator's signals on grids of the sphere, on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device};
use core_tensor::assert_close;
use e3nn_tensorprod::nn::{
    FromS2Grid, S2ActivationConfig, S2Grid, S2Normalization, ScalarFunction, SecondMoment, ToS2Grid,
};
use e3nn_tensorprod::{Irreps, Parity};

/// To the grid, back, and back after a function, which is the whole activation.
pub fn equals_e3nn(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("s2grid");
    for (lmax, [beta, alpha]) in [(2, [6, 7]), (4, [12, 11]), (3, [10, 8])] {
        for (normalization, name) in [
            (S2Normalization::Component, "component"),
            (S2Normalization::Norm, "norm"),
            (S2Normalization::Integral, "integral"),
        ] {
            let case = format!("l{lmax}_{beta}x{alpha}_{name}");
            let key = |k: &str| format!("{case}.{k}");
            let grid = S2Grid::new(beta, alpha, lmax).unwrap();
            let to = ToS2Grid::new(lmax, grid, normalization, device, dtype);
            let from = FromS2Grid::new(grid, lmax, lmax, normalization, device, dtype);
            let x = golden.tensor::<2>(&key("x"), device, dtype);
            let values = to.forward(x.clone());
            let want = golden.tensor::<3>(&key("grid"), device, dtype);
            let want = want.reshape(values.dims());
            assert_close!(values.clone(), want, bound, bound, "{case}: to");
            let want = golden.tensor::<2>(&key("x"), device, dtype);
            assert_close!(from.forward(values), want, bound, bound, "{case}: from");
            let irreps = Irreps::spherical_harmonics(lmax, Parity::Odd);
            let activation = S2ActivationConfig::new(irreps, ScalarFunction::Tanh, [beta, alpha])
                .with_normalization(normalization)
                .with_moment(SecondMoment::Raw)
                .init(device, dtype)
                .unwrap();
            let want = golden.tensor::<2>(&key("back_tanh"), device, dtype);
            assert_close!(activation.forward(x), want, bound, bound, "{case}: tanh");
        }
    }
}
