# SPDX-License-Identifier: MIT
"""What readers of a log see while it is written, with commits every 2 seconds: a campaign, no test of `make check`.

    live_sessions.py LSTMRUN [SESSIONS]     of each kind; default: 500

Needs h5py; xarray, h5netcdf and netCDF4 where they are. A session opens the log, reads all of it, and closes it.
  core      h5py, driver="core": the file is read at once
  plain     h5py as usual
  counter   the same, and the attribute "commits" before and after
  h5netcdf, netcdf4   xarray with this engine
Counted: right; wrong (a mixture of two commits); changed (counter only: to be read again); error (cannot be read)."""
import collections
import importlib.util
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

WRITER = """
local core = require "lstm.core"
local log = assert(core.log.create(arg[1]))
log:announce { name = "act/h", type = "double", dims = { { "unit", 64 } } }
local n, row = 0, {}
while not io.open(arg[1] .. ".end") do
  for _ = 1, 10 do
    for k = 1, 64 do row[k] = n + k / 64 end
    assert(log:row(n, { loss = 1 / (n + 1) }) and log:numbers("act/h", n, row))
    n = n + 1
  end
  os.execute "sleep 0.05"
end
assert(log:close())
"""


def is_right(steps, loss, h):
    """A commit may fall between the two calls that log a step."""
    n, m = len(steps), len(h)
    return (np.array_equal(steps, np.arange(n)) and np.array_equal(loss, 1.0 / (np.arange(n) + 1))
            and m in (n, n - 1) and np.array_equal(h, np.arange(m)[:, None] + np.arange(1, 65) / 64))


def read(f):
    return f["metrics/step"][...], f["metrics/loss"][...], f["act/h"][...]


def session(kind, path):
    if kind in ("core", "plain"):
        with h5py.File(path, "r", **({"driver": "core", "backing_store": False} if kind == "core" else {})) as f:
            return "right" if is_right(*read(f)) else "wrong"
    if kind == "counter":
        with h5py.File(path, "r") as f:
            before, values = f.attrs["commits"], read(f)
        with h5py.File(path, "r") as f:
            return "changed" if f.attrs["commits"] != before else "right" if is_right(*values) else "wrong"
    import xarray
    with xarray.open_dataset(path, group="metrics", engine=kind, cache=False) as metrics, \
            xarray.open_dataset(path, group="act", engine=kind, cache=False) as act:
        return "right" if is_right(metrics.step.values, metrics.loss.values, act.h.values) else "wrong"


def sessions(kind, path, most, results):
    h5py._errors.silence_errors()
    count = collections.Counter()
    for _ in range(most):
        try:
            count[session(kind, path)] += 1
        except Exception:  # whatever a reader of half a commit raises
            count["error"] += 1
        time.sleep(0.3 * random.random())
    results.put((kind, dict(count)))


def main():
    program, most = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500
    kinds = ["core", "plain", "counter"]
    if importlib.util.find_spec("xarray"):
        kinds += [k for k in ("h5netcdf", "netcdf4") if importlib.util.find_spec(k.replace("cdf4", "CDF4"))]
    with tempfile.TemporaryDirectory() as folder:
        path, script = os.path.join(folder, "log.h5"), os.path.join(folder, "writer.lua")
        results = multiprocessing.Queue()
        with open(script, "w") as f:
            f.write(WRITER)
        writer = subprocess.Popen([program, script, path])
        time.sleep(4)
        readers = [multiprocessing.Process(target=sessions, args=(kind, path, most, results)) for kind in kinds]
        for reader in readers:
            reader.start()
        found = dict(results.get() for _ in readers)
        open(path + ".end", "w").close()
        status = writer.wait()
    for kind in kinds:
        print(f"{kind:9} " + ", ".join(f"{n} {what}" for what, n in sorted(found[kind].items())))
    return status != 0 or "wrong" in found["core"] or "wrong" in found["counter"]


if __name__ == "__main__":
    sys.exit(main())
