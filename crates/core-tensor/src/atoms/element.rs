//! Chemical elements.

/// Symbols by atomic number; 0 is the dummy `X`.
const SYMBOLS: [&str; 119] = [
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
];

/// Conventional atomic weights (IUPAC 2016 with CIAAW's updates, as ASE uses them), in u; for elements without a
/// stable isotope the mass number of the longest-lived one. 1 for the dummy.
#[rustfmt::skip]
const MASSES: [f64; 119] = [
    1.0, 1.008, 4.002602, 6.94, 9.0121831, 10.81, 12.011, 14.007, 15.999, 18.998403163, 20.1797,
    22.98976928, 24.305, 26.9815385, 28.085, 30.973761998, 32.06, 35.45, 39.948, 39.0983, 40.078,
    44.955908, 47.867, 50.9415, 51.9961, 54.938044, 55.845, 58.933194, 58.6934, 63.546, 65.38,
    69.723, 72.630, 74.921595, 78.971, 79.904, 83.798, 85.4678, 87.62, 88.90584, 91.224,
    92.90637, 95.95, 97.90721, 101.07, 102.90550, 106.42, 107.8682, 112.414, 114.818, 118.710,
    121.760, 127.60, 126.90447, 131.293, 132.90545196, 137.327, 138.90547, 140.116, 140.90766,
    144.242, 144.91276, 150.36, 151.964, 157.25, 158.92535, 162.500, 164.93033, 167.259,
    168.93422, 173.054, 174.9668, 178.49, 180.94788, 183.84, 186.207, 190.23, 192.217, 195.084,
    196.966569, 200.592, 204.38, 207.2, 208.98040, 208.98243, 209.98715, 222.01758, 223.01974,
    226.02541, 227.02775, 232.0377, 231.03588, 238.02891, 237.04817, 244.06421, 243.06138,
    247.07035, 247.07031, 251.07959, 252.0830, 257.09511, 258.09843, 259.1010, 262.110, 267.122,
    268.126, 271.134, 270.133, 269.1338, 278.156, 281.165, 281.166, 285.177, 286.182, 289.190,
    289.194, 293.204, 293.208, 294.214,
];

/// Atomic number of a symbol, in any case; `None` for what is no element. `X` is 0.
///
/// ```
/// use core_tensor::atoms::element;
/// assert_eq!(element::number("Si"), Some(14));
/// assert_eq!(element::symbol(14), Some("Si"));
/// assert_eq!(element::mass(1), Some(1.008));
/// assert_eq!(element::number("Xy"), None);
/// ```
pub fn number(symbol: &str) -> Option<u8> {
    let place = SYMBOLS
        .iter()
        .position(|s| s.eq_ignore_ascii_case(symbol))?;
    Some(place as u8)
}

/// Symbol of an atomic number, up to 118.
pub fn symbol(number: u8) -> Option<&'static str> {
    SYMBOLS.get(usize::from(number)).copied()
}

/// Standard atomic mass in u; the mass number of the longest-lived isotope, about, where no isotope is stable.
pub fn mass(number: u8) -> Option<f64> {
    MASSES.get(usize::from(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_are_inverse() {
        for z in 0..=118 {
            let name = symbol(z).unwrap();
            assert_eq!(number(name), Some(z));
            assert_eq!(number(&name.to_uppercase()), Some(z));
        }
        assert_eq!(symbol(119), None);
        assert_eq!(mass(119), None);
        assert_eq!(number(""), None);
        for (name, z) in [
            ("C", 6),
            ("Fe", 26),
            ("Ag", 47),
            ("W", 74),
            ("U", 92),
            ("Og", 118),
        ] {
            assert_eq!(number(name), Some(z));
        }
    }

    #[test]
    fn masses_grow_but_at_the_known_inversions() {
        // Ar–K, Co–Ni, Te–I, Th–Pa and, among the longest-lived isotopes, a few more.
        let falls: Vec<usize> = (1..=92).filter(|&z| MASSES[z] < MASSES[z - 1]).collect();
        assert_eq!(falls, [19, 28, 53, 91]);
        assert_eq!(mass(8), Some(15.999));
        assert_eq!(mass(47), Some(107.8682));
        assert_eq!(mass(79), Some(196.966569));
    }
}
