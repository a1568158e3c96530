//! Files whose tensors the caller names: a layer with known weights is written in every form and read back,
//! and every way in which a layout or a file may not fit gives its error.
#![cfg(feature = "import")]

mod common;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, s};
use common::{Random, all_cells};
use core_tensor::assert_close;
use core_tensor::state_dict::StateDictError;
use safetensors::tensor::{Dtype, TensorView};
use seq_rnn_parallel_scan::import::{
    ImportError, Layout, NamedInitial, NamedLayout, NamedLinear, NamedPlanes, Plane,
    min_rnn_from_safetensors,
};
use seq_rnn_parallel_scan::{
    Candidate, Cell, InitialState, MinGruConfig, MinLstmConfig, MinRnn, Transition,
};

const GRU: Cell = Cell::MinGru {
    candidate: Candidate::G,
    transition: Transition::Positive,
};

/// A safetensors file in the making.
#[derive(Default, Clone)]
struct Writer(Vec<(String, Dtype, Vec<usize>, Vec<u8>)>);

impl Writer {
    fn put<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        let dtype = match tensor.dtype() {
            DType::F64 => Dtype::F64,
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            other => panic!("{other:?}"),
        };
        let (shape, bytes) = (
            tensor.dims().to_vec(),
            tensor.into_data().as_bytes().to_vec(),
        );
        self.0.push((name.to_owned(), dtype, shape, bytes));
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.0.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
            (name.clone(), view)
        });
        safetensors::serialize(views, None).unwrap()
    }
}

/// How a layer is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    packed: bool,
    bias: bool,
    output: bool,
    input_first: bool,
    /// Whether the update gate is written as the one that keeps.
    keep: bool,
    initial: &'static str,
}

const PLAIN: Form = Form {
    packed: true,
    bias: false,
    output: false,
    input_first: false,
    keep: false,
    initial: "zero",
};

fn candidate(cell: Cell) -> Candidate {
    match cell {
        Cell::MinGru { candidate, .. } | Cell::MinLstm { candidate, .. } => candidate,
        Cell::Linear | Cell::Log => unreachable!(),
    }
}

/// The planes of a cell, in its own order.
fn planes_of(cell: Cell) -> Vec<Plane> {
    let all = match cell {
        Cell::MinGru { .. } => [Plane::Update, Plane::Candidate, Plane::Transition],
        _ => [Plane::Forget, Plane::Input, Plane::Candidate],
    };
    all[..cell.planes()].to_vec()
}

/// A layer of 5 inputs and 4 states (3 outputs) with random weights in f64.
fn layer(random: &mut Random, cell: Cell, form: Form) -> MinRnn {
    let device = random.device.clone();
    let learned = form.initial != "zero";
    let mut layer = match cell {
        Cell::MinGru {
            candidate,
            transition,
        } => MinGruConfig::new(5, 4)
            .with_candidate(candidate)
            .with_transition(transition)
            .with_bias(form.bias)
            .with_d_output(form.output.then_some(3))
            .with_learned_initial(learned)
            .init(&device),
        Cell::MinLstm {
            candidate,
            normalized,
        } => MinLstmConfig::new(5, 4)
            .with_candidate(candidate)
            .with_normalized(normalized)
            .with_bias(form.bias)
            .with_d_output(form.output.then_some(3))
            .with_learned_initial(learned)
            .init(&device),
        Cell::Linear | Cell::Log => unreachable!(),
    };
    let mut linear = |linear: &mut burn::nn::Linear| {
        let shape = linear.weight.dims();
        linear.weight = Param::from_tensor(random.uniform(shape, -1.0, 1.0));
        if linear.bias.is_some() {
            linear.bias = Some(Param::from_tensor(random.uniform([shape[1]], -1.0, 1.0)));
        }
    };
    linear(&mut layer.planes);
    if let Some(output) = &mut layer.output {
        linear(output);
    }
    if learned {
        let value = match form.initial {
            "activated zero" => Tensor::zeros([4], (&device, DType::F64)),
            _ => random.uniform([4], -2.0, 2.0),
        };
        layer.initial = Some(Param::from_tensor(value));
    }
    layer
}

