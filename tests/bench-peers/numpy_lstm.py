#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Configuration A as notebooks do it that write an LSTM from scratch: NumPy, float64, one matrix a gate, column
vectors, one outer product a step for each gradient; gradients clipped by their norm, AdamW.

    numpy_lstm.py A THREADS [--seconds S]     prints one line of JSON: the median of all steps of S seconds
"""
import argparse
import json
import os
import statistics
import sys
import time

if len(sys.argv) > 2:  # BLAS reads them when NumPy is loaded
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[2]
import numpy as np

VOCAB, HIDDEN, STEPS = 65, 1000, 28
GATES = "ifgo"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Network:
    def __init__(self, rng):
        scale = HIDDEN ** -0.5
        self.p = {"W" + gate: rng.uniform(-scale, scale, (HIDDEN, HIDDEN + VOCAB)) for gate in GATES}
        self.p.update({"b" + gate: np.zeros((HIDDEN, 1)) for gate in GATES})
        self.p.update(Wy=rng.uniform(-scale, scale, (VOCAB, HIDDEN)), by=np.zeros((VOCAB, 1)))
        self.m = {name: np.zeros_like(value) for name, value in self.p.items()}
        self.v = {name: np.zeros_like(value) for name, value in self.p.items()}
        self.updates = 0

    def forward(self, ids, targets):
        p, loss, trace = self.p, 0.0, []
        h = c = np.zeros((HIDDEN, 1))
        for t in range(STEPS):
            one_hot = np.zeros((VOCAB, 1))
            one_hot[ids[t]] = 1
            x = np.concatenate((h, one_hot))
            i, f, o = (sigmoid(p["W" + gate] @ x + p["b" + gate]) for gate in "ifo")
            g = np.tanh(p["Wg"] @ x + p["bg"])
            before, c = c, f * c + i * g
            tanh_c = np.tanh(c)
            h = o * tanh_c
            logits = p["Wy"] @ h + p["by"]
            y = np.exp(logits - logits.max())
            y /= y.sum()
            loss -= np.log(y[targets[t], 0]) / STEPS
            trace.append((x, i, f, g, o, before, tanh_c, h, y))
        return loss, trace

    def backward(self, targets, trace):
        p = self.p
        grad = {name: np.zeros_like(value) for name, value in p.items()}
        dh_next = dc_next = np.zeros((HIDDEN, 1))
        for t in reversed(range(STEPS)):
            x, i, f, g, o, before, tanh_c, h, y = trace[t]
            dy = y / STEPS
            dy[targets[t]] -= 1 / STEPS
            grad["Wy"] += dy @ h.T
            grad["by"] += dy
            dh = p["Wy"].T @ dy + dh_next
            dc = dc_next + dh * o * (1 - tanh_c ** 2)
            d = {"i": dc * g * i * (1 - i), "f": dc * before * f * (1 - f), "g": dc * i * (1 - g ** 2),
                 "o": dh * tanh_c * o * (1 - o)}
            dx = np.zeros_like(x)
            for gate in GATES:
                grad["W" + gate] += d[gate] @ x.T
                grad["b" + gate] += d[gate]
                dx += p["W" + gate].T @ d[gate]
            dh_next, dc_next = dx[:HIDDEN], dc * f
        return grad

    def update(self, grad, lr=1e-3, decay=0.01, bound=5.0):
        norm = np.sqrt(sum(np.sum(g * g) for g in grad.values()))
        scale = min(1.0, bound / (norm + 1e-6))
        self.updates += 1
        for name, value in self.p.items():
            g, m, v = grad[name] * scale, self.m[name], self.v[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            value -= lr * decay * value
            value -= lr * (m / (1 - 0.9 ** self.updates)) / (np.sqrt(v / (1 - 0.999 ** self.updates)) + 1e-8)


def main():
    parser = argparse.ArgumentParser(description="an LSTM from scratch in NumPy")
    parser.add_argument("config", choices=["A"])
    parser.add_argument("threads", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(VOCAB, size=STEPS), rng.integers(VOCAB, size=STEPS)
    net, times, start = Network(rng), [], time.perf_counter()
    while len(times) < 4 or time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        _, trace = net.forward(ids, targets)
        net.update(net.backward(targets, trace))
        times.append(time.perf_counter() - before)
    times = times[1:]
    median = statistics.median(times)
    print(json.dumps({"peer": "NumPy " + np.__version__, "config": "A", "threads": args.threads,
                      "tokens_per_second": STEPS / median, "ms": 1e3 * median, "ms_best": 1e3 * min(times),
                      "repetitions": len(times)}))


if __name__ == "__main__":
    main()
