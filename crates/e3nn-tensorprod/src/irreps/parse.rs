//! e3nn's notation of irreps, read at compile time or at run time by the same code.
//!
//! ```text
//! irreps = "" | block { "+" block }
//! block  = [ whole "x" ] irrep          mul 1 where there is no "x"
//! irrep  = whole ( "e" | "o" | "y" )    y: (−1)^l
//! ```
//! `whole` is what Python's `int` takes and is not negative: digits, single underscores between digits, `-0`.
//! ASCII white space may stand around every token.

use super::{Irrep, MulIrrep, Parity};

/// What is wrong with a block of irreps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IrrepsProblem {
    /// Nothing stands there.
    #[error("a block is missing")]
    Missing,
    /// A block has more than one `x`.
    #[error("more than one `x`")]
    SecondX,
    /// The multiplicity is not a whole number.
    #[error("the multiplicity before `x` must be a whole number")]
    Multiplicity,
    /// The degree is not a whole number.
    #[error("the degree before the parity letter must be a whole number")]
    Degree,
    /// The last letter is not `e`, `o` or `y`.
    #[error("an irrep ends with its parity, `e`, `o` or `y`")]
    Parity,
    /// A negative number.
    #[error("negative number")]
    Negative,
    /// A number, or the number of components, exceeds what memory can index.
    #[error("too large")]
    TooLarge,
}

/// A problem and the byte at which it shows.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: IrrepsProblem,
}

/// Fails with `problem` at byte `at`.
const fn fault<T: Copy>(at: usize, problem: IrrepsProblem) -> Result<T, Fault> {
    Err(Fault { at, problem })
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// `from..to` without white space at its ends.
const fn trim(text: &[u8], mut from: usize, mut to: usize) -> (usize, usize) {
    while from < to && is_space(text[from]) {
        from += 1;
    }
    while from < to && is_space(text[to - 1]) {
        to -= 1;
    }
    (from, to)
}

/// The first `byte` in `from..to`, or `to`.
pub(super) const fn find(text: &[u8], byte: u8, from: usize, to: usize) -> usize {
    let mut at = from;
    while at < to && text[at] != byte {
        at += 1;
    }
    at
}

/// Whether there is nothing but white space.
pub(super) const fn is_blank(text: &[u8]) -> bool {
    let (from, to) = trim(text, 0, text.len());
    from == to
}

/// The whole number in `from..to`; `problem` where there is none.
const fn whole(
    text: &[u8],
    from: usize,
    to: usize,
    problem: IrrepsProblem,
) -> Result<usize, Fault> {
    let (start, to) = trim(text, from, to);
    let negative = start < to && text[start] == b'-';
    let mut at = start + negative as usize;
    if at == to {
        return fault(start, problem);
    }
    let mut value = 0_usize;
    let mut after_digit = false;
    while at < to {
        match text[at] {
            digit @ b'0'..=b'9' => {
                let Some(tens) = value.checked_mul(10) else {
                    return fault(start, IrrepsProblem::TooLarge);
                };
                let Some(sum) = tens.checked_add((digit - b'0') as usize) else {
                    return fault(start, IrrepsProblem::TooLarge);
                };
                value = sum;
                after_digit = true;
            }
            b'_' if after_digit && at + 1 < to => after_digit = false,
            _ => return fault(at, problem),
        }
        at += 1;
    }
    if negative && value != 0 {
        return fault(start, IrrepsProblem::Negative);
    }
    Ok(value)
}

/// The irrep in `from..to`.
pub(super) const fn irrep(text: &[u8], from: usize, to: usize) -> Result<Irrep, Fault> {
    let (from, to) = trim(text, from, to);
    if from == to {
        return fault(from, IrrepsProblem::Missing);
    }
    let l = match whole(text, from, to - 1, IrrepsProblem::Degree) {
        Ok(l) => l,
        // Without a parity letter the degree is no number either; the letter is what to say.
        Err(_) if !matches!(text[to - 1], b'e' | b'o' | b'y') => {
            return fault(to - 1, IrrepsProblem::Parity);
        }
        Err(error) => return Err(error),
    };
    let parity = match text[to - 1] {
        b'e' => Parity::Even,
        b'o' => Parity::Odd,
        b'y' => Parity::of_harmonics(l),
        _ => return fault(to - 1, IrrepsProblem::Parity),
    };
    if l > (usize::MAX - 1) / 2 {
        return fault(from, IrrepsProblem::TooLarge);
    }
    Ok(Irrep::new(l, parity))
}

/// The block in `from..to`.
pub(super) const fn block(text: &[u8], from: usize, to: usize) -> Result<MulIrrep, Fault> {
    let x = find(text, b'x', from, to);
    let (mul, rest) = if x == to {
        (1, from)
    } else {
        let second = find(text, b'x', x + 1, to);
        if second != to {
            return fault(second, IrrepsProblem::SecondX);
        }
        match whole(text, from, x, IrrepsProblem::Multiplicity) {
            Ok(mul) => (mul, x + 1),
            Err(error) => return Err(error),
        }
    };
    match irrep(text, rest, to) {
        Ok(irrep) => Ok(MulIrrep { mul, irrep }),
        Err(error) => Err(error),
    }
}

/// The number of components after one more block.
pub(super) const fn add_dim(dim: usize, block: MulIrrep, at: usize) -> Result<usize, Fault> {
    match block.mul.checked_mul(block.irrep.dim()) {
        Some(more) => match dim.checked_add(more) {
            // Lengths of slices and products with small factors stay within `isize`.
            Some(dim) if dim <= isize::MAX as usize => Ok(dim),
            _ => fault(at, IrrepsProblem::TooLarge),
        },
        None => fault(at, IrrepsProblem::TooLarge),
    }
}

/// Whether a text is irreps; what [`irreps!`](crate::irreps!) asks at compile time.
#[doc(hidden)]
pub const fn is_valid(text: &str) -> bool {
    let text = text.as_bytes();
    if is_blank(text) {
        return true;
    }
    let (mut from, mut dim) = (0, 0);
    loop {
        let to = find(text, b'+', from, text.len());
        let Ok(block) = block(text, from, to) else {
            return false;
        };
        dim = match add_dim(dim, block, from) {
            Ok(dim) => dim,
            Err(_) => return false,
        };
        if to == text.len() {
            return true;
        }
        from = to + 1;
    }
}

/// [`Irreps`](crate::Irreps) from a literal that is checked at compile time.
///
/// ```
/// let irreps = e3nn_tensorprod::irreps!("16x0e + 8x1o");
/// assert_eq!(irreps.dim(), 40);
/// ```
/// ```compile_fail
/// let irreps = e3nn_tensorprod::irreps!("16x0a");
/// ```
#[macro_export]
macro_rules! irreps {
    ($text:literal) => {{
        const {
            assert!(
                $crate::irreps::is_valid($text),
                concat!("not irreps: ", $text)
            );
        }
        $text
            .parse::<$crate::Irreps>()
            .expect("checked at compile time")
    }};
}
