//! Irreps as text: parsing, display, serde.

use super::parse::{self, Fault, IrrepsProblem};
use super::{Irrep, Irreps, MulIrrep};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What can go wrong with irreps that come from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IrrepsError {
    /// A text is not irreps.
    #[error("irreps: block {block} ({text:?}), byte {at}: {problem}")]
    Parse {
        /// Which block, from 0.
        block: usize,
        /// The block as it stands in the text.
        text: String,
        /// Byte of the whole text at which the problem shows.
        at: usize,
        /// What is wrong.
        problem: IrrepsProblem,
    },
    /// The largest degree of irreps without components.
    #[error("irreps {0:?} have no component, hence no largest degree")]
    Empty(String),
}

impl IrrepsError {
    fn parse(text: &str, block: usize, from: usize, to: usize, fault: Fault) -> Self {
        // `from` and `to` are ends of the text or next to an ASCII `+`: boundaries of characters.
        Self::Parse {
            block,
            text: text[from..to].to_owned(),
            at: fault.at,
            problem: fault.problem,
        }
    }
}

impl FromStr for Irreps {
    type Err = IrrepsError;

    /// Reads e3nn's notation: `16x0e+8x1o`. Blocks are kept as they are, also those of multiplicity 0;
    /// a blank text has no block. A multiplicity of 1 may be left out; the letter `y` means parity `(−1)^l`;
    /// ASCII white space may stand around numbers, letters and signs.
    fn from_str(text: &str) -> Result<Self, IrrepsError> {
        let bytes = text.as_bytes();
        if parse::is_blank(bytes) {
            return Ok(Self::default());
        }
        let mut blocks = Vec::new();
        let (mut from, mut dim) = (0, 0);
        loop {
            let to = parse::find(bytes, b'+', from, bytes.len());
            let fail = |fault| IrrepsError::parse(text, blocks.len(), from, to, fault);
            let block = parse::block(bytes, from, to).map_err(fail)?;
            dim = parse::add_dim(dim, block, from).map_err(fail)?;
            blocks.push(block);
            if to == bytes.len() {
                return Ok(blocks.into_iter().collect());
            }
            from = to + 1;
        }
    }
}

impl FromStr for Irrep {
    type Err = IrrepsError;

    /// Reads one irrep such as `1o`, without a multiplicity.
    fn from_str(text: &str) -> Result<Self, IrrepsError> {
        parse::irrep(text.as_bytes(), 0, text.len())
            .map_err(|fault| IrrepsError::parse(text, 0, 0, text.len(), fault))
    }
}

impl fmt::Display for MulIrrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.mul, self.irrep)
    }
}

impl fmt::Display for Irreps {
    /// As e3nn prints them: `16x0e+1x1o`, always with multiplicities. Parsing gives the same irreps back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, block) in self.iter().enumerate() {
            let plus = if i == 0 { "" } else { "+" };
            write!(f, "{plus}{block}")?;
        }
        Ok(())
    }
}

/// What text, and hence a file, an irrep and irreps share.
macro_rules! as_text {
    ($name:ident, $what:literal) => {
        impl TryFrom<&str> for $name {
            type Error = IrrepsError;

            fn try_from(text: &str) -> Result<Self, IrrepsError> {
                text.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

as_text!(Irrep, "an irrep such as `1o`");
as_text!(Irreps, "irreps such as `16x0e+8x1o`");
