#!/usr/bin/env python3
"""Golden values for e3nn-tensorprod, made with the PUBLIC api of e3nn (torch, CPU, float64).

Run:  python make.py OUTDIR
Needs: torch==2.15.0, e3nn==0.6.0, numpy==2.4.6, safetensors.  Optional (skipped when missing): sphericart==2.0.4, mace-torch==0.3.16,
e3nn-jax==0.21.0 + jax[cpu].
Every array of a case is stored (inputs, weights, outputs, gradients), so no RNG has to be reproduced.
index.json tells what each file holds; arrays are float64 unless the key ends in _i (int64).
"""
import json, math, os, sys
import numpy as np
from safetensors.numpy import save_file
import torch
import e3nn
from e3nn import o3, nn as enn
from e3nn.math import normalize2mom, soft_one_hot_linspace, soft_unit_step, bessel

torch.set_default_dtype(torch.float64)
OUT = sys.argv[1] if len(sys.argv) > 1 else "."
os.makedirs(OUT, exist_ok=True)
rng = np.random.default_rng(20260101)
INDEX = {"versions": {"e3nn": e3nn.__version__, "torch": torch.__version__, "numpy": np.__version__}, "files": {}}


def T(a):
    return torch.as_tensor(np.asarray(a, dtype=np.float64))


def N(t):
    return t.detach().cpu().numpy()


def rnd(*shape):
    return T(rng.normal(size=shape))


def save(name, arrays, about, meta=None):
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, os.path.join(OUT, name + ".safetensors"))
    INDEX["files"][name] = {"about": about, "keys": sorted(arrays), "meta": meta or {}}


def grads(f, args):
    """out, cot, first-order grads of <out,cot>; second-order grads of sum <g_i, v_i> wrt args and cot."""
    args = [a.clone().requires_grad_(True) for a in args]
    out = f(*args)
    cot = rnd(*out.shape).requires_grad_(True)
    g = torch.autograd.grad((out * cot).sum(), args, create_graph=True)
    vs = [rnd(*x.shape) for x in g]
    s = sum((gi * vi).sum() for gi, vi in zip(g, vs))
    h = torch.autograd.grad(s, args + [cot], allow_unused=True)
    h = [torch.zeros_like(a) if x is None else x for x, a in zip(h, args + [cot])]
    d = {"out": N(out), "cot": N(cot)}
    for i, (gi, vi, hi) in enumerate(zip(g, vs, h)):
        d[f"g{i}"], d[f"v{i}"], d[f"h{i}"] = N(gi), N(vi), N(hi)
    d["hcot"] = N(h[-1])
    return d


def put(dst, prefix, d):
    for k, v in d.items():
        dst[f"{prefix}.{k}"] = np.asarray(v)


# ---------------------------------------------------------------- wigner 3j
a, trip = {}, []
for l1 in range(7):
    for l2 in range(7):
        for l3 in range(abs(l1 - l2), min(l1 + l2, 6) + 1):
            a[f"w{l1}_{l2}_{l3}"] = N(o3.wigner_3j(l1, l2, l3))
            trip.append([l1, l2, l3])
for t in [(8, 8, 8), (8, 7, 3), (11, 11, 11), (11, 10, 2), (12, 12, 12), (12, 6, 9), (10, 11, 12)]:
    w = N(o3.wigner_3j(*t))
    nz = np.argwhere(np.abs(w) > 1e-14)
    a["sp%d_%d_%d_idx_i" % t], a["sp%d_%d_%d_val" % t] = nz, w[tuple(nz.T)]
save("wigner_3j", a, "real-basis Wigner 3j, Frobenius norm 1. w{l1}_{l2}_{l3} dense for l<=6; sp* sparse (index,value) "
     "for high l (entries below 1e-14 dropped)", {"dense_triples": len(trip)})

