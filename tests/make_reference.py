#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes fixtures/reference.h5: small networks computed in float64 by PyTorch's autograd.

usage: make_reference.py OUT.h5            (Debian: python3-torch python3-h5py)

One group per case, arrays row-major and time-major, gates in the order i, f, g, o:
  attributes       the case's settings: cell T B V E I O H L input loss loss_at clip clip_value lr beta1 beta2 eps
                   weight_decay
  input/ids        [T,B] tokens, or input/x [T,B,I]
  target/ids       [T,B] classes, or target/y [T,B,O]
  state0/{h,c}     [L,B,H] initial state
  params/NAME      parameters before training
  forward/...      i f g o c h [L,T,B,H] (rnn: h), logits or y [T,B,O], loss (mean)
  backward/...     params/NAME, dh dc [L,T,B,H] over all paths, dh0 dc0 [L,B,H], dx [T,B,I] (dense), norm; not clipped
  adamw/...        losses [10] before each of ten updates on this batch, stepK/params/NAME after updates 1, 2 and 10
"""
import sys

import h5py
import numpy
import torch

DEFAULTS = dict(cell="lstm", input="onehot", loss="cross_entropy", loss_at="all", clip="none", clip_value=0.0, V=0, E=0,
                I=0, O=0, L=1, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, start=0.0, scale=0.0)
# Settings per case. start: standard deviation of the initial state; scale: bound of the parameters, 0: 1/sqrt(H).
CASES = {
    "onehot_clip_value": dict(T=14, B=1, V=21, H=10, clip="value", clip_value=0.03, weight_decay=1e-4),
    "embedding_clip_norm": dict(T=7, B=5, V=13, E=6, H=18, L=2, input="embedding", start=0.5, clip="norm",
                                clip_value=0.25),
    "dense_mse_last": dict(T=12, B=3, I=4, O=2, H=17, input="dense", loss="mse", loss_at="last", start=0.5),
    "three_layers": dict(T=5, B=2, V=5, H=13, L=3, scale=0.4, beta1=0.8, beta2=0.95, eps=1e-4),
    "rnn_two_layers": dict(cell="rnn", T=8, B=3, V=11, H=19, L=2, start=0.5),
    "rnn_dense": dict(cell="rnn", T=15, B=1, I=10, O=7, H=20, input="dense", loss="mse", lr=1e-2),
    "saturated": dict(T=6, B=3, V=7, H=16, scale=6.0),
    "one_of_each": dict(T=1, B=1, V=2, H=1, loss_at="last"),
}


class Network:
    """Parameters and one batch of data of a case, drawn from its own generator."""

    def __init__(self, case, seed):
        self.case = case
        self.rng = numpy.random.default_rng(seed)
        T, B, H, L = (case[k] for k in "TBHL")
        self.width = {"onehot": case["V"], "embedding": case["E"], "dense": case["I"]}[case["input"]]
        self.classes = case["loss"] == "cross_entropy"
        self.outputs = case["V"] if self.classes else case["O"]
        self.params = self.make_params(H, L)
        tokens = case["input"] != "dense"
        self.ids = torch.from_numpy(self.rng.integers(0, case["V"], (T, B))) if tokens else None
        self.x = None if tokens else self.normal(T, B, self.width)
        self.targets = (torch.from_numpy(self.rng.integers(0, self.outputs, (T, B))) if self.classes
                        else self.normal(T, B, self.outputs).detach())
        self.h0, self.c0 = (self.normal(L, B, H, std=case["start"]) for _ in "hc")

    def normal(self, *shape, std=1.0):
        return torch.tensor(std * self.rng.standard_normal(shape), requires_grad=True)

    def make_params(self, H, L):
        bound = self.case["scale"] or H ** -0.5
        cell, rows = self.case["cell"], 4 * H if self.case["cell"] == "lstm" else H
        shapes = {}
        for layer in range(L):
            shapes[f"{cell}.weight_ih_l{layer}"] = (rows, H if layer else self.width)
            shapes[f"{cell}.weight_hh_l{layer}"] = (rows, H)
            shapes[f"{cell}.bias_l{layer}"] = (rows,)
        shapes["head.weight"], shapes["head.bias"] = (self.outputs, H), (self.outputs,)
        params = {n: torch.tensor(self.rng.uniform(-bound, bound, s), requires_grad=True) for n, s in shapes.items()}
        if self.case["input"] == "embedding":
            params["embedding.weight"] = self.normal(self.case["V"], self.width)
        return params

    def inputs(self):
        if self.case["input"] == "dense":
            return list(self.x)
        table = self.params["embedding.weight"] if self.case["input"] == "embedding" else torch.eye(self.width)
        return list(table[self.ids])

    def layer(self, layer, inputs, trace):
        """Runs one layer over time; trace(name, layer, time, tensor) sees every value."""
        cell = self.case["cell"]
        w, u, bias = (self.params[f"{cell}.{p}_l{layer}"] for p in ("weight_ih", "weight_hh", "bias"))
        h, c, outputs = self.h0[layer], self.c0[layer], []
        for time, x in enumerate(inputs):
            z = torch.nn.functional.linear(x, w, bias) + torch.nn.functional.linear(h, u)
            if cell == "lstm":
                i, f, g, o = z.split(self.case["H"], dim=1)
                i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
                c = f * c + i * g
                h = o * c.tanh()
                for name, value in zip("ifgoc", (i, f, g, o, c)):
                    trace(name, layer, time, value)
            else:
                h = z.tanh()
            trace("h", layer, time, h)
            outputs.append(h)
        return outputs

    def forward(self, trace=lambda *_: None):
        sequence = self.inputs()
        for layer in range(self.case["L"]):
            sequence = self.layer(layer, sequence, trace)
        return torch.stack(sequence) @ self.params["head.weight"].T + self.params["head.bias"]

    def loss(self, output):
        counted = slice(-1, None) if self.case["loss_at"] == "last" else slice(None)
        output, targets = output[counted], self.targets[counted]
        if self.classes:
            return torch.nn.functional.cross_entropy(output.flatten(0, 1), targets.flatten())
        return torch.nn.functional.mse_loss(output, targets)

    def clip(self):
        tensors, bound = list(self.params.values()), self.case["clip_value"]
        if self.case["clip"] == "value":
            torch.nn.utils.clip_grad_value_(tensors, bound)
        elif self.case["clip"] == "norm":
            torch.nn.utils.clip_grad_norm_(tensors, bound)


def write_batch(group, net):
    group["input/ids" if net.x is None else "input/x"] = net.ids.int() if net.x is None else net.x.detach()
    group["target/ids" if net.classes else "target/y"] = net.targets.int() if net.classes else net.targets
    group["state0/h"], group["state0/c"] = net.h0.detach(), net.c0.detach()


def write_params(group, net, gradient=False):
    for name, p in net.params.items():
        group[name] = (p.grad if gradient else p).detach().numpy().copy()


def write_pass(group, net):
    """One forward and backward pass, everything kept."""
    T, L = net.case["T"], net.case["L"]
    seen = {}

    def trace(name, layer, time, value):
        value.retain_grad()
        seen[name, layer, time] = value

    def stacked(name, pick):
        return numpy.stack([[pick(seen[name, layer, time]) for time in range(T)] for layer in range(L)])

    def gradient(t):
        return numpy.zeros(t.shape) if t.grad is None else t.grad.numpy()

    output = net.forward(trace)
    loss = net.loss(output)
    loss.backward()
    for name in sorted({key[0] for key in seen}):
        group[f"forward/{name}"] = stacked(name, lambda t: t.detach().numpy())
        if name in "hc":
            group[f"backward/d{name}"] = stacked(name, gradient)
    group["forward/logits" if net.classes else "forward/y"] = output.detach()
    group["forward/loss"] = loss.item()
    group["backward/dh0"] = gradient(net.h0)
    if net.case["cell"] == "lstm":
        group["backward/dc0"] = gradient(net.c0)
    if net.x is not None:
        group["backward/dx"] = gradient(net.x)
    write_params(group.create_group("backward/params"), net, gradient=True)
    group["backward/norm"] = numpy.sqrt(sum(float((p.grad ** 2).sum()) for p in net.params.values()))


def write_training(group, net):
    c = net.case
    optimizer = torch.optim.AdamW(net.params.values(), lr=c["lr"], betas=(c["beta1"], c["beta2"]), eps=c["eps"],
                                  weight_decay=c["weight_decay"])
    losses = []
    for update in range(1, 11):
        optimizer.zero_grad()
        loss = net.loss(net.forward())
        losses.append(loss.item())
        loss.backward()
        net.clip()
        optimizer.step()
        if update in (1, 2, 10):
            write_params(group.create_group(f"step{update}/params"), net)
    group["losses"] = losses


def main(path):
    torch.set_default_dtype(torch.float64)
    with h5py.File(path, "w", libver=("latest", "v110")) as file:
        for seed, (name, settings) in enumerate(CASES.items(), 1):
            case = {**DEFAULTS, **settings}
            net, group = Network(case, seed), file.create_group(name)
            group.attrs.update(case)
            write_batch(group, net)
            write_params(group.create_group("params"), net)
            write_pass(group, net)
            write_training(group.create_group("adamw"), net)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
