//! Irreps against e3nn 0.6.0, and their laws.

mod common;

use common::Golden;
use e3nn_tensorprod::testing::random_irreps;
use e3nn_tensorprod::{
    Irrep, Irreps, IrrepsError, IrrepsProblem, MulIrrep, Parity, SortOrder, irreps,
};
use proptest::prelude::*;
use serde_json::Value;

fn parse(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn numbers(value: &Value) -> Vec<usize> {
    let all = value.as_array().expect("a list").iter();
    all.map(|n| usize::try_from(n.as_u64().expect("a number")).unwrap())
        .collect()
}

#[test]
fn strings_of_e3nn() {
    let index = Golden::index();
    let cases = index["irreps"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let irreps = parse(text);
        let is = |got: &Irreps, what: &str| {
            assert_eq!(got.to_string(), case[what], "{what} of {text:?}")
        };
        is(&irreps, "repr");
        assert_eq!(
            irreps.dim() as u64,
            case["dim"].as_u64().unwrap(),
            "{text:?}"
        );
        assert_eq!(
            irreps.num_irreps() as u64,
            case["num_irreps"].as_u64().unwrap()
        );
        assert_eq!(irreps.ls().collect::<Vec<_>>(), numbers(&case["ls"]));
        is(&irreps.simplify(), "simplify");
        let sorted = irreps.sort(SortOrder::DegreeFirst);
        is(&sorted.irreps, "sorted");
        assert_eq!(sorted.p, numbers(&case["p"]), "p of {text:?}");
        assert_eq!(sorted.inv, numbers(&case["inv"]), "inv of {text:?}");
        is(&irreps.regroup(SortOrder::DegreeFirst), "regroup");
        is(&irreps.remove_zero_multiplicities(), "no_zero");
        let slices = case["slices"].as_array().unwrap();
        assert_eq!(irreps.slices().len(), slices.len());
        for (got, want) in irreps.slices().into_iter().zip(slices) {
            assert_eq!(vec![got.start, got.end], numbers(want), "{text:?}");
        }
    }
}

#[test]
fn errors_of_e3nn() {
    let index = Golden::index();
    let cases = index["irreps_errors"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let text = case.as_str().unwrap();
        assert!(text.parse::<Irreps>().is_err(), "{text:?} is read");
    }
}

#[test]
fn products_of_e3nn() {
    let index = Golden::index();
    let cases = index["products"].as_object().unwrap();
    assert_eq!(cases.len(), 20);
    for (pair, want) in cases {
        let (a, b) = pair.split_once('*').unwrap();
        let (a, b): (Irrep, Irrep) = (a.parse().unwrap(), b.parse().unwrap());
        let got: Vec<_> = a.product(b).map(|irrep| irrep.to_string()).collect();
        assert_eq!(*want, Value::from(got), "{pair}");
    }
}

#[test]
fn order_of_e3nn_jax() {
    let meta = Golden::open("e3nn_jax").meta();
    let text = |name: &str| parse(meta[name].as_str().unwrap());
    let order = SortOrder::ParityFirst;
    let x = text("irreps_x").regroup(order);
    assert_eq!(x, text("irreps_x_regrouped"));
    assert_eq!(
        x.product(&text("irreps_y")).regroup(order),
        text("irreps_tp")
    );
    let all: Irreps = Irrep::all(3)
        .map(|irrep| MulIrrep { mul: 1, irrep })
        .collect();
    assert_eq!(all.sort(order).irreps, all);
    assert_eq!(all.to_string(), "1x0e+1x0o+1x1o+1x1e+1x2e+1x2o+1x3o+1x3e");
}

#[test]
fn python_integers_and_spaces() {
    for (text, want) in [
        (" \t\n", ""),
        ("1_0 x 0 e\t+\n002x1o", "10x0e+2x1o"),
        ("-0x3e", "0x3e"),
        ("0x3e", "0x3e"),
        ("10y+3x11y", "1x10e+3x11o"),
    ] {
        assert_eq!(parse(text).to_string(), want, "{text:?}");
    }
}

#[test]
fn errors_name_block_and_byte() {
    use IrrepsProblem as P;
    let huge = format!("1o+{}x0e", usize::MAX);
    let cases: &[(&str, usize, usize, P)] = &[
        ("1o+", 1, 3, P::Missing),
        ("+1o", 0, 0, P::Missing),
        ("0e++1o", 1, 3, P::Missing),
        ("2x", 0, 2, P::Missing),
        ("0e+2x3x1o", 1, 6, P::SecondX),
        ("x1e", 0, 0, P::Multiplicity),
        ("0e+1.5x0e", 1, 4, P::Multiplicity),
        ("1__0x0e", 0, 2, P::Multiplicity),
        ("_1x0e", 0, 0, P::Multiplicity),
        ("1_x0e", 0, 1, P::Multiplicity),
        ("e", 0, 0, P::Degree),
        ("0e + 3x1.0o", 1, 8, P::Degree),
        ("bla", 0, 2, P::Parity),
        ("1", 0, 0, P::Parity),
        ("8x1E", 0, 3, P::Parity),
        ("1é", 0, 2, P::Parity),
        ("-1x1e", 0, 0, P::Negative),
        ("1x-1e", 0, 2, P::Negative),
        ("99999999999999999999x0e", 0, 0, P::TooLarge),
        ("9223372036854775808e", 0, 0, P::TooLarge),
        ("3x6148914691236517205e", 0, 0, P::TooLarge),
        (&huge, 1, 3, P::TooLarge),
    ];
    for &(text, block, at, problem) in cases {
        match text.parse::<Irreps>() {
            Err(IrrepsError::Parse {
                block: b,
                at: a,
                problem: p,
                text: part,
                ..
            }) => {
                assert_eq!((b, a, p), (block, at, problem), "{text:?}");
                assert_eq!(part, text.split('+').nth(block).unwrap());
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
    assert_eq!(
        "0a".parse::<Irrep>().unwrap_err().to_string(),
        "irreps: block 0 (\"0a\"), byte 1: an irrep ends with its parity, `e`, `o` or `y`"
    );
    assert!("2x1o".parse::<Irrep>().is_err());
}

#[test]
fn algebra() {
    let a = irreps!("16x0e+8x1o+0x2e+8x1o");
    assert_eq!(a.lmax().unwrap(), 1);
    assert_eq!(a.count("1o".parse().unwrap()), 16);
    assert!(!a.has("2e".parse().unwrap()) && a.has(Irrep::SCALAR));
    assert_eq!(a.filter_keep(&irreps!("1o+2e")), irreps!("8x1o+0x2e+8x1o"));
    assert_eq!(a.filter_drop(&irreps!("1o+2e")), irreps!("16x0e"));
    assert_eq!(a.filter_lmax(0), irreps!("16x0e"));
    assert_eq!(&a + &irreps!("2o"), irreps!("16x0e+8x1o+0x2e+8x1o+1x2o"));
    assert_eq!(irreps!("2x1o").repeat(2), irreps!("2x1o+2x1o"));
    assert_eq!(irreps!("2x1o").repeat(0), Irreps::default());
    assert_eq!(
        Irreps::spherical_harmonics(3, Parity::Odd),
        irreps!("0e+1o+2e+3o")
    );
    assert_eq!(
        Irreps::spherical_harmonics(2, Parity::Even),
        irreps!("0e+1e+2e")
    );
    assert_eq!(
        irreps!("2x1o+0e").product(&irreps!("3x1o")),
        irreps!("6x0e+6x1e+6x2e+3x1o")
    );
    assert!(matches!(irreps!("0x4e").lmax(), Err(IrrepsError::Empty(_))));
    assert!(matches!(irreps!("").lmax(), Err(IrrepsError::Empty(_))));
    assert!(Irreps::try_from("1o").is_ok() && Irreps::try_from("1").is_err());
}

/// e3nn's own cases of `slice_by_mul`.
#[test]
fn slice_by_mul() {
    let irreps = irreps!("10x0e+10x1e+10x2e");
    for (range, want) in [
        (0..3, "3x0e"),
        (0..0, ""),
        (5..15, "5x0e+5x1e"),
        (9..22, "1x0e+10x1e+2x2e"),
        (28..100, "2x2e"),
        (50..60, ""),
    ] {
        assert_eq!(irreps.slice_by_mul(range.clone()), parse(want), "{range:?}");
    }
}

#[test]
fn serde_as_text() {
    let irreps = irreps!("16x0e+0x3e+1o");
    let json = serde_json::to_string(&irreps).unwrap();
    assert_eq!(json, "\"16x0e+0x3e+1x1o\"");
    assert_eq!(serde_json::from_str::<Irreps>(&json).unwrap(), irreps);
    let error = serde_json::from_str::<Irreps>("\"1o+2x\"").unwrap_err();
    assert!(
        error.to_string().contains("block 1 (\"2x\"), byte 5"),
        "{error}"
    );
    assert!(serde_json::from_str::<Irreps>("3").is_err());
    assert_eq!(
        serde_json::from_str::<Irrep>("\"2y\"").unwrap().to_string(),
        "2e"
    );
}

proptest! {
    #[test]
    fn text_round_trip(irreps in random_irreps(7, 5, 4)) {
        prop_assert_eq!(irreps.to_string().parse::<Irreps>().unwrap(), irreps);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9xeoy+ _-]{0,12}") {
        // What is read prints to something that is read as the same.
        if let Ok(irreps) = text.parse::<Irreps>() {
            prop_assert_eq!(irreps.to_string().parse::<Irreps>().unwrap(), irreps);
        }
    }

    #[test]
    fn any_unicode_is_read_or_refused(text in any::<String>()) {
        let _ = text.parse::<Irreps>();
        let _ = text.parse::<Irrep>();
    }

    #[test]
    fn sorting(irreps in random_irreps(7, 5, 4), parity_first in any::<bool>()) {
        let order = if parity_first { SortOrder::ParityFirst } else { SortOrder::DegreeFirst };
        let sorted = irreps.sort(order);
        for (old, &new) in sorted.p.iter().enumerate() {
            prop_assert_eq!(sorted.inv[new], old);
            prop_assert_eq!(sorted.irreps[new], irreps[old]);
        }
        for (pair, old) in sorted.irreps.windows(2).zip(sorted.inv.windows(2)) {
            prop_assert!(order.compare(pair[0].irrep, pair[1].irrep).is_le());
            prop_assert!(pair[0].irrep != pair[1].irrep || old[0] < old[1], "not stable");
        }
        let regrouped = irreps.regroup(order);
        prop_assert_eq!(&regrouped.regroup(order), &regrouped);
        prop_assert_eq!(regrouped.dim(), irreps.dim());
        for block in &regrouped {
            prop_assert!(block.mul > 0);
            prop_assert_eq!(block.mul, irreps.count(block.irrep));
        }
    }

    #[test]
    fn simplifying_keeps_components(irreps in random_irreps(7, 5, 4)) {
        let simple = irreps.simplify();
        prop_assert_eq!(&simple.simplify(), &simple);
        prop_assert_eq!(simple.dim(), irreps.dim());
        prop_assert!(simple.ls().eq(irreps.ls()));
        prop_assert!(simple.windows(2).all(|pair| pair[0].irrep != pair[1].irrep));
    }

    #[test]
    fn slices_by_mul_partition(irreps in random_irreps(7, 5, 4), at in 0_usize..40) {
        let n = irreps.num_irreps();
        let (left, right) = (irreps.slice_by_mul(0..at), irreps.slice_by_mul(at..n));
        prop_assert_eq!(left.num_irreps(), at.min(n));
        prop_assert_eq!((&left + &right).simplify(), irreps.simplify());
    }

    #[test]
    fn product_has_the_product_dim(a in random_irreps(7, 5, 4), b in random_irreps(7, 5, 4)) {
        prop_assert_eq!(a.product(&b).dim(), a.dim() * b.dim());
    }
}
