//! The backward pass: panels of classes outside, token blocks inside. A panel of logits is turned into its gradient once,
//! which both products read.

use super::apart::Apart;
use super::call::{Call, Room};
use super::rows::{self, coefficient};
use super::{slope, sums};
use crate::engine::spec::Layout;
use crate::plan::Plan;
use burn::tensor::{DType, Shape};
use core::ops::Range;
use core_tensor::ext::cube::{
    CubeTensor, block_mut, converted, dtype_to_storage_type, into_contiguous, product, transposed,
};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// What the forward pass left and what came from above.
pub(super) struct Above {
    statistics: CubeTensor,
    states: CubeTensor,
    cotangent: CubeTensor,
    kept: CubeTensor,
}

impl Above {
    pub(super) fn new(
        statistics: CubeTensor,
        states: CubeTensor,
        cotangent: CubeTensor,
        kept: CubeTensor,
    ) -> Self {
        let [statistics, states, cotangent, kept] =
            [statistics, states, cotangent, kept].map(into_contiguous);
        Self {
            statistics,
            states,
            cotangent,
            kept,
        }
    }
}

/// Gradients by hidden states, classifier and bias.
pub(super) type Gradients = (CubeTensor, CubeTensor, CubeTensor);

/// The gradient of a panel, and the factors that it meets.
struct Slopes<'a> {
    factor: &'a CubeTensor,
    hidden: &'a CubeTensor,
    tokens: &'a Range<usize>,
    classes: &'a Range<usize>,
}

