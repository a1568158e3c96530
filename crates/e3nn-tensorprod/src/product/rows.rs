//! Which weights a row of the batch gets: [`WeightRows`].

use super::ProductError;
use std::sync::Arc;

/// Which row of the weights each row of the batch gets.
#[derive(Debug, Clone, Default)]
pub enum WeightRows {
    /// All the same: weights `[1, weight_numel]`.
    #[default]
    Shared,
    /// Each its own: weights `[batch, weight_numel]`.
    PerRow,
    /// Those of its class: weights `[classes, weight_numel]`.
    ByClass(Arc<RowClasses>),
}

impl WeightRows {
    /// Number of rows of weights for a batch.
    pub fn count(&self, batch: usize) -> usize {
        match self {
            Self::Shared => 1,
            Self::PerRow => batch,
            Self::ByClass(classes) => classes.classes(),
        }
    }
}

/// The class of every row of a batch, such as the species of every atom; built once, used by every layer.
#[derive(Debug, Clone)]
pub struct RowClasses {
    class: Vec<u32>,
    /// Rows by ascending (class, row).
    order: Vec<u32>,
    /// Where the rows of each class begin in `order`.
    starts: Vec<u32>,
    /// The lists on GPUs: the class of every row (`false`), or the rows of every class (`true`).
    #[cfg(feature = "cube")]
    pub(super) uploads: Arc<crate::cube::Uploads<bool>>,
}

impl PartialEq for RowClasses {
    fn eq(&self, other: &Self) -> bool {
        // The rest follows from these.
        self.class == other.class && self.starts.len() == other.starts.len()
    }
}

impl Eq for RowClasses {}

impl RowClasses {
    /// Groups rows by class.
    ///
    /// # Errors
    /// If a class is not below `classes`, or there are more rows or classes than 32 bits number.
    pub fn new(class: &[usize], classes: usize) -> Result<Arc<Self>, ProductError> {
        const MOST: u64 = u32::MAX as u64 - 1;
        for (what, size) in [("classes", classes), ("rows", class.len())] {
            if size as u64 > MOST {
                return Err(ProductError::TooLarge {
                    what: format!("{size} {what}"),
                    most: MOST,
                });
            }
        }
        let mut starts = vec![0; classes + 1];
        for (row, &c) in class.iter().enumerate() {
            if c >= classes {
                return Err(ProductError::NoSuchClass {
                    row,
                    class: c,
                    classes,
                });
            }
            starts[c + 1] += 1;
        }
        for c in 0..classes {
            starts[c + 1] += starts[c];
        }
        let mut order: Vec<u32> = (0..class.len() as u32).collect();
        order.sort_by_key(|&row| class[row as usize]);
        let class = class.iter().map(|&c| c as u32).collect();
        Ok(Arc::new(Self {
            class,
            order,
            starts,
            #[cfg(feature = "cube")]
            uploads: Arc::default(),
        }))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.class.len()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The class of every row.
    pub fn class(&self) -> &[u32] {
        &self.class
    }

    /// The rows of a class, ascending.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn rows_of(&self, class: usize) -> &[u32] {
        &self.order[self.starts[class] as usize..self.starts[class + 1] as usize]
    }

    /// Where the rows of each class begin, and that of one class more; then the rows.
    #[cfg(feature = "cube")]
    pub(super) fn grouped(&self) -> Vec<u32> {
        [&self.starts[..], &self.order].concat()
    }
}
