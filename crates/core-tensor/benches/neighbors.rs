//! Neighbour lists beside vesin: the same edges on 10,000 random cells, then the time, in turn, on the same machine.
//!
//! `PEER_PYTHON=… cargo bench -p core-tensor --features atoms,testing --bench neighbors` (see `benches/peers/neighbors.py`);
//! without a peer it times this crate alone, with `--check` it only compares with the quadratic reference. `CELLS` and `ROUNDS`
//! change how many cells and rounds, `ATOMS` the largest system.

use core_tensor::atoms::{Cell, Cutoffs, Mat3, NeighborList, Vec3, reference};
use core_tensor::graph::Graph;
use core_tensor::testing::Peer;
use std::path::{Path, PathBuf};
use std::time::Instant;

// Large buffers are recycled rather than mapped anew, as vesin keeps its own between calls.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A stream of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn vector(&mut self, from: f64, to: f64) -> Vec3 {
        core::array::from_fn(|_| from + (to - from) * self.unit())
    }
}

/// What to find the neighbours in.
struct Problem {
    positions: Vec<Vec3>,
    species: Vec<u8>,
    cell: Cell,
    cutoff: f64,
}

impl Problem {
    fn new(positions: Vec<Vec3>, cell: Cell, cutoff: f64) -> Self {
        let species = vec![6; positions.len()];
        Self {
            positions,
            species,
            cell,
            cutoff,
        }
    }

    /// A few atoms in a cell of any shape and periodicity, some of them outside, a cutoff beyond the cell now and then.
    fn any(random: &mut Random) -> Self {
        loop {
            let edge = 2.0 + 6.0 * random.unit();
            let vectors: Mat3 = core::array::from_fn(|k| {
                let mut v = random.vector(-0.5 * edge, 0.5 * edge);
                v[k] += edge;
                v
            });
            let periodic = core::array::from_fn(|_| !random.next().is_multiple_of(3));
            let Ok(cell) = Cell::new(vectors, periodic) else {
                continue;
            };
            if cell.heights().iter().any(|&h| h < 0.7) {
                continue;
            }
            let atoms = random.next() % 24;
            let far = if random.next().is_multiple_of(3) {
                3.0
            } else {
                0.0
            };
            let positions = (0..atoms)
                .map(|_| cell.cartesian(random.vector(-far, 1.0 + far)))
                .collect();
            let cutoff = 0.5 + 4.5 * random.unit();
            return Self::new(positions, cell, cutoff);
        }
    }

    /// Atoms at random in a cube, 0.1 per Å³ as in water, none closer than by chance.
    fn liquid(atoms: usize, cutoff: f64) -> Self {
        let edge = (atoms as f64 / 0.1).cbrt();
        let mut random = Random(atoms as u64);
        let positions = (0..atoms).map(|_| random.vector(0.0, edge)).collect();
        Self::new(positions, Cell::orthorhombic([edge; 3]).unwrap(), cutoff)
    }

    /// 5 × 5 × 5 cubic cells of diamond, 1000 atoms.
    fn diamond() -> Self {
        const A: f64 = 3.567;
        let corner = [
            [0.0, 0.0, 0.0],
            [0.0, 0.5, 0.5],
            [0.5, 0.0, 0.5],
            [0.5, 0.5, 0.0],
        ];
        let basis = corner.into_iter().flat_map(|f| [f, f.map(|x| x + 0.25)]);
        let positions = (0..125)
            .flat_map(|c| {
                let at = [c / 25, c / 5 % 5, c % 5].map(f64::from);
                basis
                    .clone()
                    .map(move |f| core::array::from_fn(|k| A * (at[k] + f[k])))
            })
            .collect();
        Self::new(positions, Cell::orthorhombic([5.0 * A; 3]).unwrap(), 6.0)
    }

    fn solve(&self) -> Graph {
        let cutoffs = Cutoffs::uniform(self.cutoff).unwrap();
        let list = NeighborList::build(&self.positions, &self.species, Some(&self.cell), &cutoffs);
        list.unwrap().into_graph()
    }

    fn reference(&self) -> Graph {
        let cutoffs = Cutoffs::uniform(self.cutoff).unwrap();
        reference::neighbors(&self.positions, &self.species, Some(&self.cell), &cutoffs).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let flags = self.cell.periodic().map(i64::from);
        let vectors = self.cell.vectors();
        let mut bytes = (self.positions.len() as i64).to_le_bytes().to_vec();
        bytes.extend(self.cutoff.to_le_bytes());
        bytes.extend(vectors.iter().flatten().flat_map(|x| x.to_le_bytes()));
        bytes.extend(flags.iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(
            self.positions
                .iter()
                .flatten()
                .flat_map(|x| x.to_le_bytes()),
        );
        bytes
    }
}

/// (i, j, S), i the centre.
fn rows(graph: &Graph) -> Vec<[i32; 5]> {
    let shift = |e| graph.shifts().get(e).copied().unwrap_or_default();
    (0..graph.edges())
        .map(|e| {
            let [a, b, c] = shift(e);
            [
                graph.destinations()[e] as i32,
                graph.sources()[e] as i32,
                a,
                b,
                c,
            ]
        })
        .collect()
}

/// Lists that the peer wrote.
fn read_lists(path: &Path) -> Vec<Vec<[i32; 5]>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut left, mut lists) = (bytes.as_slice(), Vec::new());
    while let Some((head, rest)) = left.split_first_chunk() {
        let (list, rest) = rest.split_at(20 * i64::from_le_bytes(*head) as usize);
        let (numbers, _) = list.as_chunks();
        let numbers: Vec<i32> = numbers.iter().map(|&n| i32::from_le_bytes(n)).collect();
        lists.push(numbers.as_chunks().0.to_vec());
        left = rest;
    }
    lists
}

