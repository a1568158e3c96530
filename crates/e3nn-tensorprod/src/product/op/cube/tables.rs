//! What the kernel looks up.

use super::super::{Slot, Spec};
use crate::product::{ConnectionMode, Path};
use burn::tensor::{DType, Shape};
use core_tensor::ext::cube::{CubeDevice, CubeTensor};
use cubecl::client::Client;

/// Numbers of a path in the table.
pub(super) const PATH: usize = 13;
/// Numbers of a column.
pub(super) const COLUMN: usize = 4;

/// Columns of the result, paths and their symbols as whole numbers, one part after the other:
///
/// - for every column of the result: where its paths begin in the list, how many they are, the copy within its block (for
///   weights the number within the path), the component;
/// - the list of paths;
/// - for every path: mode, whether it has weights, multiplicities, components, offsets, first weight, first of its starts;
/// - for every path and every component of the slot (for weights, once), where its symbols start;
/// - the components `i | j << 8 | k << 16` of every symbol.
pub(super) struct Tables {
    pub(super) table: Vec<u32>,
    /// Where the list, the paths, the starts and the symbols begin.
    pub(super) list: usize,
    pub(super) paths: usize,
    pub(super) starts: usize,
    pub(super) entries: usize,
    values: Vec<f64>,
}

impl Tables {
    pub(super) fn new(spec: &Spec) -> Self {
        let slot = spec.slot;
        let paths: Vec<&Path> = spec.paths().map(|(_, path)| path).collect();
        let width = spec.shape(slot)[1];
        let mut columns = vec![0; COLUMN * width];
        let (mut list, mut records, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        // Blocks of the slot that paths reach: offset, copies or weights, components.
        let reaches = |path: &Path| match slot {
            Slot::Weight => (path.weights.start, path.weights.len(), 1),
            _ => {
                let s = if slot == Slot::Out { 2 } else { slot as usize };
                (path.offset[s], path.mul[s], path.dims()[s])
            }
        };
        let mut done: Vec<(usize, usize, usize)> = Vec::new();
        for path in &paths {
            let block = reaches(path);
            if done.contains(&block) {
                continue;
            }
            done.push(block);
            let these = (0..paths.len()).filter(|&n| reaches(paths[n]) == block);
            let first = list.len();
            list.extend(these.map(small));
            let (offset, copies, components) = block;
            for n in 0..copies * components {
                let at = COLUMN * (offset + n);
                columns[at..at + COLUMN].copy_from_slice(&[
                    small(first),
                    small(list.len() - first),
                    small(n / components),
                    small(n % components),
                ]);
            }
        }
        for path in &paths {
            let ins = &path.instruction;
            records.push(
                ConnectionMode::ALL
                    .iter()
                    .position(|&mode| mode == ins.mode)
                    .map_or(0, small),
            );
            records.push(u32::from(ins.has_weight));
            let numbers = [path.mul, path.dims(), path.offset];
            records.extend(numbers.into_iter().flatten().map(small));
            records.push(small(path.weights.start));
            records.push(small(starts.len()));
            let mut symbols = symbols(path);
            let component = |ijk: [usize; 3]| match slot {
                Slot::In1 => ijk[0],
                Slot::In2 => ijk[1],
                Slot::Out => ijk[2],
                Slot::Weight => 0,
            };
            symbols.sort_by_key(|&(ijk, _)| component(ijk));
            let (_, _, buckets) = reaches(path);
            for bucket in 0..=buckets {
                let before = symbols
                    .iter()
                    .filter(|(ijk, _)| component(*ijk) < bucket)
                    .count();
                starts.push(small(entries.len() + before));
            }
            for ([i, j, k], value) in symbols {
                assert!(i.max(j).max(k) < 256, "tensor product: degree above 127");
                entries.push(small(i | j << 8 | k << 16));
                values.push(value);
            }
        }
        let mut table = columns;
        let mut part = |numbers: Vec<u32>| {
            let at = table.len();
            table.extend(numbers);
            at
        };
        let (list, paths, starts, entries) =
            (part(list), part(records), part(starts), part(entries));
        Self {
            list,
            paths,
            starts,
            entries,
            // Buffers must not be empty.
            values: if values.is_empty() { vec![0.0] } else { values },
            table: if table.is_empty() { vec![0] } else { table },
        }
    }

    /// The values of the symbols on the device.
    pub(super) fn values(&self, client: &Client, device: &CubeDevice, dtype: DType) -> CubeTensor {
        let buffer = if dtype == DType::F64 {
            client.create_from_slice(bytemuck::cast_slice(&self.values))
        } else {
            let narrow: Vec<f32> = self.values.iter().map(|&x| x as f32).collect();
            client.create_from_slice(bytemuck::cast_slice(&narrow))
        };
        let shape = Shape::new([self.values.len()]);
        CubeTensor::new_contiguous(client.clone(), device.clone(), shape, buffer, dtype)
    }
}

fn symbols(path: &Path) -> Vec<([usize; 3], f64)> {
    let table = &path.tables[0];
    let pairs = 0..table.pairs();
    let entries = pairs.flat_map(|p| {
        let these = table.starts[p] as usize..table.starts[p + 1] as usize;
        these.map(move |e| {
            let ijk = [table.inner[p], table.outer[e], table.out[p]];
            (ijk.map(|x| x as usize), table.values[e])
        })
    });
    entries.collect()
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("tensor product: tables of over 2^32 numbers")
}
