//! Word problems of the symmetric groups.

use super::{Labels, Lengths, Row, Task, TaskError, TaskRng, require};
use serde::{Deserialize, Serialize};

/// The word problem of the symmetric group on `degree` points: the answer is the product of the
/// permutations so far.
///
/// Token `i` is the `i`-th permutation in lexicographic order, so 0 is the identity, drawn
/// uniformly; `degree!` is query and padding. The answer after `x_1, …, x_t` is
/// `x_t ∘ … ∘ x_1`: `x_1` acts first. For degree 3 (six permutations) no diagonal recurrence that
/// depends on the input alone solves it in one layer at every length, as its products do not commute;
/// for degree 5 the problem is complete for NC¹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SymmetricGroup {
    /// Points that are permuted, 1 to 6.
    pub degree: usize,
    /// Number of permutations in a sequence.
    pub length: Lengths,
    /// Where the answers are.
    pub labels: Labels,
}

impl SymmetricGroup {
    /// S₃ with an answer at every position.
    pub fn s3(length: Lengths) -> Self {
        Self {
            degree: 3,
            length,
            labels: Labels::Every,
        }
    }

    /// Number of permutations.
    fn order(&self) -> usize {
        (1..=self.degree).product()
    }
}

/// The permutation of a place in lexicographic order: entry `i` is where point `i` goes.
fn permutation(degree: usize, index: u32) -> Vec<u8> {
    let mut rest: Vec<u8> = (0..degree as u8).collect();
    let mut index = index as usize;
    let mut block: usize = (1..degree.max(1)).product();
    let mut images = Vec::with_capacity(degree);
    while !rest.is_empty() {
        images.push(rest.remove(index / block));
        index %= block;
        block /= rest.len().max(1);
    }
    images
}

/// The place of a permutation in lexicographic order.
fn index(images: &[u8]) -> u32 {
    let mut index = 0;
    for (at, image) in images.iter().enumerate() {
        let smaller = images[at + 1..]
            .iter()
            .filter(|other| *other < image)
            .count();
        index = index * (images.len() - at) + smaller;
    }
    index as u32
}

impl Task for SymmetricGroup {
    fn vocabulary(&self) -> usize {
        self.order() + 1
    }

    fn classes(&self) -> usize {
        self.order()
    }

    fn max_time(&self) -> usize {
        self.length.max + self.labels.extra()
    }

    fn padding(&self) -> u32 {
        self.order() as u32
    }

    fn check(&self) -> Result<(), TaskError> {
        let (task, degree) = ("SymmetricGroup", self.degree);
        require((1..=6).contains(&degree), task, "degree", "1 to 6", degree)?;
        self.length.check(task)
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let length = self.length.draw(rng);
        let draws = (0..length).map(|_| rng.below(self.order() as u32));
        let word: Vec<u32> = draws.collect();
        let identity = permutation(self.degree, 0);
        let products = word.clone().into_iter().scan(identity, |product, token| {
            let factor = permutation(self.degree, token);
            product
                .iter_mut()
                .for_each(|point| *point = factor[usize::from(*point)]);
            Some(index(product))
        });
        Ok(self.labels.row(word, products, self.padding()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_lexicographic() {
        for degree in 1..=6 {
            let order: usize = (1..=degree).product();
            let all: Vec<_> = (0..order as u32).map(|i| permutation(degree, i)).collect();
            assert!(all.is_sorted(), "degree {degree}");
            assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
            for (i, images) in all.iter().enumerate() {
                assert_eq!(index(images) as usize, i);
            }
        }
    }
}
