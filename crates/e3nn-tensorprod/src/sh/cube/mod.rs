//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU. A unit per point, with the recursions of the
//! CPU: up to degree [`UNROLLED`] in registers with constants, rows staged in shared memory so that neighbouring units
//! read and write neighbouring values; above by loops over arrays and tables. Every point is computed by itself: bits
//! depend on nothing else.

mod host;
mod loops;
mod place;
mod rows;
mod unrolled;

use super::HarmonicsBackend;
use super::spec::{Normalization, Spec};
use super::table::Table;
use crate::cube::{Uploads, constant};
use burn::tensor::DType;
use core_tensor::ext::cube::{
    CubeBackend, CubeTensor, address_type, converted, dtype_to_storage_type, empty, fall_back,
    into_contiguous,
};
use core_tensor::ext::{FloatTensor, TensorMetadata};
use cubecl::ir::{ElemType, FloatKind};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use loops::{Loops, TablesLaunch};
use rows::{dim, gradient_rows};
use std::sync::Arc;

/// Up to this degree, kernels are compiled for the degrees.
const UNROLLED: usize = 8;
/// Points of a cube.
const POINTS: usize = 64;
/// Bytes of shared memory that every device has.
const SHARED: usize = 16 * 1024;

/// What a kernel for known degrees is compiled for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Variant {
    spec: Spec,
    /// Whether the derivative along a direction of the vectors is wanted.
    moved: bool,
    /// Whether rows of `spec.dim()` values pass through shared memory.
    staged: bool,
}

impl Variant {
    fn table(&self) -> Table<f64> {
        Table::new(self.spec.lmax(), self.spec.normalization, |x| x)
    }

    /// From one row in shared memory to the next: odd, so that units meet different banks.
    fn stride(&self) -> usize {
        self.spec.dim() | 1
    }
}

/// A call and its tensors.
struct Problem {
    vectors: CubeTensor,
    tangents: Option<CubeTensor>,
    cotangents: Option<CubeTensor>,
    spec: Spec,
}

impl Problem {
    fn new(
        vectors: CubeTensor,
        tangents: Option<CubeTensor>,
        cotangents: Option<CubeTensor>,
        spec: Spec,
    ) -> Self {
        Self {
            vectors,
            tangents,
            cotangents,
            spec,
        }
    }

    fn map(self, f: impl Fn(CubeTensor) -> CubeTensor) -> Self {
        Self {
            vectors: f(self.vectors),
            tangents: self.tangents.map(&f),
            cotangents: self.cotangents.map(&f),
            spec: self.spec,
        }
    }

    fn run(self) -> CubeTensor {
        let problem = self.map(into_contiguous);
        if problem.vectors.dtype != DType::F32 || !problem.spec.is_wide() {
            return problem.launch();
        }
        let wide = ElemType::Float(FloatKind::F64);
        if problem.vectors.client.properties().supports_type(wide) {
            let wide = problem.map(|x| converted(x, DType::F64));
            return converted(wide.launch(), DType::F32);
        }
        fall_back(
            "spherical harmonics",
            "this device has no f64: degrees above 24 are computed on the CPU",
        );
        host::run(&problem)
    }

    /// Rows and columns of the result.
    fn shape(&self) -> [usize; 2] {
        let [points, _] = self.vectors.shape().dims();
        let contracted = self.cotangents.is_some();
        [points, if contracted { 3 } else { self.spec.dim() }]
    }

