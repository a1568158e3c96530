#!/usr/bin/env python3
"""Weights, inputs and outputs of cuEquivariance's products in its own orders and layout (ir_mul), in f64.

Run:  python make_cuequivariance.py OUTDIR
Needs: cuequivariance==0.13.0, numpy==2.4.6, safetensors.
"""
import os, sys
import cuequivariance as cue
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(20260102)
out = {}


def case(name, descriptor):
    polynomial = descriptor.polynomial
    sizes = [operand.size for operand in polynomial.inputs]
    arrays = [rng.normal(size=size) for size in sizes]
    (value,) = polynomial(*arrays)
    for key, array in zip(("w", "x", "y"), arrays):
        out[f"{name}.{key}"] = array
    out[f"{name}.out"] = np.asarray(value)
    print(name, sizes, descriptor.outputs[0].irreps)


O3 = lambda text: cue.Irreps("O3", text)
case("channelwise", cue.descriptors.channelwise_tensor_product(O3("4x0o+4x0e+4x1o+4x2e"), O3("0e+1o+2e"), O3("0e+0o+1o+1e+2e+2o")))
case("fully_connected", cue.descriptors.fully_connected_tensor_product(O3("3x0e+2x1o+1x2e"), O3("2x0e+1x1o"), O3("2x0e+2x1o+3x1e")))
case("linear", cue.descriptors.linear(O3("4x0e+3x1o+2x0e"), O3("2x1o+8x0e")))
save_file(out, os.path.join(sys.argv[1], "cuequivariance.safetensors"))
