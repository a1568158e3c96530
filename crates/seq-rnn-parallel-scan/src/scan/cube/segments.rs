//! Cuts sequences into the segments that kernels walk.

use super::super::spec::Sequences;

/// Segments in the order of sequences and, within one, of steps, but for those of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    /// Number of segments.
    pub(super) count: usize,
    /// Segments per sequence, where all have the same number.
    pub(super) per_sequence: usize,
    /// Steps per segment; the last of a sequence may be shorter.
    pub(super) stride: usize,
    /// For packed sequences, five numbers per segment: sequence, first step and length of the
    /// sequence, first step of the segment within it, first border of the sequence.
    pub(super) table: Option<Vec<u32>>,
    /// The sequences with one step per segment.
    pub(super) as_steps: Sequences,
}

impl Segments {
    /// Every sequence in one piece.
    pub(super) fn whole(sequences: &Sequences, border_stride: usize) -> Self {
        Self::cut(sequences, longest(sequences).max(1), border_stride, 1)
    }

    /// Pieces of `stride` steps, at least one per sequence.
    pub(super) fn chunks(sequences: &Sequences, stride: usize, border_stride: usize) -> Self {
        Self::cut(sequences, stride, border_stride, 1)
    }

    /// Pieces of `stride` steps, each of which begins at a border.
    pub(super) fn between_borders(sequences: &Sequences, stride: usize) -> Self {
        Self::cut(sequences, stride, stride, 0)
    }

    /// Pieces of `stride` steps in the order of a chain: the first of every sequence, then the second of
    /// every sequence, and so on; `backwards`, the last of every sequence first.
    ///
    /// Only a table is ordered so. Without one, sequences are of the same length and the kernel counts.
    pub(super) fn chained(
        sequences: &Sequences,
        stride: usize,
        border_stride: usize,
        backwards: bool,
    ) -> Self {
        let mut segments = Self::cut(sequences, stride, border_stride, 1);
        if let Some(table) = &mut segments.table {
            let mut rows: Vec<[u32; 5]> = table.as_chunks().0.to_vec();
            rows.sort_by_key(|&[_, _, len, begin, _]| {
                if backwards {
                    // Steps of the sequence from this piece on, in pieces.
                    (len - begin).div_ceil(stride as u32)
                } else {
                    begin
                }
            });
            *table = rows.concat();
        }
        segments
    }

    fn cut(sequences: &Sequences, stride: usize, border_stride: usize, least: usize) -> Self {
        match sequences {
            Sequences::Batch { count, time } => {
                let per_sequence = time.div_ceil(stride).max(least);
                Self {
                    count: count * per_sequence,
                    per_sequence,
                    stride,
                    table: None,
                    as_steps: Sequences::Batch {
                        count: *count,
                        time: per_sequence,
                    },
                }
            }
            Sequences::Packed { at } => {
                let (mut table, mut starts, mut border) = (Vec::new(), vec![0], 0);
                for (sequence, ends) in at.windows(2).enumerate() {
                    let len = ends[1] - ends[0];
                    let pieces = len.div_ceil(stride).max(least);
                    for piece in 0..pieces {
                        let row = [sequence, ends[0], len, piece * stride, border];
                        table.extend(row.map(|x| {
                            u32::try_from(x).expect("scan: packed sequences of over 2^32 steps")
                        }));
                    }
                    starts.push(starts[sequence] + pieces);
                    border += len.div_ceil(border_stride);
                }
                Self {
                    count: starts[at.len() - 1],
                    per_sequence: 1,
                    stride,
                    table: Some(table),
                    as_steps: Sequences::Packed { at: starts.into() },
                }
            }
        }
    }
}

/// Steps of the longest sequence.
pub(super) fn longest(sequences: &Sequences) -> usize {
    match sequences {
        Sequences::Batch { time, .. } => *time,
        Sequences::Packed { at } => at.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_evenly() {
        let sequences = Sequences::Batch { count: 3, time: 10 };
        let segments = Segments::chunks(&sequences, 4, 4);
        assert_eq!((segments.count, segments.per_sequence), (9, 3));
        assert_eq!(segments.as_steps, Sequences::Batch { count: 3, time: 3 });
        assert_eq!(Segments::whole(&sequences, 4).count, 3);
    }

    #[test]
    fn packed_sequences_get_a_table() {
        let at = Sequences::Packed {
            at: [0, 5, 5, 7].into(),
        };
        let segments = Segments::chunks(&at, 3, 2);
        let rows = [
            [0, 0, 5, 0, 0],
            [0, 0, 5, 3, 0],
            [1, 5, 0, 0, 3],
            [2, 5, 2, 0, 3],
        ];
        assert_eq!(segments.table.unwrap(), rows.concat());
        let steps = Sequences::Packed {
            at: [0, 2, 3, 4].into(),
        };
        assert_eq!(segments.as_steps, steps);
        assert_eq!(Segments::between_borders(&at, 3).count, 3);
    }

    #[test]
    fn a_chain_goes_across_sequences() {
        let at = Sequences::Packed {
            at: [0, 5, 5, 12].into(),
        };
        // Sequence and first step of each piece.
        let order = |backwards| -> Vec<[u32; 2]> {
            let table = Segments::chained(&at, 3, 9, backwards).table.unwrap();
            table.chunks(5).map(|row| [row[0], row[3]]).collect()
        };
        assert_eq!(
            order(false),
            [[0, 0], [1, 0], [2, 0], [0, 3], [2, 3], [2, 6]]
        );
        assert_eq!(
            order(true),
            [[1, 0], [0, 3], [2, 6], [0, 0], [2, 3], [2, 0]]
        );
    }
}
