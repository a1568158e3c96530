//! Wigner 3j symbols and Wigner D matrices in e3nn's real basis, for any degree.

mod batched;
mod convention;
mod d;
mod exact;
mod matrix;
mod step;
mod three_j;

pub use batched::{wigner_d_from_matrix, wigner_d_from_quaternion, wigner_d_reference};
pub use convention::W3jConvention;
pub use d::{Representation, wigner_d, wigner_d_all, wigner_d_from_angles, wigner_j};
pub use matrix::SquareMatrix;
pub use three_j::{W3jEntry, Wigner3j, is_triangle, wigner_3j, wigner_3j_in};
