//! What every bench needs.

/// Median of some values: the upper one of the two in the middle where their number is even.
///
/// # Panics
/// If there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether a bench is only to check its problems: `--check`, or being run as a test.
pub fn check_only() -> bool {
    !std::env::args().any(|a| a == "--bench") || std::env::args().any(|a| a == "--check")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
