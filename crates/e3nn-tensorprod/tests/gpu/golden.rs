//! Every golden file on the device, by the checks of the CPU, in f32 within 10⁻⁵: values, gradients and second derivatives.

use crate::{common, device};
use burn::tensor::DType;

const BOUND: f64 = 1e-5;
const BOUNDS: [f64; 2] = [BOUND; 2];
const F32: DType = DType::F32;

/// One test per golden file, called as the file: it runs the checks, and they must read every array of the file but those
/// listed, which have no counterpart on a device. One more test sees that no file is missing.
macro_rules! files {
    ($($file:ident but [$($host:literal),*] $checks:block)*) => {
        $(
            #[test]
            #[allow(non_snake_case, reason = "called as the file")]
            fn $file() {
                $checks
                let host: &[&str] = &[$($host),*];
                assert_eq!(common::unread(stringify!($file)), host, "arrays that no check read");
            }
        )*

        #[test]
        fn no_file_is_missing() {
            let mut here = [$(stringify!($file)),*];
            here.sort_unstable();
            assert_eq!(common::files(), here);
        }
    };
}

files! {
    conv_forces but [] {
        crate::golden_forces::check(&device(), F32, crate::golden_forces::Bounds {
            values: BOUND,
            forces: BOUND,
            gradients: BOUND,
            absolute: BOUND,
        });
    }
    cuequivariance but [] {
        use crate::golden_weights::*;
        channelwise_products_of_cuequivariance(&device(), F32, BOUND);
        products_and_linear_maps_of_cuequivariance(&device(), F32, BOUND);
    }
    // There is no `soft_envelope` here.
    e3nn_jax but ["soft_envelope"] {
        crate::golden_products::full_product_of_e3nn_jax(&device(), F32, BOUND);
        crate::golden_radial::envelope_equals_e3nn_jax(&settings());
    }
    e3nn_modules but [] {
        crate::golden_import::modules_of_e3nn(&device(), F32, BOUND);
    }
    linear but [] {
        for case in ["default", "path", "bias", "instr", "f_in_out"] {
            crate::golden_linear::same_numbers(case, &device(), F32, BOUNDS);
        }
    }
    mace_blocks but [] {
        crate::golden_import::a_block_of_mace(&device(), F32, BOUND);
    }
    mace_symmetric_contraction_a but [] {
        crate::golden_nn::contraction_equals_mace("a", &device(), F32);
    }
    mace_symmetric_contraction_b but [] {
        crate::golden_nn::contraction_equals_mace("b", &device(), F32);
    }
    nequip_block but [] {
        crate::golden_import::a_block_of_nequip(&device(), F32, BOUND);
    }
    nn but [] {
        crate::golden_nn::layers_equal_e3nn(&device(), F32);
        crate::golden_batch_norm::equals_e3nn(&device(), F32, BOUND);
    }
    radial but [] {
        crate::golden_radial::values_equal_e3nn(&settings());
    }
    radial_others but [] {
        crate::golden_radial::values_and_slopes_equal_others(&settings());
    }
    s2grid but [] {
        crate::golden_s2::equals_e3nn(&device(), F32, BOUND);
    }
    spherical_harmonics but [] {
        crate::golden_harmonics::values_are_those_of_e3nn(&device(), F32, BOUND);
    }
    spherical_harmonics_grad but [] {
        crate::golden_harmonics::derivatives_are_those_of_e3nn(&device(), F32, BOUNDS);
    }
    // From degree 25 on f32 is computed in f64, which not every device has.
    sphericart_l30 but [] {
        let lmax = if device().supports_dtype(DType::F64) { 30 } else { 24 };
        crate::golden_harmonics::tensors_are_those_of_sphericart(&device(), F32, lmax, BOUND);
    }
    tensor_products but [] {
        for case in crate::golden_products::cases().keys().filter(|case| *case != "right") {
            let plan = crate::golden_products::plan(case);
            crate::golden_products::same_numbers(case, &plan, &device(), F32, BOUNDS);
        }
        crate::golden_products::the_matrix_of_a_fixed_second_input(&device(), F32, BOUND);
    }
    wigner_3j but [] {
        crate::golden_symbols::products_have_those_of_e3nn(&device(), F32, BOUND);
    }
    // Conversions of single rotations run on the host.
    wigner_D but ["angles_back", "axis", "axis_angle"] {
        crate::golden_wigner::matrices_are_those_of_e3nn(&device(), F32, BOUND);
        crate::golden_wigner::irreps_transform_as_in_e3nn(&device(), F32, BOUND);
    }
    zbl but [] {
        crate::golden_radial::zbl_equals_lammps(&device(), F32, BOUNDS);
    }
}

fn settings() -> crate::golden_radial::Settings {
    crate::golden_radial::Settings {
        device: device(),
        dtype: F32,
        bound: BOUND,
    }
}