/// Writes the layer in that form; what to read it by.
fn write(layer: &MinRnn, form: Form, prefix: &str) -> (Writer, NamedLayout) {
    let mut file = Writer::default();
    let mut put = |name: &str, weight: Tensor<2>, bias: Option<Tensor<1>>| {
        // `[inputs, outputs]`, as Burn holds it.
        let weight = if form.input_first {
            weight
        } else {
            weight.transpose()
        };
        let weight_name = format!("{name}/w");
        file.put(&format!("{prefix}{weight_name}"), weight);
        match bias {
            None => NamedLinear::new(weight_name),
            Some(bias) => {
                let bias_name = format!("{name}/b");
                file.put(&format!("{prefix}{bias_name}"), bias);
                NamedLinear::new(weight_name).with_bias(bias_name)
            }
        }
    };
    // Last plane first.
    let mut parts = Vec::new();
    for (p, plane) in planes_of(layer.cell).into_iter().enumerate().rev() {
        let at = s![p * 4..(p + 1) * 4];
        let weight = layer.planes.weight.val().slice(s![.., p * 4..(p + 1) * 4]);
        let bias = layer.planes.bias.as_ref().map(|bias| bias.val().slice(at));
        parts.push(if plane == Plane::Update && form.keep {
            (Plane::Keep, -weight, bias.map(|bias| -bias))
        } else {
            (plane, weight, bias)
        });
    }
    let planes = if form.packed {
        let order: Vec<Plane> = parts.iter().map(|part| part.0).collect();
        let weights = parts.iter().map(|part| part.1.clone()).collect();
        let biases: Option<Vec<_>> = parts.iter().map(|part| part.2.clone()).collect();
        let biases = biases.map(|biases| Tensor::cat(biases, 0));
        NamedPlanes::packed(put("all", Tensor::cat(weights, 1), biases), &order)
    } else {
        let planes = parts.into_iter().map(|(plane, weight, bias)| {
            let name = format!("{plane:?}");
            (plane, put(&name, weight, bias))
        });
        NamedPlanes::Separate(planes.collect())
    };
    let output = layer.output.as_ref().map(|output| {
        let bias = output.bias.as_ref().map(|bias| bias.val());
        put("out", output.weight.val(), bias)
    });
    let initial = match form.initial {
        "zero" => NamedInitial::Zero,
        "activated zero" => NamedInitial::ActivatedZero,
        "before" => {
            file.put(
                &format!("{prefix}h0"),
                layer.initial.as_ref().unwrap().val(),
            );
            NamedInitial::PreActivation("h0".into())
        }
        _ => {
            let state = seq_rnn_parallel_scan::scan::reference::activate(
                candidate(layer.cell),
                layer.initial.as_ref().unwrap().val(),
            );
            file.put(&format!("{prefix}h0"), state.reshape([1, 1, 4]));
            NamedInitial::State("h0".into())
        }
    };
    let layout = NamedLayout::new(layer.cell, planes)
        .with_output(output)
        .with_initial(initial)
        .with_input_first(form.input_first);
    (file, layout)
}

/// Writes a layer and reads it back: the same bits of all weights, but for a state that was activated.
fn round_trip(random: &mut Random, cell: Cell, form: Form, prefix: &str) {
    let layer = layer(random, cell, form);
    let (file, layout) = write(&layer, form, prefix);
    let (bytes, device) = (file.bytes(), &random.device);
    let read = min_rnn_from_safetensors(&bytes, Layout::Named(layout), prefix, device);
    let read = read.unwrap_or_else(|e| panic!("{cell:?} {form:?}: {e}"));
    let what = format!("{cell:?} {form:?}");
    assert_eq!(read.cell, cell);
    let same = |got: &burn::nn::Linear, want: &burn::nn::Linear| {
        assert_close!(got.weight.val(), want.weight.val(), 0.0, 0.0, "{what}");
        assert_eq!(got.bias.is_some(), want.bias.is_some(), "{what}");
        if let (Some(got), Some(want)) = (&got.bias, &want.bias) {
            assert_close!(got.val(), want.val(), 0.0, 0.0, "{what}");
        }
    };
    same(&read.planes, &layer.planes);
    assert_eq!(read.output.is_some(), form.output, "{what}");
    if let (Some(got), Some(want)) = (&read.output, &layer.output) {
        same(got, want);
    }
    assert_eq!(read.initial.is_some(), layer.initial.is_some(), "{what}");
    let exact = form.initial != "state" || candidate(cell) == Candidate::Linear;
    if let (Some(got), Some(want)) = (&read.initial, &layer.initial) {
        let bound = if exact { 0.0 } else { 1e-14 };
        assert_close!(got.val(), want.val(), bound, bound, "{what}");
    }
    let from = || match read.initial {
        Some(_) => InitialState::Learned,
        None => InitialState::Zero,
    };
    let x: Tensor<3> = random.uniform([2, 6, 5], -1.0, 1.0);
    let (got, want) = (
        read.forward(x.clone(), from()).0,
        layer.forward(x, from()).0,
    );
    // The weights lie in another order in memory, which a matrix product may sum in.
    assert_close!(got, want, 1e-12, 1e-12, "{what}");
}

