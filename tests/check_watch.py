# SPDX-License-Identifier: MIT
"""What a run recorded, recomputed: gates, states and gradients of an LSTM in plain NumPy from the recorded parameters
and tokens, against the recorded ones; and what of a batch is padding.

    check_watch.py LOG LOG_OF_RNN LOG_OF_SEQUENCES LOG_OF_THEIR_LAST_STEPS

Speaks TAP. watch.sh makes the logs (from watched_run.lua) and skips without h5py. Everything is float64; 1e-12 is a few
hundred roundings, and a wrong formula is off by far more."""
import sys

import h5py
import numpy as np

import tap
from tap import ok


def close(got, want):
    return np.linalg.norm(np.asarray(got) - np.asarray(want)) <= 1e-12 * max(np.linalg.norm(want), 1e-30)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(p, L, x, h0, c0):
    """x [T,B,I]; p: parameters by name; returns gates and states, each [L,T,B,H], and the logits."""
    keep = {k: [] for k in "ifgoch"}
    for l in range(L):
        h, c, rows = h0[l], c0[l], {k: [] for k in "ifgoch"}
        for t in range(len(x)):
            z = x[t] @ p[f"lstm.weight_ih_l{l}"].T + h @ p[f"lstm.weight_hh_l{l}"].T + p[f"lstm.bias_l{l}"]
            i, f, g, o = np.split(z, 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            c = f * c + i * g
            h = o * np.tanh(c)
            for k, v in zip("ifgoch", (i, f, g, o, c, h)):
                rows[k].append(v)
        for k in "ifgoch":
            keep[k].append(rows[k])
        x = np.array(rows["h"])
    return {k: np.array(v) for k, v in keep.items()}, x @ p["head.weight"].T + p["head.bias"]


def backward(p, a, x, h0, c0, dlogits):
    """By plain backpropagation through time: dL/dh, dL/dc and dL/d(gates), [L,T,B,H] each; dL/dx; of the parameters."""
    L, T, B, H = a["h"].shape
    out = {k: np.zeros((L, T, B, H)) for k in ("dh", "dc", "di", "df", "dg", "do")}
    grad = {"head.weight": np.einsum("tbv,tbh->vh", dlogits, a["h"][-1]), "head.bias": dlogits.sum((0, 1))}
    above = dlogits @ p["head.weight"]
    for l in reversed(range(L)):
        dh_next, dc_next, dz = np.zeros((B, H)), np.zeros((B, H)), [None] * T
        for t in reversed(range(T)):
            i, f, g, o, c = (a[k][l, t] for k in "ifgoc")
            before = a["c"][l, t - 1] if t else c0[l]
            dh = above[t] + dh_next
            dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
            gates = {"di": dc * g * i * (1 - i), "df": dc * before * f * (1 - f), "dg": dc * i * (1 - g * g),
                     "do": dh * np.tanh(c) * o * (1 - o)}
            dz[t] = np.concatenate([gates[k] for k in ("di", "df", "dg", "do")], axis=1)
            dh_next, dc_next = dz[t] @ p[f"lstm.weight_hh_l{l}"], dc * f
            for k, v in {"dh": dh, "dc": dc, **gates}.items():
                out[k][l, t] = v
        dz, fed = np.array(dz), a["h"][l - 1] if l else x
        h_before = np.concatenate([h0[l][None], a["h"][l, :-1]])
        grad[f"lstm.weight_ih_l{l}"] = np.einsum("tbz,tbx->zx", dz, fed)
        grad[f"lstm.weight_hh_l{l}"] = np.einsum("tbz,tbh->zh", dz, h_before)
        grad[f"lstm.bias_l{l}"] = dz.sum((0, 1))
        above = dz @ p[f"lstm.weight_ih_l{l}"]
    return out, above, grad


def check_probe(probe, par, names):
    """What another trainer of the network showed after each step but the first."""
    tokens, targets = np.array([[1, 2], [3, 4], [5, 6], [7, 1]]), np.array([[3, 4], [5, 6], [7, 1], [2, 2]])
    mask = np.array([[1, 1], [0, 1], [0.5, 0], [1, 0]])
    L, T, B, H = probe["h"].shape[1:]
    V, zero = par["head.bias"].shape[1], np.zeros((L, B, H))
    ok((T, B) == (4, 2) and list(probe["step"][:]) == [2, 3, 4, 5, 6] and sorted(set(probe) & set("ifgoch")) == ["f", "h"],
       "run:watch: a record when it is called, of what was named")
    for r, step in enumerate(probe["step"][:]):
        p = {n: par[n][step - 1] for n in names}
        x = p["embedding.weight"][tokens]
        want, logits = forward(p, L, x, zero, zero)
        prob = np.exp(logits - logits.max(-1, keepdims=True))
        prob /= prob.sum(-1, keepdims=True)
        d = backward(p, want, x, zero, zero, (prob - np.eye(V)[targets]) * mask[..., None] / mask.sum())[0]
        loss = -np.log(np.take_along_axis(prob, targets[..., None], -1))[..., 0] * mask
        ok(np.array_equal(probe["target"][r], np.where(mask > 0, targets, -1)) and np.array_equal(probe["mask"][r], mask)
           and close(probe["loss"][r], loss) and not probe["h_start"][r].any() and not probe["c_start"][r].any(),
           f"run:watch: step {step}: its targets, mask, loss and initial state")
        ok(all(close(probe[k][r], want[k]) for k in "fh") and close(probe["dh"][r], d["dh"]) and
           close(probe["probability"][r], prob) and np.array_equal(probe["token"][r], tokens), f"run:watch: step {step}")


def check_lstm(path):
    with h5py.File(path, "r") as f:
        a, g, par = f["activations"], f["gradients"], f["parameters"]
        R, L, T, B, H = a["h"].shape
        V = par["head.bias"].shape[1]
        names = list(par["parameter"].asstr()[:])
        ok((L, T, B, H) == (2, 5, 3, 7) and R == 6, "a record of every step, layer, time step, row and unit")
        for r in range(1, R):
            p = {n: par[n][r - 1] for n in names}  # what step r arrived at is what step r+1 starts from
            tokens, h0, c0 = a["token"][r], a["h_start"][r], a["c_start"][r]
            ok(np.array_equal(h0, a["h"][r - 1][:, -1]) and np.array_equal(c0, a["c"][r - 1][:, -1]),
               f"step {r + 1}: the initial state is the carried one")
            x = p["embedding.weight"][tokens]
            want, logits = forward(p, L, x, h0, c0)
            ok(all(close(a[k][r], want[k]) for k in "ifgoch"), f"step {r + 1}: gates and states")
            ok(close(f["mine/logits"][r], logits), f"step {r + 1}: a tensor the script named")
            targets = a["target"][r]
            ok(np.array_equal(targets[:-1], tokens[1:]) and
               (r + 1 == R or np.array_equal(targets[-1], a["token"][r + 1][0])), f"step {r + 1}: targets are the next tokens")
            prob = np.exp(logits - logits.max(-1, keepdims=True))
            prob /= prob.sum(-1, keepdims=True)
            loss = -np.log(np.take_along_axis(prob, targets[..., None], -1))[..., 0]
            ok(close(a["loss"][r], loss), f"step {r + 1}: loss of each position")
            ok(abs(loss.mean() - f["metrics/loss"][r]) < 1e-12 * loss.mean(), f"step {r + 1}: loss")
            d, dx, grad = backward(p, want, x, h0, c0, (prob - np.eye(V)[targets]) / (T * B))
            grad["embedding.weight"] = np.zeros_like(p["embedding.weight"])
            np.add.at(grad["embedding.weight"], tokens, dx)
            ok(close(g["dx"][r], dx), f"step {r + 1}: gradient with respect to the input")
            ok(sorted(grad) == sorted(names) and all(close(f["parameter_gradients"][n][r], grad[n]) for n in grad),
               f"step {r + 1}: gradients of the parameters")
            ok(all(close(g[k][r], d[k]) for k in d), f"step {r + 1}: dL/dh, dL/dc and dL/d(gates)")
            ok(all(close(g[k + "_norm"][r], np.sqrt((d[k] ** 2).sum((2, 3)))) for k in d),
               f"step {r + 1}: their norms by layer and time step")
            low = (want["f"] < 0.1).mean((1, 2))
            high = (want["o"] > 0.9).mean((1, 2))
            ok(np.array_equal(f["saturation/f_low"][r], low) and np.array_equal(f["saturation/o_high"][r], high),
               f"step {r + 1}: saturation by layer and unit")
            ok(close(a["probability"][r], prob), f"step {r + 1}: probabilities of the next token")
        ok("mask" not in a, "no mask where no batch has one")
        check_probe(f["probe"], par, names)
        last = R - 1
        for what in "mean", "std", "min", "max", "norm":
            function = np.linalg.norm if what == "norm" else getattr(np, what)
            ok(close(par[what][last], [function(par[n][last]) for n in names]), f"{what} of the parameters")
        ok(all(np.array_equal(par["histogram"][last, k], np.histogram(par[n][last], 64)[0])
               for k, n in enumerate(names)), "histograms of the parameters")
        first = [f["parameter_gradients"][n][0] for n in names]  # Adam's moments are 0 before; betas 0.9, 0.999
        ok(close(par["moment1_norm"][0], [0.1 * np.linalg.norm(v) for v in first]) and
           close(par["moment2_norm"][0], [0.001 * np.linalg.norm(v ** 2) for v in first]), "norms of the moments")
        norms = [np.linalg.norm(f["parameter_gradients"][n][last]) for n in names]
        ok(close(g["norm"][last], np.array(norms)), "norms of the parameters' gradients")
        ok(abs(np.linalg.norm(norms) - f["metrics/grad_norm"][last]) < 1e-9 * np.linalg.norm(norms),
           "which add up to the gradient's norm")
        symbols = f["vocabulary/symbol"].asstr()[:]
        ok(list(symbols) == list(a["class"].asstr()[:]) == sorted(set("to be or not to be, that is the question; ")),
           "the vocabulary")
        ok(all("".join(symbols[a["token"][r, :, row]]) == f["inputs/text"].asstr()[r, row]
               for r in range(R) for row in range(B)), "the text fed in, which is that of the tokens")
        ok([d[0].name.split("/")[-1] for d in a["f"].dims] == ["record", "layer", "time", "batch", "unit"],
           "dimensions have names")
        name, x = (f["mine/table"].dims[k][0] for k in (1, 2))
        ok([n.decode() for n in name[:]] == ["a", "b\u00e9", "c"] and list(x[:]) == [-0.5, 2],
           "dimensions of one's own tensors may have coordinates")
        table, never = f["mine/table"], f["never/table"]
        ok(table.attrs["long_name"] == "a table" and table.attrs["units"] == "m" and
           list(table[:, 0, 0]) == list(range(1, R + 1)), "a tensor that was announced has title, units and values")
        ok(never.shape == (0, 3, 2) and never.dtype == np.float32 and
           [d[0].name.split("/")[-1] for d in never.dims] == ["record", "name", "unit"],
           "one that never came is there, with its dimensions")
        ok(b"mark" in list(f["events/kind"][:]), "an event")


def check_rnn(path):
    with h5py.File(path, "r") as f:
        h, token = f["activations/h"], f["activations/token"]
        p = {n: f["parameters"][n][1] for n in f["parameters/parameter"].asstr()[:]}
        x = p["embedding.weight"][token[2]]
        state = f["activations/h_start"][2][0]
        ok(np.array_equal(state, h[1][0, -1]) and "c_start" not in f["activations"], "rnn: the initial state")
        for t in range(x.shape[0]):
            state = np.tanh(x[t] @ p["rnn.weight_ih_l0"].T + state @ p["rnn.weight_hh_l0"].T + p["rnn.bias_l0"])
            ok(close(h[2][0, t], state), f"rnn: hidden state at time {t}")
        logits = h[2][-1] @ p["head.weight"].T + p["head.bias"]
        ok(close(f["activations/logits"][2], logits), "rnn: logits")
        ok(f["probe/h"].shape[2:4] == (4, 2) and "f" not in f["probe"], "rnn: run:watch of all that there is")
        ok("f" not in f["activations"] and "dg_norm" in f["gradients"], "rnn: no gates")


def check_sequences(path, last):
    """Sequences of several lengths, padded; the loss of all time steps, or of the last of each. Gradients of two steps
    are accumulated, and clipped afterwards."""
    with h5py.File(path, "r") as f:
        a, g, par, grads, saturation = (f[name] for name in
                                        ("activations", "gradients", "parameters", "parameter_gradients", "saturation"))
        names = list(par["parameter"].asstr()[:])
        L, B, H = a["h_start"].shape[1:]
        what, shares, before = f"sequences{', the last step' if last else ''}: step", set(), None
        for r, T in enumerate(a["time_size"][:]):
            p = {n: par[n][max(r - 1, 0)] for n in names}  # the first step changes nothing
            h0, c0, x = a["h_start"][r], a["c_start"][r], f["inputs/x"][r][:T]
            y, mask = a["target"][r][:T], a["mask"][r][:T].astype(float)
            ok([set(s[l].flat) for s in (h0, c0) for l in range(L)] == [{0.1}, {0.2}, {0.3}, {0.4}],
               f"{what} {r + 1}: the initial state that the script set")
            want, out = forward(p, L, x, h0, c0)
            ok(all(close(a[k][r][:, :T], want[k]) for k in "ifgoch"), f"{what} {r + 1}: gates and states")
            counts, weight = mask > 0, mask[..., None] / (mask.sum() * out.shape[-1])
            ok((counts.sum(0).max() == 1) == last and not counts.all(), f"{what} {r + 1}: a mask that says what counts")
            ok(np.isnan(y[~counts]).all() and not np.isnan(y[counts]).any() and
               all(np.isnan(a[k][r][T:]).all() for k in ("target", "mask", "loss")), f"{what} {r + 1}: no target elsewhere")
            miss = np.where(counts[..., None], out - y, 0)
            ok(close(a["loss"][r][:T], (miss ** 2).sum(-1) * mask), f"{what} {r + 1}: loss of each position")
            ok(close(f["metrics/loss"][r], (miss ** 2 * weight).sum()), f"{what} {r + 1}: loss")
            d, _, grad = backward(p, want, x, h0, c0, 2 * miss * weight)
            ok(all(close(g[k][r][:, :T], d[k]) for k in d), f"{what} {r + 1}: dL/dh, dL/dc and dL/d(gates)")
            mean = {n: (before[n] + grad[n]) / 2 for n in names} if before else grad
            norms = np.array([np.linalg.norm(mean[n]) for n in names])
            ok(all(close(grads[n][r], mean[n]) for n in names) and close(g["norm"][r], norms),
               f"{what} {r + 1}: mean gradient of {2 if before else 1}")
            metrics = {k: f["metrics"][k][r] for k in ("grad_norm", "clipped_norm")}
            ok(close(metrics["grad_norm"], np.linalg.norm(norms)) and metrics["clipped_norm"] < metrics["grad_norm"]
               if before else np.isnan(list(metrics.values())).all(), f"{what} {r + 1}: which the update clips")
            before = None if before else grad
            real = np.flip(np.flip(counts, 0).cumsum(0) > 0, 0)
            for k in "ifo":
                low, high = (want[k][:, real] < 0.1).mean(1), (want[k][:, real] > 0.9).mean(1)
                ok(close(saturation[k + "_low"][r], low) and close(saturation[k + "_high"][r], high),
                   f"{what} {r + 1}: saturation of {k} without padding")
                shares |= set(low.flat) | set(high.flat)
        ok(len(shares) > 5, f"{what}s: some gates are saturated, and not all")


check_lstm(sys.argv[1])
check_rnn(sys.argv[2])
check_sequences(sys.argv[3], False)
check_sequences(sys.argv[4], True)
tap.done()
