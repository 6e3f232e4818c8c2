#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmark's configurations in PyTorch, as its users write them: nn.LSTM, cross-entropy, clip_grad_norm_, AdamW.

    pytorch.py A-F THREADS [--seconds S] [--precision bf16]
                                              prints one line of JSON: the median of all steps of S seconds

Written to be fast: the fused optimizer where there is one, gradients set to None; for sampling inference_mode, and the
faster of nn.LSTM and a pair of nn.LSTMCell. bf16 is mixed precision: torch.autocast. Allocator and BLAS are chosen by
the environment: see compare.py.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn

VOCAB = 65
#         hidden, batch, steps, layers, embedding (0: one-hot)
CONFIGS = {"A": (1000, 1, 28, 1, 0), "B": (128, 50, 50, 2, 0), "C": (512, 64, 128, 2, 64), "D": (1024, 128, 64, 1, 0),
           "E": (64, 16, 200, 1, 0), "F": (512, 1, 1, 2, 0)}


class CharModel(nn.Module):
    def __init__(self, hidden, layers, embedding):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, embedding) if embedding else None
        self.lstm = nn.LSTM(embedding or VOCAB, hidden, layers)
        self.head = nn.Linear(hidden, VOCAB)

    def inputs(self, ids):
        return self.embed(ids) if self.embed else nn.functional.one_hot(ids, VOCAB).float()

    def forward(self, ids):
        return self.head(self.lstm(self.inputs(ids))[0])


def adamw(parameters):
    try:
        return torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    except (TypeError, RuntimeError):  # before 2.4, or no CPU version
        return torch.optim.AdamW(parameters, lr=1e-3)


def mixed(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def trainer(config, precision):
    hidden, batch, steps, layers, embedding = CONFIGS[config]
    model = CharModel(hidden, layers, embedding)
    optimizer = adamw(model.parameters())
    ids, targets = torch.randint(VOCAB, (steps, batch)), torch.randint(VOCAB, (steps, batch))

    def step():
        optimizer.zero_grad(set_to_none=True)
        with mixed(precision):
            logits = model(ids)
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def sampler(config, precision, cells):
    """Both ways of generating text: the recurrence by nn.LSTM over one step, or by the cells themselves."""
    hidden, _, _, layers, _ = CONFIGS[config]
    model = CharModel(hidden, layers, 0).eval()
    stack = [nn.LSTMCell(VOCAB if layer == 0 else hidden, hidden) for layer in range(layers)]
    one_hot = torch.eye(VOCAB).unsqueeze(1)
    state = {"x": one_hot[0], "hc": None, "cells": [None] * layers}

    def by_lstm():
        out, state["hc"] = model.lstm(state["x"].unsqueeze(0), state["hc"])
        return out[0]

    def by_cells():
        out = state["x"]
        for layer, cell in enumerate(stack):
            state["cells"][layer] = cell(out, state["cells"][layer])
            out = state["cells"][layer][0]
        return out

    recurrence = by_cells if cells else by_lstm

    def step():
        with torch.inference_mode(), mixed(precision):
            probabilities = torch.softmax(model.head(recurrence())[0].float(), -1)
            state["x"] = one_hot[int(torch.multinomial(probabilities, 1))]

    return step


def median_of(step, seconds):
    start = time.perf_counter()
    step()
    if time.perf_counter() - start < seconds:
        step()
    times, start = [], time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return statistics.median(times), min(times), len(times)


def measure(config, precision, seconds):
    if config != "F":
        return median_of(trainer(config, precision), seconds)
    ways = [sampler(config, precision, cells) for cells in (False, True)]
    return median_of(min(ways, key=lambda way: median_of(way, 0.2)[0]), seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", choices=sorted(CONFIGS))
    parser.add_argument("threads", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--precision", choices=["float", "bf16"], default="float")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    median, best, repetitions = measure(args.config, args.precision, args.seconds)
    _, batch, steps, _, _ = CONFIGS[args.config]
    print(json.dumps({"peer": "PyTorch " + torch.__version__.split("+")[0], "config": args.config,
                      "threads": args.threads, "tokens_per_second": batch * steps / median, "ms": 1e3 * median,
                      "ms_best": 1e3 * best, "repetitions": repetitions}))


if __name__ == "__main__":
    main()
