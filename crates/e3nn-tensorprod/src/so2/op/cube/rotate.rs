//! Features into frames and back, and the gradient of the Wigner matrices.

use super::super::rotate::{Block, blocks};
use super::super::{Form, Slot, wigner_offset};
use super::walk::{Contact, Place, Table};
use crate::so2::FrameLayout;

pub(super) fn table(layout: &FrameLayout, lmax: usize, slot: Slot) -> Table {
    let form = Form::Rotate {
        layout: layout.clone(),
        lmax,
    };
    let mut table = Table::new(form.shape(slot, 1)[1]);
    let blocks = blocks(layout);
    match slot {
        Slot::Output => into_frames(&mut table, &blocks),
        Slot::Input => out_of_frames(&mut table, &blocks),
        Slot::Factor => matrices(&mut table, &blocks),
    }
    table
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

/// `D_m'm = Σ_u y_m'u x_mu` over the copies of all blocks of a degree, a row of a matrix side by side.
fn matrices(table: &mut Table, blocks: &[Block]) {
    let mut degrees: Vec<usize> = blocks.iter().map(|block| block.l).collect();
    degrees.sort_unstable();
    degrees.dedup();
    for l in degrees {
        let n = 2 * l + 1;
        let these: Vec<&Block> = blocks.iter().filter(|block| block.l == l).collect();
        for k in 0..these[0].columns.len() {
            let contacts = these.iter().map(|block| Contact {
                a: Place {
                    first: block.first,
                    copy: block.component,
                    step: block.copy,
                    ..Place::default()
                },
                b: Place {
                    first: block.columns[k],
                    step: 1,
                    ..Place::default()
                },
                terms: block.mul,
                value: 1.0,
            });
            let contacts = table.contacts(contacts);
            let first = wigner_offset(l) + (these[0].skipped() + k) * n;
            table.group(first..first + n, 0, contacts);
        }
    }
}