# ---------------------------------------------------------------- spherical harmonics
v = rng.normal(size=(24, 3))
v[0], v[1], v[2], v[3] = [0, 1, 0], [0, -1, 0], [1, 0, 0], [0, 0, -1]
v[4], v[5] = [0, 0, 0], [1e-8, 2e-8, -1e-8]
v[6], v[7] = [1e-9, 1, 0], [300., -200., 100.]
v[8] = v[8] / np.linalg.norm(v[8])
a = {"xyz": v}
for norm in ("component", "norm", "integral"):
    for normalize in (True, False):
        a[f"{norm}_{'unit' if normalize else 'solid'}_l0_8"] = N(o3.spherical_harmonics(list(range(9)), T(v), normalize, norm))
a["component_unit_l0_12"] = N(o3.spherical_harmonics(list(range(13)), T(v), True, "component"))
save("spherical_harmonics", a, "o3.spherical_harmonics(l list, xyz, normalize, normalization); rows 0..7 are special points "
     "(poles, axes, zero vector, tiny, near-pole, large)")
w = v[8:].copy()
a = {"xyz": w}
for normalize in (True, False):
    put(a, "unit" if normalize else "solid",
        grads(lambda x: o3.spherical_harmonics(list(range(9)), x, normalize, "component"), [T(w)]))
save("spherical_harmonics_grad", a, "l=0..8 component: out, cotangent cot, g0=d<out,cot>/dxyz, v0, h0=d<g0,v0>/dxyz, "
     "hcot=d<g0,v0>/dcot")

# ---------------------------------------------------------------- wigner D, rotations
ang = np.array([[0, 0, 0], [.3, 0, -.4], [.3, math.pi, .1], [.3, 1.1, -.7], [2.9, .01, 1.7], [-1.2, 2.2, 3.3],
                [5., 1.57, -4.], [0, math.pi / 2, 0]])
a = {"angles": ang}
for l in range(12):
    a[f"D{l}"] = N(o3.wigner_D(l, *[T(ang[:, i]) for i in range(3)]))
R = N(o3.angles_to_matrix(*[T(ang[:, i]) for i in range(3)]))
a["R"] = R
ang2 = ang[3:7]
R2 = N(o3.angles_to_matrix(*[T(ang2[:, i]) for i in range(3)])).copy()
R2[1] *= -1
R2[3] *= -1
a["R_improper"] = R2
ir = o3.Irreps("2x0e+0o+1o+2x1e+2e+3o")
a["D_irreps_from_matrix"] = N(ir.D_from_matrix(T(R2)))
a["quaternion"] = N(o3.angles_to_quaternion(*[T(ang2[:, i]) for i in range(3)]))
ax, an = o3.angles_to_axis_angle(*[T(ang2[:, i]) for i in range(3)])
a["axis"], a["axis_angle"], a["angles_for_conv"] = N(ax), N(an), ang2
a["angles_back"] = np.stack([N(t) for t in o3.matrix_to_angles(T(R[3:7]))], 1)
save("wigner_D", a, "wigner_D(l, alpha, beta, gamma) l=0..11; R=angles_to_matrix; Irreps.D_from_matrix for proper and improper "
     "matrices; rotation conversions", {"irreps": str(ir)})

# ---------------------------------------------------------------- tensor products
a, meta = {}, {}


def run_tp(name, tp, x1, x2, wshape=None, info=None):
    if tp.weight_numel > 0:
        w = rnd(*(wshape or (tp.weight_numel,)))
        d = grads(lambda p, q, ww: tp(p, q, ww), [x1, x2, w])
        d["w"] = N(w)
    else:
        d = grads(lambda p, q: tp(p, q), [x1, x2])
    d["x1"], d["x2"] = N(x1), N(x2)
    put(a, name, d)
    meta[name] = dict(info or {}, irreps_in1=str(tp.irreps_in1), irreps_in2=str(tp.irreps_in2), irreps_out=str(tp.irreps_out),
                      weight_numel=tp.weight_numel,
                      instructions=[[i.i_in1, i.i_in2, i.i_out, i.connection_mode, i.has_weight, i.path_weight,
                                     list(i.path_shape)] for i in tp.instructions],
                      output_mask=[int(t) for t in tp.output_mask])


