"""Writes `neighbors.json`: varied cells and their neighbours by vesin, checked against matscipy.

Versions: vesin 0.6.2, matscipy 1.3.1, numpy 2.4.6.

    pip install vesin==0.6.2 matscipy==1.3.1 numpy==2.4.6
    python make.py

Floats are written with all their digits, so a reader has the same bits. A pair (i, j, S) is a row `[i, j, Sa, Sb, Sc]` with
D = r_j - r_i + S . cell and |D| < cutoff. Only one of each pair and its reverse is kept: the one whose (j - i, Sa, Sb, Sc)
is greater than zero in lexicographic order.
"""

import json
import pathlib

import matscipy.neighbours
import numpy as np
import vesin

rng = np.random.default_rng(20240517)


def neighbours(positions, cell, pbc, cutoff):
    positions, cell = np.asarray(positions, float).reshape(-1, 3), np.asarray(cell, float)
    nl = vesin.NeighborList(cutoff=cutoff, full_list=True)
    p, s = nl.compute(positions, cell, list(pbc), "PS")
    pairs = sorted({(int(i), int(j), *map(int, t)) for (i, j), t in zip(p, s)})
    assert len(pairs) == len(p)
    if len(positions) and abs(np.linalg.det(cell)) > 1e-12:
        i, j, t = matscipy.neighbours.neighbour_list("ijS", positions=positions, cell=cell, pbc=list(pbc), cutoff=cutoff)
        assert sorted((int(a), int(b), *map(int, c)) for a, b, c in zip(i, j, t)) == pairs
    return pairs


def half(pairs):
    zero = (0, 0, 0, 0)
    kept = [p for p in pairs if (p[1] - p[0], *p[2:]) > zero]
    full = set(kept) | {(j, i, -a, -b, -c) for i, j, a, b, c in kept}
    assert full == set(pairs)
    return kept


cases = []


def case(name, positions, cell, pbc, cutoff):
    positions, cell = np.asarray(positions, float).reshape(-1, 3), np.asarray(cell, float)
    pairs = neighbours(positions, cell, pbc, cutoff)
    cases.append(dict(
        name=name, cutoff=cutoff, cell=cell.tolist(), pbc=[bool(p) for p in pbc],
        positions=positions.tolist(), pairs=[list(p) for p in half(pairs)],
    ))


T, F = True, False
every = [(a, b, c) for a in (F, T) for b in (F, T) for c in (F, T)]
cube = np.eye(3) * 6.0
triclinic = np.array([[5.0, 0.3, -0.2], [1.7, 6.1, 0.4], [-1.3, 2.2, 5.6]])
rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]

for pbc in every:
    case(f"cube, pbc {pbc}", rng.random((12, 3)) @ cube, cube, pbc, 2.9)
    case(f"triclinic, pbc {pbc}, atoms outside", (5 * rng.random((10, 3)) - 2) @ triclinic, triclinic, pbc, 3.1)
    case(f"left-handed, rotated, pbc {pbc}", rng.random((8, 3)) @ (triclinic[[1, 0, 2]] @ rotation), triclinic[[1, 0, 2]] @ rotation, pbc, 3.3)
case("one atom, primitive fcc", [[0, 0, 0]], np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 1.8, (T, T, T), 5.0)
case("one atom off the origin, several images", [[9.3, -4.4, 0.1]], np.diag([2.5, 2.6, 3.0]), (T, T, T), 5.9)
case("one atom, wire", [[0.1, 7.0, -3.0]], np.diag([1.7, 1.0, 1.0]), (T, F, F), 5.1)
case("skewed", rng.random((4, 3)) * 9, [[4, 0, 0], [23, 4.5, 0], [-17, 31, 5]], (T, T, T), 3.7)
case("skewed, layers", rng.random((4, 3)) * 9, [[4, 0, 0], [17, 4.5, 0], [-7, 13, 5]], (T, T, F), 3.9)
case("thin", rng.random((6, 3)) @ np.diag([1.1, 9.0, 14.0]), np.diag([1.1, 9.0, 14.0]), (T, T, T), 3.3)
case("identical points", [[1.0, 1.0, 1.0]] * 5 + [[1.0, 1.0, 4.0]], cube, (T, T, T), 3.2)
case("identical points, no cell", [[1.0, 1.0, 1.0]] * 4, np.zeros((3, 3)), (F, F, F), 1.0)
case("at the cutoff", [[0, 0, 0], [3.0, 0, 0], [0, np.nextafter(3.0, 0.0), 0], [0, 0, np.nextafter(3.0, 9.0)]], np.eye(3) * 9, (T, T, T), 3.0)
case("lattice at the cutoff", [[0, 0, 0]], np.eye(3) * 2.0, (T, T, T), 4.0)
case("far apart", [[0, 0, 0], [0, 0, 1], [1e4, 1e4, -1e4], [1e4, 1e4, -1e4 + 0.5]], np.eye(3), (F, F, F), 2.0)
case("all negative", -rng.random((9, 3)) * 7, np.eye(3), (F, F, F), 3.0)
case("far outside", rng.random((6, 3)) @ triclinic + np.array([[40, -17, 23]]) @ triclinic, triclinic, (T, T, T), 3.0)
case("on faces", [[0, 0, 0], [6, 0, 0], [0, 6, 6], [-1e-17, 3, 3], [3, 6, 3]], cube, (T, T, T), 3.5)
case("slab without a vector", rng.random((9, 3)) * [3.0, 3.0, 9.0], [[3.0, 0, 0], [1.5, 2.6, 0], [0, 0, 0]], (T, T, F), 3.0)
case("slab, vector not at a right angle", rng.random((9, 3)) * [3.0, 3.0, 20.0], [[3.0, 0, 0], [1.5, 2.6, 0], [9, 4, 15]], (T, T, F), 3.0)
case("wire without vectors", rng.random((9, 3)) * [4.0, 4.0, 5.0], [[0, 0, 0], [0, 0, 0], [0.3, -0.2, 5.0]], (F, F, T), 3.0)
case("no edges", [[0, 0, 0], [5, 5, 5]], np.eye(3) * 10, (T, T, T), 2.0)
case("two atoms, one image each way", [[0.2, 0, 0], [3.8, 0, 0]], np.diag([4.0, 30.0, 30.0]), (T, T, T), 3.7)

out = pathlib.Path(__file__).with_name("neighbors.json")
out.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
print(len(cases), "cases,", sum(2 * len(c["pairs"]) for c in cases), "edges,", out.stat().st_size, "bytes")
