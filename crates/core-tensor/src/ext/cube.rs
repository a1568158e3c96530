//! Custom kernels on Burn's GPU backends (CubeCL).
