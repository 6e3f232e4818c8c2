# SPDX-License-Identifier: MIT
"""A run's log in xarray, pandas, netCDF's and HDF5's tools: every group opens, and the numbers are those of h5py.

    check_tools.py RUN COUNT     COUNT: of the tests before these; tools.sh runs both

What is not installed is skipped. Speaks TAP."""
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np

import tap
from tap import missing, ok

run, tap.count = sys.argv[1], int(sys.argv[2])
log = os.path.join(run, "log.h5")


def groups():
    with h5py.File(log) as f:
        return [name for name, item in f.items() if isinstance(item, h5py.Group)]


def same(group, data):
    """Whether the numbers of an xarray data set are those of h5py, by name."""
    with h5py.File(log) as f:
        return all(np.array_equal(f[group][name][...], v.values, equal_nan=True) for name, v in data.variables.items()
                   if v.dtype.kind in "fi")


def texts(group):
    """The texts of a group, by name."""
    with h5py.File(log) as f:
        return {name: list(item.asstr()[...]) for name, item in f[group].items()
                if item.ndim == 1 and h5py.check_string_dtype(item.dtype)}


def same_attributes(group, data):
    """Whether the attributes are those that h5py reads; xarray gives lists of one text as texts."""
    with h5py.File(log) as f:
        return all(np.array_equal(np.ravel(data.attrs[name]), np.ravel(value))
                   for name, value in f[group].attrs.items())


def check_xarray(engine, module):
    """All groups are open at once, as in a notebook."""
    if missing("xarray", module):
        return
    import xarray
    opened = {group: xarray.open_dataset(log, group=group, engine=engine, decode_times=False) for group in groups()}
    for group, data in opened.items():
        ok(same(group, data.load()) and all(list(data[name].values) == t for name, t in texts(group).items()) and
           same_attributes(group, data), f"xarray with {engine} reads {group}")
    data = opened["activations"]
    ok(data.f.dims == ("record", "layer", "time", "batch", "unit") and "step" in data.coords,
       "  with named dimensions and coordinates")
    norm = opened["gradients"].norm.sel(parameter="lstm.weight_hh_l0")
    ok(norm.shape == (2,) and (norm > 0).all(), "  and labels to choose by")
    for data in opened.values():
        data.close()
    with xarray.open_dataset(log, group="events", engine=engine) as data:
        ok(data.time.dtype.kind == "M", "  with their times as dates")


def check_pandas():
    if missing("pandas"):
        return
    import pandas
    table = pandas.read_csv(os.path.join(run, "metrics.csv"), index_col="step", float_precision="round_trip")
    with h5py.File(log) as f:
        ok(list(table.index) == list(f["metrics/step"]), "pandas: metrics.csv has the log's steps")
        ok(all(np.array_equal(table[name], f["metrics"][name][...], equal_nan=True) for name in table.columns),
           "pandas: and its numbers, to the last bit")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def check_commands():
    if shutil.which("ncdump"):
        header = output("ncdump", "-h", log)
        ok("float f(record, layer, time, batch, unit)" in header and "double norm(record, parameter)" in header
           and "double loss(step)" in header, "ncdump -h shows named dimensions")
        whole = output("ncdump", log)
        ok('"lstm.weight_hh_l0"' in whole and whole.rstrip().endswith("}"), "ncdump prints all of it")
    else:
        tap.skip("ncdump", "not installed")
    if shutil.which("h5dump"):
        with h5py.File(log) as f:
            loss = f["metrics/loss"][...]
        printed = output("h5dump", "-d", "/metrics/loss", "-y", "-m", "%.17g", "-w", "1", log)
        numbers = printed.split("DATA {")[1].split("}")[0].replace(",", " ").split()
        ok([float(n) for n in numbers] == list(loss), "h5dump prints the numbers")
    else:
        tap.skip("h5dump", "not installed")


def check_silx():
    if missing("silx"):
        return
    import silx.io
    from silx.io import nxdata
    with silx.io.open(log) as f:
        ok(nxdata.get_default(f).signal.name == "/metrics/loss", "silx finds the default plot: the loss")
        ok(nxdata.get_default(f["activations"]).axes_dataset_names == ["record", "layer", "time", "batch", "unit"],
           "silx knows the axes of the activations")


check_xarray("h5netcdf", "h5netcdf")
check_xarray("netcdf4", "netCDF4")
check_pandas()
check_commands()
check_silx()
tap.done()
