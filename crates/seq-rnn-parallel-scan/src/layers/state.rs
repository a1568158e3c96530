//! The state of a whole stack between chunks: everything that the next step needs.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// State of one block.
#[derive(Debug, Clone)]
pub struct BlockState {
    /// State of the recurrence, `[sequences, d_hidden]`: a row per batch entry, or per sequence packed into one.
    pub hidden: Tensor<2>,
    /// Last inputs of the convolution, `[sequences, kernel − 1, d_model]`, where the block has one.
    pub conv_tail: Option<Tensor<3>>,
}

/// State of a stack of blocks; to be stored as [`StateData`].
#[derive(Debug, Clone)]
pub struct StackState {
    /// One per block, from the input upwards.
    pub blocks: Vec<BlockState>,
}

/// A [`StackState`] on the host, for any serde format. Bits are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateData {
    blocks: Vec<(TensorData, Option<TensorData>)>,
}

/// Why stored data is no state of a given shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another number of blocks.
    #[error("state: expected {expected} blocks, got {got}")]
    Blocks {
        /// Blocks of the model.
        expected: usize,
        /// Blocks of the data.
        got: usize,
    },
    /// A tensor of another shape or dtype, or whose number of bytes does not fit them.
    #[error("state: block {block}: expected a float tensor of shape {expected:?}, got {got}")]
    Tensor {
        /// The block.
        block: usize,
        /// What the other state has.
        expected: Vec<usize>,
        /// What the data has.
        got: String,
    },
}

impl StackState {
    /// The state on the host.
    pub fn to_data(&self) -> StateData {
        let data = |block: &BlockState| {
            (
                block.hidden.to_data(),
                block.conv_tail.as_ref().map(Tensor::to_data),
            )
        };
        StateData {
            blocks: self.blocks.iter().map(data).collect(),
        }
    }

    /// The state on a device, from data of the same shape as `self`: a
    /// [`MinRnnStack::initial_state`](super::MinRnnStack::initial_state), say.
    ///
    /// # Errors
    /// If the data has another number of blocks, or a tensor of another shape or kind.
    pub fn load(&self, data: StateData, device: &Device) -> Result<Self, StateError> {
        let (expected, got) = (self.blocks.len(), data.blocks.len());
        if expected != got {
            return Err(StateError::Blocks { expected, got });
        }
        let blocks = self.blocks.iter().zip(data.blocks).enumerate();
        let blocks = blocks.map(|(block, (like, (hidden, tail)))| {
            let conv_tail = match (&like.conv_tail, tail) {
                (Some(like), Some(tail)) => Some(tensor(block, like.dims(), tail, device)?),
                (None, None) => None,
                (like, tail) => {
                    return Err(StateError::Tensor {
                        block,
                        expected: like.as_ref().map_or(vec![], |like| like.dims().to_vec()),
                        got: tail.map_or("none".into(), |tail| format!("{:?}", tail.shape())),
                    });
                }
            };
            Ok(BlockState {
                hidden: tensor(block, like.hidden.dims(), hidden, device)?,
                conv_tail,
            })
        });
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
        })
    }
}

fn tensor<const D: usize>(
    block: usize,
    expected: [usize; D],
    data: TensorData,
    device: &Device,
) -> Result<Tensor<D>, StateError> {
    let dtype = data.dtype();
    let float = matches!(dtype, DType::F64 | DType::F32 | DType::BF16 | DType::F16);
    let same = data.shape().as_slice() == expected;
    let whole = data.as_bytes().len() == expected.iter().product::<usize>() * dtype.size();
    if float && same && whole {
        Ok(Tensor::from_data(data, (device, dtype)))
    } else {
        let got = format!(
            "{dtype:?} {:?} of {} bytes",
            data.shape(),
            data.as_bytes().len()
        );
        Err(StateError::Tensor {
            block,
            expected: expected.to_vec(),
            got,
        })
    }
}
