//! Features into frames and back.

use super::super::rotate::{Block, blocks};
use super::super::{Slot, wigner_offset};
use super::walk::{Contact, Place, Table};
use crate::so2::FrameLayout;

pub(super) fn table(layout: &FrameLayout, slot: Slot) -> Table {
    let blocks = blocks(layout);
    match slot {
        Slot::Output => {
            let mut table = Table::new(layout.dim());
            into_frames(&mut table, &blocks);
            table
        }
        Slot::Input => {
            let mut table = Table::new(layout.irreps().dim());
            out_of_frames(&mut table, &blocks);
            table
        }
        Slot::Factor => unreachable!("matrices have a kernel of their own"),
    }
}

/// `y_m' = Σ_m D_m'm x_m`, the copies of an order side by side.
fn into_frames(table: &mut Table, blocks: &[Block]) {
    for block in blocks {
        let n = 2 * block.l + 1;
        for (k, &column) in block.columns.iter().enumerate() {
            let contacts = table.contacts([Contact {
                a: Place {
                    first: block.first,
                    copy: block.copy,
                    step: block.component,
                    ..Place::default()
                },
                b: Place {
                    first: wigner_offset(block.l) + (block.skipped() + k) * n,
                    step: 1,
                    ..Place::default()
                },
                terms: n,
                value: 1.0,
            }]);
            table.group(column..column + block.mul, 0, contacts);
        }
    }
}

/// `x_m = Σ_m' D_m'm y_m'`, what lies side by side in the global frame side by side: copies, or components.
fn out_of_frames(table: &mut Table, blocks: &[Block]) {
    table.swapped = true;
    for block in blocks {
        let n = 2 * block.l + 1;
        let step = table.places.len();
        table.places.extend(&block.columns);
        // From row to row of the matrix.
        let down = Place {
            first: wigner_offset(block.l) + block.skipped() * n,
            step: n,
            ..Place::default()
        };
        let terms = block.columns.len();
        if block.copy == 1 {
            for m in 0..n {
                let contacts = table.contacts([Contact {
                    a: Place {
                        copy: 1,
                        step,
                        ..Place::default()
                    },
                    b: Place {
                        first: down.first + m,
                        ..down
                    },
                    terms,
                    value: 1.0,
                }]);
                let first = block.first + m * block.component;
                table.group(first..first + block.mul, 0, contacts);
            }
        } else {
            let contacts = table.contacts([Contact {
                a: Place {
                    row: 1,
                    step,
                    ..Place::default()
                },
                b: Place { copy: 1, ..down },
                terms,
                value: 1.0,
            }]);
            for u in 0..block.mul {
                let first = block.first + u * n;
                table.group(first..first + n, u, contacts.clone());
            }
        }
    }
}
