"""Makes the files of `tests/import.rs`: weights written by each PyTorch package, with an input and its output.

    pip install torch==2.15.0 safetensors numpy minGRU-pytorch==0.2.1 mingru-scans==0.2.0
    PYTHONPATH=<checkout of github.com/cheind/mingru> python make_files.py

cheind/mingru is not on PyPI; version 1.4.2 of its repository was used.
"""

import pathlib

import mingru
import torch
from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
here = pathlib.Path(__file__).parent


def write(name, module, output):
    torch.manual_seed(7)
    x = torch.randn(2, 9, 6)
    tensors = {k: v.clone().contiguous() for k, v in module.state_dict().items()}
    with torch.no_grad():
        tensors["test.x"], tensors["test.y"] = x, output(module, x).contiguous()
    save_file(tensors, here / f"{name}.safetensors")


plain = lambda module, x: module(x)
first = lambda module, x: module(x)[0]
torch.manual_seed(1)
if hasattr(mingru, "SignedMinGRU"):
    write("lucidrains_gru", minGRU(6), plain)
    write("lucidrains_gru_expanded", minGRU(6, expansion_factor=1.5), plain)
    write("lucidrains_lstm", minLSTM(6, expansion_factor=1.5), plain)
    write("mingru_scans", mingru.MinGRU(6, 7), plain)
    learned = mingru.MinGRU(6, 7, learnable_h0=True)
    torch.nn.init.normal_(learned.h0_pre)
    write("mingru_scans_learned", learned, plain)
    write("mingru_scans_signed", mingru.SignedMinGRU(6, 7), plain)
    write("mingru_scans_coupled", mingru.SignedMinGRU(6, 7, coupled=True), plain)
else:
    # The package of the same name by cheind hides the other: run the script once with each.
    write("cheind_cell", mingru.modules.MinGRUCell(6, 7), first)
    write("cheind_layers", mingru.modules.MinGRU(6, [7]), first)
