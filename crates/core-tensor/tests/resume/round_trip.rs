//! What is saved comes back, bit for bit.

use burn::module::{Module, Param, ParamId};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::resume::{CheckpointStore, EntryKind, RngStream, TrainState};

use crate::model::{Mlp, Run};
use crate::{Fixture, HIDDEN};

#[derive(Module, Debug)]
struct Zoo {
    f32: Param<Tensor<2>>,
    f64: Param<Tensor<1>>,
    bf16: Param<Tensor<1>>,
    f16: Param<Tensor<1>>,
    int: Param<Tensor<1, Int>>,
    norm: BatchNorm,
    list: Vec<Option<Mlp>>,
}

impl Zoo {
    /// Parameters whose bits are drawn at random: subnormals, infinities and NaN with payloads too.
    fn new(seed: u64, device: &Device) -> Self {
        let mut rng = RngStream::new(seed, "zoo", 0);
        let mut bits = |dtype: DType, count: usize| {
            use core_tensor::resume::rand::RngCore;
            let mut bytes = vec![0; count * dtype.size()];
            rng.fill_bytes(&mut bytes);
            TensorData::from_bytes_vec(bytes, [count], dtype)
        };
        let mut float = |dtype| Tensor::<1>::from_data(bits(dtype, 600), (device, dtype));
        Self {
            f32: Param::from_tensor(float(DType::F32).reshape([20, 30])),
            f64: Param::from_tensor(float(DType::F64)),
            bf16: Param::from_tensor(float(DType::BF16)),
            f16: Param::from_tensor(float(DType::F16)),
            int: Param::initialized(ParamId::new(), Tensor::from_data([1, -2, i32::MAX], device)),
            norm: BatchNormConfig::new(3).init(device),
            list: vec![
                Some(Mlp::new(seed, 3, device)),
                None,
                Some(Mlp::new(!seed, 2, device)),
            ],
        }
    }

    /// Path, parameter id, dtype, shape and bits of every parameter.
    fn record(&self) -> Vec<impl PartialEq + std::fmt::Debug> {
        let record = self.clone().into_record().into_bytes().unwrap();
        let tensors = burn_pack::Reader::from_bytes(record)
            .unwrap()
            .into_tensors()
            .unwrap();
        let parts = tensors.into_iter().map(|tensor| {
            let (path, dtype, shape, id, bytes) = tensor.into_parts().unwrap();
            // Running statistics keep the id of the module they are loaded into. They have no
            // gradient, so nothing is looked up by it.
            let id = id.filter(|_| !path.contains("running"));
            (path, id, dtype, shape.to_vec(), bytes.to_vec())
        });
        parts.collect()
    }
}

#[test]
fn modules_come_back_bit_for_bit_with_their_ids_in_every_dtype() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let device = Device::default();
    let zoo = Zoo::new(1, &device);
    // Running statistics are state too.
    let x = Tensor::<3>::from_data(
        [[[1.0, 2.0], [3.0, 5.0], [8.0, 13.0]]],
        &device.clone().autodiff(),
    );
    let norm = zoo.norm.clone().train();
    norm.forward(x);
    let zoo = Zoo {
        norm: norm.valid(),
        ..zoo
    };
    store
        .save(&TrainState::new(1), |w| w.module("zoo", &zoo))
        .unwrap();

    let other = Zoo::new(2, &device);
    assert_ne!(other.record(), zoo.record());
    let loaded = store
        .latest()
        .unwrap()
        .unwrap()
        .load_module("zoo", other)
        .unwrap();
    let (loaded_record, record) = (loaded.record(), zoo.record());
    assert_eq!(loaded_record.len(), 17);
    for (loaded, saved) in loaded_record.into_iter().zip(record) {
        assert_eq!(loaded, saved);
    }
    assert_eq!(loaded.f64.val().dtype(), DType::F64);
    assert_eq!(loaded.bf16.val().dtype(), DType::BF16);
    assert_eq!(loaded.f32.id, zoo.f32.id);
}

#[test]
fn a_module_that_was_never_used_is_saved_with_the_weights_it_will_have() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let lazy = burn::nn::LinearConfig::new(30, 20).init(&Device::default());
    store
        .save(&TrainState::new(1), |w| w.module("lazy", &lazy))
        .unwrap();
    let other = burn::nn::LinearConfig::new(30, 20).init(&Device::default());
    let loaded = store
        .latest()
        .unwrap()
        .unwrap()
        .load_module("lazy", other)
        .unwrap();
    assert_eq!(
        loaded.weight.val().into_data(),
        lazy.weight.val().into_data()
    );
}

#[test]
fn training_goes_on_as_if_it_had_never_stopped() {
    let device = Device::default();
    let mut whole = Run::new(3, HIDDEN, &device).train_to(60);
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let mut run = Run::new(3, HIDDEN, &device);
    for stop in [1, 2, 13, 20, 21, 37, 59, 60] {
        run = run.train_to(stop);
        run.save(&store).unwrap();
        run = Run::load(store.latest().unwrap().unwrap(), HIDDEN, &device).unwrap();
        assert_eq!(run.state.step, stop);
    }
    assert_eq!(run.model.bits(), whole.model.bits());
    assert_eq!(run.state, whole.state);
    assert_eq!(run.schedule.step().base(), whole.schedule.step().base());
}

#[test]
fn a_state_lists_what_it_holds() {
    let fixture = Fixture::new();
    let saved = fixture.latest();
    assert_eq!(saved.directory(), fixture.newest());
    assert_eq!(saved.crate_version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(saved.rejected, []);
    let entries: Vec<_> = saved
        .entries()
        .map(|(name, kind, _)| (name, kind))
        .collect();
    assert_eq!(
        entries,
        [
            ("model", EntryKind::Module),
            ("optim", EntryKind::Optimizer),
            ("schedule", EntryKind::Scheduler)
        ]
    );
}
