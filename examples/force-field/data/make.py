#!/usr/bin/env python3
"""Ethanol at 500 K with energies and forces by GFN2-xTB, as extended XYZ: 400 frames, shuffled, in eV and eV/Å.

Run:  python make.py OUTFILE
Needs: ase==3.29.0, tblite==0.8.0, numpy.
"""
import sys
import numpy as np
from ase import units
from ase.build import molecule
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from tblite.ase import TBLite

rng = np.random.default_rng(7)
atoms = molecule("CH3CH2OH")
atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
BFGS(atoms, logfile=None).run(fmax=0.01)
MaxwellBoltzmannDistribution(atoms, temperature_K=500, rng=rng)
dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=500, friction=0.02 / units.fs, rng=rng)
dynamics.run(400)
frames = []
for _ in range(400):
    dynamics.run(20)
    frame = atoms.copy()
    frame.set_momenta(np.zeros((len(atoms), 3)))
    frame.positions -= frame.get_center_of_mass()
    frame.positions = frame.positions.round(6)
    frame.calc = TBLite(method="GFN2-xTB", verbosity=0)
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frames.append((frame, energy, forces))
order = rng.permutation(len(frames))
with open(sys.argv[1], "w") as out:
    for i in order:
        frame, energy, forces = frames[i]
        out.write(f"{len(frame)}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy:.8f} pbc=\"F F F\"\n")
        for symbol, p, f in zip(frame.get_chemical_symbols(), frame.positions, forces):
            out.write(f"{symbol} " + " ".join(f"{x:.6f}" for x in p) + " " + " ".join(f"{x:.6f}" for x in f) + "\n")
