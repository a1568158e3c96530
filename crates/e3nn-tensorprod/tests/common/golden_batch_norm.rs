//! The generator's batch and instance norms on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use e3nn_tensorprod::nn::{BatchNormConfig, Normalize, Reduce};

/// Values in training and after it, and running statistics, of all eight variants.
pub fn equals_e3nn(device: &Device, dtype: DType, bound: f64) {
    for (reduce, reduce_name) in [(Reduce::Mean, "mean"), (Reduce::Max, "max")] {
        for (instance, instance_name) in [(false, "batch"), (true, "inst")] {
            for (normalize, name) in [
                (Normalize::Component, "component"),
                (Normalize::Norm, "norm"),
            ] {
                let config = BatchNormConfig::new("3x0e+2x0o+2x1o+1x2e".parse().unwrap())
                    .with_reduce(reduce)
                    .with_instance(instance)
                    .with_normalize(normalize);
                let case = format!("bn_{reduce_name}_{instance_name}_{name}");
                variant(&config, &case, device, dtype, bound);
            }
        }
    }
}

fn variant(config: &BatchNormConfig, case: &str, plain: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("nn");
    let training = plain.clone().autodiff();
    let key = |k: &str| format!("{case}.{k}");
    let get = |k: &str, device: &Device| golden.tensor::<3>(&key(k), device, dtype);
    let row = |k: &str| golden.tensor::<1>(&key(k), &training, dtype);
    let mut layer = config.init(&training).unwrap();
    layer.weight = Some(Param::from_tensor(row("w")));
    layer.bias = Some(Param::from_tensor(row("b")));
    // Made in the default dtype of the device.
    let (zeros, ones) = (
        Tensor::zeros([3], (&training, dtype)),
        Tensor::ones([8], (&training, dtype)),
    );
    layer.running_mean.update(zeros);
    layer.running_var.update(ones);
    let y = layer.forward_samples(get("x", &training));
    let want = get("train", &training);
    assert_close!(y, want, bound, bound, "{}", key("train"));
    if !config.instance {
        for (running, k) in [
            (&layer.running_mean, "running_mean"),
            (&layer.running_var, "running_var"),
        ] {
            let got = running.value_sync();
            assert_close!(got, row(k), bound, bound, "{}", key(k));
        }
    }
    let y = layer.valid().forward_samples(get("x", plain));
    assert_close!(y, get("eval", plain), bound, bound, "{}", key("eval"));
}
