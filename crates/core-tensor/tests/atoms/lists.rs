//! Lists of neighbours against the quadratic reference, and what must hold of them.

use crate::common::{Random, cells, edges, fractions};
use core_tensor::atoms::{
    AtomsError, Batch, Cell, Cutoffs, NeighborList, Structure, Vec3, reference,
};
use core_tensor::graph::Graph;
use proptest::prelude::*;

fn uniform(cutoff: f64) -> Cutoffs {
    Cutoffs::uniform(cutoff).unwrap()
}

fn list(positions: &[Vec3], cell: Option<&Cell>, cutoff: f64) -> NeighborList {
    let species = vec![1; positions.len()];
    NeighborList::build(positions, &species, cell, &uniform(cutoff)).unwrap()
}

/// Atoms at random in a cube, so many per Å³.
fn liquid(atoms: usize, density: f64) -> (Vec<Vec3>, Cell) {
    let edge = (atoms as f64 / density).cbrt();
    let mut random = Random(atoms as u64);
    let positions = (0..atoms).map(|_| random.vector(0.0, edge)).collect();
    (positions, Cell::orthorhombic([edge; 3]).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_cells_give_what_the_reference_gives(
        cell in cells(),
        fractions in fractions(20),
        cutoff in 0.3..5.0_f64,
        some in proptest::option::of((0.0..4.0_f64, 0.1..6.0_f64)),
    ) {
        let positions: Vec<Vec3> = fractions.iter().map(|&f| cell.cartesian(f)).collect();
        let species: Vec<u8> = (0..positions.len()).map(|i| [1, 6, 8][i % 3]).collect();
        let mut cutoffs = uniform(cutoff);
        if let Some((short, long)) = some {
            // Ordered: hydrogen sees oxygen as far as it likes, oxygen hydrogen as `cutoff` says; carbon sees no carbon.
            cutoffs = cutoffs.with_pair(1, 8, long).unwrap().with_pair(6, 1, short).unwrap();
            cutoffs = cutoffs.with_pair(6, 6, 0.0).unwrap();
        }
        let fast = NeighborList::build(&positions, &species, Some(&cell), &cutoffs).unwrap();
        let slow = reference::neighbors(&positions, &species, Some(&cell), &cutoffs).unwrap();
        prop_assert_eq!(edges(fast.graph()), edges(&slow));
        // Vectors are as long as the cutoff allows, and the shifts refer to positions as given.
        for (e, length) in fast.lengths(&positions, Some(&cell)).into_iter().enumerate() {
            let [i, j] = [fast.graph().destinations()[e], fast.graph().sources()[e]].map(|n| species[n as usize]);
            prop_assert!(length <= cutoffs.of(i, j));
        }
    }

    #[test]
    fn clusters_without_a_cell(points in proptest::collection::vec(proptest::array::uniform3(-6.0..6.0_f64), 0..40), cutoff in 0.1..9.0_f64) {
        let species = vec![1; points.len()];
        let fast = list(&points, None, cutoff);
        let slow = reference::neighbors(&points, &species, None, &uniform(cutoff)).unwrap();
        prop_assert_eq!(edges(fast.graph()), edges(&slow));
        prop_assert!(fast.graph().shifts().is_empty());
    }
}

#[test]
fn diamond_has_158000_edges() {
    const A: f64 = 3.567;
    let corner = [
        [0.0, 0.0, 0.0],
        [0.0, 0.5, 0.5],
        [0.5, 0.0, 0.5],
        [0.5, 0.5, 0.0],
    ];
    let mut positions = Vec::new();
    for c in 0..125 {
        for f in corner.iter().flat_map(|&f| [f, f.map(|x| x + 0.25)]) {
            let at = [c / 25, c / 5 % 5, c % 5].map(f64::from);
            positions.push(core::array::from_fn(|k| A * (at[k] + f[k])));
        }
    }
    let cell = Cell::orthorhombic([5.0 * A; 3]).unwrap();
    let diamond = list(&positions, Some(&cell), 6.0);
    assert_eq!(diamond.graph().edges(), 158_000);
    assert!(
        diamond
            .graph()
            .offsets()
            .windows(2)
            .all(|w| w[1] - w[0] == 158)
    );
    // The primitive cell sees the same 158 per atom, nearly all of them images.
    let half = A / 2.0;
    let primitive = Cell::new(
        [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]],
        [true; 3],
    )
    .unwrap();
    let two = list(&[[0.0; 3], [A / 4.0; 3]], Some(&primitive), 6.0);
    assert_eq!(two.graph().edges(), 2 * 158);
    let nearest = two.lengths(&[[0.0; 3], [A / 4.0; 3]], Some(&primitive));
    let shortest = nearest.iter().copied().fold(f64::MAX, f64::min);
    assert!((shortest - A * 3_f64.sqrt() / 4.0).abs() < 1e-14);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (positions, cell) = liquid(3000, 0.1);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| list(&positions, Some(&cell), 4.0))
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        let more = with(threads);
        assert_eq!(edges(one.graph()), edges(more.graph()));
        assert_eq!(
            one.vectors(&positions, Some(&cell)),
            more.vectors(&positions, Some(&cell))
        );
    }
}

