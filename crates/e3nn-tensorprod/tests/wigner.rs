//! Wigner 3j symbols against e3nn, and their laws.

mod common;

use burn::tensor::TensorData;
use common::Golden;
use core_tensor::assert_close;
use e3nn_tensorprod::wigner::{W3jConvention, is_triangle, wigner_3j, wigner_3j_in};

fn data(values: Vec<f64>) -> TensorData {
    let n = values.len();
    TensorData::new(values, [n])
}

#[test]
fn dense_symbols_of_e3nn() {
    let golden = Golden::open("wigner_3j");
    let mut triples = 0;
    for name in golden.names().iter().filter(|name| name.starts_with('w')) {
        let ls: Vec<usize> = name[1..].split('_').map(|l| l.parse().unwrap()).collect();
        let symbols = wigner_3j(ls[0], ls[1], ls[2]);
        assert_eq!(symbols.dims().to_vec(), golden.shape(name), "{name}");
        assert_close!(
            data(symbols.dense()),
            data(golden.values(name)),
            0.0,
            2e-15,
            "{name}"
        );
        triples += 1;
    }
    assert_eq!(triples, 175);
}

#[test]
fn sparse_symbols_of_e3nn() {
    let golden = Golden::open("wigner_3j");
    let names = golden.names();
    let names = names.iter().filter_map(|name| name.strip_suffix("_val"));
    let mut files = 0;
    for name in names {
        let ls: Vec<usize> = name[2..].split('_').map(|l| l.parse().unwrap()).collect();
        let symbols = wigner_3j(ls[0], ls[1], ls[2]);
        let indices = golden.integers(&format!("{name}_idx_i"));
        let got: Vec<i64> = symbols
            .nonzeros()
            .iter()
            .flat_map(|e| [e.i as i64, e.j as i64, e.k as i64])
            .collect();
        assert_eq!(got, indices, "{name}: places of non-zeros");
        let values = symbols.nonzeros().iter().map(|e| e.value).collect();
        // e3nn's own rounding: it works in f64 throughout.
        assert_close!(
            data(values),
            data(golden.values(&format!("{name}_val"))),
            0.0,
            1e-12,
            "{name}"
        );
        files += 1;
    }
    assert_eq!(files, 7);
}

/// Every triple with degrees up to `lmax`.
fn triples(lmax: usize) -> impl Iterator<Item = [usize; 3]> {
    let degrees = move || 0..=lmax;
    degrees()
        .flat_map(move |a| degrees().map(move |b| (a, b)))
        .flat_map(move |(a, b)| degrees().map(move |c| [a, b, c]))
        .filter(|&[a, b, c]| is_triangle(a, b, c))
}

#[test]
fn counts_of_nonzeros() {
    for (ls, count) in [
        ([1, 1, 1], 6),
        ([1, 1, 2], 11),
        ([2, 2, 2], 25),
        ([3, 4, 5], 93),
        ([4, 4, 4], 97),
        ([8, 8, 8], 361),
        ([11, 11, 11], 666),
    ] {
        assert_eq!(
            wigner_3j(ls[0], ls[1], ls[2]).nonzeros().len(),
            count,
            "{ls:?}"
        );
    }
}

#[test]
fn permutations_of_degrees() {
    for ls in triples(5) {
        let symbols = wigner_3j(ls[0], ls[1], ls[2]);
        let odd = if ls.iter().sum::<usize>() % 2 == 0 {
            1.0
        } else {
            -1.0
        };
        for (order, sign) in [
            ([1, 2, 0], 1.0),
            ([2, 0, 1], 1.0),
            ([1, 0, 2], odd),
            ([0, 2, 1], odd),
            ([2, 1, 0], odd),
        ] {
            let permuted = wigner_3j(ls[order[0]], ls[order[1]], ls[order[2]]);
            let (dense, dims) = (permuted.dense(), permuted.dims());
            assert_eq!(symbols.nonzeros().len(), permuted.nonzeros().len());
            for e in symbols.nonzeros() {
                let at = [e.i, e.j, e.k];
                let [i, j, k] = order.map(|axis| at[axis]);
                let got = dense[(i * dims[1] + j) * dims[2] + k];
                // Both come from one exact fraction.
                assert_eq!(got, sign * e.value, "{ls:?} in order {order:?}");
            }
        }
    }
}

