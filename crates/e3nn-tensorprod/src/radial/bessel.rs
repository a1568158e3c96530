//! The Bessel basis, by the names of its conventions.

use super::{column, expand, sinc, spread};
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core::f64::consts::PI;
use core_tensor::dual::{Dual, Value};
use serde::{Deserialize, Serialize};

/// What `sin(i π r / r_max)` is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BesselPrefactor {
    /// `√(2 / r_max) / r`: orthonormal in the ball; e3nn, DimeNet, MACE. At 0 it is `√(2/r_max) i π / r_max`.
    Orthonormal,
    /// `1 / (π r / r_max)`, NequIP since 2025: free of units. At 0 it is `i`.
    Nequip,
}

/// Configuration of a [`Bessel`] basis.
#[derive(Config, Debug)]
pub struct BesselConfig {
    /// Cutoff.
    pub r_max: f64,
    /// Number of functions.
    #[config(default = 8)]
    pub number: usize,
    /// Prefactor.
    #[config(default = "BesselPrefactor::Orthonormal")]
    pub prefactor: BesselPrefactor,
    /// Whether the frequencies `i = 1, 2, …` are trained.
    #[config(default = false)]
    pub trainable: bool,
}

impl BesselConfig {
    /// As in NequIP and Allegro since 2025; theirs is trained by default.
    pub fn nequip(r_max: f64, number: usize) -> Self {
        Self::new(r_max)
            .with_number(number)
            .with_prefactor(BesselPrefactor::Nequip)
            .with_trainable(true)
    }

    /// As in MACE; fixed by default.
    pub fn mace(r_max: f64, number: usize) -> Self {
        Self::new(r_max).with_number(number)
    }

    /// Makes the basis, with frequencies of the given dtype.
    pub fn init(&self, device: &Device, dtype: DType) -> Bessel {
        let values: Vec<f64> = (1..=self.number).map(|i| i as f64).collect();
        let data = TensorData::new(values, [self.number]);
        let frequencies = Param::from_tensor(Tensor::from_data(data, (device, dtype)));
        Bessel {
            frequencies: if self.trainable {
                frequencies
            } else {
                frequencies.no_grad()
            },
            r_max: self.r_max,
            prefactor: self.prefactor,
        }
    }
}

/// `sin(f_i π r / r_max)` times a [`BesselPrefactor`], with `f_i = i` at first. Not cut off: multiply by a cutoff.
#[derive(Module, Debug)]
pub struct Bessel {
    /// `[number]`, in units of `π / r_max`.
    pub frequencies: Param<Tensor<1>>,
    #[module(skip)]
    r_max: f64,
    #[module(skip)]
    prefactor: BesselPrefactor,
}

impl Bessel {
    /// From distances `[N, 1]` to `[N, number]`.
    ///
    /// # Panics
    /// If `r` is not `[N, 1]`, or its dtype is not that of the frequencies.
    pub fn forward<V: Value<2>>(&self, r: V) -> V {
        let r: Dual<2> = r.into();
        let n = column("Bessel", &r);
        let frequencies = self.frequencies.val();
        let [number] = frequencies.dims();
        if number == 0 {
            return V::from_dual(spread(r, 0));
        }
        let frequencies = expand(frequencies.unsqueeze::<2>(), [n, number]);
        let t = spread(r * (PI / self.r_max), number) * frequencies.clone();
        let scale = match self.prefactor {
            BesselPrefactor::Orthonormal => (2.0 / self.r_max).sqrt() * PI / self.r_max,
            BesselPrefactor::Nequip => 1.0,
        };
        V::from_dual(sinc(t) * frequencies * scale)
    }
}