impl Call<'_> {
    /// Runs the backward pass.
    pub(super) fn backward(
        &self,
        [picks, top]: [CubeTensor; 2],
        above: &Above,
        shape_of_bias: Shape,
    ) -> Gradients {
        let ([n, v, d], needs, dtype) = (self.size, self.spec.needs, self.dtype());
        let output = |wanted: bool, shape: Shape| {
            if wanted && n > 0 {
                self.output(shape, dtype)
            } else if wanted {
                self.dummy(shape, dtype)
            } else {
                self.dummy([1], dtype)
            }
        };
        let of_hidden = output(needs.hidden, [n, d].into());
        let of_classifier = output(needs.classifier, self.classifier.meta.shape().clone());
        if n == 0 {
            let of_bias = output(needs.bias, shape_of_bias);
            return (of_hidden, of_classifier, of_bias);
        }
        let picked = self.picked(picks, Some(top));
        let coefficients = self.coefficients(above);
        let from_sums = self.spec.plan == Plan::ForwardGradient;
        if from_sums {
            self.hidden_from_sums(&coefficients.tensor, above, &of_hidden);
        }
        let hidden = needs.hidden && !from_sums;
        // Sums over the panels, where there are several.
        let several = self.panels().count() > 1;
        let hidden_sums = (hidden && several).then(|| {
            if self.is_single() {
                Room::unheld(of_hidden.clone())
            } else {
                self.room([n, d], DType::F32)
            }
        });
        let apart = (self.spec.has_targets && !self.is_single()).then(|| Apart::new(self));
        let bias_sums = needs.bias.then(|| self.room([v], DType::F32));
        let panels: Vec<_> = if hidden || needs.classifier || needs.bias {
            self.panels().collect()
        } else {
            Vec::new()
        };
        for classes in panels {
            let mut class_sums = None;
            for tokens in self.blocks() {
                let rows = self.tokens(tokens.clone());
                let g = self.slopes(
                    [&rows.tensor, &coefficients.tensor],
                    picked.as_ref().map(|p| &p.tensor),
                    above,
                    [&tokens, &classes],
                );
                if let Some(sums) = &bias_sums {
                    let first = classes.start;
                    self.column_sums(&g.tensor, None, &sums.tensor, first, tokens.start > 0);
                }
                if let Some(apart) = &apart {
                    apart.take(self, &g.tensor, [&tokens, &classes]);
                }
                let factor = self.factor(&g.tensor, &tokens, &classes);
                let slopes = Slopes {
                    factor: &factor.tensor,
                    hidden: &rows.tensor,
                    tokens: &tokens,
                    classes: &classes,
                };
                if hidden {
                    self.add_to_hidden(&slopes, hidden_sums.as_ref(), &of_hidden);
                }
                if needs.classifier {
                    self.add_to_classes(&slopes, &mut class_sums, &of_classifier);
                }
            }
            if let Some(sums) = class_sums {
                self.store(&sums.tensor, &self.part(&of_classifier, &classes));
            }
        }
        if let Some(apart) = apart.as_ref().filter(|_| hidden) {
            let sums = hidden_sums.as_ref().map(|sums| &sums.tensor);
            apart.add_to_hidden(self, sums.unwrap_or(&of_hidden));
        }
        if let Some(apart) = apart.as_ref().filter(|_| needs.classifier) {
            apart.add_to_classes(self, &of_classifier);
        }
        if let Some(sums) = hidden_sums.filter(|_| !self.is_single()) {
            self.store(&sums.tensor, &of_hidden);
        }
        let of_bias = match bias_sums {
            Some(sums) => converted(sums.tensor, dtype),
            None => self.dummy([1], dtype),
        };
        (of_hidden, of_classifier, of_bias)
    }

    fn coefficients(&self, above: &Above) -> Room {
        let [n, ..] = self.size;
        let out = self.room([n, coefficient::COLUMNS], DType::F32);
        let (cubes, dim) = self.units(n);
        rows::coefficients::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[&above.cotangent]),
            above.states.clone().into_tensor_arg(),
            above.cotangent.clone().into_tensor_arg(),
            self.codes.tensor.clone().into_tensor_arg(),
            out.tensor.clone().into_tensor_arg(),
            n,
            self.spec.columns(),
            self.spec.has_targets,
            self.spec.entropy,
        );
        out
    }

    /// The gradient of a panel of products, `[tokens, classes]`.
    fn slopes(
        &self,
        [rows, coefficients]: [&CubeTensor; 2],
        picked: Option<&CubeTensor>,
        above: &Above,
        [tokens, classes]: [&Range<usize>; 2],
    ) -> Room {
        let g = self.room([tokens.len(), classes.len()], DType::F32);
        let stored =
            (self.spec.plan == Plan::Store).then(|| self.stored(&above.kept, tokens, classes));
        if stored.is_none() {
            let classes = transposed(self.classes(classes.clone()));
            product(rows.clone(), classes, g.tensor.clone());
        }
        let arg = |x: &CubeTensor| x.clone().into_tensor_arg();
        let (cubes, dim) = self.cubes(tokens.len());
        slope::differentiate::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[&g.tensor, coefficients]),
            arg(&g.tensor),
            stored.as_ref().map(arg).into(),
            arg(coefficients),
            self.panel(tokens, classes),
            self.spec.entropy,
        );
        if let Some(picked) = picked {
            let [_, count] = picked.meta.shape().dims();
            let (cubes, dim) = self.units(tokens.len());
            slope::add_picked::launch(
                self.client(),
                cubes,
                dim,
                self.address_type(&[&g.tensor, &above.cotangent]),
                arg(&g.tensor),
                arg(picked),
                arg(&above.statistics),
                arg(&above.cotangent),
                self.bare_panel(tokens, classes),
                self.spec.columns(),
                count,
            );
        }
        g
    }

    /// `out[first ..] (+)= Σ_i w_i x_i`, over the rows of `x`; the first weight is that of class `first_weight`.
    fn column_sums(
        &self,
        x: &CubeTensor,
        weights: Option<(&CubeTensor, usize)>,
        out: &CubeTensor,
        first: usize,
        adds: bool,
    ) {
        let [rows, width] = x.meta.shape().dims();
        let dim = CubeDim::new_2d(sums::LANES as u32, sums::STRIPES as u32);
        let units = width.div_ceil(sums::LANES) * sums::LANES * sums::STRIPES;
        let cubes = calculate_cube_count_elemwise(self.client(), units, dim);
        let first_weight = weights.map_or(0, |(_, first)| first);
        let weights = weights.map(|(w, _)| w.clone().into_tensor_arg());
        sums::columns::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[x, out]),
            x.clone().into_tensor_arg(),
            weights.into(),
            out.clone().into_tensor_arg(),
            rows,
            width,
            first_weight,
            first,
            u32::from(adds),
            dtype_to_storage_type(x.dtype),
        );
    }

    /// `dE += g · C` for a panel.
    fn add_to_hidden(&self, slopes: &Slopes<'_>, all: Option<&Room>, out: &CubeTensor) {
        let [_, _, d] = self.size;
        let rows = self.classes(slopes.classes.clone());
        let tokens = slopes.tokens.clone();
        let whole = all.map_or(out, |all| &all.tensor);
        if slopes.classes.start == 0 {
            let own = block_mut(whole, tokens, 0..d);
            return product(slopes.factor.clone(), rows, own);
        }
        let part = self.room([tokens.len(), d], DType::F32);
        product(slopes.factor.clone(), rows, part.tensor.clone());
        self.accumulate(whole, &part.tensor, None, &tokens, false);
    }

    /// `dC = gᵀ · E` for a panel, as the classifier lies: into its place where one product makes it there, otherwise into
    /// `sums`.
    fn add_to_classes(&self, slopes: &Slopes<'_>, sums: &mut Option<Room>, out: &CubeTensor) {
        let ([n, v, d], count) = (self.size, slopes.classes.len());
        let multiply = |out: CubeTensor| {
            let (g, rows) = (slopes.factor.clone(), slopes.hidden.clone());
            match self.spec.layout {
                Layout::Rows => product(transposed(g), rows, out),
                Layout::Columns => product(transposed(rows), g, out),
            }
        };
        let contiguous = self.spec.layout == Layout::Rows || count == v;
        if contiguous && slopes.tokens.len() == n {
            return multiply(self.part(out, slopes.classes));
        }
        let shape = match self.spec.layout {
            Layout::Rows => [count, d],
            Layout::Columns => [d, count],
        };
        let part = self.room(shape, DType::F32);
        multiply(part.tensor.clone());
        match sums {
            Some(sums) => {
                let every = 0..shape[0];
                self.accumulate(&sums.tensor, &part.tensor, None, &every, false);
            }
            None => *sums = Some(part),
        }
    }

    /// The part of some classes in a tensor that lies as the classifier.
    fn part(&self, x: &CubeTensor, classes: &Range<usize>) -> CubeTensor {
        let [_, _, d] = self.size;
        match self.spec.layout {
            Layout::Rows => block_mut(x, classes.clone(), 0..d),
            Layout::Columns => block_mut(x, 0..d, classes.clone()),
        }
    }

    fn store(&self, x: &CubeTensor, out: &CubeTensor) {
        let [rows, width] = x.meta.shape().dims();
        let (cubes, dim) = self.units(rows * width);
        sums::store::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[x, out]),
            x.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            rows,
            width,
            dtype_to_storage_type(out.dtype),
        );
    }

    /// The gradient of the hidden states where the forward pass has built its sums.
    fn hidden_from_sums(&self, coefficients: &CubeTensor, above: &Above, out: &CubeTensor) {
        let [n, v, d] = self.size;
        let common = self.zeros([d]);
        if let Some(weights) = &self.common {
            for classes in self.panels() {
                let (rows, first) = (self.classes(classes.clone()), classes.start);
                self.column_sums(&rows, Some((weights, first)), &common.tensor, 0, true);
            }
        }
        let arg = |x: &CubeTensor| x.clone().into_tensor_arg();
        let (cubes, dim) = self.units(n * d);
        sums::from_sums::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[&above.kept, &self.classifier]),
            arg(&above.kept),
            arg(&self.classes(0..v)),
            arg(&common.tensor),
            arg(coefficients),
            arg(&above.states),
            arg(out),
            self.bare_panel(&(0..n), &(0..v)),
            d,
            self.common.is_some(),
            dtype_to_storage_type(self.dtype()),
        );
    }
}