#[test]
fn every_form_of_every_cell_comes_back() {
    let mut random = Random::new(1, &Device::flex(), DType::F64);
    let cells = all_cells();
    for cell in cells
        .into_iter()
        .filter(|c| !matches!(c, Cell::Linear | Cell::Log))
    {
        for (i, initial) in ["zero", "activated zero", "before", "state"]
            .into_iter()
            .enumerate()
        {
            for bits in 0..16_usize {
                let on = |bit: usize| (bits >> bit) & 1 == 1;
                let form = Form {
                    packed: on(0),
                    bias: on(1),
                    output: on(2),
                    input_first: on(3),
                    keep: (bits + i).is_multiple_of(3),
                    initial,
                };
                let prefix = if on(1) { "layers.0." } else { "" };
                round_trip(&mut random, cell, form, prefix);
            }
        }
    }
}

/// A state that the file has in half precision is inverted in f64 and rounded once.
#[test]
fn half_precision_is_kept() {
    let device = Device::flex();
    let mut random = Random::new(2, &device, DType::F16);
    let mut file = Writer::default();
    file.put("w", random.uniform([8, 5], -1.0, 1.0));
    let states = [0.25, 0.5, 0.75, 3.0];
    let data = burn::tensor::TensorData::new(states.to_vec(), [4]);
    file.put("h", Tensor::<1>::from_data(data, (&device, DType::F16)));
    let layout = NamedLayout::new(GRU, packed("w")).with_initial(NamedInitial::State("h".into()));
    let layer = min_rnn_from_safetensors(&file.bytes(), Layout::Named(layout), "", &device);
    let layer = layer.unwrap();
    assert_eq!(layer.planes.weight.dtype(), DType::F16);
    let initial = layer.initial.unwrap().val();
    assert_eq!(initial.dtype(), DType::F16);
    let got: Vec<f64> = initial.into_data().iter::<f64>().collect();
    let want = [-(3.0_f64.ln()), 0.0, 0.25, 2.5];
    for (got, want) in got.into_iter().zip(want) {
        assert!(
            (got - want).abs() <= want.abs() * 2.0_f64.powi(-11),
            "{got} {want}"
        );
    }
}

/// A layout is data: it may come from a file of its own.
#[test]
fn a_layout_can_be_stored() {
    let mut random = Random::new(3, &Device::flex(), DType::F64);
    let form = Form {
        bias: true,
        output: true,
        initial: "before",
        ..PLAIN
    };
    let layer = layer(&mut random, GRU, form);
    let (_, layout) = write(&layer, form, "");
    let text = serde_json::to_string(&layout).unwrap();
    assert_eq!(serde_json::from_str::<NamedLayout>(&text).unwrap(), layout);
}

fn packed(weight: &str) -> NamedPlanes {
    NamedPlanes::packed(NamedLinear::new(weight), &[Plane::Update, Plane::Candidate])
}

fn separate(update: NamedLinear, candidate: NamedLinear) -> NamedPlanes {
    NamedPlanes::Separate(vec![(Plane::Update, update), (Plane::Candidate, candidate)])
}

