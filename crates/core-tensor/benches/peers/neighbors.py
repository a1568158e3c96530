"""vesin beside `benches/neighbors.rs`: answers one request per line of standard input.

`time FILE THREADS SORTED` computes the neighbours of the one structure in FILE and answers the seconds it took;
`list FILE OUT` computes those of every structure in FILE and writes them to OUT, answering their number. A structure is, in
little-endian f64 unless said otherwise: number of atoms (i64), cutoff, nine numbers of the cell, three periodic flags (i64),
positions. A list is its length (i64) and rows of i, j, Sa, Sb, Sc (i32), sorted. Versions used for the published figures:
vesin 0.6.2, numpy 2.4.6.

    python -m venv peers && peers/bin/pip install vesin==0.6.2 numpy==2.4.6
    PEER_PYTHON=$PWD/peers/bin/python cargo bench -p core-tensor --features atoms,testing --bench neighbors
"""

import sys
import time

import numpy as np
import vesin


def structures(path):
    data, at = np.fromfile(path, dtype="<f8"), 0
    while at < len(data):
        n = int(data[at : at + 1].view("<i8")[0])
        pbc = data[at + 11 : at + 14].view("<i8") != 0
        end = at + 14 + 3 * n
        yield data[at + 14 : end].reshape(n, 3), data[at + 2 : at + 11].reshape(3, 3), pbc, float(data[at + 1])
        at = end


loaded, lists = {}, {}
for line in sys.stdin:
    command, path, *rest = line.split()
    if command == "time":
        threads, ordered = int(rest[0]), rest[1] == "1"
        if path not in loaded:
            loaded.clear()
            lists.clear()
            (loaded[path],) = structures(path)
        points, box, pbc, cutoff = loaded[path]
        key = (threads, ordered)
        # The object keeps its memory between calls, as in a simulation.
        if key not in lists:
            lists[key] = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=ordered, n_threads=threads)
        start = time.perf_counter()
        lists[key].compute(points, box, pbc, "PS", copy=False)
        print(time.perf_counter() - start, flush=True)
    else:
        count = 0
        with open(rest[0], "wb") as out:
            for points, box, pbc, cutoff in structures(path):
                pairs, shifts = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1).compute(points, box, pbc, "PS")
                rows = np.concatenate([pairs.astype("<i4"), shifts.astype("<i4")], axis=1)
                rows = rows[np.lexsort(rows.T[::-1])]
                np.int64(len(rows)).tofile(out)
                rows.tofile(out)
                count += 1
        print(count, flush=True)
