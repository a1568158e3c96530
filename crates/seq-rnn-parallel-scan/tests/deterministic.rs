//! The deterministic mode of whole layers: the same bits for the full run, chunks, steps and packed
//! sequences, and for any number of threads; right values and gradients.

mod common;

use burn::tensor::{DType, Device, Int, Tensor, TensorData, s};
use common::Random;
use core_tensor::testing::poison_outputs;
use core_tensor::{assert_close, cast_module};
use seq_rnn_parallel_scan::{
    Candidate, Cell, GruLikeConfig, InitialState, MinGruConfig, MinLstmConfig, MinRnn,
    MinRnnBlockConfig, MinRnnLmConfig, MinRnnStack, MinRnnStackConfig, ScanOptions, StackState,
    Transition,
};

/// Equal to the last bit, the sign of 0 included.
#[track_caller]
fn assert_same<const D: usize>(got: Tensor<D>, want: Tensor<D>, what: &str) {
    assert_eq!((got.dims(), got.dtype()), (want.dims(), want.dtype()));
    let (got, want) = (got.into_data(), want.into_data());
    assert!(
        got.iter::<f64>().all(f64::is_finite) && got.as_bytes() == want.as_bytes(),
        "{what}: bits differ"
    );
}

fn layers(device: &Device) -> Vec<MinRnn> {
    // Widths on either side of the kernel's tiles and chains.
    let gru = |input, hidden| MinGruConfig::new(input, hidden).with_deterministic(true);
    vec![
        gru(12, 20).with_d_output(Some(8)).init(device),
        gru(300, 33)
            .with_transition(Transition::Signed)
            .with_candidate(Candidate::Linear)
            .with_d_output(Some(65))
            .init(device),
        gru(1, 1).init(device),
        MinLstmConfig::new(64, 128)
            .with_deterministic(true)
            .with_bias(false)
            .init(device),
        MinLstmConfig::new(513, 16)
            .with_normalized(false)
            .with_candidate(Candidate::Tanh)
            .with_deterministic(true)
            .init(device),
    ]
}

#[test]
fn a_layer_has_the_same_bits_however_it_is_run() {
    let _poison = poison_outputs();
    let device = Device::flex();
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let mut random = Random::new(1, &device, dtype);
        for layer in layers(&device) {
            let layer = cast_module(layer, dtype);
            let carried = if dtype == DType::F64 {
                dtype
            } else {
                DType::F32
            };
            let x = random.uniform([3, 70, layer.d_input()], -2.0, 2.0);
            let start = random
                .uniform([3, layer.d_hidden()], 0.0, 1.0)
                .cast(carried);
            let (full, last) = layer.forward(x.clone(), InitialState::Real(start.clone()));
            for ends in [vec![1, 2, 19, 70], vec![69, 70], (1..=70).collect()] {
                let (mut at, mut state) = (0, start.clone());
                for end in ends {
                    let chunk = x.clone().slice(s![.., at..end]);
                    let (y, next) = layer.forward(chunk, InitialState::Real(state));
                    assert_same(y, full.clone().slice(s![.., at..end]), "chunk");
                    (at, state) = (end, next);
                }
                assert_same(state, last.clone(), "state after chunks");
            }
            let mut state = start.clone();
            for t in 0..70 {
                let (y, next) = layer.step(x.clone().narrow(1, t, 1).squeeze_dim(1), state);
                assert_same(y.unsqueeze_dim(1), full.clone().narrow(1, t, 1), "step");
                state = next;
            }
            assert_same(state, last.clone(), "state after steps");
            // One entry of the batch alone, and all of them packed.
            let (alone, _) = layer.forward(
                x.clone().narrow(0, 1, 1),
                InitialState::Real(start.clone().narrow(0, 1, 1)),
            );
            assert_same(alone, full.clone().narrow(0, 1, 1), "alone");
            let packed = x.reshape([1, 210, layer.d_input()]);
            let options = ScanOptions::default().with_cu_seqlens(vec![0, 70, 140, 210]);
            let out = layer.forward_with(packed, InitialState::Real(start), options);
            assert_same(out.states.reshape(full.dims()), full, "packed");
            assert_same(out.last, last, "packed, last");
        }
    }
}

fn blocks() -> [MinRnnBlockConfig; 3] {
    let block = |width| MinRnnBlockConfig::new(width).with_deterministic(true);
    let lstm = Cell::MinLstm {
        candidate: Candidate::G,
        normalized: true,
    };
    [
        block(16).with_conv_kernel(4).with_mlp(4),
        block(40)
            .with_cell(lstm)
            .with_conv_kernel(3)
            .with_conv_norm(true)
            .with_conv_pointwise(false)
            .with_learned_initial(true),
        block(7).with_mlp(3),
    ]
}

