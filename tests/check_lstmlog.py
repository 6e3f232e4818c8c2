# SPDX-License-Identifier: MIT
"""check_lstmlog.py - for lstmlog.sh.

exports RUN NUMPY VIS CSV   what lstmlog has exported (row 1 of the batch to VIS) equals what is in the run's log
spoil BACK SHORT LONG HUGE VAST UNNAMED STEPLESS
                            makes logs whose steps go back, whose columns differ in length, by a few rows or by
                            more than can ever be read, whose steps claim more rows than are there, which have a
                            series whose rows have more bytes than can be counted, whose units have lost their scale,
                            and whose activations have lost their steps
version LOG                 makes it a log of format_version 99
interrupt LOG               leaves the log as in the middle of a commit: without a signature, the rest in its journal
"""

import csv
import hashlib
import os
import struct
import sys

import h5py
import numpy as np


def check_numpy(log, folder):
    checked = 0

    def check(path, item):
        nonlocal checked
        if isinstance(item, h5py.Dataset) and item.ndim:
            array, expected = np.load(os.path.join(folder, path + ".npy")), item[()]
            if expected.dtype == object:  # texts of any length, which .npy keeps in fixed room
                expected = expected.astype("S")
            assert array.dtype == expected.dtype and array.shape == expected.shape, path
            assert array.tobytes() == expected.tobytes(), path
            checked += 1

    log.visititems(check)
    assert checked > 50, checked


def read_dictionary(path):
    """As LSTMVis does: lines of two fields, word and id."""
    words = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, number = line.split()
            words[int(number)] = word
    return words


def check_vis(log, folder, row):
    try:
        import yaml
    except ImportError:
        config = None
    else:
        with open(os.path.join(folder, "lstm.yml"), encoding="utf-8") as text:
            config = yaml.safe_load(text)
    words = read_dictionary(os.path.join(folder, "words.dict"))
    token = log["activations/token"][:, :, row].reshape(-1)
    with h5py.File(os.path.join(folder, "words.h5")) as f:
        ids = f["word_ids"][()]
    assert ids.ndim == 1 and (ids == token).all()
    text = "".join(words[i] for i in ids.tolist())
    assert "line" in text and "␣" in text, text
    for name in "ifgoch":
        expected = log["activations/" + name][:, :, :, row, :]
        with h5py.File(os.path.join(folder, name + ".h5")) as f:
            for layer in range(expected.shape[1]):
                states = f["%s_l%d" % (name, layer)][()]
                assert states.shape == (len(ids), expected.shape[3])
                assert (states == expected[:, layer].reshape(states.shape)).all(), name
    if config:  # every reference leads somewhere, as the reader follows it
        files = config["files"]
        assert len(set(words.values())) == len(words)
        assert files[config["word_sequence"]["dict_file"]] == "words.dict"
        assert len(config["states"]["types"]) == 12
        for x in [config["word_sequence"]] + config["states"]["types"]:
            with h5py.File(os.path.join(folder, files[x.get("file", config["states"]["file"])])) as f:
                assert f[x["path"]].shape[0] == len(ids)


def check_csv(log, folder):
    h, steps = log["activations/h"][()], log["activations/step"][()]
    with open(os.path.join(folder, "activations-h.csv"), newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == h.size
    for row in rows:
        at = tuple(int(row[d]) for d in ("record", "layer", "time", "batch", "unit"))
        assert np.float32(row["value"]) == h[at] and int(row["step"]) == steps[at[0]]


def interrupt(path):
    """The journal of src/h5journal.c with one run, the superblock."""
    with open(path, "r+b") as f:
        superblock = f.read(48)
        f.seek(0)
        f.write(b"\0")
    size = os.path.getsize(path)
    body = struct.pack("=QQQ", 0, len(superblock), 2) + superblock
    head = struct.pack("=QQQQ", 0x4C4E524A4D54534C, size, size, len(body))
    with open(path + ".journal", "wb") as f:
        f.write(head + hashlib.sha256(head + body).digest() + body)


if sys.argv[1] == "exports":
    run, numpy_folder, vis_folder, csv_folder = sys.argv[2:]
    with h5py.File(os.path.join(run, "log.h5")) as f:
        check_numpy(f, numpy_folder)
        check_vis(f, vis_folder, 1)
        check_csv(f, csv_folder)
elif sys.argv[1] == "version":
    with h5py.File(sys.argv[2], "r+") as f:
        f.attrs["format_version"] = 99
elif sys.argv[1] == "interrupt":
    interrupt(sys.argv[2])
else:
    with h5py.File(sys.argv[2], "r+") as f:
        f["activations/step"][5] = 1
    with h5py.File(sys.argv[3], "r+") as f:
        f["metrics/loss"].resize((11,))
    with h5py.File(sys.argv[4], "r+") as f:
        f["metrics/loss"].resize((2 ** 45,))
    with h5py.File(sys.argv[5], "r+") as f:
        f["metrics/step"].resize((2 ** 41,))
    with h5py.File(sys.argv[6], "r+") as f:
        h = f["activations/h"]
        vast = f["activations"].create_dataset("vast", (len(h), 2 ** 40, 2 ** 22), "f4", chunks=(1, 64, 64))
        vast.dims[0].attach_scale(h.dims[0][0])
    for path, lost in zip(sys.argv[7:], ("unit", "step")):
        with h5py.File(path, "r+") as f:
            del f["activations"][lost]
