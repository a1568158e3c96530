//! Lists that outlive small moves.

use crate::common::{Random, edges};
use core_tensor::atoms::{AtomsError, Cell, Cutoffs, NeighborList, Vec3, VerletList};

const CUTOFF: f64 = 3.0;

fn fresh(positions: &[Vec3], cell: Option<&Cell>) -> NeighborList {
    let cutoffs = Cutoffs::uniform(CUTOFF).unwrap();
    NeighborList::build(positions, &vec![1; positions.len()], cell, &cutoffs).unwrap()
}

fn verlet(atoms: usize, skin: f64) -> VerletList {
    VerletList::new(vec![1; atoms], Cutoffs::uniform(CUTOFF).unwrap(), skin).unwrap()
}

/// A random walk, in a cell that breathes and shears, is followed exactly and with few searches.
#[test]
fn a_trajectory_is_followed_exactly() {
    for (walk, breathe) in [(0.06, 0.0), (0.04, 1e-3), (0.0, 2e-2)] {
        let mut random = Random(11);
        let mut vectors = [[9.0, 0.0, 0.0], [2.0, 8.0, 0.0], [-1.0, 3.0, 9.5]];
        let mut positions: Vec<Vec3> = (0..60).map(|_| random.vector(-3.0, 12.0)).collect();
        let mut list = verlet(60, 0.8);
        for _ in 0..150 {
            let cell = Cell::new(vectors, [true; 3]).unwrap();
            let now = list.update(&positions, Some(&cell)).unwrap();
            assert_eq!(
                edges(now.graph()),
                edges(fresh(&positions, Some(&cell)).graph())
            );
            // Atoms go with the cell, and each its own way.
            let fractions: Vec<Vec3> = positions.iter().map(|&r| cell.fractional(r)).collect();
            for v in &mut vectors {
                let step = random.vector(-9.0 * breathe, 9.0 * breathe);
                *v = core::array::from_fn(|k| v[k] + step[k]);
            }
            let next = Cell::new(vectors, [true; 3]).unwrap();
            for (r, f) in positions.iter_mut().zip(fractions) {
                let (carried, step) = (next.cartesian(f), random.vector(-walk, walk));
                *r = core::array::from_fn(|k| carried[k] + step[k]);
            }
        }
        assert!(
            (2..75).contains(&list.searches()),
            "{} searches",
            list.searches()
        );
    }
}

#[test]
fn a_search_is_due_beyond_half_the_skin_and_not_before() {
    let start = [[0.0; 3], [3.9, 0.0, 0.0]];
    let mut list = verlet(2, 1.0);
    list.update(&start, None).unwrap();
    // Both go half the skin towards each other: 2.92 apart, still from the pairs of the beginning.
    let close = [[0.49, 0.0, 0.0], [3.41, 0.0, 0.0]];
    assert_eq!(list.update(&close, None).unwrap().graph().edges(), 2);
    assert_eq!(list.searches(), 1);
    let far = [[0.51, 0.0, 0.0], [3.41, 0.0, 0.0]];
    assert_eq!(list.update(&far, None).unwrap().graph().edges(), 2);
    assert_eq!(list.searches(), 2);
    assert_eq!(list.pairs(&far, None).unwrap().edges(), 2);

    // A shrinking cell alone brings images together.
    let cell = |edge: f64| Cell::orthorhombic([edge; 3]).unwrap();
    let mut one = verlet(1, 1.0);
    assert_eq!(
        one.update(&[[0.0; 3]], Some(&cell(3.2)))
            .unwrap()
            .graph()
            .edges(),
        0
    );
    assert_eq!(
        one.update(&[[0.0; 3]], Some(&cell(2.9)))
            .unwrap()
            .graph()
            .edges(),
        6
    );
    // Another periodicity is another list.
    let slab = Cell::new(cell(2.9).vectors(), [true, true, false]).unwrap();
    assert_eq!(
        one.update(&[[0.0; 3]], Some(&slab))
            .unwrap()
            .graph()
            .edges(),
        4
    );
    assert_eq!(one.update(&[[0.0; 3]], None).unwrap().graph().edges(), 0);
}

#[test]
fn no_skin_searches_every_time() {
    let mut list = verlet(2, 0.0);
    for _ in 0..3 {
        list.update(&[[0.0; 3], [2.0, 0.0, 0.0]], None).unwrap();
    }
    assert_eq!(list.searches(), 3);
}

#[test]
fn an_error_leaves_the_list_as_it_was() {
    let start = [[0.0; 3], [2.0, 0.0, 0.0]];
    let mut list = verlet(2, 1.0);
    list.update(&start, None).unwrap();
    let nan = list.update(&[[0.0; 3], [f64::NAN; 3]], None);
    assert!(matches!(nan, Err(AtomsError::Position { atom: 1, .. })));
    assert!(list.update(&[[0.0; 3]], None).is_err());
    let tiny = Cell::orthorhombic([1e-4; 3]).unwrap();
    assert!(list.update(&start, Some(&tiny)).is_err());
    assert_eq!(list.update(&start, None).unwrap().graph().edges(), 2);
    assert_eq!(list.searches(), 1);
    for bad in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        assert!(VerletList::new(vec![], Cutoffs::uniform(1.0).unwrap(), bad).is_err());
    }
}
