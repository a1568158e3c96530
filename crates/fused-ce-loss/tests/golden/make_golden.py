"""Computes the golden files of linear + cross-entropy with torch in float64, and compares.

    pip install torch==2.15.0 numpy safetensors==0.8.0
    pip install --no-deps liger-kernel==0.8.5 cut-cross-entropy==25.1.1 && pip install packaging
    python make_golden.py            # stored inputs, outputs computed again and compared
    python make_golden.py --write    # new inputs from the seeds, outputs written

Inputs are float32, drawn from a generator seeded by the name of the case; everything else is float64 autograd
over `F.linear` and `F.cross_entropy`, and explicit formulas where `F.cross_entropy` has no such feature (logit cap,
temperature, z-loss, token weights, top-k teachers, entropy). The README says what each file holds.

Confirmed by other people's code on every run, where it is installed (what is missing is said):

- `F.linear_cross_entropy` of torch, its chunked operation with chunks of 4 rows, float64: rows, sum, mean and the
  gradients of the mean, of every case with plain logits and no smoothing (bias, ignored rows, class weights,
  probability targets among them), within 1e-12.
- Liger 0.8.5, its pure PyTorch fallback of the scaled cross-entropy, float32: rows, entropy and the gradients of
  both, with and without temperature, within 2e-5.
- Liger 0.8.5, its Triton kernel in Triton's interpreter, float32: mean and gradients with z-loss, smoothing, class
  weights, bias and ignored rows together and one by one, within 2e-5.
- cut-cross-entropy 25.1.1, `impl="torch_compile"`, float32: rows with logit cap, ignored rows and shift, within 2e-5.
"""

import json
import os
import pathlib
import sys
import zlib

os.environ.setdefault("TRITON_INTERPRET", "1")

import safetensors  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

here = pathlib.Path(__file__).parent
VERSIONS = f"torch {torch.__version__.split('+')[0]}, float64"
PLAIN = dict(ignore_index=-100, softcap=None, temperature=1.0, label_smoothing=0.0, smoothing="torch", z_loss=0.0, shift=0)
EXTRA = {
    "plain": {},
    "single_row": {},
    "bias": {},
    "bias_wide": {},
    "one_class": {},
    "peaked": {},
    "large_logits": {},
    "ignored": {},
    "ignore_in_range": dict(ignore_index=36),
    "all_ignored": {},
    "class_weight": {},
    "token_weight": {},
    "softcap": dict(softcap=20.0),
    "temperature": dict(temperature=0.7),
    "cap_bias_temperature": dict(softcap=20.0, temperature=0.7),
    "smoothing": dict(label_smoothing=0.1),
    "smoothing_class_weight": dict(label_smoothing=0.1),
    "smoothing_megatron": dict(label_smoothing=0.1, smoothing="megatron"),
    "z_loss": dict(z_loss=1e-4),
    "z_loss_class_weight": dict(z_loss=1e-4),
    "shift": dict(shift=1),
    "prob": dict(target="prob"),
    "prob_unnormalised": dict(target="prob"),
    "prob_class_weight_smoothing": dict(target="prob", label_smoothing=0.1),
    "topk": dict(target="topk"),
    "topk_tail": dict(target="topk_tail"),
    "topk_tail_temperature": dict(target="topk_tail", temperature=2.0),
    "all": dict(softcap=20.0, temperature=0.7, label_smoothing=0.1, z_loss=1e-4),
}
SPECS = {name: PLAIN | {"target": "index"} | extra for name, extra in EXTRA.items()}
SHAPES = {"single_row": (1, 5, 3), "bias_wide": (6, 300, 11), "one_class": (9, 16, 1), "shift": (15, 8, 37), "all": (33, 17, 70)}