i1, i2, io = o3.Irreps("3x0e+2x1o+1x2e"), o3.Irreps("2x0e+1x1o+1x2e"), o3.Irreps("2x0e+3x1o+2x1e+1x2e+1x3o")
for irn in ("component", "norm"):
    for pn in ("element", "path"):
        tp = o3.FullyConnectedTensorProduct(i1, i2, io, irrep_normalization=irn, path_normalization=pn,
                                            shared_weights=True, internal_weights=False)
        run_tp(f"fctp_{irn}_{pn}", tp, i1.randn(4, -1) * 0 + rnd(4, i1.dim), rnd(4, i2.dim))
tp = o3.FullyConnectedTensorProduct(i1, i2, io, shared_weights=False, internal_weights=False)
run_tp("fctp_unshared", tp, rnd(4, i1.dim), rnd(4, i2.dim), (4, tp.weight_numel))
tp = o3.FullyConnectedTensorProduct("4x0e+4x0o+3x1o+3x1e+2x2o+2x2e+1x3o+1x4e", "0e+1o+2e+3o+4e", "2x0e+2x0o+2x1o+2x1e+2x2o+2x2e+1x3e+1x4o+1x5o+1x6e",
                                    shared_weights=True, internal_weights=False)
run_tp("fctp_lmax4", tp, rnd(2, tp.irreps_in1.dim), rnd(2, tp.irreps_in2.dim))
# nequip-like uvu, per-edge weights, sorted outputs, x2 multiplicity one
hid, sh = o3.Irreps("4x0o+4x0e+4x1o+4x1e+4x2o+4x2e"), o3.Irreps("0e+1o+2e")
mid, ins = [], []
for i, (mul, ira) in enumerate(hid):
    for j, (_, irb) in enumerate(sh):
        for irc in ira * irb:
            if irc in hid:
                ins.append((i, j, len(mid), "uvu", True)); mid.append((mul, irc))
mid, p, _ = o3.Irreps(mid).sort()
ins = [(i, j, p[k], m, t) for i, j, k, m, t in ins]
tp = o3.TensorProduct(hid, sh, mid, ins, shared_weights=False, internal_weights=False)
run_tp("uvu_nequip", tp, rnd(5, hid.dim), rnd(5, sh.dim), (5, tp.weight_numel))
modes = {
    "uvw": ("3x1o+2x2e", "2x1o+4x0e", "5x0e+5x1e+2x2e+1x3o", [(0, 0, 0, "uvw", True), (0, 0, 1, "uvw", True), (0, 0, 2, "uvw", True, 0.3), (1, 0, 3, "uvw", True), (1, 1, 2, "uvw", True)]),
    "uvu": ("3x1o", "2x1o", "3x0e+3x1e+3x2e", [(0, 0, 0, "uvu", True), (0, 0, 1, "uvu", True), (0, 0, 2, "uvu", False)]),
    "uvv": ("3x1o", "2x1o", "2x0e+2x1e+2x2e", [(0, 0, 0, "uvv", True), (0, 0, 1, "uvv", False), (0, 0, 2, "uvv", True)]),
    "uuw": ("3x1o", "3x2e", "4x1o+2x2o+1x3o", [(0, 0, 0, "uuw", True), (0, 0, 1, "uuw", True), (0, 0, 2, "uuw", False)]),
    "uuu": ("3x1o", "3x1o", "3x0e+3x1e+3x2e", [(0, 0, 0, "uuu", True), (0, 0, 1, "uuu", False), (0, 0, 2, "uuu", True)]),
    "uvuv": ("3x1o", "2x2e", "6x1o+6x2o+6x3o", [(0, 0, 0, "uvuv", True), (0, 0, 1, "uvuv", False), (0, 0, 2, "uvuv", True)]),
    "uvu<v": ("4x1o", "4x1o", "6x0e+6x1e+6x2e", [(0, 0, 0, "uvu<v", True), (0, 0, 1, "uvu<v", False), (0, 0, 2, "uvu<v", True)]),
    "u<vw": ("4x1o", "4x1o", "2x0e+3x1e+2x2e", [(0, 0, 0, "u<vw", True), (0, 0, 1, "u<vw", True), (0, 0, 2, "u<vw", True)]),
}
for m, (ja, jb, jc, ins) in modes.items():
    for irn in ("component", "norm"):
        tp = o3.TensorProduct(ja, jb, jc, ins, irrep_normalization=irn, shared_weights=True, internal_weights=False)
        run_tp(f"mode_{m}_{irn}", tp, rnd(3, tp.irreps_in1.dim), rnd(3, tp.irreps_in2.dim))