/// A file of everything that the error tests name.
fn many() -> Writer {
    let mut random = Random::new(4, &Device::flex(), DType::F32);
    let mut file = Writer::default();
    file.put("w", random.uniform([8, 5], -1.0, 1.0));
    file.put("odd", random.uniform([7, 5], -1.0, 1.0));
    file.put("deep", random.uniform([8, 5, 1], -1.0, 1.0));
    file.put("u", random.uniform([4, 5], -1.0, 1.0));
    file.put("v", random.uniform([4, 6], -1.0, 1.0));
    file.put("out", random.uniform([3, 5], -1.0, 1.0));
    file.put("b4", random.uniform([4], 0.1, 0.9));
    file.put("b8", random.uniform([8], -1.0, 1.0));
    file.put("h22", random.uniform([2, 2], -1.0, 1.0));
    let mut double = Random::new(5, &Device::flex(), DType::F64);
    file.put("out64", double.uniform([3, 4], -1.0, 1.0));
    file.put("b64", double.uniform([8], -1.0, 1.0));
    file.0
        .push(("ints".into(), Dtype::I32, vec![8, 5], vec![0; 160]));
    file.0
        .push(("empty".into(), Dtype::F32, vec![0, 5], vec![]));
    file.put(
        "h-",
        Tensor::<1>::from_floats([0.5, -0.25, 1.0, 2.0], &Device::flex()),
    );
    file.put(
        "h1",
        Tensor::<1>::from_floats([0.5, -0.25, 1.0, 2.0], &Device::flex()),
    );
    file.put(
        "nan",
        Tensor::<1>::from_floats([0.5, f32::NAN, 1.0, 2.0], &Device::flex()),
    );
    file
}

fn fails(layout: NamedLayout) -> ImportError {
    let (bytes, device) = (many().bytes(), Device::flex());
    min_rnn_from_safetensors(&bytes, Layout::Named(layout), "", &device).unwrap_err()
}

#[test]
fn a_layout_must_name_the_planes_of_its_cell() {
    let signed = Cell::MinGru {
        candidate: Candidate::Linear,
        transition: Transition::Signed,
    };
    let lstm = Cell::MinLstm {
        candidate: Candidate::G,
        normalized: true,
    };
    let [update, keep, candidate] = [Plane::Update, Plane::Keep, Plane::Candidate];
    let wrong: [(Cell, &[Plane]); 9] = [
        (GRU, &[]),
        (GRU, &[update]),
        (GRU, &[update, update]),
        (GRU, &[update, keep]),
        (GRU, &[update, candidate, Plane::Transition]),
        (GRU, &[Plane::Forget, candidate]),
        (signed, &[update, candidate]),
        (lstm, &[update, Plane::Input, candidate]),
        (Cell::Linear, &[update, candidate]),
    ];
    for (cell, order) in wrong {
        let separate = order.iter().map(|plane| (*plane, NamedLinear::new("u")));
        for planes in [
            NamedPlanes::packed(NamedLinear::new("w"), order),
            NamedPlanes::Separate(separate.collect()),
        ] {
            let error = fails(NamedLayout::new(cell, planes));
            assert!(
                matches!(&error, ImportError::Layout { cell: of, .. } if *of == cell),
                "{cell:?} {order:?}: {error}"
            );
        }
    }
}

#[test]
fn what_is_named_must_be_there() {
    let missing = |layout: NamedLayout, want: &str| {
        let error = fails(layout);
        assert!(
            matches!(&error, ImportError::StateDict(StateDictError::Missing { name, .. }) if name == want),
            "{error}"
        );
    };
    missing(NamedLayout::new(GRU, packed("no")), "no");
    let biased = NamedLinear::new("w").with_bias("no bias");
    let planes = NamedPlanes::packed(biased, &[Plane::Update, Plane::Candidate]);
    missing(NamedLayout::new(GRU, planes), "no bias");
    let layout = || NamedLayout::new(GRU, packed("w"));
    missing(layout().with_output(NamedLinear::new("no out")), "no out");
    for initial in [NamedInitial::PreActivation, NamedInitial::State] {
        missing(layout().with_initial(initial("no h".into())), "no h");
    }
    // A prefix belongs to the name.
    let (bytes, device) = (many().bytes(), Device::flex());
    let error = min_rnn_from_safetensors(&bytes, Layout::Named(layout()), "p.", &device);
    let error = error.unwrap_err();
    assert!(
        matches!(&error, ImportError::StateDict(StateDictError::Missing { name, .. }) if name == "p.w"),
        "{error}"
    );
    assert!(error.to_string().contains("\"odd\""), "{error}");
}