def inputs(name):
    """The float32 inputs of a case."""
    spec = SPECS[name]
    n, d, v = SHAPES.get(name, (13, 8, 37))
    gen = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    normal = lambda *shape: torch.randn(*shape, generator=gen)
    uniform = lambda *shape: torch.rand(*shape, generator=gen)
    # Logits of unit deviation, wider where the cap should bend them or float32 exponentials overflow.
    scale = {"softcap": 12.0, "cap_bias_temperature": 12.0, "all": 12.0, "large_logits": 150.0}.get(name, 1.5)
    hidden, weight = normal(n, d) * (scale / d**0.5), normal(v, d)
    t = {"hidden": hidden, "weight": weight}
    if "bias" in name or name == "all":
        t["bias"] = normal(v) * (5.0 if name == "cap_bias_temperature" else 0.5)
    if spec["target"] == "index":
        y = torch.randint(v, (n,), generator=gen)
        if name == "peaked":
            y[:6] = torch.randperm(v, generator=gen)[:6]
            hidden[:6] = torch.linalg.qr(normal(d, 6))[0].T
            weight[y[:6]] = hidden[:6] * torch.linspace(22.0, 27.0, 6)[:, None]
        ignored = {"ignored": 3, "class_weight": 3, "smoothing_class_weight": 3, "z_loss": 3, "z_loss_class_weight": 3}
        ignored |= {"ignore_in_range": 2, "token_weight": 2, "shift": 3, "all": 7, "all_ignored": n}
        y[torch.randperm(n, generator=gen)[: ignored.get(name, 0)]] = spec["ignore_index"]
        t["targets"] = y
    elif spec["target"] == "prob":
        q = torch.softmax(2 * normal(n, v), 1)
        q[n // 2] = F.one_hot(torch.tensor(3), v)
        t["target_probs"] = q * (0.3 + uniform(n, 1)) if name == "prob_unnormalised" else q
    else:
        top = torch.softmax(2 * normal(n, v), 1).topk(4)
        t["topk_ids"], t["topk_probs"] = top.indices.clone(), top.values.clone()
        t["topk_probs"][2, 3] = 0.0
    if "class_weight" in name or name == "all":
        t["class_weight"] = 0.2 + 1.8 * uniform(v)
    if name in ("token_weight", "all"):
        t["token_weight"] = 2 * uniform(n)
        t["token_weight"][n // 2] = 0.0
    if spec["shift"]:
        t["hidden"], t["targets"] = hidden.reshape(3, 5, d), t["targets"].reshape(3, 5)
    shape = predictions(spec, t)[0].shape[:-1]
    t["upstream"] = normal(*shape)
    # Zero on ignored rows: the gradients do not depend on what those rows return.
    for key in ("lse_coef", "entropy_coef"):
        t[key] = normal(*shape) * predictions(spec, t)[2]
    return {k: x.contiguous() for k, x in t.items()}


def predictions(spec, t):
    """The rows that predict, their targets, and which of them count."""
    hidden, y = t["hidden"], t.get("targets")
    if spec["shift"]:
        hidden, y = hidden[..., : -spec["shift"], :], y[..., spec["shift"] :]
    return hidden, y, torch.ones(hidden.shape[:-1], dtype=torch.bool) if y is None else y != spec["ignore_index"]


def rows_of(name, spec, z, y, t):
    """Cross-entropy of every row with its class weight, zero where ignored."""
    alpha, v = spec["label_smoothing"], z.shape[-1]
    if spec["smoothing"] == "megatron":
        alpha *= v / (v - 1)
    if spec["target"].startswith("topk"):
        logq = t["topk_probs"].log().nan_to_num(neginf=0)
        logp = z.log_softmax(-1)
        rows = (t["topk_probs"] * (logq - logp.gather(1, t["topk_ids"]))).sum(1)
        if spec["target"] == "topk_tail":
            rest = torch.ones_like(z).scatter(1, t["topk_ids"], 0)
            log_tail = logp.masked_fill(rest == 0, -torch.inf).logsumexp(1)
            q_tail = 1 - t["topk_probs"].sum(1)
            rows = rows + q_tail * (q_tail.log() - log_tail)
        return rows
    weight = t.get("class_weight")
    target = t["target_probs"] if spec["target"] == "prob" else y
    flat = z.reshape(-1, v)
    options = dict(weight=weight, label_smoothing=alpha, reduction="none")
    if spec["target"] == "index":
        options["ignore_index"], target = spec["ignore_index"], target.reshape(-1)
    rows = F.cross_entropy(flat, target, **options)
    if name == "peaked":
        # Without the cancellation of lse − z_y.
        gaps = flat - flat.gather(1, target[:, None])
        own = F.one_hot(target, v).bool()
        close = gaps.masked_fill(own, -torch.inf).exp().sum(1).log1p()
        assert (close - rows).abs().max() < 1e-13
        rows = close
    return rows.reshape(z.shape[:-1])


def outputs(name, spec, inputs):
    """What the loss should return, in float64."""
    t = {k: x.double() if x.is_floating_point() else x for k, x in inputs.items()}
    leaves = {k: t[k].requires_grad_() for k in ("hidden", "weight", "bias") if k in t}
    hidden, y, valid = predictions(spec, t)
    z = F.linear(hidden, t["weight"], t.get("bias"))
    if spec["softcap"]:
        z = spec["softcap"] * torch.tanh(z / spec["softcap"])
    z = z / spec["temperature"]
    lse = z.logsumexp(-1)
    logp = z.log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    tokens = t.get("token_weight", torch.ones_like(lse))
    ce = rows_of(name, spec, z, y, t) * tokens
    squares = spec["z_loss"] * (lse**2 * tokens).masked_fill(~valid, 0)
    loss = ce + squares
    counts = torch.where(valid, tokens, 0)
    divisor = counts
    if "class_weight" in t and spec["target"] == "index":
        divisor = counts * torch.where(valid, t["class_weight"][torch.where(valid, y, 0)], 0)
    divisor, count = divisor.sum(), counts.sum()
    if valid.any():
        mean = ce.sum() / divisor + squares.sum() / count
    else:
        mean = 0 * loss.sum()  # Our convention; torch says NaN.
    if "token_weight" not in t and not spec["z_loss"] and spec["target"] != "prob" and valid.all():
        if spec["target"] == "index" and spec["smoothing"] == "torch" and name != "peaked":
            options = dict(weight=t.get("class_weight"), label_smoothing=spec["label_smoothing"])
            torch.testing.assert_close(mean, F.cross_entropy(z, y, **options), rtol=1e-12, atol=0)
    out = dict(loss=loss, lse=lse, entropy=entropy, sum=loss.sum(), mean=mean, divisor=divisor, count=count)
    if spec["z_loss"]:
        out |= dict(loss_ce=ce, loss_z=squares)
    if name == "peaked":
        out["miss"] = -torch.expm1(-loss)
    goals = {
        "mean": mean,
        "rows": (loss * t["upstream"]).sum(),
        "lse": (lse * t["lse_coef"]).sum(),
        "entropy": (entropy * t["entropy_coef"]).sum(),
    }
    if "token_weight" in t or spec["z_loss"]:
        goals["sum"] = out["sum"]
    for goal, value in goals.items():
        grads = torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
        out |= {f"{goal}_grad_{k}": g for k, g in zip(leaves, grads)}
    return {k: x.detach().contiguous() for k, x in out.items()}


def close(got, want, bound, what):
    # Relative to the largest value; values that are zero up to rounding count as small.
    error = (got.double() - want).abs().max() / want.abs().max().clamp(min=1e-3)
    assert error <= bound, (what, error.item())
    return error.item()


def gradients(value, *leaves):
    return torch.autograd.grad(value, leaves, retain_graph=True)


def let_triton_interpret_numbers():
    """Triton 3.9's interpreter leaves Python floats as they are, where Liger's kernels take them for tensors."""
    import numpy as np
    import triton.runtime.interpreter as interpreter

    convert, tl = interpreter._implicit_cvt, interpreter.tl

    def converted(x):
        if type(x) is not float:
            return convert(x)
        return tl.tensor(interpreter.TensorHandle(np.array([x], dtype=np.float32), tl.float32), tl.float32)

    interpreter._implicit_cvt = converted


def confirm(cases):
    """The same numbers from other implementations."""
    names = {"hidden": 0, "weight": 1, "bias": 2}
    chunked = 0
    for name, (spec, t, want) in cases.items():
        logits = spec["softcap"] or spec["temperature"] != 1
        if logits or spec["label_smoothing"] or spec["z_loss"] or spec["shift"] or "token_weight" in t:
            continue
        if spec["target"] not in ("index", "prob") or name == "all_ignored":
            continue
        d = {k: x.double() if x.is_floating_point() else x for k, x in t.items()}
        leaves = [d[k].requires_grad_() for k in names if k in d]
        options = dict(linear_bias=d.get("bias"), weight=d.get("class_weight"))
        options["options"] = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=4)
        target = d.get("targets", d.get("target_probs"))
        if spec["target"] == "index":
            options["ignore_index"] = spec["ignore_index"]
        run = lambda how: F.linear_cross_entropy(d["hidden"], d["weight"], target, reduction=how, **options)
        bound = 1e-12
        if name != "peaked":
            close(run("none"), want["loss"], bound, (name, "rows"))
            close(run("sum"), want["sum"], bound, (name, "sum"))
        mean = run("mean")
        close(mean, want["mean"], 1e-9 if name == "peaked" else bound, (name, "mean"))
        mean.backward()
        for key, leaf in zip(names, leaves):
            close(leaf.grad, want[f"mean_grad_{key}"], bound, (name, key))
        chunked += 1
    print(f"F.linear_cross_entropy, chunked: {chunked} cases agree")

    try:
        from liger_kernel.ops.fused_linear_scaled_cross_entropy import _FusedLinearPPOFallbackFunction as scaled
    except ImportError:
        print("liger-kernel: not installed, not compared")
    else:
        for name in ("plain", "ignored", "temperature", "one_class"):
            spec, t, want = cases[name]
            e, c = (t[k].clone().requires_grad_() for k in ("hidden", "weight"))
            rows, entropy = scaled.apply(e, c, t["targets"], spec["temperature"], -100, True)
            valid = t["targets"] != -100
            close(rows, want["loss"], 2e-5, (name, "liger rows"))
            if name != "one_class":
                close(entropy, want["entropy"] * valid, 2e-5, (name, "liger entropy"))
            goals = {"rows": (rows * t["upstream"]).sum(), "entropy": (entropy * t["entropy_coef"]).sum()}
            for goal, value in goals.items():
                if name != "one_class":
                    for key, grad in zip(names, gradients(value, e, c)):
                        close(grad, want[f"{goal}_grad_{key}"], 2e-5, (name, "liger", goal, key))
        print("liger-kernel, PyTorch fallback: rows, entropy, temperature agree")
        let_triton_interpret_numbers()
        from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction as fused

        for name in ("plain", "bias_wide", "ignored", "class_weight", "smoothing", "smoothing_class_weight", "z_loss", "z_loss_class_weight"):
            spec, t, want = cases[name]
            leaves = [t[k].clone().requires_grad_() for k in names if k in t]
            e, c, b = (*leaves, None)[:3]
            args = (t.get("class_weight"), spec["ignore_index"], spec["z_loss"], spec["label_smoothing"], "mean", None)
            mean = fused.apply(e, c, t["targets"], b, *args)
            mean = mean[0] if isinstance(mean, tuple) else mean
            close(mean, want["mean"], 2e-5, (name, "liger triton mean"))
            for key, grad in zip(names, gradients(mean, *leaves)):
                close(grad, want[f"mean_grad_{key}"], 2e-5, (name, "liger triton", key))
        print("liger-kernel, Triton interpreter: z-loss, smoothing, class weights, bias agree")

    try:
        from cut_cross_entropy import linear_cross_entropy as cce
    except ImportError:
        print("cut-cross-entropy: not installed, not compared")
    else:
        for name in ("plain", "ignored", "softcap", "shift"):
            spec, t, want = cases[name]
            options = dict(softcap=spec["softcap"], shift=bool(spec["shift"]), impl="torch_compile")
            rows = cce(t["hidden"], t["weight"], t["targets"], reduction="none", **options)
            close(rows, want["loss"], 2e-5, (name, "cce rows"))
        print("cut-cross-entropy, torch_compile: rows, cap, shift agree")


def stored(name):
    with safetensors.safe_open(here / f"{name}.safetensors", "pt") as file:
        return json.loads(file.metadata()["spec"]), {k: file.get_tensor(k) for k in file.keys()}


INPUTS = "hidden weight bias targets target_probs topk_ids topk_probs class_weight token_weight upstream lse_coef entropy_coef".split()
cases, worst, total = {}, 0.0, 0
for name, spec in SPECS.items():
    if "--write" in sys.argv:
        t = inputs(name)
        want = outputs(name, spec, t)
        assert not t.keys() & want.keys() and all(k in INPUTS for k in t)
        assert all(x.isfinite().all() for x in want.values()), name
        metadata = dict(case=name, spec=json.dumps(spec), versions=VERSIONS)
        save_file(t | want, here / f"{name}.safetensors", metadata)
    else:
        spec, everything = stored(name)
        t = {k: everything[k] for k in INPUTS if k in everything}
        want = {k: x for k, x in everything.items() if k not in t}
        got = outputs(name, spec, t)
        assert got.keys() == want.keys(), got.keys() ^ want.keys()
        worst = max([worst, *(close(got[k], want[k], 1e-11, (name, k)) for k in got)])
    size = (here / f"{name}.safetensors").stat().st_size
    assert size <= 200_000, (name, size)
    total += size
    cases[name] = spec, t, want
print(f"{len(cases)} cases, {total / 1e3:.0f} kB, {VERSIONS}; largest relative difference {worst:.1e}")
confirm(cases)