tp = o3.TensorProduct("2x1o+3x0e", "1x1o+2x0e", "2x1o+1x0e+2x2o", [(0, 1, 0, "uvw", True), (1, 0, 0, "uvw", True, 2.0), (0, 0, 1, "uvw", True)],
                      in1_var=[1.0, 0.25], in2_var=[2.0, 1.0], out_var=[1.0, 3.0, 1.0], shared_weights=True, internal_weights=False)
run_tp("variances_unreached_output", tp, rnd(3, tp.irreps_in1.dim), rnd(3, tp.irreps_in2.dim))
run_tp("elementwise", t := o3.ElementwiseTensorProduct("5x1o+5x1e", "10x1e", ["0e", "0o", "1e", "1o"]), rnd(3, t.irreps_in1.dim), rnd(3, t.irreps_in2.dim))
run_tp("elementwise_split", t := o3.ElementwiseTensorProduct("2x0e+3x1o", "4x0e+1x2e"), rnd(3, t.irreps_in1.dim), rnd(3, t.irreps_in2.dim))
run_tp("full", t := o3.FullTensorProduct("2x0e+1x1o+1x2e", "1x0o+2x1o"), rnd(3, t.irreps_in1.dim), rnd(3, t.irreps_in2.dim))
for nm, t, n in (("square_full", o3.TensorSquare("2x0e+3x1o+1x2e"), 3), ("square_fc", o3.TensorSquare("2x0e+3x1o+1x2e", "2x0e+2x1o+1x2e"), 3)):
    x = rnd(n, t.irreps_in.dim)
    if t.weight_numel:
        w = rnd(t.weight_numel); d = grads(lambda p, ww: t(p, ww), [x, w]); d["w"] = N(w)
    else:
        d = grads(lambda p: t(p), [x])
    d["x1"] = N(x); put(a, nm, d)
    meta[nm] = dict(irreps_in=str(t.irreps_in), irreps_out=str(t.irreps_out), weight_numel=t.weight_numel,
                    instructions=[[i.i_in1, i.i_in2, i.i_out, i.connection_mode, i.has_weight, i.path_weight, list(i.path_shape)] for i in t.instructions])
tp = o3.FullyConnectedTensorProduct("3x0e+2x1o", "2x0e+1x1o", "2x0e+2x1o", shared_weights=True, internal_weights=False, compile_right=True)
x2, w = rnd(3, tp.irreps_in2.dim), rnd(tp.weight_numel)
a["right.x2"], a["right.w"], a["right.out"] = N(x2), N(w), N(tp.right(x2, w))
meta["right"] = dict(irreps_in1=str(tp.irreps_in1), irreps_in2=str(tp.irreps_in2), irreps_out=str(tp.irreps_out))
save("tensor_products", a, "x1,x2,w -> out with first and second order grads (g0/g1/g2 for x1/x2/w; v*, h*, hcot as in "
     "spherical_harmonics_grad). path_weight in meta is the final coefficient sqrt(alpha) that multiplies w3j-contraction", meta)

