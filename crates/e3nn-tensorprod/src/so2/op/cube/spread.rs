//! Weights of paths spread over matrices.

use super::super::{Entry, Slot, Spread};
use super::walk::{Contact, Place, Table};
use std::collections::BTreeMap;

pub(super) fn table(spread: &Spread, slot: Slot) -> Table {
    // The factor that is no number 1, but for its gradient, comes first.
    let entries = spread.entries.iter();
    match slot {
        Slot::Output => {
            let mut table = Table::new(spread.outputs);
            table.swapped = true;
            let blocks = entries.map(|e| ((e.out, e.stride), e, (e.weight, e.columns)));
            rows(&mut table, blocks);
            table
        }
        Slot::Factor => {
            let mut table = Table::new(spread.numel);
            table.swapped = true;
            let blocks = entries.map(|e| ((e.weight, e.columns), e, (e.out, e.stride)));
            rows(&mut table, blocks);
            table
        }
        Slot::Input => {
            let mut table = Table::new(1);
            let products = entries.flat_map(|e| {
                let place = |first| Place {
                    first,
                    step: 1,
                    ..Place::default()
                };
                (0..e.rows).map(move |row| Contact {
                    a: place(e.weight + row * e.columns),
                    b: place(e.out + row * e.stride),
                    terms: e.columns,
                    value: e.value,
                })
            });
            let contacts = table.contacts(products);
            table.group(0..1, 0, contacts);
            table
        }
    }
}

/// First value and distance of rows.
type Rows = (usize, usize);

/// Row by row, what entries add up to; each with where it is added and where it comes from.
fn rows<'a>(table: &mut Table, entries: impl Iterator<Item = (Rows, &'a Entry, Rows)>) {
    let mut blocks: BTreeMap<Rows, (&Entry, Vec<Contact>)> = BTreeMap::new();
    for (to, entry, (first, row)) in entries {
        let contact = Contact {
            a: Place {
                first,
                row,
                copy: 1,
                step: 0,
            },
            b: Place::default(),
            terms: 1,
            value: entry.value,
        };
        let block = blocks.entry(to).or_insert((entry, Vec::new()));
        block.1.push(contact);
    }
    for ((first, stride), (entry, list)) in blocks {
        let contacts = table.contacts(list);
        for row in 0..entry.rows {
            let first = first + row * stride;
            table.group(first..first + entry.columns, row, contacts.clone());
        }
    }
}
