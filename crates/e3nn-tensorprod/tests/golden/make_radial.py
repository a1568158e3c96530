#!/usr/bin/env python3
"""Golden values of radial functions that e3nn does not have, made with the packages that do (float64).

Run:  python make_radial.py OUTDIR
Needs: torch==2.15.0, torch_geometric==2.6.1 (Gaussian smearing of SchNet; exponential-normal functions of ViSNet, which are
TorchMD-NET's), mace-torch==0.3.16 (Agnesi transform), scipy==1.17.1 (Chebyshev polynomials), safetensors.
`d_*` are derivatives by r: by torch's autograd, those of T_n as n U_{n-1}.
"""
import os, sys
import numpy as np
from safetensors.numpy import save_file
from scipy.special import eval_chebyt, eval_chebyu
import torch
from torch_geometric.nn.models.schnet import GaussianSmearing
from torch_geometric.nn.models.visnet import ExpNormalSmearing
from mace.modules.radial import AgnesiTransform

torch.set_default_dtype(torch.float64)
OUT = sys.argv[1] if len(sys.argv) > 1 else "."
r = np.concatenate([[1e-3, 0.02], np.linspace(0.05, 5.45, 73)])
arrays = {"r": r}


def add(name, f):
    """f maps distances [N] to [N, number]."""
    x = torch.tensor(r, requires_grad=True)
    out = f(x)
    slopes = [torch.autograd.grad(out[:, i].sum(), x, retain_graph=True)[0] for i in range(out.shape[1])]
    arrays[name] = out.detach().numpy()
    arrays["d_" + name] = torch.stack(slopes, 1).numpy()


add("gaussian_0_5_9", GaussianSmearing(0.0, 5.0, 9))
add("gaussian_1_4_20", GaussianSmearing(1.0, 4.0, 20))
add("expnormal_5_50", ExpNormalSmearing(5.0, 50, trainable=False))
add("expnormal_3_8", ExpNormalSmearing(3.0, 8, trainable=False))

numbers = torch.tensor([1, 6, 8, 14, 79])
sender, receiver = np.arange(len(r)) % 5, (np.arange(len(r)) // 5) % 5
edges = torch.tensor(np.stack([sender, receiver]))
agnesi = AgnesiTransform()
radii = agnesi.covalent_radii[numbers].numpy()
arrays["agnesi_r0"] = 0.5 * (radii[sender] + radii[receiver])
add("agnesi", lambda x: agnesi(x[:, None], torch.eye(5), edges, numbers))
add("agnesi_2_5_07", lambda x: AgnesiTransform(q=2.0, p=5.0, a=0.7)(x[:, None], torch.eye(5), edges, numbers))

n, x = np.arange(10), 2 * r[:, None] / 5 - 1
arrays["chebyshev_5_10"] = eval_chebyt(n, x)
arrays["d_chebyshev_5_10"] = np.where(n > 0, n * eval_chebyu(np.maximum(n - 1, 0), x), 0) * 2 / 5

save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, os.path.join(OUT, "radial_others.safetensors"))