# ---------------------------------------------------------------- linear
a, meta = {}, {}
for nm, kw in (("default", {}), ("path", {"path_normalization": "path"}), ("bias", {"biases": True}), ("instr", {"instructions": [(0, 1), (1, 0)]})):
    li = o3.Linear("4x0e+3x1o+2x0e+1x0o", "2x1o+8x0e+2x0o", internal_weights=False, shared_weights=True, **kw)
    x, w, b = rnd(3, li.irreps_in.dim), rnd(li.weight_numel), rnd(li.bias_numel)
    d = grads(lambda p, q, r: li(p, q, r), [x, w, b]) if li.bias_numel else grads(lambda p, q: li(p, q), [x, w])
    d.update(x=N(x), w=N(w), b=N(b)); put(a, nm, d)
    meta[nm] = dict(irreps_in=str(li.irreps_in), irreps_out=str(li.irreps_out),
                    instructions=[[i.i_in, i.i_out, list(i.path_shape), i.path_weight] for i in li.instructions])
li = o3.Linear("2x0e+1x1o", "1x0e+2x1o", f_in=3, f_out=4, internal_weights=False, shared_weights=True)
x, w = rnd(2, 3, li.irreps_in.dim), rnd(3, 4, li.weight_numel)
d = grads(lambda p, q: li(p, q), [x, w]); d.update(x=N(x), w=N(w)); put(a, "f_in_out", d)
meta["f_in_out"] = dict(irreps_in=str(li.irreps_in), irreps_out=str(li.irreps_out), f_in=3, f_out=4)
save("linear", a, "o3.Linear", meta)

# ---------------------------------------------------------------- gates, norms, activations
a, meta = {}, {}
act = {"silu": torch.nn.functional.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "abs": torch.abs, "relu": torch.relu,
       "softplus": torch.nn.functional.softplus, "gelu": torch.nn.functional.gelu, "mish": torch.nn.functional.mish,
       "leaky_relu": torch.nn.functional.leaky_relu, "elu": torch.nn.functional.elu,
       "ssp": lambda t: torch.nn.functional.softplus(t) - math.log(2.0)}
meta["normalize2mom_cst"] = {k: normalize2mom(f).cst for k, f in act.items()}
g = enn.Gate("4x0e+2x0o", [act["silu"], act["tanh"]], "3x0e+2x0o", [act["sigmoid"], act["tanh"]], "3x1o+1x2e+1x1e")
x = rnd(4, g.irreps_in.dim); d = grads(g, [x]); d["x"] = N(x); put(a, "gate", d)
meta["gate"] = dict(irreps_in=str(g.irreps_in), irreps_out=str(g.irreps_out),
                    args="scalars 4x0e+2x0o [silu,tanh]; gates 3x0e+2x0o [sigmoid,tanh]; gated 3x1o+1x2e+1x1e")
g = enn.Gate("16x0o", [torch.tanh], "32x0o", [torch.tanh], "16x1e+16x1o")
x = rnd(2, g.irreps_in.dim); a["gate2.x"], a["gate2.out"] = N(x), N(g(x))
meta["gate2"] = dict(irreps_in=str(g.irreps_in), irreps_out=str(g.irreps_out))
ac = enn.Activation("4x0e+3x0o+2x1o", [act["silu"], torch.abs, None])
x = rnd(4, ac.irreps_in.dim); d = grads(ac, [x]); d["x"] = N(x); put(a, "activation", d); meta["activation"] = dict(irreps_in=str(ac.irreps_in), irreps_out=str(ac.irreps_out))
no = o3.Norm("3x0e+2x1o+1x2e"); x = rnd(4, no.irreps_in.dim); x[0, 3:6] = 0
a["norm.x"], a["norm.out"] = N(x), N(no(x))
na = enn.NormActivation(o3.Irreps("3x0e+2x1o"), torch.sigmoid, normalize=True, bias=True)
with torch.no_grad(): na.biases.copy_(rnd(5))
x = rnd(4, 9); x[0, 3:6] = 0
a["normact.x"], a["normact.b"], a["normact.out"] = N(x), N(na.biases), N(na(x))
for inst in (False, True):
    for red in ("mean", "max"):
        for nrm in ("component", "norm"):
            bn = enn.BatchNorm("3x0e+2x0o+2x1o+1x2e", reduce=red, instance=inst, normalization=nrm)
            with torch.no_grad(): bn.weight.copy_(rnd(8)); bn.bias.copy_(rnd(3))
            x = rnd(6, 5, bn.irreps.dim) * 2 + 1; k = f"bn_{red}_{'inst' if inst else 'batch'}_{nrm}"
            bn.train(); y = bn(x)
            a[k + ".x"], a[k + ".w"], a[k + ".b"], a[k + ".train"] = N(x), N(bn.weight), N(bn.bias), N(y)
            if not inst: a[k + ".running_mean"], a[k + ".running_var"] = N(bn.running_mean), N(bn.running_var)
            bn.eval(); a[k + ".eval"] = N(bn(x))
