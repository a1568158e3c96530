//! The layers: full run, chunks, steps and packed batches agree; golden outputs of other packages.

mod common;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Bool, DType, Device, Distribution, Tensor, TensorData, s};
use common::{Random, array, golden};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::{
    BiMinRnnConfig, Candidate, Cell, GruLikeConfig, InitialState, MinGruConfig, MinLstmConfig,
    MinRnn, MinRnnBlockConfig, MinRnnStackConfig, ScanOptions, StackState, Transition,
};

/// `|got − want|` relative to the largest value of the same row and channel: the bound that holds where
/// the projection, done for another number of rows, may sum in another order.
fn assert_agrees(got: Tensor<3>, want: Tensor<3>, what: &str) {
    let scale = want.clone().abs().max_dim(1);
    let worst: f32 = ((got - want).abs() / scale).max().into_scalar();
    assert!(worst <= 4e-6, "{what}: {worst:e}");
}

fn layers(device: &Device) -> Vec<MinRnn> {
    let gru = MinGruConfig::new(12, 20)
        .with_d_output(Some(8))
        .with_learned_initial(true);
    let lstm = MinLstmConfig::new(12, 20)
        .with_candidate(Candidate::Tanh)
        .with_forget_bias(2.0);
    vec![
        gru.init(device),
        gru.with_transition(Transition::Signed)
            .with_candidate(Candidate::Linear)
            .init(device),
        lstm.init(device),
        lstm.with_normalized(false).init(device),
    ]
}

#[test]
fn chunks_steps_and_packed_batches_agree_with_the_full_run() {
    let device = Device::flex();
    let mut random = Random::new(1, &device, DType::F32);
    let x = random.uniform([3, 40, 12], -2.0, 2.0);
    let start = random.uniform([3, 20], 0.0, 1.0);
    for layer in layers(&device) {
        let (full, last) = layer.forward(x.clone(), InitialState::Real(start.clone()));
        // Chunks of awkward lengths.
        let mut state = InitialState::Real(start.clone());
        for range in [0..1, 1..2, 2..19, 19..40] {
            let (y, next) = layer.forward(x.clone().slice(s![.., range.clone()]), state);
            assert_agrees(y, full.clone().slice(s![.., range]), "chunk");
            state = InitialState::Real(next);
        }
        // Steps.
        let mut state = start.clone();
        let mut steps = Vec::new();
        for t in 0..40 {
            let (y, next) = layer.step(x.clone().narrow(1, t, 1).squeeze_dim(1), state);
            steps.push(y);
            state = next;
        }
        assert_agrees(Tensor::stack(steps, 1), full.clone(), "steps");
        assert_agrees(
            state.unsqueeze_dim(1),
            last.clone().unsqueeze_dim(1),
            "last state",
        );
        // Packed, with an empty sequence among the others.
        let packed = x.clone().reshape([1, 120, 12]);
        let options = ScanOptions::default().with_cu_seqlens(vec![0, 40, 40, 80, 120]);
        let rows = [0, 1, 1, 2].map(|i| start.clone().narrow(0, i, 1));
        let starts = InitialState::Real(Tensor::cat(rows.to_vec(), 0));
        let out = layer.forward_with(packed, starts, options);
        assert_agrees(out.states.reshape(full.dims()), full, "packed");
        assert_eq!(out.last.dims(), [4, 20]);
        assert_close!(
            out.last.narrow(0, 1, 1),
            start.clone().narrow(0, 1, 1),
            0.0,
            0.0
        );
    }
}

#[test]
fn a_learned_state_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let layer = MinGruConfig::new(3, 4)
        .with_learned_initial(true)
        .init(&device);
    let x = Tensor::<3>::random([2, 5, 3], Distribution::Default, &device);
    let (y, _) = layer.forward(x.clone(), InitialState::Learned);
    let learned = layer.initial.as_ref().unwrap().val();
    let grads = y.sum().backward();
    // At 0 the branch of g with slope 1 is taken; the public log-space code gets 0 here.
    let gradient = learned.grad(&grads).unwrap();
    assert!(gradient.into_data().iter::<f32>().all(|g| g > 0.0));
    let half = InitialState::Real(Tensor::full([2, 4], 0.5, &device));
    let (want, _) = layer.forward(x.clone(), half);
    let (got, _) = layer.forward(x, InitialState::Learned);
    assert_close!(got, want, 0.0, 0.0);
}