#[test]
fn edges_come_in_pairs_and_in_order() {
    let (positions, cell) = liquid(2000, 0.1);
    let list = list(&positions, Some(&cell), 5.0);
    let edges = edges(list.graph());
    assert!(edges.windows(2).all(|w| w[0] < w[1]));
    let mut reversed: Vec<_> = edges
        .iter()
        .map(|&(i, j, s)| (j, i, s.map(|x| -x)))
        .collect();
    reversed.sort_unstable();
    assert_eq!(edges, reversed);
    // A ball of radius 5 at this density.
    let mean = edges.len() as f64 / 2000.0;
    assert!(
        (mean / (0.1 * 4.0 / 3.0 * std::f64::consts::PI * 125.0) - 1.0).abs() < 0.02,
        "{mean}"
    );
}

#[test]
fn wrapping_atoms_changes_shifts_and_nothing_else() {
    let (positions, cell) = liquid(300, 0.1);
    let mut random = Random(1);
    let moved: Vec<([i32; 3], Vec3)> = positions
        .iter()
        .map(|&r| {
            let n: [i32; 3] = core::array::from_fn(|_| random.below(7) as i32 - 3);
            let step = cell.cartesian(n.map(f64::from));
            (n, core::array::from_fn(|k| r[k] + step[k]))
        })
        .collect();
    let outside: Vec<Vec3> = moved.iter().map(|&(_, r)| r).collect();
    let (inside, outside) = (
        list(&positions, Some(&cell), 4.0),
        list(&outside, Some(&cell), 4.0),
    );
    let mut want: Vec<_> = edges(inside.graph())
        .into_iter()
        .map(|(i, j, s)| {
            let (a, b) = (moved[i as usize].0, moved[j as usize].0);
            (i, j, core::array::from_fn(|k| s[k] + a[k] - b[k]))
        })
        .collect();
    want.sort_unstable();
    assert_eq!(edges(outside.graph()), want);
}

#[test]
fn long_rows_are_sorted_too() {
    // 700 atoms in one place: more neighbours than are sorted by rank.
    let heap = vec![[0.5, 0.5, 0.5]; 700];
    let graph = list(&heap, None, 1.0).into_graph();
    assert_eq!(graph.edges(), 700 * 699);
    // Rows of a few hundred images, with more than one image of each atom.
    let cell = Cell::orthorhombic([2.0, 2.1, 2.2]).unwrap();
    let mut random = Random(3);
    let few: Vec<Vec3> = (0..3).map(|_| random.vector(-1.0, 3.0)).collect();
    let images = list(&few, Some(&cell), 8.0);
    let slow = reference::neighbors(&few, &[1; 3], Some(&cell), &uniform(8.0)).unwrap();
    assert!(images.graph().edges() > 3 * 500);
    assert_eq!(edges(images.graph()), edges(&slow));
}