fc = enn.FullyConnectedNet([6, 16, 16, 5], act["silu"], variance_in=0.5, variance_out=2.0)
x = rnd(4, 6); d = grads(lambda p: fc(p), [x]); d["x"] = N(x); put(a, "fcn", d)
for i, pz in enumerate(fc.parameters()): a[f"fcn.w{i}"] = N(pz)
save("nn", a, "Gate/Activation/Norm/NormActivation/BatchNorm/FullyConnectedNet", meta)

# ---------------------------------------------------------------- radial bases
r = np.concatenate([[0.0, 1e-6, 1e-3], np.linspace(0.05, 1.2, 24) * 5.0]); a = {"r": r}
for basis in ("gaussian", "cosine", "smooth_finite", "fourier", "bessel"):
    for cut in (True, False):
        rr = r[1:] if basis == "bessel" else r
        a[f"{basis}_{'cut' if cut else 'nocut'}"] = N(soft_one_hot_linspace(T(rr), 0.0, 5.0, 8, basis=basis, cutoff=cut))
a["math_bessel"] = N(bessel(T(r), 8, 5.0)); a["soft_unit_step"] = N(soft_unit_step(T(r - 2.0)))
for pp in (2, 5, 6, 48):
    u = r / 5.0
    a[f"poly_cutoff_p{pp}"] = np.where(u < 1, 1 - (pp + 1) * (pp + 2) / 2 * u**pp + pp * (pp + 2) * u**(pp + 1) - pp * (pp + 1) / 2 * u**(pp + 2), 0.0)
save("radial", a, "soft_one_hot_linspace(r,0,5,8,basis,cutoff) (bessel skips r=0, which is nan there), e3nn.math.bessel(r,8,5), "
     "soft_unit_step(r-2), DimeNet polynomial cutoff (formula) with r_max=5")

# ---------------------------------------------------------------- S2 grid
a = {}
for lmax, res in ((2, (6, 7)), (4, (12, 11)), (3, (10, 8))):
    for nrm in ("component", "norm", "integral"):
        to, fr = o3.ToS2Grid(lmax, res, normalization=nrm), o3.FromS2Grid(res, lmax, normalization=nrm)
        x = rnd(2, (lmax + 1)**2); y = to(x); z = fr(torch.tanh(y)); k = f"l{lmax}_{res[0]}x{res[1]}_{nrm}"
        a[k + ".x"], a[k + ".grid"], a[k + ".back_tanh"] = N(x), N(y), N(z)
save("s2grid", a, "ToS2Grid / FromS2Grid(tanh(grid))")

# ---------------------------------------------------------------- message passing with forces in the loss
ei = np.array([[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0, 3], [1, 2, 0, 3, 0, 4, 1, 5, 2, 5, 3, 4, 5, 2]])  # [dst, src]
pos, feat = rnd(6, 3), rnd(6, 4 * 1 + 4 * 3)
hid, sh = o3.Irreps("4x0e+4x1o"), o3.Irreps.spherical_harmonics(2)
mid, ins = [], []
for i, (mul, ira) in enumerate(hid):
    for j, (_, irb) in enumerate(sh):
        for irc in ira * irb:
            if irc in o3.Irreps("0e+1o+1e+2e"):
                ins.append((i, j, len(mid), "uvu", True)); mid.append((mul, irc))
