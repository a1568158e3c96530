#!/usr/bin/env python3
"""Golden values of whole message-passing blocks of MACE and NequIP: their `state_dict` under its own names, inputs, outputs.

Run:  python make_models.py OUTDIR
Needs: torch==2.15.0, e3nn==0.6.0, numpy==2.4.6, safetensors, mace-torch==0.3.16, nequip==0.6.2 (both pin an older e3nn: install with --no-deps).
Weights keep the names of the modules below `mace.` and `nequip.`; everything else is an input or output. Float64; `*_i` are int64.
"""
import os, sys, warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
from e3nn import nn as enn, o3
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261126)
OUT = sys.argv[1] if len(sys.argv) > 1 else "."

NODES, ELEMENTS, EDGE_FEATURES, NEIGHBOURS = 5, 3, 4, 2.5
# Any graph: hubs, a node without edges, two edges between the same nodes.
SOURCES = torch.tensor([1, 2, 3, 0, 2, 0, 0, 1, 4, 4, 1])
DESTINATIONS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 1, 0, 0])
VECTORS = torch.randn(len(SOURCES), 3)
RADIAL = torch.randn(len(SOURCES), EDGE_FEATURES)
SPECIES = torch.tensor([0, 2, 1, 2, 0])
ONE_HOT = torch.nn.functional.one_hot(SPECIES, ELEMENTS).to(torch.float64)


def state(prefix, module):
    """Parameters that have numbers; U matrices, masks and code are left out."""
    return {f"{prefix}.{k}": v.detach().clone().contiguous() for k, v in module.named_parameters() if v.numel() > 0}


def common(features, sh):
    return {
        "sources_i": SOURCES, "destinations_i": DESTINATIONS, "species_i": SPECIES, "vectors": VECTORS, "radial": RADIAL,
        "features": features, "harmonics": sh,
    }


def mace():
    from mace.modules.blocks import EquivariantProductBasisBlock, RealAgnosticResidualInteractionBlock

    hidden, sh = o3.Irreps("4x0e+4x1o"), o3.Irreps("0e+1o+2e")
    target = (sh * 4).sort()[0].simplify()
    interaction = RealAgnosticResidualInteractionBlock(
        node_attrs_irreps=o3.Irreps(f"{ELEMENTS}x0e"), node_feats_irreps=hidden, edge_attrs_irreps=sh,
        edge_feats_irreps=o3.Irreps(f"{EDGE_FEATURES}x0e"), target_irreps=target, hidden_irreps=hidden,
        avg_num_neighbors=NEIGHBOURS, radial_MLP=[6, 6])
    product = EquivariantProductBasisBlock(
        node_feats_irreps=target, target_irreps=hidden, correlation=3, num_elements=ELEMENTS, use_sc=True)
    features = torch.randn(NODES, hidden.dim)
    harmonics = o3.spherical_harmonics(sh, VECTORS, True, normalization="component")
    messages, sc = interaction(ONE_HOT, features, harmonics, RADIAL, torch.stack([SOURCES, DESTINATIONS]))
    out = product(messages, sc, ONE_HOT)
    save_file({
        **common(features, harmonics), **state("mace.interaction", interaction), **state("mace.product", product),
        "messages": messages.detach().contiguous(), "out": out.detach(),
    }, os.path.join(OUT, "mace_blocks.safetensors"))


def nequip():
    from nequip.data import AtomicDataDict as K
    from nequip.nn import InteractionBlock

    features_in, features_out, sh = o3.Irreps("4x0e+3x1o+2x1e"), o3.Irreps("3x0e+2x0o+4x1o+2x2e"), o3.Irreps("0e+1o+2e")
    block = InteractionBlock(
        irreps_in={K.EDGE_EMBEDDING_KEY: o3.Irreps(f"{EDGE_FEATURES}x0e"), K.EDGE_ATTRS_KEY: sh,
                   K.NODE_FEATURES_KEY: features_in, K.NODE_ATTRS_KEY: o3.Irreps(f"{ELEMENTS}x0e")},
        irreps_out=features_out, invariant_layers=2, invariant_neurons=6, avg_num_neighbors=NEIGHBOURS, use_sc=True)
    features = torch.randn(NODES, features_in.dim)
    harmonics = o3.spherical_harmonics(sh, VECTORS, True, normalization="component")
    data = {K.EDGE_EMBEDDING_KEY: RADIAL, K.EDGE_ATTRS_KEY: harmonics, K.NODE_FEATURES_KEY: features.clone(),
            K.NODE_ATTRS_KEY: ONE_HOT, K.EDGE_INDEX_KEY: torch.stack([DESTINATIONS, SOURCES])}
    out = block(data)[K.NODE_FEATURES_KEY]
    save_file({**common(features, harmonics), **state("nequip", block), "out": out.detach()},
              os.path.join(OUT, "nequip_block.safetensors"))


def modules():
    """e3nn's own modules that have weights."""
    out = {}

    def case(name, module, *inputs):
        out.update(state(name, module))
        out.update({f"{name}.{k}": v.clone() for k, v in module.named_buffers() if k.startswith("running")})
        module.eval()
        for i, x in enumerate(inputs):
            out[f"{name}.in{i}"] = x
        out[f"{name}.out"] = module(*inputs).detach()

    a, b = o3.Irreps("4x0e+2x1o+1x2e"), o3.Irreps("0e+1o")
    case("linear", o3.Linear(a, "3x0e+2x0e+2x1o", biases=True), torch.randn(7, a.dim))
    case("linear_f", o3.Linear(a, a, f_in=2, f_out=3), torch.randn(7, 2, a.dim))
    case("product", o3.FullyConnectedTensorProduct(a, b, "2x0e+2x1o+1x1e"), torch.randn(7, a.dim), torch.randn(7, b.dim))
    case("net", enn.FullyConnectedNet([4, 8, 8, 3], torch.tanh), torch.randn(7, 4))
    norm = enn.BatchNorm(a)
    for _ in range(3):
        norm(torch.randn(9, a.dim) * 1.7 + 0.3)
    with torch.no_grad():
        norm.weight.normal_(), norm.bias.normal_()
    case("norm", norm, torch.randn(7, a.dim))
    # normalize=False always fails in e3nn 0.6.0.
    act = enn.NormActivation(a, torch.tanh, normalize=True, bias=True)
    with torch.no_grad():
        act.biases.normal_()
    case("activation", act, torch.randn(7, a.dim))
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(OUT, "e3nn_modules.safetensors"))


mace()
nequip()
modules()
