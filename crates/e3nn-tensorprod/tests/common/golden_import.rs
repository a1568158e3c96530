//! Weights of e3nn, MACE and NequIP under their own names (`golden/make_models.py`): the modules, loaded, give what theirs gave.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::graph::Graph;
use core_tensor::state_dict::{StateDict, StateDictWriter};
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig, InstructionOrder};
use e3nn_tensorprod::import::StateDictModule;
use e3nn_tensorprod::nn::*;
use e3nn_tensorprod::product::RowClasses;
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::*;

/// A file on a device.
struct Source {
    golden: Golden,
    device: Device,
    dtype: DType,
    bound: f64,
}

impl Source {
    fn open(name: &str, device: &Device, dtype: DType, bound: f64) -> Self {
        Self {
            golden: Golden::open(name),
            device: device.clone(),
            dtype,
            bound,
        }
    }

    /// The module with the weights below `prefix`, after a way out and back.
    fn loaded<M: StateDictModule>(&self, prefix: &str, make: impl Fn() -> M) -> M {
        let bytes = self.golden.bytes(self.dtype);
        let state = StateDict::open(&bytes, &self.device).unwrap();
        let first = make().load_state_dict(&state.at(prefix)).unwrap();
        let mut file = StateDictWriter::new();
        first.save_state_dict("there.", &mut file);
        let bytes = file.to_bytes().unwrap();
        let back = StateDict::open(&bytes, &self.device).unwrap().at("there.");
        // What is written has the numbers of the file, in its order.
        for name in back.names() {
            let values = self.golden.values(&format!("{prefix}{name}")).into_iter();
            let want: Vec<f64> = match self.dtype {
                DType::F32 => values.map(|x| f64::from(x as f32)).collect(),
                _ => values.collect(),
            };
            assert_eq!(flat(&back, &name), want, "{prefix}{name}");
        }
        make().load_state_dict(&back).unwrap()
    }

    fn values<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.golden.tensor(name, &self.device, self.dtype)
    }

    /// With all axes but the first as one.
    fn matrix(&self, name: &str) -> Tensor<2> {
        let shape = self.golden.shape(name);
        let columns = shape[1..].iter().product();
        let data = TensorData::new(self.golden.values(name), [shape[0], columns]);
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    fn close<const D: usize>(&self, got: Tensor<D>, want: Tensor<D>, what: &str) {
        assert_close!(
            got,
            want,
            self.bound,
            self.bound,
            "{what}, {:?}",
            self.dtype
        );
    }
}

fn flat(state: &StateDict<'_>, name: &str) -> Vec<f64> {
    let any = |shape: &[usize]| Some([shape.iter().product()]);
    let tensor: Tensor<1> = state.tensor(name, "any shape", any).unwrap();
    tensor.into_data().iter::<f64>().collect()
}

