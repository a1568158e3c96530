//! Records that were changed and given a valid digest again. That is beyond what a digest can
//! notice, so these need not be refused; but they must not panic, hang or exhaust memory.
//!
//! (Burn's own panics are caught; their messages on standard error are no failure.)

use std::fs;

use burn::tensor::{Bytes, DType, Device};
use burn_pack::{Reader, Scalar, Tensor, Writer};
use core_tensor::resume::rand::Rng;
use core_tensor::resume::{ResumeError, RngStream};

use crate::model::Run;
use crate::{Fixture, HIDDEN, put, sign};

type Tensors = Vec<(String, DType, Vec<usize>, Option<u64>, Vec<u8>)>;
type Scalars = Vec<(String, Scalar)>;

/// Rewrites a record of the newest state and loads everything.
fn forge(fixture: &Fixture, file: &str, change: impl FnOnce(&mut Tensors, &mut Scalars)) -> String {
    let path = fixture.newest().join(file);
    let whole = fs::read(&path).unwrap();
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(whole.clone())).unwrap();
    let mut scalars: Scalars = reader.scalars().clone().into_iter().collect();
    let texts = reader.metadata().clone();
    let tensors = reader.into_tensors().unwrap().into_iter();
    let mut tensors: Tensors = tensors
        .map(|tensor| {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().unwrap();
            (name, dtype, shape.to_vec(), id, bytes.to_vec())
        })
        .collect();
    change(&mut tensors, &mut scalars);
    let tensors = tensors.into_iter().map(|(name, dtype, shape, id, bytes)| {
        Tensor::new(name, dtype, shape, id, Bytes::from_bytes_vec(bytes))
    });
    let mut writer = Writer::new(tensors.collect());
    for (name, value) in scalars {
        writer = writer.with_scalar(&name, value);
    }
    for (name, value) in texts {
        writer = writer.with_metadata(&name, &value);
    }
    put(&path, &writer.into_bytes().unwrap()[..]);
    sign(&fixture.newest());
    let saved = fixture.latest();
    assert_eq!(saved.state.step, 9, "the digest is valid");
    let text = match Run::load(saved, HIDDEN, &Device::default()) {
        Ok(_) => "ok".to_owned(),
        Err(ResumeError::Decode {
            path: named,
            reason,
        }) if named == path => reason,
        Err(error) => panic!("{error}"),
    };
    put(&path, whole);
    sign(&fixture.newest());
    text
}

#[test]
fn forged_records_are_errors() {
    let fixture = Fixture::new();
    let optim = |change: fn(&mut Tensors, &mut Scalars)| forge(&fixture, "optim.bpk", change);
    let model = |change: fn(&mut Tensors, &mut Scalars)| forge(&fixture, "model.bpk", change);

    assert_eq!(optim(|_, _| {}), "ok");
    let text = optim(|tensors, _| tensors[0].3 = None);
    assert!(text.contains("belongs to no parameter"), "{text}");
    let text = optim(|tensors, _| {
        let count: usize = tensors[0].2.iter().product();
        tensors[0].2 = vec![1, 1, 1, 1, 1, 1, 1, 1, count];
    });
    assert!(text.contains("has rank 9"), "{text}");
    let text = optim(|_, scalars| {
        scalars
            .iter_mut()
            .find(|(name, _)| name.ends_with(".__rank"))
            .unwrap()
            .1 = Scalar::UInt(99);
    });
    assert!(text.contains("not in 0..=8"), "{text}");
    let text = optim(|_, scalars| scalars.push(("1.history.len".into(), Scalar::UInt(u64::MAX))));
    assert!(text.contains("not in 0..="), "{text}");
    let text = optim(|tensors, _| tensors[0].2.push(1));
    assert!(text.contains("panicked"), "{text}");
    let text = optim(|tensors, _| drop(tensors.pop()));
    assert!(text.contains("was saved but does not load"), "{text}");
    let text = optim(|tensors, _| {
        let (_, dtype, shape, id, bytes) = tensors[0].clone();
        tensors.push(("surplus".into(), dtype, shape, id, bytes));
    });
    assert!(
        text.contains("`surplus` was saved but does not load"),
        "{text}"
    );
    let text = optim(|_, scalars| scalars.retain(|(name, _)| !name.ends_with(".time")));
    assert!(text.contains("was saved but does not load"), "{text}");

    assert_eq!(model(|_, _| {}), "ok");
    let text = model(|tensors, _| drop(tensors.pop()));
    assert!(text.contains("Missing tensors"), "{text}");
    let text = model(|tensors, _| tensors[0].2.reverse());
    assert!(
        text.contains("ok") || text.contains("shape mismatch"),
        "{text}"
    );
    let text = model(|tensors, _| tensors[0].0 = "elsewhere".into());
    assert!(text.contains("issing tensors"), "{text}");
    let text = model(|tensors, _| tensors[0].1 = DType::U32);
    assert!(text.contains("panicked"), "{text}");
}

#[test]
fn random_changes_to_records_never_panic() {
    let count = std::env::var("RESUME_MUTATIONS").map_or(3000, |text| text.parse().unwrap());
    let fixture = Fixture::new();
    let directory = fixture.newest();
    let mut rng = RngStream::new(5, "mutations", 0);
    let (mut refused, mut panicked) = (0, 0);
    for case in 0..count {
        let file = ["model.bpk", "optim.bpk", "schedule.bpk"][case % 3];
        let path = directory.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..5) {
            // Mostly the header and metadata: tensor data cannot do harm.
            let span = if rng.random_bool(0.9) {
                bytes.len().min(1200)
            } else {
                bytes.len()
            };
            let at = rng.random_range(0..span.max(1));
            match rng.random_range(0..4) {
                0 => bytes[at] ^= 1 << rng.random_range(0..8),
                1 => bytes[at] = rng.random(),
                2 => drop(bytes.drain(at..(at + rng.random_range(1..9)).min(span))),
                _ => bytes.insert(at, rng.random()),
            }
            if bytes.is_empty() {
                break;
            }
        }
        put(&path, &bytes);
        sign(&directory);
        let saved = fixture.latest();
        assert_eq!(saved.state.step, 9);
        if let Err(error) = Run::load(saved, HIDDEN, &Device::default()) {
            assert!(matches!(error, ResumeError::Decode { .. }), "{error}");
            refused += 1;
            panicked += usize::from(error.to_string().contains("panicked"));
        }
        put(&path, whole);
    }
    println!("{count} forged records: {refused} refused, of which Burn panicked on {panicked}");
}
