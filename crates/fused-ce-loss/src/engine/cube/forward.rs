//! The forward pass: token blocks outside, panels of classes inside.

use super::call::{Call, Room};
use super::scan::{self, Leaves, Wanted};
use super::{promised, rows, slope, sums, top};
use crate::engine::spec::{column, state};
use crate::plan::Plan;
use burn::tensor::DType;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, dtype_to_storage_type, product, transposed};

/// Row statistics, states, what is kept, its places (none on a GPU), classes of the largest logits.
pub(super) type Forward = (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor);

/// Lists of the largest logits and their classes, `[N, top]`.
type Lists = [Room; 2];

impl Call<'_> {
    /// What the plan keeps for the backward pass, if anything.
    fn keeps(&self) -> Option<Plan> {
        let plan = self.spec.plan;
        let keeps = matches!(plan, Plan::Store | Plan::ForwardGradient);
        (keeps && !self.spec.needs.nothing()).then_some(plan)
    }

    /// Runs the forward pass.
    pub(super) fn forward(&self, picks: CubeTensor) -> Forward {
        let [n, ..] = self.size;
        let columns = self.spec.columns();
        let top_shape = promised::top(n, self.spec);
        let links = self.dummy([1], DType::I32);
        let kept_shape = promised::kept(self.size, self.spec);
        let statistics = self.output([n, columns], DType::F32);
        let states = self.output([n, state::COLUMNS], DType::F32);
        let keeps = self.keeps();
        let kept = match keeps {
            Some(_) => {
                let [a, b] = kept_shape;
                self.spec.monitor.keep(a * b * DType::F32.size());
                self.output(kept_shape, DType::F32)
            }
            None => self.dummy(kept_shape, DType::F32),
        };
        let classes = if self.spec.top > 0 {
            self.output(top_shape, DType::I32)
        } else {
            self.dummy(top_shape, DType::I32)
        };
        if n == 0 {
            return (statistics, states, kept, links, classes);
        }
        let picked = self.picked(picks, None);
        let partials = self.room([n, scan::COLUMNS], DType::F32);
        let list = |dtype| self.room([n, self.spec.top.max(1)], dtype);
        let lists = |count: usize| -> Vec<Lists> {
            (0..count)
                .map(|_| [list(DType::F32), list(DType::U32)])
                .collect()
        };
        let mut lists = lists(if self.spec.top > 0 { 2 } else { 0 });
        for tokens in self.blocks() {
            let hidden = self.tokens(tokens.clone());
            for classes in self.panels() {
                let stored =
                    (keeps == Some(Plan::Store)).then(|| self.stored(&kept, &tokens, &classes));
                let room = stored
                    .is_none()
                    .then(|| self.room([tokens.len(), classes.len()], DType::F32));
                let z = stored.or(room.as_ref().map(|r| r.tensor.clone()));
                let z = z.expect("one of both");
                product(
                    hidden.tensor.clone(),
                    transposed(self.classes(classes.clone())),
                    z.clone(),
                );
                self.scan(&z, &partials.tensor, &tokens, &classes);
                if let Some(picked) = &picked {
                    self.pick(&z, &picked.tensor, &statistics, &tokens, &classes);
                }
                if let [old, new] = &lists[..] {
                    self.largest(&z, old, new, &tokens, &classes);
                    lists.swap(0, 1);
                }
                if keeps == Some(Plan::ForwardGradient) {
                    self.add_shares(&z, &kept, &partials.tensor, &tokens, &classes);
                }
            }
            // The next block begins with the same order of lists as this one did.
            if lists.len() == 2 && self.panels().count() % 2 == 1 && tokens.end < n {
                lists.swap(0, 1);
            }
        }
        self.finish(&partials.tensor, &statistics, &states);
        if keeps == Some(Plan::ForwardGradient) {
            let [_, _, d] = self.size;
            let (cubes, dim) = self.units(n * d);
            sums::normalise::launch(
                self.client(),
                cubes,
                dim,
                self.address_type(&[&kept]),
                kept.clone().into_tensor_arg(),
                partials.tensor.into_tensor_arg(),
                states.clone().into_tensor_arg(),
                n,
                d,
            );
        }
        if let Some([z, v]) = lists.first() {
            let (cubes, dim) = self.units(n * self.spec.top);
            top::write::launch(
                self.client(),
                cubes,
                dim,
                self.address_type(&[&statistics]),
                z.tensor.clone().into_tensor_arg(),
                v.tensor.clone().into_tensor_arg(),
                self.codes.tensor.clone().into_tensor_arg(),
                statistics.clone().into_tensor_arg(),
                classes.clone().into_tensor_arg(),
                n,
                columns,
                self.spec.top,
                f32::NEG_INFINITY,
            );
        }
        (statistics, states, kept, links, classes)
    }

    /// Where the logits of a panel are stored: panel after panel, rows of a panel after each other.
    pub(super) fn stored(
        &self,
        kept: &CubeTensor,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) -> CubeTensor {
        let [n, ..] = self.size;
        let first = n * classes.start + tokens.start * classes.len();
        let handle = kept
            .handle
            .clone()
            .offset_start((first * DType::F32.size()) as u64);
        let shape = [tokens.len(), classes.len()];
        let (client, device) = (self.client().clone(), self.device().clone());
        CubeTensor::new_contiguous(client, device, shape.into(), handle, DType::F32)
    }

    fn scan(
        &self,
        z: &CubeTensor,
        partials: &CubeTensor,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) {
        let spec = self.spec;
        let reads = spec.picks + spec.top > 0;
        let leaves = match self.keeps() {
            Some(Plan::ForwardGradient) => Leaves::Shares,
            Some(_) => Leaves::Logits,
            None if reads => Leaves::Logits,
            None => Leaves::Products,
        };
        let (cubes, dim) = self.cubes(tokens.len());
        scan::scan::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[z, partials]),
            z.clone().into_tensor_arg(),
            partials.clone().into_tensor_arg(),
            self.panel(tokens, classes),
            Wanted {
                entropy: spec.entropy,
                leaves,
            },
        );
    }

    fn pick(
        &self,
        z: &CubeTensor,
        picked: &CubeTensor,
        statistics: &CubeTensor,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) {
        let (cubes, dim) = self.units(tokens.len() * self.spec.picks);
        scan::pick::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[z, statistics]),
            z.clone().into_tensor_arg(),
            picked.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            self.bare_panel(tokens, classes),
            self.spec.columns(),
            self.spec.picks,
            f32::NAN,
        );
    }

    fn largest(
        &self,
        z: &CubeTensor,
        [old_z, old_v]: &Lists,
        [new_z, new_v]: &Lists,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) {
        let (cubes, dim) = self.cubes(tokens.len());
        let arg = |room: &Room| room.tensor.clone().into_tensor_arg();
        top::largest::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[z, &old_z.tensor]),
            z.clone().into_tensor_arg(),
            arg(old_z),
            arg(old_v),
            arg(new_z),
            arg(new_v),
            self.bare_panel(tokens, classes),
            self.spec.top,
        );
    }

    /// `Σ ← Σ · rescale + shares · classes`.
    fn add_shares(
        &self,
        shares: &CubeTensor,
        kept: &CubeTensor,
        partials: &CubeTensor,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) {
        let [_, _, d] = self.size;
        let factor = self.factor(shares, tokens, classes);
        let part = self.room([tokens.len(), d], DType::F32);
        product(
            factor.tensor,
            self.classes(classes.clone()),
            part.tensor.clone(),
        );
        self.accumulate(
            kept,
            &part.tensor,
            Some(partials),
            tokens,
            classes.start == 0,
        );
    }

    /// `sums ← sums + x` in the rows `tokens`, after these were multiplied with what the partials say.
    pub(super) fn accumulate(
        &self,
        sums: &CubeTensor,
        x: &CubeTensor,
        partials: Option<&CubeTensor>,
        rows: &Range<usize>,
        starts: bool,
    ) {
        let [_, width] = x.meta.shape().dims();
        let (cubes, dim) = self.units(rows.len() * width);
        sums::accumulate::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[sums, x]),
            sums.clone().into_tensor_arg(),
            x.clone().into_tensor_arg(),
            partials.cloned().map(CubeTensor::into_tensor_arg).into(),
            rows.start,
            rows.len(),
            width,
            u32::from(starts),
        );
    }

    /// A panel of f32 as a factor of a product.
    pub(super) fn factor(
        &self,
        g: &CubeTensor,
        tokens: &Range<usize>,
        classes: &Range<usize>,
    ) -> Room {
        if self.is_single() {
            return Room::unheld(g.clone());
        }
        let out = self.room([tokens.len(), classes.len()], self.dtype());
        let count = tokens.len() * classes.len();
        let (cubes, dim) = self.units(count);
        let key = (tokens.start as u32).rotate_left(16) ^ classes.start as u32;
        // Of the 23 bits of the fraction, bf16 keeps 7 and f16 10.
        let dropped = if self.dtype() == DType::BF16 { 16 } else { 13 };
        slope::narrow::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[g]),
            g.clone().into_tensor_arg(),
            out.tensor.clone().into_tensor_arg(),
            count,
            key,
            dropped,
            dtype_to_storage_type(self.dtype()),
        );
        out
    }

    fn finish(&self, partials: &CubeTensor, statistics: &CubeTensor, states: &CubeTensor) {
        let [n, ..] = self.size;
        let (cubes, dim) = self.units(n);
        rows::finish::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[statistics]),
            partials.clone().into_tensor_arg(),
            self.codes.tensor.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            states.clone().into_tensor_arg(),
            n,
            self.spec.columns(),
            f32::NAN,
            self.spec.entropy,
        );
    }
}

const _: () = assert!(
    column::PICKS == 5,
    "`finish` writes the columns before the picks"
);
