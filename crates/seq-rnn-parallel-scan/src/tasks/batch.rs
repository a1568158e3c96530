//! Batches on the host and on a device.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

/// One sequence with its answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Input tokens.
    pub inputs: Vec<u32>,
    /// What to answer at each position; `None` where nothing is asked.
    pub targets: Vec<Option<u32>>,
}

/// Sequences of one batch on the host, row after row, each filled up at its end to the longest.
///
/// Every vector has `rows · time` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of sequences.
    pub rows: usize,
    /// Positions of the longest.
    pub time: usize,
    /// Input tokens, `[rows, time]`.
    pub inputs: Vec<u32>,
    /// Answers, `[rows, time]`; 0 where nothing is asked.
    pub targets: Vec<u32>,
    /// Where an answer is asked and enters loss and accuracy, `[rows, time]`.
    pub mask: Vec<bool>,
    /// Length of each sequence before it was filled up, `[rows]`.
    pub lengths: Vec<usize>,
}

/// A [`Batch`] on a device.
#[derive(Debug, Clone)]
pub struct BatchTensors {
    /// Input tokens, `[rows, time]`.
    pub inputs: Tensor<2, Int>,
    /// Answers, `[rows, time]`; 0 where nothing is asked.
    pub targets: Tensor<2, Int>,
    /// Where an answer is asked, `[rows, time]`.
    pub mask: Tensor<2, Bool>,
}

impl Batch {
    /// Puts sequences together; shorter ones end in `padding`.
    pub(super) fn collect(sequences: &[Row], padding: u32) -> Self {
        let time = sequences.iter().map(|row| row.inputs.len()).max();
        let (rows, time) = (sequences.len(), time.unwrap_or(0));
        let mut inputs = Vec::with_capacity(rows * time);
        let mut targets = Vec::with_capacity(rows * time);
        let mut mask = Vec::with_capacity(rows * time);
        for row in sequences {
            let missing = time - row.inputs.len();
            inputs.extend(&row.inputs);
            inputs.extend(std::iter::repeat_n(padding, missing));
            let answers = row.targets.iter().copied();
            for answer in answers.chain(std::iter::repeat_n(None, missing)) {
                targets.push(answer.unwrap_or(0));
                mask.push(answer.is_some());
            }
        }
        Self {
            rows,
            time,
            inputs,
            targets,
            mask,
            lengths: sequences.iter().map(|row| row.inputs.len()).collect(),
        }
    }

    /// Positions with an answer, as indices into `rows · time`, rising.
    pub fn asked(&self) -> Vec<usize> {
        let positions = self.mask.iter().enumerate();
        positions
            .filter(|(_, asked)| **asked)
            .map(|(at, _)| at)
            .collect()
    }

    /// The batch on a device.
    pub fn tensors(&self, device: &Device) -> BatchTensors {
        let int = |values: &[u32]| {
            let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
            Tensor::from_data(TensorData::new(values, [self.rows, self.time]), device)
        };
        let mask = TensorData::new(self.mask.clone(), [self.rows, self.time]);
        BatchTensors {
            inputs: int(&self.inputs),
            targets: int(&self.targets),
            mask: Tensor::from_data(mask, device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_filled_up() {
        let row = |inputs: &[u32], targets: &[Option<u32>]| Row {
            inputs: inputs.into(),
            targets: targets.into(),
        };
        let rows = [
            row(&[1, 2, 3], &[None, None, Some(4)]),
            row(&[5], &[Some(6)]),
        ];
        let batch = Batch::collect(&rows, 9);
        assert_eq!((batch.rows, batch.time), (2, 3));
        assert_eq!(batch.inputs, [1, 2, 3, 5, 9, 9]);
        assert_eq!(batch.targets, [0, 0, 4, 6, 0, 0]);
        assert_eq!(batch.mask, [false, false, true, true, false, false]);
        assert_eq!(batch.lengths, [3, 1]);
        assert_eq!(batch.asked(), [2, 3]);

        let tensors = batch.tensors(&Device::flex());
        assert_eq!(tensors.inputs.dims(), [2, 3]);
        let mask: Vec<bool> = tensors.mask.into_data().iter::<bool>().collect();
        assert_eq!(mask, batch.mask);
        let targets: Vec<i64> = tensors.targets.into_data().iter::<i64>().collect();
        assert_eq!(targets, [0, 0, 4, 6, 0, 0]);
    }
}
