//! The characters of a text as numbers.

use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// The distinct characters of a text, in the order of their code points; a token is a position
/// here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    characters: Vec<char>,
}

impl Vocabulary {
    pub(crate) fn of(text: &str) -> Self {
        let characters: BTreeSet<char> = text.chars().collect();
        Self {
            characters: characters.into_iter().collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.characters.len()
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// Names the first character that is not in the vocabulary.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        text.chars()
            .map(|c| match self.characters.binary_search(&c) {
                Ok(token) => Ok(token as u32),
                Err(_) => bail!("{c:?} does not occur in the text that the model learns from"),
            })
            .collect()
    }

    /// The text of tokens, which must be of this vocabulary.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        tokens
            .iter()
            .map(|&token| self.characters[token as usize])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_strangers_are_named() {
        let vocabulary = Vocabulary::of("hello wörld\n");
        assert_eq!(vocabulary.len(), 10);
        let tokens = vocabulary.encode("rödel\n").unwrap();
        assert_eq!(vocabulary.decode(&tokens), "rödel\n");
        let error = vocabulary.encode("hex").unwrap_err().to_string();
        assert!(error.starts_with("'x' does not occur"), "{error}");
    }
}