mid, p, _ = o3.Irreps(mid).sort(); ins = [(i, j, p[k], m, t) for i, j, k, m, t in ins]
tp = o3.TensorProduct(hid, sh, mid, ins, shared_weights=False, internal_weights=False)
lin = o3.Linear(mid.simplify(), "6x0e+3x1o+2x2e", internal_weights=False, shared_weights=True)
W1, W2, wl = rnd(8, 16), rnd(16, tp.weight_numel), rnd(lin.weight_numel)
silu2 = normalize2mom(torch.nn.functional.silu)


def energy(pos, feat, W1, W2, wl):
    d, s = torch.as_tensor(ei[0]), torch.as_tensor(ei[1])
    vec = pos[d] - pos[s]
    emb = soft_one_hot_linspace(vec.norm(dim=1), 0.0, 5.0, 8, basis="smooth_finite", cutoff=True) * 8**0.5
    w = silu2(emb @ W1 / 8**0.5) @ W2 / 16**0.5
    m = tp(feat[s], o3.spherical_harmonics(sh, vec, True, "component"), w)
    agg = torch.zeros(6, m.shape[1]).index_add(0, d, m) / 14**0.5
    o = lin(agg, wl)
    return agg, o, (o[:, :6].tanh().sum(1) + o.pow(2).sum(1) / 10).sum()


args = [t.clone().requires_grad_(True) for t in (pos, feat, W1, W2, wl)]
agg, o, en = energy(*args)
F = -torch.autograd.grad(en, args[0], create_graph=True)[0]
tgt = rnd(6, 3)
loss = (F - tgt).pow(2).sum() + en**2
gl = torch.autograd.grad(loss, args)
a = {"edge_dst_src_i": ei, "pos": N(pos), "feat": N(feat), "W1": N(W1), "W2": N(W2), "wl": N(wl), "agg": N(agg), "node_out": N(o),
     "energy": N(en), "forces": N(F), "force_target": N(tgt), "loss": N(loss)}
for nme, gg in zip(("pos", "feat", "W1", "W2", "wl"), gl): a["dloss_" + nme] = N(gg)
save("conv_forces", a, "gather -> radial MLP -> uvu TP with SH -> scatter-sum -> Linear -> energy; forces; loss on forces+energy and "
     "its gradient (double backward) wrt all arguments",
     dict(hidden=str(hid), sh=str(sh), mid=str(mid), linear_in=str(lin.irreps_in), linear_out=str(lin.irreps_out),
          instructions=[list(i) for i in ins], silu_cst=silu2.cst, basis="smooth_finite 0..5, 8 functions, cutoff, times sqrt(8)"))

# ---------------------------------------------------------------- irreps strings (pure metadata)
S = ["0e", "16x0e+8x1o", " 16 x 1e + 3 x 2o ", "1e+1e+0e+1e", "2o+1e+0e+1e", "0x0e+2x1o+0x3e+1o", "", "10x0e+2e+10x1e", "0o+0e+1e+1o+2o+2e+3e+3o",
     "4x1e+6x2e+12x2o", "1y+2y"]
irr = []
for s in S:
    q = o3.Irreps(s); so = q.sort()
    irr.append(dict(text=s, repr=str(q), dim=q.dim, num_irreps=q.num_irreps, ls=q.ls, simplify=str(q.simplify()), sorted=str(so.irreps), p=list(so.p),
                    inv=list(so.inv), regroup=str(q.regroup()), slices=[[t.start, t.stop] for t in q.slices()],
                    no_zero=str(q.remove_zero_multiplicities())))
INDEX["irreps"] = irr
INDEX["irreps_errors"] = ["-1x1e", "1x-1e", "bla", "1", "1.5x0e", "0a", "x1e"]
INDEX["irreps_error_note"] = "each of irreps_errors must be rejected"
for s in INDEX["irreps_errors"]:
    try:
        o3.Irreps(s); raise SystemExit(f"{s!r} was accepted")
    except (ValueError, AssertionError):
        pass
