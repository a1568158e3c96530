//! Files written by the PyTorch packages give the packages' own outputs; broken files give errors.
#![cfg(feature = "import")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::state_dict::StateDictError;
use seq_rnn_parallel_scan::import::{ImportError, Layout, min_rnn_from_safetensors};
use seq_rnn_parallel_scan::{InitialState, MinRnn};

fn file(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/import/{name}.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn test_tensor(bytes: &[u8], name: &str, device: &Device) -> Tensor<3> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), DType::F64);
    Tensor::from_data(data, (device, DType::F64))
}

/// Loads a file and compares with the output that the package itself wrote next to the weights.
fn check(name: &str, layout: Layout, prefix: &str, initial: InitialState) -> MinRnn {
    let (bytes, device) = (file(name), Device::flex());
    let layer = min_rnn_from_safetensors(&bytes, layout, prefix, &device).unwrap();
    let (y, _) = layer.forward(test_tensor(&bytes, "test.x", &device), initial);
    assert_close!(
        y,
        test_tensor(&bytes, "test.y", &device),
        1e-12,
        1e-12,
        "{name}"
    );
    layer
}

#[test]
fn lucidrains() {
    let plain = check(
        "lucidrains_gru",
        Layout::LucidrainsGru,
        "",
        InitialState::Zero,
    );
    assert!(plain.output.is_none() && plain.planes.bias.is_none());
    let wide = check(
        "lucidrains_gru_expanded",
        Layout::LucidrainsGru,
        "",
        InitialState::Zero,
    );
    assert_eq!((wide.d_hidden(), wide.d_output()), (9, 6));
    check(
        "lucidrains_lstm",
        Layout::LucidrainsLstm,
        "",
        InitialState::Zero,
    );
}

#[test]
fn cheind() {
    check("cheind_cell", Layout::Cheind, "", InitialState::Learned);
    check(
        "cheind_layers",
        Layout::Cheind,
        "layers.0.",
        InitialState::Learned,
    );
}

#[test]
fn mingru_scans() {
    check(
        "mingru_scans",
        Layout::MingruScans,
        "",
        InitialState::Learned,
    );
    check(
        "mingru_scans_learned",
        Layout::MingruScans,
        "",
        InitialState::Learned,
    );
    let signed = |coupled| Layout::MingruScansSigned { coupled };
    check("mingru_scans_signed", signed(false), "", InitialState::Zero);
    check("mingru_scans_coupled", signed(true), "", InitialState::Zero);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let device = Device::flex();
    let load = |bytes: &[u8], layout| min_rnn_from_safetensors(bytes, layout, "", &device);
    let bytes = file("lucidrains_gru");
    let error = load(&bytes, Layout::MingruScans).unwrap_err();
    assert!(
        matches!(&error, ImportError::StateDict(StateDictError::Missing { name, .. }) if name == "linear_z.weight"),
        "{error}"
    );
    assert!(
        error.to_string().contains("to_hidden_and_gate.weight"),
        "{error}"
    );
    for len in 0..bytes.len() {
        assert!(
            load(&bytes[..len], Layout::LucidrainsGru).is_err(),
            "truncated to {len} bytes"
        );
    }
}

/// Random damage gives an error or a layer, never a panic.
#[test]
fn damaged_files_do_not_panic() {
    use rand::{Rng, SeedableRng};
    let device = Device::flex();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let whole = file("lucidrains_lstm");
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            // Mostly the header, where the structure is.
            let at = if rng.random_bool(0.8) {
                rng.random_range(0..300)
            } else {
                rng.random_range(0..bytes.len())
            };
            bytes[at] = rng.random();
        }
        let _ = min_rnn_from_safetensors(&bytes, Layout::LucidrainsLstm, "", &device);
    }
}
