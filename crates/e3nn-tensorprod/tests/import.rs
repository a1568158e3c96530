//! Weights of e3nn, MACE and NequIP under their own names (`golden/make_models.py`): the modules, loaded, give what theirs gave.

mod common;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::graph::Graph;
use core_tensor::state_dict::{StateDict, StateDictError, StateDictWriter};
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig, InstructionOrder};
use e3nn_tensorprod::import::StateDictModule;
use e3nn_tensorprod::nn::*;
use e3nn_tensorprod::product::RowClasses;
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::*;

const BOUND: f64 = 1e-12;

fn device() -> Device {
    Device::flex()
}

/// The module with the weights below `prefix`, after a way out and back.
fn loaded<M: StateDictModule>(golden: &Golden, prefix: &str, make: impl Fn() -> M) -> M {
    let state = StateDict::open(golden.bytes(), &device()).unwrap();
    let first = make().load_state_dict(&state.at(prefix)).unwrap();
    let mut file = StateDictWriter::new();
    first.save_state_dict("there.", &mut file);
    let bytes = file.to_bytes().unwrap();
    let back = StateDict::open(&bytes, &device()).unwrap().at("there.");
    // What is written has the numbers of the file, in its order.
    for name in back.names() {
        let got: Vec<f64> = flat(&back, &name);
        assert_eq!(
            got,
            golden.values(&format!("{prefix}{name}")),
            "{prefix}{name}"
        );
    }
    make().load_state_dict(&back).unwrap()
}

fn flat(state: &StateDict<'_>, name: &str) -> Vec<f64> {
    let any = |shape: &[usize]| Some([shape.iter().product()]);
    let tensor: Tensor<1> = state.tensor(name, "any shape", any).unwrap();
    tensor.into_data().try_to_vec().unwrap()
}

fn values<const D: usize>(golden: &Golden, name: &str) -> Tensor<D> {
    golden.tensor(name, &device(), DType::F64)
}

fn matrix(golden: &Golden, name: &str) -> Tensor<2> {
    let shape = golden.shape(name);
    let columns = shape[1..].iter().product();
    let data = TensorData::new(golden.values(name), [shape[0], columns]);
    Tensor::from_data(data, (&device(), DType::F64))
}

#[test]
fn modules_of_e3nn() {
    let golden = Golden::open("e3nn_modules");
    let (a, b) = (irreps!("4x0e+2x1o+1x2e"), irreps!("0e+1o"));
    let check = |name: &str, got: Tensor<2>| {
        let want = matrix(&golden, &format!("{name}.out"));
        assert_close!(got, want, BOUND, BOUND);
    };
    let input = |name: &str| matrix(&golden, name);

    let linear = loaded(&golden, "linear.", || {
        LinearConfig::new(a.clone(), irreps!("3x0e+2x0e+2x1o"))
            .with_biases(Biases::Scalars)
            .init(&device())
            .unwrap()
    });
    check("linear", linear.forward(input("linear.in0")));

    let linear = loaded(&golden, "linear_f.", || {
        let config = LinearConfig::new(a.clone(), a.clone());
        config.with_f_in(2).with_f_out(3).init(&device()).unwrap()
    });
    check("linear_f", linear.forward(input("linear_f.in0")));

    let product = loaded(&golden, "product.", || {
        TensorProductConfig::fully_connected(&a, &b, &irreps!("2x0e+2x1o+1x1e"))
            .init(&device())
            .unwrap()
    });
    check(
        "product",
        product.forward(input("product.in0"), input("product.in1")),
    );

    let net = loaded(&golden, "net.", || {
        FullyConnectedNetConfig::new(vec![4, 8, 8, 3], ScalarFunction::Tanh)
            .init(&device())
            .unwrap()
    });
    check("net", net.forward(input("net.in0")));

    let norm = loaded(&golden, "norm.", || {
        BatchNormConfig::new(a.clone()).init(&device()).unwrap()
    });
    check("norm", norm.forward(input("norm.in0")));

    let activation = loaded(&golden, "activation.", || {
        NormActivationConfig::new(a.clone(), ScalarFunction::Tanh)
            .with_bias(true)
            .init(&device())
            .unwrap()
    });
    check("activation", activation.forward(input("activation.in0")));
}

/// Graph and inputs of a block, edges in the order of the graph.
struct Inputs {
    graph: Graph,
    species: Vec<usize>,
    features: Tensor<2>,
    harmonics: Tensor<2>,
    radial: Tensor<2>,
}

fn inputs(golden: &Golden) -> Inputs {
    let list = |name: &str| golden.integers(name).iter().map(|&i| i as usize).collect();
    let ends = |name: &str| {
        golden
            .integers(name)
            .iter()
            .map(|&i| i as u32)
            .collect::<Vec<_>>()
    };
    let species: Vec<usize> = list("species_i");
    let graph = Graph::new(
        species.len(),
        &ends("sources_i"),
        &ends("destinations_i"),
        &[],
    )
    .unwrap();
    let order: Vec<i64> = graph.order().iter().map(|&e| i64::from(e)).collect();
    let order = TensorData::new(order.clone(), [order.len()]);
    let order = Tensor::<1, Int>::from_data(order, &device());
    let sorted = |name: &str| values::<2>(golden, name).select(0, order.clone());
    let harmonics = sorted("harmonics");
    let ours = spherical_harmonics(
        &[0, 1, 2],
        sorted("vectors"),
        true,
        Normalization::Component,
    );
    assert_close!(ours, harmonics.clone(), BOUND, BOUND);
    Inputs {
        graph,
        species,
        features: values(golden, "features"),
        harmonics,
        radial: sorted("radial"),
    }
}