#[test]
#[should_panic(expected = "expects a layer configured with learned_initial")]
fn a_learned_state_that_is_not_there_is_refused() {
    let device = Device::flex();
    let layer = MinGruConfig::new(3, 4).init(&device);
    layer.forward(Tensor::zeros([1, 2, 3], &device), InitialState::Learned);
}

#[test]
fn a_forget_bias_opens_the_memory() {
    let device = Device::flex();
    let x = Tensor::<3>::zeros([1, 1, 3], &device);
    let one = InitialState::Real(Tensor::ones([1, 4], &device));
    let kept = |layer: MinRnn| -> f32 {
        let layer = MinRnn {
            planes: Linear {
                bias: layer.planes.bias.clone(),
                weight: Param::from_tensor(layer.planes.weight.val().zeros_like()),
            },
            ..layer
        };
        layer.forward(x.clone(), one.clone()).0.min().into_scalar()
    };
    let gru = MinGruConfig::new(3, 4).with_candidate(Candidate::Linear);
    let lstm = MinLstmConfig::new(3, 4)
        .with_candidate(Candidate::Linear)
        .with_normalized(false);
    assert!(kept(gru.with_forget_bias(8.0).init(&device)) > 0.98);
    assert!(kept(lstm.with_forget_bias(8.0).init(&device)) > 0.98 - 0.6);
}

#[test]
fn both_directions_are_aligned_with_the_input() {
    let device = Device::flex();
    let mut random = Random::new(2, &device, DType::F32);
    let layer = BiMinRnnConfig::from(MinGruConfig::new(6, 5)).init(&device);
    let x = random.uniform([2, 9, 6], -1.0, 1.0);
    let run = |x: Tensor<3>| layer.forward(x, Default::default(), ScanOptions::default());
    let (y, [_, first]) = run(x.clone());
    // The backward half is the other layer on flipped time, flipped back.
    let (flipped, last) = layer
        .backward
        .forward(x.clone().flip([1]), InitialState::Zero);
    assert_close!(
        y.clone().slice(s![.., .., 5..]),
        flipped.flip([1]),
        0.0,
        0.0
    );
    assert_close!(first, last, 0.0, 0.0);
    // A change at step 4 reaches the forward half from step 4 on, the backward half up to step 4.
    let changed = x.slice_assign(s![.., 4..5, ..], Tensor::ones([2, 1, 6], &device));
    let moved = (run(changed).0 - y).abs();
    for t in 0..9 {
        let half = |c: core::ops::Range<usize>| -> f32 {
            moved.clone().slice(s![.., t..t + 1, c]).max().into_scalar()
        };
        assert_eq!(
            (half(0..5) > 0.0, half(5..10) > 0.0),
            (t >= 4, t <= 4),
            "step {t}"
        );
    }
}

fn stack() -> MinRnnStackConfig {
    let cell = Cell::MinLstm {
        candidate: Candidate::G,
        normalized: true,
    };
    let block = MinRnnBlockConfig::new(16)
        .with_cell(cell)
        .with_conv_kernel(4)
        .with_mlp(2);
    MinRnnStackConfig::new(block, 2)
}

#[test]
fn a_stack_streams_its_convolution_too() {
    let device = Device::flex();
    let mut normed = stack();
    normed.block.conv_norm = true;
    normed.block.conv_pointwise = false;
    streams(&stack(), &device);
    streams(&normed, &device);
}