#[test]
fn nothing_one_and_far_apart() {
    assert_eq!(list(&[], None, 5.0).graph().nodes(), 0);
    let cube = Cell::orthorhombic([3.0; 3]).unwrap();
    assert_eq!(list(&[], Some(&cube), 5.0).graph().nodes(), 0);
    assert_eq!(list(&[[1.0; 3]], None, 5.0).graph().edges(), 0);
    assert_eq!(list(&[[1.0; 3]], Some(&cube), 2.9).graph().edges(), 0);
    assert_eq!(list(&[[1.0; 3]], Some(&cube), 3.0).graph().edges(), 0);
    assert_eq!(list(&[[1.0; 3]], Some(&cube), 3.0001).graph().edges(), 6);
    // Two dimers at either end of what is allowed: no bins in between.
    let far = [
        [-9e11, 0.0, 0.0],
        [-9e11, 0.5, 0.0],
        [9e11, 9e11, 9e11],
        [9e11, 9e11, 9e11],
    ];
    assert_eq!(list(&far, None, 1.0).graph().edges(), 4);
    let none = Cutoffs::uniform(5.0).unwrap().with_pair(1, 1, 0.0).unwrap();
    let two = NeighborList::build(&[[0.0; 3]; 2], &[1, 1], None, &none).unwrap();
    assert_eq!(two.graph().edges(), 0);
}

#[test]
fn what_makes_no_list_is_an_error() {
    let cutoffs = uniform(5.0);
    let nan = NeighborList::build(&[[0.0; 3], [0.0, f64::NAN, 0.0]], &[1, 1], None, &cutoffs);
    assert!(matches!(nan, Err(AtomsError::Position { atom: 1, .. })));
    let ragged = NeighborList::build(&[[0.0; 3]], &[1, 1], None, &cutoffs);
    assert!(matches!(ragged, Err(AtomsError::Length { .. })));
    let tiny = Cell::orthorhombic([1e-4; 3]).unwrap();
    let images = NeighborList::build(&[[0.0; 3]], &[1], Some(&tiny), &cutoffs);
    assert!(matches!(images, Err(AtomsError::TooManyImages { .. })));
    let thin = Cell::orthorhombic([1e-3, 5.0, 5.0]).unwrap();
    let away = NeighborList::build(&[[9e11, 0.0, 0.0]], &[1], Some(&thin), &uniform(1.0));
    assert!(matches!(away, Err(AtomsError::Position { .. })));
    for bad in [0.0, -1.0, 5e-324, 1e-13, 1e13, f64::NAN, f64::INFINITY] {
        assert!(Cutoffs::uniform(bad).is_err());
        let pair = uniform(1.0).with_pair(1, 1, bad);
        assert_eq!(pair.is_err(), bad != 0.0);
    }
    assert!(uniform(1.0).with_pair(1, 1, -0.5).is_err());
}

#[test]
fn a_batch_is_its_structures_side_by_side() {
    let cutoffs = uniform(3.0);
    let mut random = Random(5);
    let structures: Vec<Structure> = [0, 5, 1, 12, 0, 7]
        .into_iter()
        .enumerate()
        .map(|(s, atoms)| {
            let positions = (0..atoms).map(|_| random.vector(0.0, 4.0)).collect();
            let structure = Structure::new(vec![1; atoms], positions).unwrap();
            match s % 3 {
                0 => structure,
                _ => structure.with_cell(Cell::orthorhombic([4.0 + s as f64; 3]).unwrap()),
            }
        })
        .collect();
    let batch = Batch::new(&structures, &cutoffs).unwrap();
    let (mut want, mut vectors) = (Vec::new(), Vec::new());
    for (structure, &first) in structures.iter().zip(batch.offsets()) {
        let list = NeighborList::new(structure, &cutoffs).unwrap();
        let first = first as u32;
        want.extend(
            edges(list.graph())
                .into_iter()
                .map(|(i, j, s)| (i + first, j + first, s)),
        );
        vectors.extend(list.vectors(structure.positions(), structure.cell()));
    }
    assert!(want.len() > 100);
    assert_eq!(edges(batch.graph()), want);
    assert_eq!(batch.graph().shifts().len(), want.len());
    assert_eq!(batch.vectors(), vectors);
    assert_eq!(batch.len(), 6);
    assert_eq!(batch.offsets(), [0, 0, 5, 6, 18, 18, 25]);
    assert_eq!(batch.structure_of()[5..7], [2, 3]);
    assert!(Batch::new(&[], &cutoffs).unwrap().is_empty());
    let again = Graph::new(
        25,
        batch.graph().sources(),
        batch.graph().destinations(),
        batch.graph().shifts(),
    );
    assert_eq!(again.unwrap().order(), batch.graph().order());
}