#[test]
fn a_block_and_a_stack_have_the_same_bits_however_they_are_run() {
    let _poison = poison_outputs();
    let device = Device::flex();
    let mut random = Random::new(2, &device, DType::F32);
    // A stack of one block is the block with a norm.
    for (block, depth) in blocks().into_iter().flat_map(|b| [(b.clone(), 1), (b, 3)]) {
        let width = block.d_model;
        let model = MinRnnStackConfig::new(block, depth).init(&device);
        let x = random.uniform([2, 45, width], -2.0, 2.0);
        let (full, end) = model.forward(x.clone(), None);
        for ends in [vec![1, 3, 20, 45], vec![44, 45], (1..=45).collect()] {
            let (mut at, mut state) = (0, None);
            for end in ends {
                let (y, next) = model.forward(x.clone().slice(s![.., at..end]), state);
                assert_same(y, full.clone().slice(s![.., at..end]), "chunk");
                (at, state) = (end, Some(next));
            }
            assert_eq!(state.unwrap().to_data(), end.to_data());
        }
        let mut state: Option<StackState> = None;
        for t in 0..45 {
            let (y, next) = model.step(x.clone().narrow(1, t, 1).squeeze_dim(1), state);
            assert_same(y.unsqueeze_dim(1), full.clone().narrow(1, t, 1), "step");
            state = Some(next);
        }
        let packed = ScanOptions::default().with_cu_seqlens(vec![0, 45, 90]);
        let (y, _) = model.forward_with(x.reshape([1, 90, width]), None, packed);
        assert_same(y.reshape(full.dims()), full, "packed");
    }
}

#[test]
fn a_language_model_and_the_facade_have_them_too() {
    let device = Device::flex();
    let [block, ..] = blocks();
    let model = MinRnnLmConfig::new(65, MinRnnStackConfig::new(block, 2)).init(&device);
    let tokens = Tensor::<1, Int>::arange(0..60, &device).reshape([2, 30]);
    let (full, _) = model.forward(tokens.clone(), None);
    let mut state = None;
    for t in 0..30 {
        let (y, next) = model.step(tokens.clone().narrow(1, t, 1).squeeze_dim(1), state);
        assert_same(y.unsqueeze_dim(1), full.clone().narrow(1, t, 1), "step");
        state = Some(next);
    }
    let rnn = GruLikeConfig::new(9, 50)
        .with_num_layers(2)
        .with_deterministic(true)
        .init(&device);
    let x = Random::new(3, &device, DType::F32).uniform([1, 40, 9], -1.0, 1.0);
    let (full, _) = rnn.forward(x.clone(), None);
    let (head, state) = rnn.forward(x.clone().narrow(1, 0, 39), None);
    let (tail, _) = rnn.forward(x.narrow(1, 39, 1), Some(state));
    assert_same(Tensor::cat(vec![head, tail], 1), full, "façade");
}

/// Output and gradients of input and weights of a loss over a stack.
fn train(device: &Device, x: &TensorData, model: &MinRnnStack) -> Vec<TensorData> {
    let x = Tensor::<3>::from_data(x.clone(), device).require_grad();
    let (y, _) = model.forward(x.clone(), None);
    let grads = y.clone().powi_scalar(2).sum().backward();
    let block = &model.blocks[0];
    let mlp = block.mlp.as_ref().unwrap();
    let matrices = [
        &block.rnn.planes,
        block.rnn.output.as_ref().unwrap(),
        &mlp.up,
        &mlp.down,
    ];
    let mut all = vec![y.into_data(), x.grad(&grads).unwrap().into_data()];
    for matrix in matrices {
        all.push(matrix.weight.val().grad(&grads).unwrap().into_data());
        let bias = matrix.bias.as_ref().unwrap().val();
        all.push(bias.grad(&grads).unwrap().into_data());
    }
    all
}

#[test]
fn values_and_gradients_are_those_of_the_plain_mode() {
    let device = Device::flex().autodiff();
    let [block, ..] = blocks();
    let model = MinRnnStackConfig::new(block, 2).init(&device);
    let mut plain = model.clone();
    for block in &mut plain.blocks {
        block.rnn.deterministic = false;
        block.conv.as_mut().unwrap().deterministic = false;
        block.mlp.as_mut().unwrap().deterministic = false;
    }
    let x = Random::new(4, &Device::flex(), DType::F32)
        .uniform([3, 700, 16], -2.0, 2.0)
        .into_data();
    let [got, want] = [model, plain].map(|model| train(&device, &x, &model));
    let pairs = got.into_iter().zip(want);
    for (i, (got, want)) in pairs.enumerate() {
        let scale = want.iter::<f64>().fold(0.0, |m: f64, x| m.max(x.abs()));
        assert_close!(got, want, 0.0, 1e-5 * scale, "result {i}");
    }
}

#[test]
fn one_thread_and_several_have_the_same_bits() {
    let [block, ..] = blocks();
    let device = Device::flex().autodiff();
    let model = MinRnnStackConfig::new(block, 2).init(&device);
    let x = Random::new(6, &Device::flex(), DType::F32)
        .uniform([5, 501, 16], -2.0, 2.0)
        .into_data();
    let [one, two, three] = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| train(&device, &x, &model))
    });
    for (i, (two, three)) in two.into_iter().zip(three).enumerate() {
        assert!(one[i] == two && one[i] == three, "result {i}");
    }
}

#[test]
fn empty_batches_pass() {
    let device = Device::flex().autodiff();
    for (shape, deterministic) in [[0, 4, 12], [2, 0, 12]]
        .into_iter()
        .flat_map(|shape| [(shape, false), (shape, true)])
    {
        let layer = MinRnn {
            deterministic,
            ..layers(&device).remove(0)
        };
        let x = Tensor::zeros(shape, &device).require_grad();
        let (y, _) = layer.forward(x.clone(), InitialState::Zero);
        assert_eq!(y.dims(), [shape[0], shape[1], 8]);
        let grads = y.sum().backward();
        assert_eq!(x.grad(&grads).unwrap().dims(), shape);
    }
}
