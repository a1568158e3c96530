//! The lists of vesin and matscipy.

use crate::common::edges;
use core_tensor::atoms::{Cell, Cutoffs, NeighborList, Structure, reference};
use serde_json::Value;

#[test]
fn lists_of_vesin_and_matscipy() {
    let file = include_str!("../golden/atoms/neighbors.json");
    let cases: Vec<Value> = serde_json::from_str(file).unwrap();
    assert_eq!(cases.len(), 43);
    let vector = |v: &Value| -> [f64; 3] { core::array::from_fn(|k| v[k].as_f64().unwrap()) };
    let mut total = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let vectors = core::array::from_fn(|k| vector(&case["cell"][k]));
        let periodic = core::array::from_fn(|k| case["pbc"][k].as_bool().unwrap());
        let positions: Vec<_> = case["positions"]
            .as_array()
            .unwrap()
            .iter()
            .map(vector)
            .collect();
        let cell = Cell::new(vectors, periodic).unwrap();
        let structure = Structure::new(vec![1; positions.len()], positions)
            .unwrap()
            .with_cell(cell);
        let cutoffs = Cutoffs::uniform(case["cutoff"].as_f64().unwrap()).unwrap();

        let mut want = Vec::new();
        for pair in case["pairs"].as_array().unwrap() {
            let [i, j, a, b, c] = core::array::from_fn(|k| pair[k].as_i64().unwrap() as i32);
            want.push((i as u32, j as u32, [a, b, c]));
            want.push((j as u32, i as u32, [-a, -b, -c]));
        }
        want.sort_unstable();
        let list = NeighborList::new(&structure, &cutoffs).unwrap();
        assert_eq!(edges(list.graph()), want, "{name}");
        let slow = reference::neighbors(
            structure.positions(),
            structure.species(),
            Some(&cell),
            &cutoffs,
        );
        assert_eq!(edges(&slow.unwrap()), want, "{name}, reference");
        total += want.len();
    }
    assert_eq!(total, 1270);
}