fn streams(config: &MinRnnStackConfig, device: &Device) {
    let mut random = Random::new(3, device, DType::F32);
    let model = config.init(device);
    let x = random.uniform([2, 23, 16], -1.0, 1.0);
    let (full, end) = model.forward(x.clone(), None);
    for lengths in [vec![1; 23], vec![2, 1, 20], vec![22, 1], vec![3, 3, 17]] {
        let (mut at, mut state) = (0, None);
        for len in lengths {
            let (y, next) = model.forward(x.clone().slice(s![.., at..at + len]), state);
            assert_agrees(y, full.clone().slice(s![.., at..at + len]), "chunk");
            // Through any serde format, the state is the same.
            let json = serde_json::to_string(&next.to_data()).unwrap();
            let stored = serde_json::from_str(&json).unwrap();
            state = Some(end.load(stored, device).unwrap());
            at += len;
        }
        let (got, want) = (state.unwrap(), end.clone());
        for (got, want) in got.blocks.into_iter().zip(want.blocks) {
            assert_agrees(
                got.hidden.unsqueeze_dim(1),
                want.hidden.unsqueeze_dim(1),
                "hidden",
            );
            assert_agrees(got.conv_tail.unwrap(), want.conv_tail.unwrap(), "tail");
        }
    }
}

#[test]
fn a_state_of_another_model_is_an_error() {
    let device = Device::flex();
    let state = |model: &MinRnnStackConfig| -> StackState {
        model
            .init(&device)
            .forward(Tensor::zeros([1, 3, 16], &device), None)
            .1
    };
    let (config, deep) = (
        stack(),
        MinRnnStackConfig {
            layers: 3,
            ..stack()
        },
    );
    let error = state(&config)
        .load(state(&deep).to_data(), &device)
        .unwrap_err();
    assert_eq!(error.to_string(), "state: expected 2 blocks, got 3");
    let mut narrow = stack();
    narrow.block = narrow.block.with_conv_kernel(3);
    let error = state(&config)
        .load(state(&narrow).to_data(), &device)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("state: block 0: expected a float tensor of shape [1, 3, 16]"),
        "{error}"
    );
}

/// What `None` stands for; and a process that has just begun loads a state that another has left.
#[test]
fn states_begin_and_go_on() {
    let device = Device::flex();
    let mut random = Random::new(9, &device, DType::F32);
    let x = random.uniform([3, 8, 16], -1.0, 1.0);
    for learned in [false, true] {
        let mut config = stack();
        config.block.learned_initial = learned;
        let model = config.init(&device);
        let (want, state) = model.forward(x.clone(), None);
        let (got, _) = model.forward(x.clone(), Some(model.initial_state(3)));
        assert_close!(got, want, 0.0, 0.0);
        let text = serde_json::to_string(&state.to_data()).unwrap();
        let data = serde_json::from_str(&text).unwrap();
        let loaded = model.initial_state(3).load(data, &device).unwrap();
        let next = |state| model.forward(x.clone(), Some(state)).0;
        assert_close!(next(loaded), next(state), 0.0, 0.0);
    }
}

#[test]
fn resets_and_packing_separate_sequences_in_a_stack() {
    let device = Device::flex();
    let mut random = Random::new(4, &device, DType::F32);
    let model = stack().init(&device);
    let x = random.uniform([1, 30, 16], -1.0, 1.0);
    let at = [0, 2, 3, 17, 30];
    let alone = at
        .windows(2)
        .map(|w| model.forward(x.clone().slice(s![.., w[0]..w[1]]), None).0);
    let want = Tensor::cat(alone.collect(), 1);
    let packed = ScanOptions::default().with_cu_seqlens(at.to_vec());
    let (got, _) = model.forward_with(x.clone(), None, packed);
    assert_agrees(got, want.clone(), "packed");
    let starts: Vec<bool> = (0..30).map(|t| at.contains(&t)).collect();
    let reset = Tensor::<2, Bool>::from_data(TensorData::new(starts, [1, 30]), &device);
    let (got, _) = model.forward_with(x, None, ScanOptions::default().with_reset(reset));
    assert_agrees(got, want, "reset");
}

