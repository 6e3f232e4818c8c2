# SPDX-License-Identifier: MIT
"""Our files as other people's readers see them: h5py, and what netCDF and NeXus readers look for.

    check_log.py LOG CHECKPOINT TEST_LOG     TEST_LOG: the program, to write a log while it is read

Speaks TAP. Needs h5py; readers.sh makes the files and skips without it."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

import tap
from tap import ok


def dimensions(dataset):
    return [d[0].name.split("/")[-1] for d in dataset.dims]


def check_log(path):
    with h5py.File(path, "r") as f:
        ok(f.attrs["NX_class"] == "NXroot" and f.attrs["default"] == "metrics",
           "NeXus: the root names its default")
        ok(f["metrics"].attrs["NX_class"] == "NXdata" and list(f["metrics"].attrs["axes"]) == ["step"],
           "NeXus: the metrics are data over steps")
        ok(int(f.attrs["commits"]) >= 1, "the number of commits")
        a = f["activations"]
        ok(dimensions(a["f"]) == ["record", "layer", "time", "unit"], "dimensions have names")
        ok(list(a.attrs["axes"]) == ["record", "layer", "time", "unit"] and a.attrs["signal"] == "f",
           "NeXus: signal and axes of a series")
        ok(list(a["layer"].asstr()) == ["i", "f"] and list(a["time"]) == [0, 0.5, 1] and list(a["unit"]) == [0, 1],
           "coordinates: labels, values, indexes")
        ok(a["f"].dtype == np.float32 and a["f"].shape == (3, 2, 3, 2) and a["f"].compression == "gzip",
           "type, shape, compression")
        ok(np.array_equal(a["f"][0].ravel(), np.arange(12, dtype="f4") + np.float32(0.123)), "values")
        ok(a.id.links.get_info(b"layer").corder_valid, "creation order is kept")
        kind = h5py.check_string_dtype(f["events/kind"].dtype)
        ok(kind.encoding == "utf-8" and kind.length is None and isinstance(f.attrs["creator"], str),
           "texts are UTF-8 of any length")


def check_checkpoint(path):
    with h5py.File(path, "r") as f:
        ok(f.attrs["format"] == "lstmrun checkpoint" and int(f.attrs["step"]) == -7,
           "a checkpoint opens, with its numbers")
        ok(f["moment1/lstm.weight"].shape == (2, 1, 3, 2, 2) and f["moment1/lstm.weight"][0, 0, 0, 0, 1] == 1 / 3,
           "tensors have their names and shapes")


def check_netcdf(path):
    if not shutil.which("ncdump"):
        tap.skip("netCDF", "no ncdump")
        return
    header = subprocess.run(["ncdump", "-h", path], capture_output=True, text=True).stdout
    ok("float f(record, layer, time, unit)" in header and "int64 step(step)" in header, "netCDF: dimensions have names")
    ok("string layer(layer)" in header and "record = UNLIMITED ; // (3 currently)" in header,
       "  and labels are strings")


def session(path, **how):
    """One look at a log that is being written. Returns (commits, rows), "wrong" for values of two commits, None when it
    cannot be read, or when, read whole, another commit has come meanwhile: one may come between two pages of a read."""
    try:
        with h5py.File(path, "r", **how) as f:
            commits, steps, loss = int(f.attrs["commits"]), f["metrics/step"][...], f["metrics/loss"][...]
            h = f["act/h"][...] if "act/h" in f else np.zeros((0, 3))
        if how:
            with h5py.File(path, "r", **how) as f:
                if int(f.attrs["commits"]) != commits:
                    return None
    except (OSError, KeyError, RuntimeError):
        return None
    n = len(steps)
    right = np.array_equal(steps, np.arange(n)) and np.array_equal(loss, 1.0 / (np.arange(n) + 1))
    # A commit may fall between the two calls that log a step.
    right = right and np.array_equal(h, np.arange(len(h))[:, None] + np.array([0, 0.25, 0.5])) and len(h) in (n, n - 1)
    return (commits, n) if right else "wrong"


def check_live(program):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "live.h5")
        writer = subprocess.Popen([program, path, "6"], stdout=subprocess.PIPE, text=True)
        seen = {"core": [], "plain": []}
        while writer.poll() is None:
            if not os.path.exists(path):
                time.sleep(0.01)
                continue
            seen["core"].append(session(path, driver="core", backing_store=False))
            seen["plain"].append(session(path))
            time.sleep(0.005)
        total = int(writer.stdout.read())
        core = [s for s in seen["core"] if s is not None]
        ok(writer.returncode == 0 and session(path)[1] == total, "after the end all is there")
        ok("wrong" not in core, f"live, driver='core': none of {len(seen['core'])} sessions reads anything wrong")
        ok(len(core) > 0.5 * len(seen["core"]), "  most need no second try")
        steps = [s for s in core if s != "wrong"]
        ok(steps == sorted(steps) and len(set(steps)) > 3, "  and they see the log grow")
        n = len(seen["core"])
        print(f"# of {n} sessions each: driver='core': {seen['core'].count(None)} had to try again; plain: "
              f"{seen['plain'].count(None)} failed, {seen['plain'].count('wrong')} were mixtures")


def main():
    log, checkpoint, program = sys.argv[1:4]
    check_log(log)
    check_netcdf(log)
    check_checkpoint(checkpoint)
    check_live(program)
    tap.done()


if __name__ == "__main__":
    h5py._errors.silence_errors()
    main()