/// Single layers.
pub fn modules_of_e3nn(device: &Device, dtype: DType, bound: f64) {
    let source = Source::open("e3nn_modules", device, dtype, bound);
    let (a, b) = (irreps!("4x0e+2x1o+1x2e"), irreps!("0e+1o"));
    let check = |name: &str, got: Tensor<2>| {
        source.close(got, source.matrix(&format!("{name}.out")), name);
    };
    let input = |name: &str| source.matrix(name);

    let linear = source.loaded("linear.", || {
        LinearConfig::new(a.clone(), irreps!("3x0e+2x0e+2x1o"))
            .with_biases(Biases::Scalars)
            .init(device)
            .unwrap()
    });
    check("linear", linear.forward(input("linear.in0")));

    let linear = source.loaded("linear_f.", || {
        let config = LinearConfig::new(a.clone(), a.clone());
        config.with_f_in(2).with_f_out(3).init(device).unwrap()
    });
    check("linear_f", linear.forward(input("linear_f.in0")));

    let product = source.loaded("product.", || {
        TensorProductConfig::fully_connected(&a, &b, &irreps!("2x0e+2x1o+1x1e"))
            .init(device)
            .unwrap()
    });
    check(
        "product",
        product.forward(input("product.in0"), input("product.in1")),
    );

    let net = source.loaded("net.", || {
        FullyConnectedNetConfig::new(vec![4, 8, 8, 3], ScalarFunction::Tanh)
            .init(device)
            .unwrap()
    });
    check("net", net.forward(input("net.in0")));

    let norm = source.loaded("norm.", || {
        BatchNormConfig::new(a.clone()).init(device).unwrap()
    });
    check("norm", norm.forward(input("norm.in0")));

    let activation = source.loaded("activation.", || {
        NormActivationConfig::new(a.clone(), ScalarFunction::Tanh)
            .with_bias(true)
            .init(device)
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

fn inputs(source: &Source) -> Inputs {
    let (golden, device) = (&source.golden, &source.device);
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
    let order = Tensor::<1, Int>::from_data(order, device);
    let sorted = |name: &str| source.values::<2>(name).select(0, order.clone());
    let harmonics = sorted("harmonics");
    let ours = spherical_harmonics(
        &[0, 1, 2],
        sorted("vectors"),
        true,
        Normalization::Component,
    );
    source.close(ours, harmonics.clone(), "harmonics");
    Inputs {
        graph,
        species,
        features: source.values("features"),
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
        source: &Source,
        names: [&str; 4],
        order: InstructionOrder,
        [input, hidden, output, skipped]: [&Irreps; 4],
    ) -> Self {
        let device = &source.device;
        let [up, radial, mix, skip] = names;
        let conv = ConvolutionConfig::new(hidden.clone(), irreps!("0e+1o+2e"), output.clone())
            .with_order(order)
            .init()
            .unwrap();
        let sizes = vec![4, 6, 6, conv.weight_numel()];
        let linear = |from: &Irreps, to: &Irreps| LinearConfig::new(from.clone(), to.clone());
        Self {
            up: source.loaded(up, || linear(input, hidden).init(device).unwrap()),
            radial: source.loaded(radial, || {
                FullyConnectedNetConfig::new(sizes.clone(), ScalarFunction::Silu)
                    .init(device)
                    .unwrap()
            }),
            mix: source.loaded(mix, || {
                linear(conv.irreps_out(), output).init(device).unwrap()
            }),
            skip: source.loaded(skip, || {
                let config = linear(input, skipped).with_classes(Some(3));
                config.init(device).unwrap()
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

/// Interaction and product of MACE.
pub fn a_block_of_mace(device: &Device, dtype: DType, bound: f64) {
    let source = Source::open("mace_blocks", device, dtype, bound);
    let (hidden, target) = (irreps!("4x0e+4x1o"), irreps!("4x0e+4x1o+4x2e"));
    let at = |name: &str| format!("mace.interaction.{name}.");
    let [up, radial, mix, skip] = ["linear_up", "conv_tp_weights", "linear", "skip_tp"].map(at);
    let interaction = Interaction::load(
        &source,
        [&up, &radial, &mix, &skip],
        InstructionOrder::ByOutput,
        [&hidden, &hidden, &target, &hidden],
    );
    let inputs = inputs(&source);
    let [sums, skip] = interaction.forward(&inputs);
    let messages = sums / 2.5;
    // There, `[nodes, channels, components]`.
    let parts = target.slices().into_iter().zip(target.iter());
    let parts = parts.map(|(range, block)| {
        let part = messages.clone().narrow(1, range.start, range.len());
        part.reshape([5, 4, block.irrep.dim()])
    });
    let components = Tensor::<3>::cat(parts.collect(), 2);
    source.close(components, source.values::<3>("messages"), "messages");

    let contraction = source.loaded("mace.product.symmetric_contractions.", || {
        SymmetricContractionConfig::new(target.clone(), hidden.clone(), 3, 3)
            .init(device, dtype)
            .unwrap()
    });
    let linear = source.loaded("mace.product.linear.", || {
        let config = LinearConfig::new(hidden.clone(), hidden.clone());
        config.init(device).unwrap()
    });
    let elements: Vec<i64> = inputs.species.iter().map(|&s| s as i64).collect();
    let elements = Tensor::<1, Int>::from_data(TensorData::new(elements, [5]), device);
    let out = linear.forward(contraction.forward(messages, elements)) + skip;
    source.close(out, source.values::<2>("out"), "out");
}

/// Interaction of NequIP.
pub fn a_block_of_nequip(device: &Device, dtype: DType, bound: f64) {
    let source = Source::open("nequip_block", device, dtype, bound);
    let features = irreps!("4x0e+3x1o+2x1e");
    let output = irreps!("3x0e+2x0o+4x1o+2x2e");
    let names = [
        "nequip.linear_1.",
        "nequip.fc.",
        "nequip.linear_2.",
        "nequip.sc.",
    ];
    let block = Interaction::load(
        &source,
        names,
        InstructionOrder::Found,
        [&features, &features, &output, &output],
    );
    let [sums, skip] = block.forward(&inputs(&source));
    // A linear map may be scaled before or after.
    let out = sums / 2.5_f64.sqrt() + skip;
    source.close(out, source.values::<2>("out"), "out");
}