#[test]
fn what_is_named_must_have_its_shape_and_dtype() {
    let mismatch = |layout: NamedLayout, want: &str| {
        let error = fails(layout);
        assert!(
            matches!(&error, ImportError::StateDict(StateDictError::Tensor { name, .. }) if name == want),
            "{want}: {error}"
        );
    };
    for weight in ["odd", "deep", "ints", "empty", "b8"] {
        mismatch(NamedLayout::new(GRU, packed(weight)), weight);
    }
    let [update, candidate] = [Plane::Update, Plane::Candidate];
    for bias in ["b4", "b64", "h22", "w"] {
        let biased = NamedLinear::new("w").with_bias(bias);
        let planes = NamedPlanes::packed(biased, &[update, candidate]);
        mismatch(NamedLayout::new(GRU, planes), bias);
    }
    // Maps of different sizes; one with a bias, one without.
    let two = |other: NamedLinear| separate(NamedLinear::new("u"), other);
    mismatch(NamedLayout::new(GRU, two(NamedLinear::new("v"))), "v");
    mismatch(NamedLayout::new(GRU, two(NamedLinear::new("w"))), "w");
    let biased = NamedLinear::new("u").with_bias("b4");
    mismatch(NamedLayout::new(GRU, two(biased)), "u");
    // Five columns can be no two planes.
    let turned = NamedLayout::new(GRU, packed("w")).with_input_first(true);
    mismatch(turned, "w");
    let layout = || NamedLayout::new(GRU, packed("w"));
    for output in ["out", "out64", "b4"] {
        mismatch(layout().with_output(NamedLinear::new(output)), output);
    }
    for initial in [NamedInitial::PreActivation, NamedInitial::State] {
        for name in ["b8", "h22", "b64", "u"] {
            mismatch(layout().with_initial(initial(name.into())), name);
        }
    }
}

#[test]
fn a_state_must_be_a_value_of_its_activation() {
    let with = |candidate, name: &str| {
        let cell = Cell::MinGru {
            candidate,
            transition: Transition::Positive,
        };
        let state = NamedInitial::State(name.into());
        NamedLayout::new(cell, packed("w")).with_initial(state)
    };
    for (candidate, file, first) in [
        (Candidate::G, "h-", -0.25),
        (Candidate::Tanh, "h1", 1.0),
        (Candidate::G, "nan", f64::NAN),
        (Candidate::Tanh, "nan", f64::NAN),
    ] {
        let error = fails(with(candidate, file));
        let ImportError::InitialState { name, value, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(name, file);
        assert!(
            *value == first || value.is_nan() && first.is_nan(),
            "{error}"
        );
    }
    // What is the state is taken as it is.
    let (bytes, device) = (many().bytes(), Device::flex());
    let layout = Layout::Named(with(Candidate::Linear, "h-"));
    let layer = min_rnn_from_safetensors(&bytes, layout, "", &device).unwrap();
    let got: Vec<f32> = layer
        .initial
        .unwrap()
        .val()
        .into_data()
        .try_to_vec()
        .unwrap();
    assert_eq!(got, [0.5, -0.25, 1.0, 2.0]);
}

#[test]
fn a_broken_file_is_an_error() {
    let (bytes, device) = (many().bytes(), Device::flex());
    let layout = || Layout::Named(NamedLayout::new(GRU, packed("w")));
    for len in (0..bytes.len()).step_by(7) {
        let error = min_rnn_from_safetensors(&bytes[..len], layout(), "", &device).unwrap_err();
        assert!(
            matches!(error, ImportError::StateDict(StateDictError::Format(_))),
            "{len} bytes: {error}"
        );
    }
}
