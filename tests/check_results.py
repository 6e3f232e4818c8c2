# SPDX-License-Identifier: MIT
"""The results of the sweep of results.sh, in h5py, pandas and xarray: its numbers are known.

    check_results.py SWEEP COUNT     COUNT: of the tests before these; results.sh runs both

What is not installed is skipped. Speaks TAP."""
import csv
import os
import sys

import h5py
import numpy as np

import tap
from tap import missing, ok

sweep, tap.count = sys.argv[1], int(sys.argv[2])
path = os.path.join(sweep, "sweep.h5")


def text(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def curve(a, seed, steps):
    """The loss at steps 1 ... 7, as known.lua has it."""
    step = np.arange(1, 8)
    return np.where(step <= steps, 10 * a + seed + 1 / step, np.nan)


with open(os.path.join(sweep, "sweep.csv"), newline="") as file:
    rows = list(csv.DictReader(file))
columns = {name: [row[name] for row in rows] for name in rows[0]}
logged = [3 if r["status"] == "failed" else int(r["step"]) for r in rows]  # it fails within step 3
expected = np.array([curve(int(r["a"]), int(r["seed"]), n) for r, n in zip(rows, logged)])


def check_h5py():
    with h5py.File(path) as f:
        trials, table = f["trials"], f["table"]
        ok(list(table.dtype.names) == list(columns), "h5py: the table has the columns of sweep.csv")
        for name in columns:
            numbers = table[name].dtype.kind in "if"
            values = table[name] if numbers else np.array(text(table[name]))
            same = np.array([float(v) if v else np.nan for v in columns[name]]) if numbers else columns[name]
            ok(np.array_equal(values, same, equal_nan=True) if numbers else list(values) == list(same),
               f"  and the values of {name}")
            ok(np.array_equal(table[name], trials[name][...], equal_nan=numbers), "  as a column of its own, too")
            ok(name == "trial" or trials[name].dims[0][0] == trials["trial"], "  by trial")
        ok(text([f.attrs["parameters"]]) == ["a param_status more"], "the root says which columns are parameters")
        loss = f["curves/loss"]
        ok([loss.dims[k][0].name for k in (0, 1)] == ["/curves/trial", "/curves/step"], "curves have named dimensions")
        ok(np.array_equal(loss[...], expected, equal_nan=True), "and every step's loss; NaN where a trial has none")
        for row, n in zip(rows, logged):
            log = f["logs"][row["id"]]
            ok(log["metrics/loss"].shape == (n,) and
               log["config"].attrs["a"] == int(row["a"]), f"the link to the log of {row['id']}")
    with h5py.File(os.path.join(sweep, "thin.h5")) as f:
        last = [v for v in f["curves/loss"][0]]
        ok(list(f["curves/step"]) == [4, 7] and f["curves"].attrs["steps_per_place"] == 4 and
           last[1] - last[0] < 0, "a thinned curve has the last values of its steps")


def check_pandas():
    if missing("pandas", "tables"):
        return
    import pandas
    table = pandas.read_hdf(path, "table")
    ok(list(table.columns) == list(columns) and len(table) == len(rows), "pandas.read_hdf reads the table")
    ok(text(table["param_status"]) == columns["param_status"] and
       text(table["reason"]) == columns["reason"], "  its texts")
    means = table[text_is(table["status"], "done")].groupby("a")["best_loss"].mean()
    ok(np.allclose(means.values, [10 * a + 1.5 + 1 / (7 if a == 3 else 4) for a in (1, 2, 3)], rtol=1e-15),
       "  and its numbers")


def text_is(column, word):
    return np.array([v == word for v in text(column)])


def check_xarray():
    if missing("xarray", "h5netcdf"):
        return
    import xarray
    with xarray.open_dataset(path, group="curves", engine="h5netcdf") as data:
        ok(data.loss.dims == ("trial", "step") and np.array_equal(data.loss.values, expected, equal_nan=True),
           "xarray reads the curves")
        ok(list(data.trial) == [int(v) for v in columns["trial"]] and list(data.step) == list(range(1, 8)),
           "  with their coordinates")
    with xarray.open_dataset(path, group="trials", engine="h5netcdf") as data:
        ok(text(data.status.values) == columns["status"], "  and the trials")


check_h5py()
check_pandas()
check_xarray()
tap.done()
