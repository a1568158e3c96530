//! Real files, where the environment variable `ATOMS_DATA` names their folder: acetylacetone, 3BPA and ethanol
//! (davkovacs/BOTNet-datasets), liquid water (deepmd-kit's example), silicon (materialsvirtuallab/mlearn).

use crate::common::edges;
use crate::extxyz::round_trip;
use core_tensor::atoms::{Cutoffs, NeighborList, Structure, extxyz, reference};
use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ATOMS_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ATOMS_DATA names no folder of real files");
    }
    folder
}

/// (file, frames, atoms of the first, whether it repeats).
const FILES: [(&str, usize, usize, bool); 8] = [
    ("acac/train_300K.xyz", 500, 15, false),
    ("acac/test_MD_600K.xyz", 650, 15, false),
    ("3bpa/train_300K.xyz", 500, 27, false),
    ("3bpa/train_mixedT.xyz", 500, 27, false),
    ("ethanol/train.xyz", 1000, 9, false),
    ("water/water_pbe0ts_192.xyz", 400, 192, true),
    ("silicon/si_training.xyz", 214, 63, true),
    ("silicon/si_test.xyz", 25, 63, true),
];

#[test]
fn real_files() {
    let Some(folder) = folder() else { return };
    for (file, count, atoms, periodic) in FILES {
        let frames: Result<Vec<Structure>, _> = extxyz::open(folder.join(file)).unwrap().collect();
        let frames = frames.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!((frames.len(), frames[0].len()), (count, atoms), "{file}");
        for frame in &frames {
            assert!(frame.energy().is_some(), "{file}");
            assert_eq!(frame.forces().unwrap().len(), frame.len(), "{file}");
            assert_eq!(frame.cell().unwrap().periodic(), [periodic; 3], "{file}");
        }
        round_trip(&frames);

        let frame = &frames[frames.len() / 2];
        let cutoffs = Cutoffs::uniform(5.0).unwrap();
        let fast = NeighborList::new(frame, &cutoffs).unwrap();
        let slow = reference::neighbors(frame.positions(), frame.species(), frame.cell(), &cutoffs);
        assert_eq!(edges(fast.graph()), edges(&slow.unwrap()), "{file}");
    }
}
