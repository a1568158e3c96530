//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU. No atomics, every sum in a fixed order:
//! bit-reproducible from run to run.

mod edges;
mod linear;
mod pick;
mod softmax;
mod uploads;

pub(in crate::graph) use uploads::Uploads;

use super::{Call, GraphBackend, largest_exponent};
use crate::ext::cube::{
    CubeBackend, CubeDevice, CubeTensor, address_type, contiguous_rows, dtype_to_storage_type,
    empty, zeros,
};
use crate::ext::{FloatTensor, TensorMetadata, compute_dtype};
use burn::tensor::DType;
use cubecl::client::Client;
use cubecl::ir::{AddressType, ElemType};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use edges::EdgesLaunch;
use softmax::AttentionLaunch;
use std::sync::Arc;
use uploads::Lists;

/// Units of a cube that sums.
const UNITS: usize = 256;

impl GraphBackend for CubeBackend {
    fn graph_gather(nodes: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        let nodes = contiguous_rows(nodes);
        let problem = Problem::new(&nodes, &call);
        let edges = call.graph.edges();
        let output = problem.output(edges);
        if !problem.is_empty(edges) {
            let (count, dim) = problem.units(edges);
            linear::gather::launch(
                &problem.client,
                count,
                dim,
                problem.address_type(&[&nodes, &output]),
                nodes.into_tensor_arg(),
                problem.lists.ends(call.end).into_tensor_arg(),
                problem.edges(),
                output.clone().into_tensor_arg(),
                edges,
                call.mean,
                problem.types(),
            );
        }
        output
    }

    fn graph_sum(values: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        let values = contiguous_rows(values);
        let problem = Problem::new(&values, &call);
        let nodes = call.graph.nodes();
        if call.graph.edges() == 0 {
            return problem.zeros(nodes);
        }
        let output = problem.output(nodes);
        if !problem.is_empty(nodes) {
            let lanes = problem.width.next_power_of_two().min(32);
            let degree = call.graph.edges().div_ceil(nodes);
            let rows = degree.next_power_of_two().clamp(1, (UNITS / lanes).min(32));
            let groups = problem.width.div_ceil(lanes);
            let units = nodes * groups * lanes * rows;
            let dim = CubeDim::new_2d(lanes as u32, rows as u32);
            linear::sum::launch(
                &problem.client,
                calculate_cube_count_elemwise(&problem.client, units, dim),
                dim,
                problem.address_type(&[&values, &output]),
                values.into_tensor_arg(),
                problem.edges(),
                output.clone().into_tensor_arg(),
                groups,
                lanes,
                rows,
                call.mean,
                problem.types(),
            );
        }
        output
    }

    fn graph_pick(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        pick_or_place(keys, values, call, false)
    }

    fn graph_place(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        pick_or_place(keys, values, call, true)
    }

    fn graph_softmax(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let (scores, weights) = (contiguous_rows(scores), contiguous_rows(weights));
        let problem = Problem::new(&scores, &call);
        let output = problem.output(call.graph.edges());
        if !problem.is_empty(call.graph.edges()) {
            let (count, dim) = problem.units(call.graph.nodes());
            softmax::forward::launch(
                &problem.client,
                count,
                dim,
                problem.address_type(&[&scores, &weights, &output]),
                problem.attention(scores, weights),
                problem.edges(),
                output.clone().into_tensor_arg(),
                problem.types(),
            );
        }
        output
    }

    fn graph_softmax_backward(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [scores, weights, cotangent] = [scores, weights, cotangent].map(contiguous_rows);
        let problem = Problem::new(&scores, &call);
        let by_scores = problem.output(call.graph.edges());
        let by_weights = problem.output(call.weight_rows());
        if !problem.is_empty(call.graph.edges()) {
            let (count, dim) = problem.units(call.graph.nodes());
            let written = call.weighted.then(|| by_weights.clone());
            softmax::backward::launch(
                &problem.client,
                count,
                dim,
                problem.address_type(&[&scores, &weights, &cotangent, &by_scores]),
                problem.attention(scores, weights),
                problem.edges(),
                cotangent.into_tensor_arg(),
                by_scores.clone().into_tensor_arg(),
                written.map(CubeTensor::into_tensor_arg).into(),
                problem.types(),
            );
        }
        (by_scores, by_weights)
    }
}

fn pick_or_place(keys: CubeTensor, values: CubeTensor, call: Call, place: bool) -> CubeTensor {
    let (keys, values) = (contiguous_rows(keys), contiguous_rows(values));
    let problem = Problem::new(&keys, &call);
    let nodes = call.graph.nodes();
    let rows = if place { call.graph.edges() } else { nodes };
    if call.graph.edges() == 0 {
        return problem.zeros(rows);
    }
    let output = problem.output(rows);
    if !problem.is_empty(rows) {
        let (count, dim) = problem.units(nodes);
        pick::pick::launch(
            &problem.client,
            count,
            dim,
            problem.address_type(&[&keys, &values, &output]),
            keys.into_tensor_arg(),
            values.into_tensor_arg(),
            problem.edges(),
            output.clone().into_tensor_arg(),
            place,
            problem.types(),
        );
    }
    output
}

/// A call and what it runs on.
struct Problem<'a> {
    call: &'a Call,
    lists: Arc<Lists>,
    client: Client,
    device: CubeDevice,
    stored: DType,
    width: usize,
}

impl<'a> Problem<'a> {
    fn new(x: &CubeTensor, call: &'a Call) -> Self {
        let [_, width] = x.shape().dims();
        Self {
            call,
            lists: Lists::of(&call.graph, &x.client, &x.device),
            client: x.client.clone(),
            device: x.device.clone(),
            stored: x.dtype,
            width,
        }
    }

    fn output(&self, rows: usize) -> CubeTensor {
        empty(&self.client, &self.device, [rows, self.width], self.stored)
    }

    /// What nodes without edges have.
    fn zeros(&self, rows: usize) -> CubeTensor {
        zeros(&self.client, &self.device, [rows, self.width], self.stored)
    }

    fn is_empty(&self, rows: usize) -> bool {
        rows * self.width == 0
    }

    /// A unit per row and feature.
    fn units(&self, rows: usize) -> (CubeCount, CubeDim) {
        let units = rows * self.width;
        let dim = CubeDim::new(&self.client, units);
        (calculate_cube_count_elemwise(&self.client, units, dim), dim)
    }

    fn address_type(&self, tensors: &[&CubeTensor]) -> AddressType {
        address_type(tensors.iter().copied())
    }

    fn edges(&self) -> EdgesLaunch {
        let (offsets, order) = self.lists.segments(self.call.end);
        EdgesLaunch::new(
            offsets.into_tensor_arg(),
            order.map(CubeTensor::into_tensor_arg).into(),
            self.call.graph.nodes(),
            self.width,
        )
    }

    fn attention<E: Float>(&self, scores: CubeTensor, weights: CubeTensor) -> AttentionLaunch<E> {
        let weights = self.call.weighted.then(|| weights.into_tensor_arg());
        AttentionLaunch::new(
            scores.into_tensor_arg(),
            weights.into(),
            largest_exponent(self.stored) as f32,
        )
    }

    /// What is stored and what is computed in.
    fn types(&self) -> [ElemType; 2] {
        [self.stored, compute_dtype(self.stored)].map(dtype_to_storage_type)
    }
}