/// A reset among the last steps of a chunk holds for the convolution of the next chunk too.
#[test]
fn a_reset_counts_across_chunks() {
    let device = Device::flex();
    let mut random = Random::new(6, &device, DType::F32);
    let mut config = stack();
    config.block.deterministic = true;
    let model = config.init(&device);
    let x = random.uniform([2, 14, 16], -1.0, 1.0);
    for at in [[4, 5], [5, 8], [7, 6], [3, 7]] {
        let flags = at.iter().flat_map(|&at| (0..14).map(move |t| t == at));
        let flags = TensorData::new(flags.collect(), [2, 14]);
        let reset = Tensor::<2, Bool>::from_data(flags, &device);
        let options = |first: usize, len: usize| {
            ScanOptions::default().with_reset(reset.clone().narrow(1, first, len))
        };
        let (full, _) = model.forward_with(x.clone(), None, options(0, 14));
        let (mut state, mut at) = (None, 0);
        for len in [6, 1, 1, 6] {
            let chunk = x.clone().narrow(1, at, len);
            let (y, next) = model.forward_with(chunk, state, options(at, len));
            assert_close!(y, full.clone().narrow(1, at, len), 0.0, 0.0);
            (state, at) = (Some(next), at + len);
        }
    }
}

/// The state after packed sequences, short and empty ones among them, starts a batch of them.
#[test]
fn packed_sequences_go_on_as_a_batch() {
    let device = Device::flex();
    let mut random = Random::new(7, &device, DType::F32);
    let mut config = stack();
    config.block.deterministic = true;
    let model = config.init(&device);
    let x = random.uniform([1, 20, 16], -1.0, 1.0);
    let at = vec![0, 2, 2, 3, 9, 20];
    let flags: Vec<bool> = (0..20).map(|t| t == 7 || t == 18).collect();
    let reset = Tensor::<2, Bool>::from_data(TensorData::new(flags, [1, 20]), &device);
    let options = ScanOptions::default().with_reset(reset.clone());
    let packed = options.with_cu_seqlens(at.clone());
    let (_, together) = model.forward_with(x.clone(), None, packed);
    let next = random.uniform([5, 3, 16], -1.0, 1.0);
    let (got, _) = model.forward(next.clone(), Some(together));
    for (sequence, w) in at.windows(2).enumerate() {
        let (first, len) = (w[0], w[1] - w[0]);
        let (_, state) = if len == 0 {
            model.forward(Tensor::zeros([1, 0, 16], &device), None)
        } else {
            let reset = reset.clone().narrow(1, first, len);
            let own = ScanOptions::default().with_reset(reset);
            model.forward_with(x.clone().narrow(1, first, len), None, own)
        };
        let (want, _) = model.forward(next.clone().narrow(0, sequence, 1), Some(state));
        assert_close!(got.clone().narrow(0, sequence, 1), want, 0.0, 0.0);
    }
}

/// What a sequence leaves behind does not matter to the next, be it no number.
#[test]
fn nan_does_not_cross_a_reset() {
    let device = Device::flex();
    let mut random = Random::new(8, &device, DType::F32);
    let model = stack().init(&device);
    let clean = random.uniform([1, 12, 16], -1.0, 1.0);
    let sick = clean.clone().slice_fill([0..1, 4..5, 3..4], f32::NAN);
    let run = |x: Tensor<3>| {
        let options = ScanOptions::default().with_cu_seqlens(vec![0, 5, 12]);
        let (y, state) = model.forward_with(x, None, options);
        let next = Tensor::ones([2, 2, 16], &device);
        let (z, _) = model.forward(next, Some(state));
        (y.narrow(1, 5, 7), z.narrow(0, 1, 1))
    };
    let ((y, z), (want_y, want_z)) = (run(sick), run(clean));
    assert_close!(y, want_y, 0.0, 0.0);
    assert_close!(z, want_z, 0.0, 0.0);
}

#[test]
fn no_gradient_crosses_a_reset() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(5, &device, DType::F32);
    let model = stack().init(&device);
    let x = random.uniform([1, 12, 16], -1.0, 1.0).require_grad();
    let flags: Vec<bool> = (0..12).map(|t| t == 7).collect();
    let reset = Tensor::<2, Bool>::from_data(TensorData::new(flags, [1, 12]), &device);
    let (y, _) = model.forward_with(x.clone(), None, ScanOptions::default().with_reset(reset));
    let grads = y.slice(s![.., 7.., ..]).powi_scalar(2).sum().backward();
    let gradient = x.grad(&grads).unwrap();
    let before: f32 = gradient
        .clone()
        .slice(s![.., ..7, ..])
        .abs()
        .max()
        .into_scalar();
    let after: f32 = gradient.slice(s![.., 7.., ..]).abs().max().into_scalar();
    assert!(before == 0.0 && after > 0.0, "{before} {after}");
}