/// Compares every list with the peer's, or with the reference without one.
fn check(peer: Option<&mut Peer>, cells: usize, scratch: &Path) {
    let mut random = Random(7);
    let problems: Vec<Problem> = (0..cells).map(|_| Problem::any(&mut random)).collect();
    let (mut edges, mut against) = (0, "the quadratic reference");
    if let Some(peer) = peer {
        against = "vesin";
        for some in problems.chunks(500) {
            let (file, out) = (scratch.join("cells"), scratch.join("lists"));
            let bytes: Vec<u8> = some.iter().flat_map(Problem::bytes).collect();
            std::fs::write(&file, bytes).unwrap();
            let answer = peer.ask(&format!("list {} {}", file.display(), out.display()));
            assert_eq!(answer.trim(), some.len().to_string());
            let lists = read_lists(&out);
            assert_eq!(lists.len(), some.len());
            for (problem, list) in some.iter().zip(lists) {
                let ours = rows(&problem.solve());
                assert_eq!(ours, list, "{:?}, cutoff {}", problem.cell, problem.cutoff);
                edges += list.len();
            }
        }
    } else {
        for problem in &problems {
            let list = rows(&problem.reference());
            assert_eq!(rows(&problem.solve()), list, "{:?}", problem.cell);
            edges += list.len();
        }
    }
    println!("{cells} random cells, {edges} edges: the same as by {against}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
}

fn main() {
    let only_check = std::env::args().any(|a| a == "--check" || a == "--test");
    let scratch: PathBuf = std::env::temp_dir().join(format!("neighbors-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    if only_check {
        check(None, 300, &scratch);
        assert_eq!(Problem::diamond().solve().edges(), 158_000);
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/neighbors.py");
    let mut peer = Peer::start(script);
    check(peer.as_mut(), number("CELLS", 10_000), &scratch);

    let rounds = number("ROUNDS", 7);
    println!(
        "median of {rounds} interleaved rounds, f64; vesin through its Python interface, without copies"
    );
    println!(
        "| what | threads | edges | this crate, ms | ns/edge | vesin, ms | time / vesin | vesin sorted, ms | time / sorted |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut problems = vec![("diamond, 1000 atoms, 6 Å".into(), Problem::diamond())];
    for (atoms, cutoff) in [
        (64, 5.0),
        (1000, 5.0),
        (23_000, 5.0),
        (23_000, 6.0),
        (1_000_000, 5.0),
    ] {
        if atoms <= number("ATOMS", usize::MAX) {
            problems.push((
                format!("liquid, {atoms} atoms, {cutoff} Å"),
                Problem::liquid(atoms, cutoff),
            ));
        }
    }
    for (name, problem) in &problems {
        let file = scratch.join(format!("{}-{}", problem.positions.len(), problem.cutoff));
        std::fs::write(&file, problem.bytes()).unwrap();
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            // Small systems are timed some times over, ours as often as the peer's, and the best counts.
            let repeats = (200_000 / problem.positions.len()).clamp(1, 10);
            let rounds = if problem.positions.len() > 100_000 {
                rounds.min(3)
            } else {
                rounds
            };
            let (mut ours, mut theirs, mut sorted) = (vec![], vec![], vec![]);
            let mut edges = 0;
            for round in 0..=rounds {
                let mut best = f64::INFINITY;
                for _ in 0..repeats {
                    let start = Instant::now();
                    edges = pool.install(|| problem.solve()).edges();
                    best = best.min(start.elapsed().as_secs_f64());
                }
                let mut ask = |ordered: u8| {
                    let peer = peer.as_mut()?;
                    let mut best = f64::INFINITY;
                    for _ in 0..repeats {
                        let line =
                            peer.ask(&format!("time {} {threads} {ordered}", file.display()));
                        best = best.min(line.trim().parse().expect("seconds"));
                    }
                    Some(best)
                };
                let (their, their_sorted) = (ask(0), ask(1));
                // The first round warms up.
                if round > 0 {
                    ours.push(best);
                    theirs.extend(their);
                    sorted.extend(their_sorted);
                }
            }
            let beside = |theirs: &[f64]| {
                if theirs.is_empty() {
                    return "– | –".into();
                }
                let ratio = median(ours.iter().zip(theirs).map(|(o, t)| o / t).collect());
                format!("{:.2} | {ratio:.2}", 1e3 * median(theirs.to_vec()))
            };
            let our = median(ours.clone());
            println!(
                "| {name} | {threads} | {edges} | {:.2} | {:.1} | {} | {} |",
                1e3 * our,
                1e9 * our / edges as f64,
                beside(&theirs),
                beside(&sorted)
            );
        }
        std::fs::remove_file(file).unwrap();
    }
    std::fs::remove_dir_all(scratch).unwrap();
}
