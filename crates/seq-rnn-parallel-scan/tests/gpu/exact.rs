//! What holds to the bit: reruns, splits in time, and the shapes promised to Fusion.

use super::common::{Inputs, Random, Setup, setups};
use super::{ALGORITHMS, MIN_GRU, device};
use burn::tensor::{DType, Device, Tensor, s};
use core_tensor::ext::Dispatch;
use seq_rnn_parallel_scan::scan::{Cotangent, ScanBackend, Sequences, Spec, scan};
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, ScanOptions, Transition};

#[test]
fn reruns() {
    for algorithm in ALGORITHMS {
        let setup = Setup {
            initial: true,
            reset: true,
            checkpoint: Some(16),
            algorithm,
            ..Setup::default()
        };
        let mut random = Random::new(1, &device().autodiff(), DType::F32);
        let inputs = Inputs::draw(&mut random, MIN_GRU, [2, 300, 40], &setup);
        let first = inputs.run(MIN_GRU, &setup, scan);
        for _ in 0..4 {
            assert!(inputs.run(MIN_GRU, &setup, scan) == first, "{algorithm:?}");
        }
    }
}

#[test]
fn serial_has_the_same_bits_in_any_split() {
    let device = device();
    let cell = Cell::MinGru {
        candidate: Candidate::G,
        transition: Transition::SignedCoupled,
    };
    let mut random = Random::new(2, &device, DType::F32);
    for width in [1, 33] {
        let planes = random.uniform([1, 60, 3 * width], -4.0, 4.0);
        for reverse in [false, true] {
            let options = || {
                ScanOptions::default()
                    .with_reverse(reverse)
                    .with_algorithm(Algorithm::Serial)
            };
            let full = scan(cell, planes.clone(), options());
            for at in [vec![0, 1, 2, 3, 60], vec![0, 7, 7, 39, 60], vec![0, 32, 60]] {
                let mut pieces: Vec<_> = at.windows(2).collect();
                if reverse {
                    pieces.reverse();
                }
                let mut state = Tensor::<2>::zeros([1, width], &device);
                let packed = options().with_cu_seqlens(at.clone());
                let packed = scan(cell, planes.clone(), packed).states.into_data();
                let mut alone = Vec::new();
                for w in pieces {
                    let piece = planes.clone().slice(s![.., w[0]..w[1]]);
                    alone.push(scan(cell, piece.clone(), options()).states);
                    let out = scan(cell, piece, options().with_initial(state));
                    let want = full.states.clone().slice(s![.., w[0]..w[1]]);
                    assert!(out.states.into_data() == want.into_data());
                    state = out.last;
                }
                assert!(state.into_data() == full.last.clone().into_data());
                if reverse {
                    alone.reverse();
                }
                assert!(packed == Tensor::cat(alone, 1).into_data());
            }
        }
    }
}

/// Fusion never compares the shapes and dtypes that an operation promises with those it returns: what is
/// promised is what a tensor says, what is returned is what its data say.
#[test]
fn promised_shapes_are_the_real_ones() {
    fn promised<const D: usize>(x: Tensor<D>) {
        let (dims, dtype) = (x.dims().to_vec(), x.dtype());
        let data = x.into_data();
        assert_eq!((data.shape().to_vec(), data.dtype()), (dims, dtype));
    }
    let device = device();
    for dtype in [DType::F32, DType::F16] {
        if !device.supports_dtype(dtype) {
            continue;
        }
        for shape in [[1, 41, 5], [3, 8, 33], [2, 0, 4]] {
            for setup in setups(shape[0], shape[1]) {
                both_ops(&device, dtype, shape, &setup, promised, promised);
            }
        }
    }
}

fn both_ops(
    device: &Device,
    dtype: DType,
    [batch, time, width]: [usize; 3],
    setup: &Setup,
    planes_check: fn(Tensor<3>),
    rows_check: fn(Tensor<2>),
) {
    let sequences = match &setup.cu_seqlens {
        None => Sequences::Batch { count: batch, time },
        Some(at) => Sequences::Packed {
            at: at.clone().into(),
        },
    };
    let spec = Spec {
        cell: MIN_GRU,
        packed_planes: !setup.separate,
        sequences,
        reverse: setup.reverse,
        has_reset: setup.reset,
        checkpoint: setup.checkpoint,
        algorithm: setup.algorithm,
    };
    let mut random = Random::new(3, device, dtype);
    let columns = if setup.separate { width } else { 2 * width };
    let x = random.uniform([batch, time, columns], -1.0, 1.0);
    let initial = Tensor::<2>::ones([spec.sequences.count(), width], (device, DType::F32));
    let reset = Tensor::<2>::zeros([batch, time], (device, DType::F32));
    let planes = || [&x; 3].map(|x| x.clone().into_dispatch());
    let small = || [&initial, &reset].map(|x| x.clone().into_dispatch());

    let ([x, y, z], [i, r]) = (planes(), small());
    let (states, last, borders) = Dispatch::scan(x, y, z, i, r, spec.clone());
    let saved = if spec.checkpoint.is_some() {
        borders.clone()
    } else {
        states.clone()
    };
    for (kind, cotangent) in [
        (Cotangent::States, states.clone()),
        (Cotangent::Last, last.clone()),
    ] {
        let ([x, y, z], [i, r]) = (planes(), small());
        let (gradient, initial) =
            Dispatch::scan_backward(x, y, z, i, r, saved.clone(), cotangent, kind, spec.clone());
        if setup.separate {
            let gradient = Tensor::<4>::from_dispatch(gradient);
            let (dims, dtype) = (gradient.dims().to_vec(), gradient.dtype());
            let data = gradient.into_data();
            assert_eq!((data.shape().to_vec(), data.dtype()), (dims, dtype));
        } else {
            planes_check(Tensor::from_dispatch(gradient));
        }
        rows_check(Tensor::from_dispatch(initial));
    }
    planes_check(Tensor::from_dispatch(states));
    rows_check(Tensor::from_dispatch(last));
    rows_check(Tensor::from_dispatch(borders));
}