#[test]
fn the_facade_has_the_shapes_of_torch() {
    let device = Device::flex();
    for (bidirectional, directions) in [(false, 1), (true, 2)] {
        let config = GruLikeConfig::new(5, 7)
            .with_num_layers(3)
            .with_bidirectional(bidirectional);
        let rnn = config.init(&device);
        let x = Tensor::<3>::random([2, 6, 5], Distribution::Default, &device);
        let (out, h_n) = rnn.forward(x.clone(), None);
        assert_eq!(out.dims(), [2, 6, 7 * directions]);
        assert_eq!(h_n.dims(), [3 * directions, 2, 7]);
        let zeros = Tensor::zeros(h_n.dims(), &device);
        assert_close!(rnn.forward(x.clone(), Some(zeros)).0, out.clone(), 0.0, 0.0);
        // The last forward state is the last output of the last layer's forward half.
        let last = h_n
            .slice(s![2 * directions..2 * directions + 1])
            .reshape([2, 1, 7]);
        assert_close!(out.clone().slice(s![.., 5..6, ..7]), last, 0.0, 0.0);
        let mut time_first = rnn.clone();
        time_first.batch_first = false;
        let (swapped, _) = time_first.forward(x.swap_dims(0, 1), None);
        assert_close!(swapped.swap_dims(0, 1), out, 0.0, 0.0);
    }
}

#[test]
#[should_panic(
    expected = "GruLike: expected states [layers · directions, batch, hidden] with 2 layers, got [3, 1, 7]"
)]
fn the_facade_refuses_states_of_other_layers() {
    let device = Device::flex();
    let rnn = GruLikeConfig::new(5, 7).with_num_layers(2).init(&device);
    let h_0 = Tensor::zeros([3, 1, 7], &device);
    rnn.forward(Tensor::zeros([1, 4, 5], &device), Some(h_0));
}

#[test]
fn the_facade_takes_an_empty_batch() {
    let device = Device::flex();
    let config = GruLikeConfig::new(5, 7).with_num_layers(2);
    let rnn = config.with_bidirectional(true).init(&device);
    let x = Tensor::<3>::zeros([0, 4, 5], &device);
    let (out, h_n) = rnn.forward(x.clone(), None);
    assert_eq!((out.dims(), h_n.dims()), ([0, 4, 14], [4, 0, 7]));
    let (out, h_n) = rnn.forward(x, Some(h_n));
    assert_eq!((out.dims(), h_n.dims()), ([0, 4, 14], [4, 0, 7]));
}

#[test]
#[should_panic(expected = "GruLike: expected at least one layer")]
fn the_facade_has_a_layer() {
    GruLikeConfig::new(5, 7)
        .with_num_layers(0)
        .init(&Device::flex());
}

/// Weights of `torch.nn.Linear` maps, side by side as our planes.
fn planes(weights: Vec<Tensor<2>>, biases: Option<Vec<Tensor<1>>>) -> Linear {
    Linear {
        weight: Param::from_tensor(Tensor::cat(weights, 0).transpose()),
        bias: biases.map(|b| Param::from_tensor(Tensor::cat(b, 0))),
    }
}