    fn launch(self) -> CubeTensor {
        let [points, columns] = self.shape();
        let client = self.vectors.client.clone();
        let stored = self.vectors.dtype;
        let out = empty(&client, &self.vectors.device, [points, columns], stored);
        let address = {
            let given = [Some(&self.vectors), Some(&out), self.cotangents.as_ref()];
            address_type(given.into_iter().flatten())
        };
        let dtype = dtype_to_storage_type(stored);
        let moved = self.tangents.is_some();
        let spec = self.spec;
        let vectors = self.vectors.into_tensor_arg();
        let directions = self.tangents.map(CubeTensor::into_tensor_arg);
        let result = out.clone().into_tensor_arg();
        if spec.lmax() <= UNROLLED {
            let mut variant = Variant {
                moved,
                staged: false,
                spec,
            };
            variant.staged = POINTS * variant.stride() * stored.size() <= SHARED;
            let cube = CubeDim::new_1d(POINTS as u32);
            let count = calculate_cube_count_elemwise(&client, points, cube);
            match self.cotangents.map(CubeTensor::into_tensor_arg) {
                None => unrolled::harmonics::launch(
                    &client,
                    count,
                    cube,
                    address,
                    vectors,
                    directions.into(),
                    result,
                    points,
                    variant,
                    dtype,
                ),
                Some(cotangents) => unrolled::contracted::launch(
                    &client,
                    count,
                    cube,
                    address,
                    vectors,
                    directions.into(),
                    cotangents,
                    result,
                    points,
                    variant,
                    dtype,
                ),
            }
            return out;
        }
        let loops = Loops {
            lmax: spec.lmax(),
            normalize: spec.normalize,
            moved,
        };
        let cube = CubeDim::new(&client, points);
        let count = calculate_cube_count_elemwise(&client, points, cube);
        match self.cotangents.map(CubeTensor::into_tensor_arg) {
            None => loops::harmonics::launch(
                &client,
                count,
                cube,
                address,
                vectors,
                directions.into(),
                tables(&spec, &out),
                result,
                loops,
                dtype,
            ),
            Some(cotangents) => loops::contracted::launch(
                &client,
                count,
                cube,
                address,
                vectors,
                directions.into(),
                cotangents,
                tables(&spec, &out),
                result,
                loops,
                dtype,
            ),
        }
        out
    }
}

/// Tables that [`mod@loops`] has asked for, by degrees and scale.
static TABLES: Uploads<(Arc<[usize]>, Normalization)> = Uploads::new();

/// The tables for a result of a kernel of [`mod@loops`].
fn tables<F: Float>(spec: &Spec, out: &CubeTensor) -> TablesLaunch<F> {
    let key = (spec.degrees.clone(), spec.normalization);
    let kept = TABLES.get(key, out, || coefficients(spec));
    let [points, _] = out.shape().dims();
    TablesLaunch::new(
        kept.whole.clone().into_tensor_arg(),
        kept.numbers.clone().into_tensor_arg(),
        points,
        spec.degrees.len(),
        spec.dim(),
    )
}

/// What [`loops::Tables`] hold.
fn coefficients(spec: &Spec) -> (Vec<u32>, Vec<f64>, ()) {
    let table = Table::new(spec.lmax(), spec.normalization, |x| x);
    let blocks = (0..spec.degrees.len()).map(|n| dim(spec, n));
    let mut whole: Vec<u32> = blocks
        .flat_map(|(l, column)| [l as u32, column as u32])
        .collect();
    // The one component of degree 0 has no gradient.
    whole.extend([0; 6]);
    let mut numbers = vec![0.0; 6];
    for l in 1..=spec.lmax() {
        for i in 0..=2 * l {
            for terms in gradient_rows(&table, l, i) {
                let below = (l - 1) * (l - 1);
                let padded = terms.into_iter().chain(core::iter::repeat((below, 0.0)));
                for (at, factor) in padded.take(2) {
                    whole.push((at - below) as u32);
                    numbers.push(factor);
                }
            }
        }
    }
    let coefficients = table.seed.iter().chain(table.step.as_flattened());
    numbers.extend(coefficients);
    (whole, numbers, ())
}

impl HarmonicsBackend for CubeBackend {
    fn harmonics(v: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        Problem::new(v, None, None, spec).run()
    }

    fn harmonics_tangent(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        Problem::new(v, Some(tangent), None, spec).run()
    }

    fn harmonics_gradient(
        v: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        Problem::new(v, None, Some(cotangent), spec).run()
    }

    fn harmonics_curvature(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        Problem::new(v, Some(tangent), Some(cotangent), spec).run()
    }
}
