"""Computes every golden file again from its stored inputs with the packages that made it, and compares.

    pip install torch==2.15.0 minGRU-pytorch==0.2.1 mingru-scans==0.2.0 recurrentgemma==1.0.1
    python make_golden.py            # compare; --write also writes what was computed

Without recurrentgemma, `rglru.json` is left out, and said to be.
"""

import json
import pathlib
import sys

import mingru
import torch
from minGRU_pytorch.minGRU import g, log_g, minGRU
from minGRU_pytorch.minLSTM import minLSTM

torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent
worst = 0.0


def load(name):
    return json.loads((here / f"{name}.json").read_text())


def tensor(entry, grad=False, dtype=torch.float64):
    return torch.tensor(entry["data"], dtype=dtype).reshape(entry["shape"]).requires_grad_(grad)


def put(entry, value, bound=1e-12):
    """Compares, then replaces the stored numbers."""
    global worst
    want = tensor(entry)
    value = value.detach().reshape(entry["shape"])
    error = ((value - want).abs().max() / want.abs().max()).item()
    assert error <= bound, error
    worst = max(worst, error)
    entry["data"] = value.flatten().tolist()


def done(name, data):
    if "--write" in sys.argv:
        (here / f"{name}.json").write_text(json.dumps(data))
    print(f"{name}: agrees")


def fill(module, params):
    module.load_state_dict({k: tensor(v) for k, v in params.items()})
    return module


data = load("linear_scan")
for name, case in data["cases"].items():
    a, b, h0 = (tensor(data[k], True) for k in ("a", "b", "h0"))
    reset = torch.tensor(data["reset"]).bool()
    h, states = h0, [None] * 13
    for i in range(13):
        t = 12 - i if name == "reverse" else i
        if name == "reset":
            h = torch.where(reset[:, t, None], torch.zeros_like(h), h)
        h = states[t] = a[:, t] * h + b[:, t]
    states = torch.stack(states, 1)
    ((states * tensor(data["wo"])).sum() + (h * tensor(data["wl"])).sum()).backward()
    for key, value in dict(h=states, last=h, grad_a=a.grad, grad_b=b.grad, grad_h0=h0.grad).items():
        put(case[key], value)
done("linear_scan", data)

data = load("g_activation")
x = tensor(data["x"], True)
put(data["g"], g(x))
put(data["log_g"], log_g(x))
(dg,) = torch.autograd.grad(g(x).sum(), x)
put(data["dg"], dg)
done("g_activation", data)

data = load("mingru_logspace")
layer = fill(mingru.MinGRU(6, 7), data["params"])
x, h0 = tensor(data["x"], True), tensor(data["h0"], True)
y = layer(x, h0)
(y * tensor(data["w"])).sum().backward()
put(data["y"], y)
put(data["y_default_h0"], layer(x))
put(data["grad_x"], x.grad)
put(data["grad_h0"], h0.grad)
for name, parameter in layer.named_parameters():
    put(data["grad_params"][name], parameter.grad)
done("mingru_logspace", data)

data = load("mingru_signed")
layer = fill(mingru.SignedMinGRU(6, 7, coupled=False), data["params"])
put(data["y"], layer(tensor(data["x"])))
put(data["y_h0_zero"], layer(tensor(data["x"]), torch.zeros(2, 1, 7)))
done("mingru_signed", data)

data = load("mingru_lucidrains")
layer = minGRU(6, expansion_factor=1.5)
fill(layer, {"to_hidden_and_gate.weight": data["w_in"], "to_out.weight": data["w_out"]})
y, last = layer(tensor(data["x"]), return_next_prev_hidden=True)
put(data["y"], y)
put(data["h_last"], last)
done("mingru_lucidrains", data)

data = load("minlstm")


def direct(x, weight, h, normalized):
    hidden, f, i = (x @ weight.T).chunk(3, -1)
    f, i = f.sigmoid(), i.sigmoid()
    if normalized:
        f, i = f / (f + i), i / (f + i)
    states = []
    for t in range(x.shape[1]):
        h = f[:, t] * h + i[:, t] * g(hidden[:, t])
        states.append(h)
    return torch.stack(states, 1)


for name in ("norm", "unnorm"):
    x, weight = tensor(data["x"], True), tensor(data["weight"], True)
    if name == "norm":
        layer = minLSTM(6)
        del layer.to_hidden_and_f_i_gate.weight
        layer.to_hidden_and_f_i_gate.weight = weight
        y = layer(x)
    else:
        y = direct(x, weight, torch.zeros(2, 6), False)
    (y * tensor(data["w"])).sum().backward()
    put(data[f"y_{name}"], y)
    put(data[f"grad_x_{name}"], x.grad)
    put(data[f"grad_w_{name}"], weight.grad)
put(data["y_norm_h0"], direct(tensor(data["x"]), tensor(data["weight"]), tensor(data["h0"]), True))
done("minlstm", data)

try:
    from recurrentgemma.torch.layers import RGLRU
except ImportError:
    print("rglru: left out, recurrentgemma is not installed")
else:
    data = load("rglru")
    layer = RGLRU(width=8, num_heads=2)
    layer.load_state_dict({k: tensor(v, dtype=torch.float32) for k, v in data["params"].items()})
    x, cache = (tensor(data[k], dtype=torch.float32) for k in ("x", "cache"))
    y, last = layer(x=x, segment_pos=torch.tensor(data["segment_pos"]), cache=cache)
    put(data["y"], y.double(), 1e-6)
    put(data["h_last"], last.double(), 1e-6)
    done("rglru", data)
print(f"largest relative difference {worst:.1e}")