INDEX["products"] = {f"{x}*{y}": [str(z) for z in o3.Irrep(x) * o3.Irrep(y)] for x in ("0e", "1o", "2e", "3o", "1e") for y in ("0o", "1o", "2e", "2o")}

# ---------------------------------------------------------------- optional: other packages
try:
    import sphericart
    v = rng.normal(size=(16, 3)); v /= np.linalg.norm(v, axis=1, keepdims=True); v[0], v[1] = [0, 1, 0], [0, 0, 1]
    c = sphericart.SolidHarmonics(30)
    s, ds = c.compute_with_gradients(np.ascontiguousarray(v[:, [2, 0, 1]]))
    k = math.sqrt(4 * math.pi)
    save("sphericart_l30", {"xyz": v, "component_l0_30": s * k, "grad_xyz": ds[:, [1, 2, 0], :] * k},
         "second implementation: sphericart solid harmonics lmax 30 called with (z,x,y), times sqrt(4 pi) = e3nn component solid "
         "harmonics; grad_xyz[point, d/dx d/dy d/dz, lm]", {"sphericart": getattr(sphericart, "__version__", "2.0.4")})
except ImportError:
    pass
try:
    from mace.modules.symmetric_contraction import SymmetricContraction
    torch.manual_seed(0)
    for nm, kin, kout, corr in (("a", "4x0e+4x1o", "4x0e+4x1o", 3), ("b", "4x0e+4x1o+4x2e", "4x0e", 2)):
        sc = SymmetricContraction(kin, kout, correlation=corr, num_elements=2)
        x, y = rnd(3, 4, o3.Irreps(kin).dim // 4), torch.eye(2)[[0, 1, 1]]
        a = {"x": N(x), "element_onehot": N(y)}
        d = grads(lambda p: sc(p, y), [x]); a.update({k: d[k] for k in d})
        for n, pz in sc.named_parameters(): a["param." + n] = N(pz)
        for n, bz in sc.named_buffers():
            if "U_matrix" in n: a["buffer." + n] = N(bz)
        save("mace_symmetric_contraction_" + nm, a, f"MACE symmetric contraction {kin} -> {kout}, correlation {corr}, x is [node, channel, "
             "lm]; U matrices and weights included (mace-torch 0.3.16)")
except Exception as ex:
    print("mace skipped:", repr(ex)[:200])
try:
    import jax
    jax.config.update("jax_enable_x64", True)
    import e3nn_jax as ej
    import jax.numpy as jnp
    x, y = rng.normal(size=(3, 14)), rng.normal(size=(3, 9))
    xx, yy = ej.IrrepsArray("2x0e+1o+1e+1x1o+0o+1x0o+1x0e", jnp.asarray(x)), ej.IrrepsArray("0e+1o+2e", jnp.asarray(y))
    t = ej.tensor_product(xx, yy)
    gt = ej.gate(ej.IrrepsArray("6x0e+3x0o+2x1o+1x2e", jnp.asarray(rng.normal(size=(2, 20)))))
    save("e3nn_jax", {"x": x, "y": y, "tp": np.asarray(t.array), "poly_env_5_2": np.asarray(ej.poly_envelope(5, 2)(jnp.linspace(0, 1.2, 25)), dtype=float),
                      "soft_envelope": np.asarray(ej.soft_envelope(jnp.linspace(0, 1.2, 25)), dtype=float)},
         "e3nn-jax (other sort order 0e<0o<1o<1e<2e): tensor_product of regrouped inputs, envelopes on linspace(0,1.2,25)",
         dict(irreps_x=str(xx.irreps), irreps_x_regrouped=str(xx.regroup().irreps), irreps_y=str(yy.irreps), irreps_tp=str(t.irreps), gate_irreps_out=str(gt.irreps), e3nn_jax=ej.__version__))
except Exception as ex:
    print("e3nn_jax skipped:", repr(ex)[:300])

json.dump(INDEX, open(os.path.join(OUT, "index.json"), "w"), indent=1)
print("done", sum(os.path.getsize(os.path.join(OUT, f)) for f in os.listdir(OUT)) / 1e6, "MB")