/// The layers that MACE and NequIP share.
struct Interaction {
    up: Linear,
    radial: FullyConnectedNet,
    conv: Convolution,
    mix: Linear,
    skip: Linear,
}

impl Interaction {
    /// Reads the layers under the names that the package has for them.
    fn load(
        golden: &Golden,
        names: [&str; 4],
        order: InstructionOrder,
        [input, hidden, output, skipped]: [&Irreps; 4],
    ) -> Self {
        let [up, radial, mix, skip] = names;
        let conv = ConvolutionConfig::new(hidden.clone(), irreps!("0e+1o+2e"), output.clone())
            .with_order(order)
            .init()
            .unwrap();
        let sizes = vec![4, 6, 6, conv.weight_numel()];
        let linear = |from: &Irreps, to: &Irreps| LinearConfig::new(from.clone(), to.clone());
        Self {
            up: loaded(golden, up, || {
                linear(input, hidden).init(&device()).unwrap()
            }),
            radial: loaded(golden, radial, || {
                FullyConnectedNetConfig::new(sizes.clone(), ScalarFunction::Silu)
                    .init(&device())
                    .unwrap()
            }),
            mix: loaded(golden, mix, || {
                linear(conv.irreps_out(), output).init(&device()).unwrap()
            }),
            skip: loaded(golden, skip, || {
                let config = linear(input, skipped).with_classes(Some(3));
                config.init(&device()).unwrap()
            }),
            conv,
        }
    }

    /// Messages, and the self-connection.
    fn forward(&self, inputs: &Inputs) -> [Tensor<2>; 2] {
        let classes = RowClasses::new(&inputs.species, 3).unwrap();
        let skip = self
            .skip
            .forward_by_class(inputs.features.clone(), &classes);
        let x = self.up.forward(inputs.features.clone());
        // The last layer of the radial network, fused.
        let hidden = self.radial.hidden(inputs.radial.clone());
        let last = self.radial.weights[2].val();
        let y = inputs.harmonics.clone();
        let sums = self.conv.forward_radial(x, y, hidden, last, &inputs.graph);
        [self.mix.forward(sums), skip]
    }
}

#[test]
fn a_block_of_mace() {
    let golden = Golden::open("mace_blocks");
    let (hidden, target) = (irreps!("4x0e+4x1o"), irreps!("4x0e+4x1o+4x2e"));
    let at = |name: &str| format!("mace.interaction.{name}.");
    let [up, radial, mix, skip] = ["linear_up", "conv_tp_weights", "linear", "skip_tp"].map(at);
    let interaction = Interaction::load(
        &golden,
        [&up, &radial, &mix, &skip],
        InstructionOrder::ByOutput,
        [&hidden, &hidden, &target, &hidden],
    );
    let inputs = inputs(&golden);
    let [sums, skip] = interaction.forward(&inputs);
    let messages = sums / 2.5;
    // There, `[nodes, channels, components]`.
    let parts = target.slices().into_iter().zip(target.iter());
    let parts = parts.map(|(range, block)| {
        let part = messages.clone().narrow(1, range.start, range.len());
        part.reshape([5, 4, block.irrep.dim()])
    });
    let components = Tensor::<3>::cat(parts.collect(), 2);
    assert_close!(components, values::<3>(&golden, "messages"), BOUND, BOUND);

    let contraction = loaded(&golden, "mace.product.symmetric_contractions.", || {
        SymmetricContractionConfig::new(target.clone(), hidden.clone(), 3, 3)
            .init(&device(), DType::F64)
            .unwrap()
    });
    let linear = loaded(&golden, "mace.product.linear.", || {
        let config = LinearConfig::new(hidden.clone(), hidden.clone());
        config.init(&device()).unwrap()
    });
    let elements: Vec<i64> = inputs.species.iter().map(|&s| s as i64).collect();
    let elements = Tensor::<1, Int>::from_data(TensorData::new(elements, [5]), &device());
    let out = linear.forward(contraction.forward(messages, elements)) + skip;
    assert_close!(out, values::<2>(&golden, "out"), BOUND, BOUND);
}

#[test]
fn a_block_of_nequip() {
    let golden = Golden::open("nequip_block");
    let features = irreps!("4x0e+3x1o+2x1e");
    let output = irreps!("3x0e+2x0o+4x1o+2x2e");
    let names = [
        "nequip.linear_1.",
        "nequip.fc.",
        "nequip.linear_2.",
        "nequip.sc.",
    ];
    let block = Interaction::load(
        &golden,
        names,
        InstructionOrder::Found,
        [&features, &features, &output, &output],
    );
    let [sums, skip] = block.forward(&inputs(&golden));
    // A linear map may be scaled before or after.
    let out = sums / 2.5_f64.sqrt() + skip;
    assert_close!(out, values::<2>(&golden, "out"), BOUND, BOUND);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let golden = Golden::open("e3nn_modules");
    let state = StateDict::open(golden.bytes(), &device()).unwrap();
    let linear = |to: &str| {
        let config = LinearConfig::new(irreps!("4x0e+2x1o+1x2e"), to.parse().unwrap());
        config.init(&device()).unwrap()
    };
    let error = linear("4x0e").load_state_dict(&state.at("linear."));
    assert!(matches!(error, Err(StateDictError::Tensor { name, .. }) if name == "linear.weight"),);
    let error = linear("4x0e").load_state_dict(&state.at("nowhere."));
    assert!(matches!(error, Err(StateDictError::Missing { name, .. }) if name == "nowhere.weight"),);
}
