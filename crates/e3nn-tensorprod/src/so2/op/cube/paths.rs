//! Products path by path, with weights of every edge.

use super::super::{PathForm, PathTerm, Slot};
use super::walk::{Contact, Place, Table};

pub(super) fn table(form: &PathForm, slot: Slot) -> Table {
    match slot {
        Slot::Output | Slot::Input => features(form, slot),
        Slot::Factor => weights(form),
    }
}

/// `y_w = Σ_u c x_u w_uw`, or `x_u = Σ_w c w_uw y_w`. All orders of a block are computed side by side: they read the same weights.
fn features(form: &PathForm, slot: Slot) -> Table {
    let back = slot == Slot::Input;
    let mut table = Table::new(if back { form.inputs } else { form.outputs });
    // Features are the second operand.
    table.swapped = back;
    // For every first column copies and contacts, in the order in which paths have them.
    let mut groups: Vec<(usize, usize, Vec<Contact>)> = Vec::new();
    for term in &form.terms {
        let [copies, n] = term.mul;
        let own = if back { copies } else { n };
        for contact in &term.contacts {
            let (from, to) = if back {
                (contact.output, contact.input)
            } else {
                (contact.input, contact.output)
            };
            let (a, b, terms) = sum(term, from, back);
            let contact = Contact {
                a,
                b,
                terms,
                value: contact.value,
            };
            match groups.iter_mut().find(|(first, ..)| *first == to) {
                Some((.., list)) => list.push(contact),
                None => groups.push((to, own, vec![contact])),
            }
        }
    }
    for (first, copies, list) in groups {
        let contacts = table.contacts(list);
        table.group(first..first + copies, 0, contacts);
    }
    table
}

/// What a copy sums over: features from a column on, weights, how many.
fn sum(term: &PathTerm, first: usize, back: bool) -> (Place, Place, usize) {
    let [copies, n] = term.mul;
    let weights = term.weights.as_ref().map_or(0, |range| range.start);
    let place = |first, copy, step| Place {
        first,
        row: 0,
        copy,
        step,
    };
    match (term.mixes, back) {
        (true, false) => (place(first, 0, 1), place(weights, 1, n), copies),
        (true, true) => (place(first, 0, 1), place(weights, n, 1), n),
        (false, _) => {
            let terms = usize::from(term.weights.is_some());
            (place(first, 1, 0), place(weights, 1, 0), terms)
        }
    }
}

/// `w_uw = Σ c x_u y_w`, the weights of a copy of the input side by side.
fn weights(form: &PathForm) -> Table {
    let mut table = Table::new(form.numel);
    for term in &form.terms {
        let Some(range) = term.weights.clone() else {
            continue;
        };
        let [copies, n] = term.mul;
        let list = term.contacts.iter().map(|contact| Contact {
            a: Place {
                first: contact.input,
                row: 1,
                copy: usize::from(!term.mixes),
                step: 0,
            },
            b: Place {
                first: contact.output,
                copy: 1,
                ..Place::default()
            },
            terms: 1,
            value: contact.value,
        });
        let contacts = table.contacts(list);
        let rows = if term.mixes { copies } else { 1 };
        for u in 0..rows {
            let first = range.start + u * n;
            table.group(first..first + n, u, contacts.clone());
        }
    }
    table
}
