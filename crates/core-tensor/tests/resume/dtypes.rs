//! Optimiser state in other dtypes. A device's default dtype can be set once per process, before its
//! first tensor, so each dtype has a process of its own: this test binary again.

use std::process::Command;

use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, FloatDType, IntDType, Tensor};
use core_tensor::cast_module;
use core_tensor::resume::{CheckpointStore, ResumeError, TrainState};

use crate::HIDDEN;
use crate::model::{Mlp, Run};

const DTYPE: &str = "RESUME_TEST_DTYPE";

fn in_child(dtype: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["dtypes::child", "--exact", "--nocapture"])
        .env(DTYPE, dtype)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("resumed exactly"),
        "{text}"
    );
}

#[test]
fn training_in_f64_resumes_exactly() {
    in_child("f64");
}

#[test]
fn training_in_bf16_resumes_exactly() {
    in_child("bf16");
}

#[test]
fn child() {
    let Ok(name) = std::env::var(DTYPE) else {
        return;
    };
    let (float, dtype) = match name.as_str() {
        "f64" => (FloatDType::F64, DType::F64),
        "bf16" => (FloatDType::BF16, DType::BF16),
        other => panic!("{other}"),
    };
    let mut device = Device::default();
    device.configure((float, IntDType::I64)).unwrap();
    let whole = Run::new(3, HIDDEN, &device).train_to(30);
    assert_eq!(whole.model.first.weight.val().dtype(), dtype);
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let mut run = Run::new(3, HIDDEN, &device);
    for stop in [1, 11, 30] {
        run = run.train_to(stop);
        run.save(&store).unwrap();
        run = Run::load(store.latest().unwrap().unwrap(), HIDDEN, &device).unwrap();
    }
    assert_eq!(run.model.first.weight.val().dtype(), dtype);
    assert_eq!(run.model.bits(), whole.model.bits());
    println!("resumed exactly in {name}");
}

/// An f64 model with Adam state, on a device whose default is f32.
fn f64_on_f32() -> (Mlp, ModuleOptimizer) {
    let device = Device::default().autodiff();
    let model = cast_module(Mlp::new(1, HIDDEN, &device), DType::F64);
    let x = Tensor::<2>::ones([4, 6], &device).cast(DType::F64);
    let loss = model.second.forward(model.first.forward(x)).mean();
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    let mut optim = AdamConfig::new().init();
    let model = optim.step(1e-3, model, grads);
    (model, optim)
}

#[test]
fn optimiser_state_that_burn_would_round_is_refused_when_saved() {
    let (model, optim) = f64_on_f32();
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let error = store
        .save(&TrainState::new(1), |w| w.optimizer("optim", &optim))
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ResumeError::Encode { .. }), "{text}");
    assert!(
        text.contains("F64") && text.contains("F32") && text.contains("configure"),
        "{text}"
    );
    // The model alone is no problem.
    store
        .save(&TrainState::new(1), |w| w.module("model", &model))
        .unwrap();
    let other = Mlp::new(2, HIDDEN, &Device::default());
    let loaded = store
        .latest()
        .unwrap()
        .unwrap()
        .load_module("model", other)
        .unwrap();
    assert_eq!(loaded.bits(), model.bits());
}

#[test]
fn burn_still_rounds_optimiser_state_when_loading() {
    // If this fails, Burn loads optimiser state in its own dtype: then `Contents::check_dtypes` and
    // the section about dtypes in the documentation can go.
    let (_, optim) = f64_on_f32();
    let bytes = optim.into_bytes().unwrap();
    let again = AdamConfig::new()
        .init()
        .from_bytes(bytes)
        .unwrap()
        .into_bytes()
        .unwrap();
    let tensors = burn_pack::Reader::from_bytes(again)
        .unwrap()
        .into_tensors()
        .unwrap();
    assert!(!tensors.is_empty() && tensors.iter().all(|tensor| tensor.dtype == DType::F32));
}
