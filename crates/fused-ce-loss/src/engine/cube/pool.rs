//! Reductions over the units of a cube, in a fixed order.

use cubecl::prelude::*;

/// Units of a cube that shares a row: no more than every device has.
pub(super) const UNITS: usize = 256;

/// Where the units of a cube meet.
#[derive(CubeType)]
pub(super) struct Pool {
    values: Shared<[f32]>,
}

#[cube]
impl Pool {
    pub(super) fn new() -> Self {
        Pool {
            values: Shared::new_slice(UNITS),
        }
    }

    /// The sum of the values of all units, in each of them.
    pub(super) fn sum(&mut self, value: f32) -> f32 {
        self.reduce(value, false)
    }

    /// The largest of the values of all units, in each of them.
    pub(super) fn max(&mut self, value: f32) -> f32 {
        self.reduce(value, true)
    }

    fn reduce(&mut self, value: f32, #[comptime] largest: bool) -> f32 {
        let unit = UNIT_POS as usize;
        self.values[unit] = value;
        sync_cube();
        let mut half = (UNITS / 2).runtime();
        while half > 0 {
            if unit < half {
                let own = self.values[unit];
                let other = self.values[unit + half];
                self.values[unit] = if comptime!(largest) {
                    select(other > own, other, own)
                } else {
                    own + other
                };
            }
            sync_cube();
            half /= 2;
        }
        let all = self.values[0];
        sync_cube();
        all
    }
}