/// `Σ_ij C_ijk C_ijk' = δ_kk' / (2l₃+1)`; degrees far beyond every table.
#[test]
fn orthogonal_for_any_degree() {
    for ls in triples(6).chain([
        [12, 6, 9],
        [30, 30, 30],
        [45, 20, 40],
        [1, 100, 100],
        [60, 2, 61],
    ]) {
        let symbols = wigner_3j(ls[0], ls[1], ls[2]);
        let n = symbols.dims()[2];
        let mut rows: std::collections::BTreeMap<_, Vec<_>> = Default::default();
        for e in symbols.nonzeros() {
            rows.entry((e.i, e.j)).or_default().push((e.k, e.value));
        }
        let mut gram = vec![0.0; n * n];
        for row in rows.values() {
            for &(k, a) in row {
                for &(kk, b) in row {
                    gram[k * n + kk] += a * b * n as f64;
                }
            }
        }
        let mut identity = vec![0.0; n * n];
        (0..n).for_each(|k| identity[k * (n + 1)] = 1.0);
        assert_close!(data(gram), data(identity), 0.0, 1e-14, "{ls:?}");
    }
}

#[test]
fn simple_symbols() {
    for l in 0..=20 {
        for (ls, at) in [([l, l, 0], 0), ([0, l, l], 1), ([l, 0, l], 2)] {
            let symbols = wigner_3j(ls[0], ls[1], ls[2]);
            assert_eq!(symbols.nonzeros().len(), 2 * l + 1);
            let want = 1.0 / ((2 * l + 1) as f64).sqrt(); // rounded twice
            for e in symbols.nonzeros() {
                let (a, b) = [(e.i, e.j), (e.j, e.k), (e.i, e.k)][at];
                assert!(a == b && (e.value / want - 1.0).abs() < 3e-16, "{ls:?}");
            }
        }
    }
}

#[test]
fn signs_of_e3nn_04() {
    // Flipped triples up to degree 6, found by running e3nn 0.4.4 and 0.6.0 (all permutations).
    let flips = "122 133 144 155 166 212 221 313 331 346 364 414 436 441 445 454 456 463 465 515 544 546 551 \
                 555 564 566 616 634 643 645 654 656 661 665";
    let flips: Vec<&str> = flips.split_whitespace().collect();
    let mut seen = 0;
    for [a, b, c] in triples(6) {
        let flipped = flips.contains(&format!("{a}{b}{c}").as_str());
        let sign = if flipped { -1.0 } else { 1.0 };
        seen += usize::from(flipped);
        let (new, old) = (
            wigner_3j(a, b, c),
            wigner_3j_in(W3jConvention::E3nn04, a, b, c),
        );
        assert_eq!(wigner_3j_in(W3jConvention::E3nn05, a, b, c), new);
        for (x, y) in new.nonzeros().iter().zip(old.nonzeros()) {
            assert_eq!(y.value, sign * x.value, "{a} {b} {c}");
        }
    }
    assert_eq!(seen, flips.len());
}

#[test]
fn threads_get_the_same_symbols() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| wigner_3j(9, 7, 8))).collect();
        for thread in threads {
            assert!(std::sync::Arc::ptr_eq(
                &thread.join().unwrap(),
                &wigner_3j(9, 7, 8)
            ));
        }
    });
}

#[test]
#[should_panic(expected = "degrees [1, 1, 3] violate")]
fn no_triangle() {
    wigner_3j(1, 1, 3);
}