#[test]
fn min_gru_layer_values_and_gradients() {
    let file = golden("mingru_logspace");
    let device = Device::flex().autodiff();
    let inner = device.clone().inner();
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        let check = |got: Tensor<2>, name: &serde_json::Value, shape: [usize; 2], what: &str| {
            let want = TensorData::new(
                name["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|x| x.as_f64().unwrap())
                    .collect(),
                shape,
            );
            let want = Tensor::<2>::from_data(want, (&inner, dtype));
            let scale: f64 = want.clone().abs().max().into_scalar();
            assert_close!(got, want, bound, bound * scale, "{what}");
        };
        let parameter = |name: &str| &file["params"][name];
        let mut layer = MinGruConfig::new(6, 7).init(&device);
        layer.planes = planes(
            ["linear_z.weight", "linear_h.weight"]
                .map(|n| array(parameter(n), &device, dtype))
                .to_vec(),
            Some(
                ["linear_z.bias", "linear_h.bias"]
                    .map(|n| array(parameter(n), &device, dtype))
                    .to_vec(),
            ),
        );
        let x = array::<3>(&file["x"], &device, dtype).require_grad();
        let h0 = array::<3>(&file["h0"], &device, dtype)
            .reshape([2, 7])
            .require_grad();
        let (y, _) = layer.forward(x.clone(), InitialState::Real(h0.clone()));
        let grads = (y.clone() * array(&file["w"], &device, dtype))
            .sum()
            .backward();
        check(y.inner().reshape([22, 7]), &file["y"], [22, 7], "y");
        check(
            x.grad(&grads).unwrap().reshape([22, 6]),
            &file["grad_x"],
            [22, 6],
            "x",
        );
        check(h0.grad(&grads).unwrap(), &file["grad_h0"], [2, 7], "h0");
        let weight = layer.planes.weight.val().grad(&grads).unwrap().transpose();
        let bias = layer
            .planes
            .bias
            .as_ref()
            .unwrap()
            .val()
            .grad(&grads)
            .unwrap();
        for (i, name) in ["linear_z", "linear_h"].into_iter().enumerate() {
            let want = |part: &str| &file["grad_params"][format!("{name}.{part}")];
            check(
                weight.clone().narrow(0, 7 * i, 7),
                want("weight"),
                [7, 6],
                name,
            );
            check(
                bias.clone().narrow(0, 7 * i, 7).reshape([1, 7]),
                want("bias"),
                [1, 7],
                name,
            );
        }
        let half = InitialState::Real(Tensor::full([2, 7], 0.5, (&device, dtype)));
        let (y, _) = layer.forward(x, half);
        check(
            y.inner().reshape([22, 7]),
            &file["y_default_h0"],
            [22, 7],
            "default state",
        );
    }
}

#[test]
fn signed_and_projected_layers() {
    let device = Device::flex();
    let dtype = DType::F64;
    let file = golden("mingru_signed");
    let parameter = |name: &str| &file["params"][name];
    let mut layer = MinGruConfig::new(6, 7)
        .with_candidate(Candidate::Linear)
        .with_transition(Transition::Signed)
        .init(&device);
    let names = ["linear_z", "linear_h", "linear_s"];
    layer.planes = planes(
        names
            .map(|n| array(parameter(&format!("{n}.weight")), &device, dtype))
            .to_vec(),
        Some(
            names
                .map(|n| array(parameter(&format!("{n}.bias")), &device, dtype))
                .to_vec(),
        ),
    );
    let (y, _) = layer.forward(array(&file["x"], &device, dtype), InitialState::Zero);
    assert_close!(
        y,
        array::<3>(&file["y_h0_zero"], &device, dtype),
        1e-12,
        1e-12
    );

    let file = golden("mingru_lucidrains");
    let w_in = array::<2>(&file["w_in"], &device, dtype);
    let w_out = array::<2>(&file["w_out"], &device, dtype);
    let mut layer = MinGruConfig::new(6, 9)
        .with_d_output(Some(6))
        .with_bias(false)
        .init(&device);
    layer.planes = planes(
        vec![w_in.clone().narrow(0, 9, 9), w_in.narrow(0, 0, 9)],
        None,
    );
    layer.output = Some(Linear {
        weight: Param::from_tensor(w_out.transpose()),
        bias: None,
    });
    let (y, last) = layer.forward(array(&file["x"], &device, dtype), InitialState::Zero);
    assert_close!(y, array::<3>(&file["y"], &device, dtype), 1e-12, 1e-12);
    assert_close!(
        last.unsqueeze_dim::<3>(1),
        array::<3>(&file["h_last"], &device, dtype),
        1e-12,
        1e-12
    );
}
