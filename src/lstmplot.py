#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures of runs: reads their logs, writes PNG, SVG or PDF. See docs/tools.md.

A kind of figure is a function of (runs, options) that returns a matplotlib figure, and an entry in KINDS. What a user
can do wrong is a Trouble: one sentence on standard error and exit status 1, or 2 where the command line is wrong."""
import argparse
import io
import os
import sys
import time

try:
    import h5py
    import numpy as np
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    LACKS = None
except ImportError as error:  # --help works all the same
    LACKS = f"{error}; lstmplot needs h5py and matplotlib (Debian: python3-h5py python3-matplotlib) in {sys.executable}"
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):  # it may have them already
        LACKS += f", or try: /usr/bin/python3 {sys.argv[0]} ..."

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (4, 4)), (0, (3, 1, 1, 1, 1, 1))]
MARKERS = ["o", "s", "^", "D", "v", "P"]  # in their place where there is no line
MOST_LINES = 40  # as many as differ in colour and dashes
STYLE = {
    "axes.grid": True, "axes.spines.right": False, "axes.spines.top": False, "axes.titlesize": 11,
    "figure.constrained_layout.use": True, "figure.dpi": 100, "font.size": 10, "grid.alpha": 0.25,
    "legend.fontsize": 9, "legend.frameon": False, "savefig.dpi": 100, "svg.fonttype": "none", "pdf.fonttype": 42,
    "svg.hashsalt": "lstmplot",  # the same figure is the same file
}
GATES = {"i": "input gate i", "f": "forget gate f", "g": "candidate g", "o": "output gate o"}
ACTIVATIONS = {**GATES, "c": "cell state c", "h": "hidden state h"}
GRADIENTS = {what: f"gradient \u2202L/\u2202{what[1]}" for what in ("dh", "dc", "di", "df", "dg", "do")}
BEFORE = {"di": "sigmoid", "df": "sigmoid", "dg": "tanh", "do": "sigmoid"}  # gradients are those before these
OUTPUTS = {"logits": "logits", "probabilities": "probability of each class", "output": "output of the network"}
SERIES = {"probabilities": "probability"}  # what is called otherwise in the log
INSIDE = {**ACTIVATIONS, **GRADIENTS, **OUTPUTS}
OF_RNN = ["h", "dh", "dg", *OUTPUTS]  # what a plain RNN has of these
STATISTICS = {
    "norm": "L2 norm", "mean": "mean", "std": "standard deviation", "min": "minimum", "max": "maximum",
    "moment1_norm": "L2 norm of the optimiser's first moment",
    "moment2_norm": "L2 norm of the optimiser's second moment",
    "gradient": "L2 norm of the gradient",
}
# Which option of a run makes lstmrun log a group.
LOGGED_BY = {
    "activations": "activations.every=100", "saturation": "saturation.every=100",
    "gradients": "gradients.every=100", "parameters": "parameters.every=100",
}
FORMAT_VERSION = "1"  # of logs
CORE_LIMIT = 1 << 30  # bytes: larger logs are not read into memory at once


class Trouble(Exception):
    """What went wrong, as a sentence; status: how to exit."""

    def __init__(self, sentence, status=1):
        super().__init__(sentence)
        self.status = status


# ---- reading a run --------------------------------------------------------------------------------------------------

def commits(path):
    """How many commits a log has seen; None of another file."""
    with h5py.File(path, "r") as f:
        return f.attrs.get("commits")


def open_log(path, expected="a run's directory or its log.h5"):
    """The log, as of one commit: none has come while it was read. While a commit is put in place, a live log can't be
    opened. Tries for two seconds."""
    give_up = time.monotonic() + 2
    while True:
        try:
            if os.path.getsize(path) > CORE_LIMIT:
                return h5py.File(path, "r")
            before = commits(path)
            log = h5py.File(path, "r", driver="core", backing_store=False)
            if commits(path) == before or time.monotonic() > give_up:
                return log
            log.close()
        except FileNotFoundError:
            raise Trouble(f"{path}: no such file; give {expected}") from None
        except PermissionError:
            raise Trouble(f"{path}: permission denied") from None
        except (OSError, RuntimeError):
            if time.monotonic() > give_up:
                raise Trouble(f"{path} does not open as HDF5; if its run was killed, go on with the run (--resume) "
                              "or use lstmlog recover") from None
            time.sleep(0.05)


def text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def plain(string):
    """As matplotlib takes it: no dollar begins mathematics."""
    return string.replace("$", r"\$")


class Run:
    """A run's log. path: the run's directory or its log.h5."""

    def __init__(self, path):
        self.path = path
        self.directory = path if os.path.isdir(path) else os.path.dirname(path)
        self.log = open_log(os.path.join(path, "log.h5") if os.path.isdir(path) else path)
        if "metrics" not in self.log or "config" not in self.log:
            raise Trouble(f"{path} is not the log of a run: it has no /metrics and /config")
        version = self.log.attrs.get("format_version")
        if str(version) != FORMAT_VERSION:
            raise Trouble(f"{path} has format_version {version}, this program knows {FORMAT_VERSION}: use the lstmplot of "
                          "the lstmrun that wrote it")
        self.name = os.path.basename(os.path.abspath(self.directory))
        experiment = self.log["environment"].attrs.get("experiment", "") if "environment" in self.log else ""
        self.title = plain(" ".join(dict.fromkeys(filter(None, [text(experiment), self.name]))))

    def metric(self, name):
        """(steps, values) of a metric where it was logged; both empty when it never was."""
        steps = self.log["metrics/step"][...]
        values = self.log["metrics"][name][...] if name in self.log["metrics"] else np.full(len(steps), np.nan)
        there = np.isfinite(values)
        return steps[there], values[there]

    def series(self, name):
        """The dataset GROUP/NAME, which has a record at least."""
        group = name.split("/")[0]
        if name not in self.log:
            if group in self.log:
                raise Trouble(f"{self.path} has no {name}; in {group} there is "
                              + ", ".join(k for k, v in self.log[group].items() if v.ndim > 1))
            raise Trouble(f"{self.path} has no {group}"
                          + (f"; run with {LOGGED_BY[group]}" if group in LOGGED_BY else ""))
        if len(self.log[name]) == 0:
            raise Trouble(f"{self.path} has no record of {name} yet")
        return self.log[name]

    def steps(self, name):
        return self.log[name.split("/")[0] + "/step"][...]

    def record_of(self, name, step):
        """The index of the record of a step; None: the last."""
        steps = self.steps(name)
        if step is None:
            return len(steps) - 1
        found = np.flatnonzero(steps == step)
        if len(found) == 0:
            nearest = steps[np.argmin(np.abs(steps - step))]
            raise Trouble(f"{self.path} has {name.split('/')[0]} of {len(steps)} steps from {steps[0]} to {steps[-1]}, "
                          f"but not of step {step}; the nearest is {nearest}")
        return found[-1]

    def read(self, name, record):
        """A record without the padding of records that are smaller than announced."""
        dataset = self.series(name)
        sizes = []
        for axis in range(1, dataset.ndim):
            dims = dataset.dims[axis]
            size = f"{dims[0].name}_size" if len(dims) else ""
            sizes.append(slice(int(self.log[size][record]) if size in self.log else None))
        return dataset[(record, *sizes)]

    def scale(self, name, axis):
        """The dimension scale of an axis of a series: a dataset with its name and coordinates."""
        scales = self.log[name].dims[axis % self.log[name].ndim]
        return scales[0] if len(scales) else None

    def dimension(self, name, axis):
        scale = self.scale(name, axis)
        return os.path.basename(text(scale.name)) if scale is not None else "index"

    def coordinates(self, name, axis):
        """(values, None) of an axis whose coordinates are numbers, (indexes, texts) of one that has texts."""
        scale, size = self.scale(name, axis), self.log[name].shape[axis]
        if scale is None or scale.dtype.kind in "SO":
            return np.arange(size), None if scale is None else [text(v) for v in scale[...]]
        return scale[...], None

    def coordinate(self, name, axis, i):
        """What an index of an axis stands for: "random", or "T = 10"."""
        values, texts = self.coordinates(name, axis)
        return texts[i] if texts else f"{self.dimension(name, axis)} = {values[i]:g}"

    def series_of(self, group):
        """The names of a group's series."""
        if group not in self.log:
            raise Trouble(f"{self.path} has no {group}")
        return [f"{group}/{k}" for k, v in self.log[group].items() if v.ndim > 1]

    def option(self, name):
        """The value of an option of the run, as text."""
        if name not in self.log["config"].attrs:
            raise Trouble(f"{self.path} has no option {name}; it has {', '.join(self.log['config'].attrs)}")
        value = self.log["config"].attrs[name]
        return text(value) if isinstance(value, (bytes, str)) else f"{value}"

    def labels(self, name):
        return [text(v) for v in self.log[name][...]]

    def vocabulary(self):
        """The symbols of the token ids; None without a vocabulary."""
        return self.labels("vocabulary/symbol") if "vocabulary/symbol" in self.log else None


def numbers_of(column):
    """Texts as an array: of numbers where all of them are, so that 20 comes before 100."""
    texts = [text(v) for v in column]
    for kind in int, float:
        try:
            return np.array([kind(v) for v in texts])
        except ValueError:
            continue
    return np.array(texts)


def values_of(column):
    """A parameter's values; what is true or false is so named: the log has it as bytes 1 and 0."""
    if column.dtype == np.uint8:
        return np.array(["false", "true"])[column[...]]
    return numbers_of(column) if h5py.check_string_dtype(column.dtype) else column[...]


class Sweep:
    """What a sweep found. path: its directory or its sweep.h5."""

    def __init__(self, path):
        self.path = path
        file = open_log(os.path.join(path, "sweep.h5") if os.path.isdir(path) else path, "a sweep's directory or its "
                        "sweep.h5, which a sweep writes at its end and by --collect")
        if "trials" not in file or "metric" not in file.attrs:
            raise Trouble(f"{path} is not what a sweep found: it has no /trials")
        self.title, self.metric = plain(text(file.attrs["name"])), text(file.attrs["metric"])
        self.is_loss = text(file.attrs["goal"]) == "min"
        self.values = file["trials"]["best_" + self.metric][...].astype(float)
        self.columns = {}
        for name in text(file.attrs["parameters"]).split():
            column = file["trials"]["param_" + name if "param_" + name in file["trials"] else name]
            self.columns[name] = values_of(column)
        self.varied = [name for name, column in self.columns.items() if len(np.unique(column)) > 1]
        self.curves = {k: v for k, v in file.get("curves", {}).items() if v.ndim == 2}
        self.steps = file["curves/step"][...] if self.curves else np.zeros(0, int)
        if not np.isfinite(self.values).any():
            raise Trouble(f"{path}: no trial has a {self.metric} yet")

    def column(self, option, name):
        if name not in self.columns:
            raise Trouble(f"--{option} {name}: the parameters of {self.path} are {', '.join(self.columns)}", 2)
        return self.columns[name]


# ---- what figures have in common ------------------------------------------------------------------------------------

def one(runs, kind):
    if len(runs) != 1:
        raise Trouble(f"{kind} draws one run, {len(runs)} were given", 2)
    return runs[0]


def chosen(options, name, choices, default):
    """The value of --NAME, one of the choices."""
    value = getattr(options, name) or default
    if value not in choices:
        raise Trouble(f"--{name} {value}: expected one of {', '.join(choices)}", 2)
    return value


def index(run, option, value, size):
    """A number given to --OPTION, of a dimension of that size."""
    if not 0 <= value < size:
        have = "only 0" if size == 1 else f"0 to {size - 1}"
        raise Trouble(f"--{option} {value}: {run.path} has {have}", 2)
    return value


def layers(run, options, size):
    return range(size) if options.layer is None else [index(run, "layer", options.layer, size)]


def some_of(run, option, words, size):
    """Indexes from "3,8,12", "0:32" (without 32) or both; None: all."""
    if words is None:
        return np.arange(size)
    result = []
    for word in words.split(","):
        first, colon, end = word.partition(":")
        try:
            bounds = (int(first or 0), int(end or size)) if colon else (int(first), int(first) + 1)
        except ValueError:
            raise Trouble(f"--{option} {words}: expected numbers as in 3,8,12 or a range as in 0:32", 2) from None
        index(run, option, bounds[0], size)
        result.extend(range(bounds[0], min(bounds[1], size)))
    if not result:
        raise Trouble(f"--{option} {words}: chooses nothing", 2)
    return np.array(result)


def spread(count, most):
    """At most `most` of the indexes below count, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def records(run, name, options, most):
    """The records of --step A,B,...; else `most` over the whole run."""
    if options.step is None:
        return spread(len(run.series(name)), most)
    run.series(name)
    return [run.record_of(name, step) for step in options.step]


def single_step(options):
    if options.step is not None and len(options.step) != 1:
        raise Trouble(f"--step: {options.kind} draws one step", 2)
    return options.step[0] if options.step else None


def shades(count):
    """Colours from dark to bright, for what has an order; the brightest ones would be lost on white."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.85, max(count, 2)))


def line_style(k):
    """How the k-th line is drawn, so that it differs from the others."""
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": DASHES[k // len(COLOURS) % len(DASHES)]}


def number(value):
    return f"{value:,}"


def thousands(axis):
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10], integer=True))


def figure(width, height, title, **grid):
    """A figure with a grid of axes: (figure, axes [rows, columns])."""
    fig = Figure(figsize=(width, height))
    fig.suptitle(title, fontsize=min(12, 114 * width / len(title)), fontweight="bold")  # as wide as the figure at most
    return fig, fig.subplots(squeeze=False, **grid)


def legend_beside(ax, *entries):
    ax.legend(*entries, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handlelength=3)


def finite(run, name, values):
    if not np.isfinite(values).any():
        raise Trouble(f"{run.path}: {name} holds no finite number there")
    return values


# ---- the kinds ------------------------------------------------------------------------------------------------------

def outline(steps, values, most=1000):
    """A noisy curve with at most 2 x most points that looks the same: least and largest value of each stretch."""
    starts = np.arange(0, len(steps), max(1, len(steps) // most))
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return np.repeat(steps[starts], 2), np.column_stack([low, high]).ravel()


def loss(runs, options):
    """loss of training and validation over training steps, of one or many runs"""
    fig, axes = figure(8, 4.8, f"Loss of {runs[0].title}" if len(runs) == 1 else f"Loss of {len(runs)} runs")
    ax = axes[0, 0]
    for k, run in enumerate(runs):
        draw_loss(ax, run, line_style(k), "" if len(runs) == 1 else run.title + ": ")
    ax.set_xlabel("training step")
    ax.set_ylabel("loss")
    if all("data" in run.log["environment"].attrs for run in runs if "environment" in run.log):
        ax.set_ylabel("loss (nats per token)")
        bits = ax.secondary_yaxis("right", functions=(lambda y: y / np.log(2), lambda y: y * np.log(2)))
        bits.set_ylabel("bits per token")
    thousands(ax.xaxis)
    ax.legend(loc="upper right")
    return fig


def draw_loss(ax, run, style, prefix):
    steps, values = run.metric("loss")
    if len(steps) == 0:
        raise Trouble(f"{run.path} has no loss yet")
    smooth_steps, smooth = run.metric("smoothed_loss")
    if len(smooth_steps) == 0 or len(steps) <= 200:  # smoothing would hide what so few steps do
        smooth_steps, smooth = steps, values
    ax.plot(*outline(steps, values), color=style["color"], alpha=0.25, linewidth=0.8)
    ax.plot(*outline(smooth_steps, smooth), linewidth=1.2, alpha=0.7, label=prefix + "training", **style)
    steps, values = run.metric("val_loss")
    if len(steps):
        best = np.argmin(values)
        few = {"marker": "o", "markersize": 4} if len(steps) <= 40 else {}
        ax.plot(steps, values, linewidth=2, **style, **few,
                label=f"{prefix}validation, best {values[best]:.4g} at step {number(steps[best])}")
        ax.plot(steps[best], values[best], marker="*", markersize=14, color=style["color"], markeredgecolor="white",
                zorder=5)


def is_rnn(run):
    """Whether the run is of a plain RNN: by its option, or since its network was recorded, which has no gates."""
    config = run.log["config"].attrs
    if "cell" in config:
        return text(config["cell"]) == "rnn"
    return any(group in run.log and not text(config.get(group + ".of", "")) and gate not in run.log[group]
               for group, gate in (("activations", "i"), ("gradients", "di_norm")))


def inside(run, options, what, norm=""):
    """The series of a gate, state, gradient or output: what the run's options record, or run:watch into --group. norm:
    "_norm" for a gradient's norms, which the run's options record alone."""
    own = "gradients" if what in GRADIENTS else "activations"
    group = options.group or own
    name = f"{group}/{SERIES.get(what, what)}" + (norm if group == "gradients" else "")
    if name not in run.log and group == own:
        raise Trouble(f"{run.path} " + why_not_recorded(run, name, what, norm))
    if name not in run.log and group not in LOGGED_BY:
        field = f'output = "{output_option(what)}"' if what in OUTPUTS else f'of = {{ "{what}" }}'
        raise Trouble(f"{run.path} has no {name if group in run.log else group}; record it by "
                      f'run:watch(step, fit, "{group}", {{ {field} }})' + watched_instead(run, group, name))
    run.series(name)
    return name


def watched_instead(run, group, name):
    """For a message: the groups that have the series which this one, perhaps mistyped, lacks."""
    series = name.split("/", 1)[1]
    there = [other for other in run.log if other != group and f"{other}/{series}" in run.log]
    return f", or try --group {' or '.join(there)}" if there else ""


def output_option(what):
    return "probabilities" if what == "probabilities" else "logits"


def why_not_recorded(run, name, what, norm):
    group = name.split("/")[0]
    if is_rnn(run) and what not in OF_RNN:
        return ("is of a plain RNN, which has neither gates nor a cell state; try "
                + ("--what dh" if what in GRADIENTS else "heatmap --what h"))
    put_out = [other for other in OUTPUTS if f"{group}/{SERIES.get(other, other)}" in run.log]
    if what in OUTPUTS and put_out and "output" in (what, *put_out):  # of numbers, or of classes
        return f"has no {name}; try --what {put_out[0]}"
    of = text(run.log["config"].attrs.get(group + ".of", ""))
    options = [LOGGED_BY[group]]
    if what in OUTPUTS:
        options.append("activations.output=" + output_option(what))
    elif of and what not in of.split(","):
        options.append(f"{group}.of={of},{what}")
    if what in GRADIENTS and not norm:
        options.append("gradients.full=true")
    return f"has no {name if group in run.log else group}; run with {' '.join(options)}"


def gates(runs, options):
    """gate activations over the time steps of one record: mean and quartiles of the units"""
    run = one(runs, "gates")
    names = [inside(run, options, gate) for gate in GATES]
    record = run.record_of(names[0], single_step(options))
    fig, axes = figure(10, 6, f"Mean gate activations of {run.title}, training step "
                       + number(run.steps(names[0])[record]), nrows=2, ncols=2, sharex=True)
    for ax, name, (gate, title) in zip(axes.ravel(), names, GATES.items()):
        values = finite(run, name, run.read(name, record))
        for layer in layers(run, options, len(values)):
            units = values[layer].reshape(values.shape[1], -1)  # [time, batch x unit]
            colour = COLOURS[layer % len(COLOURS)]
            ax.plot(np.nanmean(units, axis=1), color=colour, linewidth=2, label=f"layer {layer}, mean")
            quartiles = ax.plot(np.nanpercentile(units, [25, 75], axis=1).T, color=colour, linewidth=0.7, alpha=0.6)
            quartiles[0].set_label(f"layer {layer}, quartiles")
        ax.set_title(title)
        ax.set_ylim((-1.02, 1.02) if gate == "g" else (-0.01, 1.01))
        ax.set_ylabel("activation")
        thousands(ax.xaxis)
    for ax in axes[1]:
        ax.set_xlabel("time step")
    legend_beside(axes[0, 1])
    return fig


def shown(symbol, most=12):
    """A token as a label: what can't be seen gets a sign, long words are cut."""
    symbol = symbol.replace("\n", "\u21b5").replace("\t", "\u21e5").replace("\r", "\u240d")
    symbol = "".join(c if c.isprintable() else "\ufffd" for c in symbol)
    return plain(symbol if len(symbol) <= most else symbol[:most - 1] + "\u2026")


def memory(runs, options):
    """what a layer keeps, writes and shows: mean gates and mean |c| over time steps, the text below"""
    run = one(runs, "memory")
    name = inside(run, options, "c")
    record = run.record_of(name, single_step(options))
    step = run.steps(name)[record]
    row = index(run, "row", options.row or 0, run.series(name).shape[3])
    times = some_of(run, "time", options.time, run.read(name, record).shape[1])
    labels = token_labels(run, options, step, row, times)
    long = labels is not None and max(map(len, labels)) > 2
    cell = 0.17 if long else 0.105  # inches for a token
    fig, axes = figure(min(max(1.6 + 2 * cell * len(times), 10), 60), 6.5,
                       f"Memory of {run.title}, training step {number(step)}", nrows=2, ncols=2)
    panels = [("f", "forget gate f: how much is kept"), ("i", "input gate i: how much is written"),
              ("o", "output gate o: how much is shown"), ("c", "cell state: mean |c|")]
    for ax, (what, title) in zip(axes.ravel(), panels):
        name = inside(run, options, what)
        values = finite(run, name, run.read(name, record))[:, times, row]
        for layer in layers(run, options, len(values)):
            ax.plot(np.nanmean(np.abs(values[layer]), axis=-1), color=COLOURS[layer % len(COLOURS)], linewidth=1.6,
                    label=f"layer {layer}")
        ax.set_title(title)
        ax.margins(x=0.01)
        label_times(ax, times, labels, long)
    legend_beside(axes[0, 1])
    return fig


def heatmap(runs, options):
    """a gate, state, gradient or the output over time steps and units, with the text below"""
    run = one(runs, "heatmap")
    what = chosen(options, "what", INSIDE, "h")
    name = inside(run, options, what)
    record = run.record_of(name, single_step(options))
    step = run.steps(name)[record]
    values = run.read(name, record)  # [layer, time, batch, unit], of an output [time, batch, class]
    of_layer = ""
    if what not in OUTPUTS:
        layer = index(run, "layer", options.layer or 0, len(values))
        values, of_layer = values[layer], f"layer {layer}, "
    elif options.layer is not None:
        raise Trouble(f"--layer {options.layer}: expected none with --what {what}, which is of the whole network", 2)
    row = index(run, "row", options.row or 0, values.shape[1])
    times = some_of(run, "time", options.time, values.shape[0])
    units = some_of(run, "units", options.units, values.shape[2])
    labels = token_labels(run, options, step, row, times)
    long = labels is not None and max(map(len, labels)) > 2
    names = unit_labels(run, name, units)

    cell = 0.17 if long else 0.105  # inches for a token
    width = min(max(1.9 + cell * len(times), 6.5), 60)
    height = 1.8 + 0.12 * len(units) if names else min(2.2 + 0.035 * len(units), 9)
    title = INSIDE[what][0].upper() + INSIDE[what][1:]
    fig, axes = figure(width, max(height, 3.6), f"{title} of {run.title}, {of_layer}training step {number(step)}")
    draw_heatmap(fig, axes[0, 0], finite(run, name, values[times, row][:, units].T), what)
    label_units(axes[0, 0], run.dimension(name, -1), units, names)
    label_times(axes[0, 0], times, labels, long)
    return fig


def token_labels(run, options, step, row, times):
    """The tokens fed in, which are beside the activations of the same step; None where there are none."""
    name = ("activations" if options.group in (None, *LOGGED_BY) else options.group) + "/token"
    vocabulary = run.vocabulary()
    if vocabulary is None or name not in run.log or step not in run.steps(name):
        return None
    ids = run.read(name, run.record_of(name, step))[times, row]
    return [shown(vocabulary[k]) if 0 <= k < len(vocabulary) else "\ufffd" for k in ids]


def draw_heatmap(fig, ax, image, what):
    """image: [unit, time]. Gates from 0 to 1, probabilities from 0; what has a sign in two colours that part at 0."""
    largest = np.nanmax(np.abs(image))
    if what in ("i", "f", "o"):
        scale = {"cmap": "viridis", "vmin": 0, "vmax": 1}
    elif what == "probabilities":
        scale = {"cmap": "viridis", "vmin": 0, "vmax": largest}
    else:
        bound = 1 if what in ("g", "h") else np.nanpercentile(np.abs(image), 99) or largest or 1
        scale = {"cmap": "PuOr", "vmin": -bound, "vmax": bound}
    drawn = ax.imshow(image, aspect="auto", interpolation="nearest", **scale)
    ax.set_facecolor("0.6")  # where a number is not finite
    ax.grid(False)
    bar = fig.colorbar(drawn, ax=ax, pad=0.01, fraction=0.05, aspect=25,
                       extend="both" if largest > scale["vmax"] else "neither")
    bar.set_label(INSIDE[what] + (f" before its {BEFORE[what]}" if what in BEFORE else ""))


def unit_labels(run, name, units):
    """The names of classes; None of what has none, or too many to be read."""
    texts = run.coordinates(name, -1)[1]
    return [shown(texts[k]) for k in units] if texts and len(units) <= 150 else None


def label_units(ax, dimension, units, names):
    ax.set_ylabel(dimension)
    if names:
        ax.set_yticks(range(len(units)), names, family="monospace", fontsize=7)
        ax.tick_params(axis="y", length=0)
        return
    apart = next(n for n in (1, 5, 10, 20, 50, 100, 500, len(units)) if len(units) <= 13 * n or n == len(units))
    ticks = [k for k, unit in enumerate(units) if unit % apart == 0]
    ax.set_yticks(ticks, [str(units[k]) for k in ticks])


def label_times(ax, times, labels, long):
    ticks = [k for k, t in enumerate(times) if t % 10 == 0 or len(times) <= 20]
    if labels is None:
        ax.set_xticks(ticks, [str(times[k]) for k in ticks])
        ax.set_xlabel("time step")
        return
    ax.set_xticks(range(len(times)), labels, family="monospace", fontsize=8 if long else 9,
                  rotation=90 if long else 0)
    ax.tick_params(axis="x", length=0, pad=3)
    ax.set_xlabel("token fed in")
    top = ax.secondary_xaxis("top")
    top.set_xticks(ticks, [str(times[k]) for k in ticks])
    top.set_xlabel("time step")


def gradients(runs, options):
    """norm of dL/dh or another gradient over time steps, at several training steps or, of several runs, the last"""
    what = chosen(options, "what", GRADIENTS, "dh")
    single = len(runs) == 1
    names = [inside(run, options, what, "_norm") for run in runs]
    chosen_layers = [layers(run, options, run.log[name].shape[1]) for run, name in zip(runs, names)]
    panels = sorted(set().union(*chosen_layers))
    fig, axes = figure(max(6.5, 1 + 4 * len(panels)), 4.5, "Gradient through time of "
                       + (runs[0].title if single else f"{len(runs)} runs"), ncols=len(panels), sharey=True)
    for k, (run, name, of_run) in enumerate(zip(runs, names, chosen_layers)):
        which = records(run, name, options, 6) if single or options.step else [len(run.log[name]) - 1]
        colours, there = shades(len(which)), False
        for j, record in enumerate(which):
            style = {"color": colours[j]} if single else line_style(k + j * len(COLOURS))
            label = ("" if single else plain(run.name) + ", ") + f"step {number(run.steps(name)[record])}"
            norms = norms_of(run, name, record)
            for layer in of_run:
                positive = np.where(norms[layer] > 0, norms[layer], np.nan)  # a logarithm has no zero
                there = there or np.isfinite(positive).any()
                axes[0, panels.index(layer)].semilogy(positive, linewidth=1.6, label=label, **style)
        if not there:
            raise Trouble(f"{run.path}: {name} is zero or not finite everywhere there")
    for ax, layer in zip(axes[0], panels):
        ax.set_title(f"layer {layer}")
        ax.set_xlabel("time step")
        thousands(ax.xaxis)
    axes[0, 0].set_ylabel(f"L2 norm of \u2202L/\u2202{what[1:]} over batch and units")
    fullest = max(axes[0], key=lambda ax: len(ax.lines))  # a run of fewer layers is not in all
    legend_beside(axes[0, -1], *fullest.get_legend_handles_labels())
    return fig


def norms_of(run, name, record):
    """[layer, time] of a series that is that already, or has every unit."""
    values = run.read(name, record).astype(float)  # squares of small ones are too small for float32
    return values if values.ndim == 2 else np.sqrt(np.square(values).sum(axis=(2, 3)))


def parameters(runs, options):
    """a statistic of each parameter over training"""
    run = one(runs, "parameters")
    what = chosen(options, "what", STATISTICS, "norm")
    name = "gradients/norm" if what == "gradient" else "parameters/" + what
    values, steps = run.series(name)[...], run.steps(name)
    names = run.labels(name.split("/")[0] + "/parameter")
    if options.parameter is not None:
        keep = [parameter_index(run, options.parameter, names)]
    else:
        keep = range(len(names))
    fig, axes = figure(9, max(4.8, 1.5 + 0.22 * len(keep)),
                       f"{STATISTICS[what][0].upper()}{STATISTICS[what][1:]} of the parameters of {run.title}")
    ax = axes[0, 0]
    for k in keep:
        ax.plot(steps, values[:, k], color=COLOURS[k % len(COLOURS)], linestyle=DASHES[k % len(DASHES)],
                linewidth=1.6, marker="o" if len(steps) == 1 else None, label=plain(names[k]))
    if "norm" in name and (finite(run, name, values) > 0).any():
        ax.set_yscale("log")
    ax.set_xlabel("training step")
    ax.set_ylabel(STATISTICS[what])
    thousands(ax.xaxis)
    legend_beside(ax)
    return fig


def parameter_index(run, name, names):
    if name not in names:
        raise Trouble(f"--parameter {name}: {run.path} has {', '.join(names)}", 2)
    return names.index(name)


def histograms(runs, options):
    """distribution of a parameter's values, ridge by ridge over training"""
    run = one(runs, "histograms")
    name = "parameters/histogram"
    counts, which = run.series(name), records(run, name, options, 12)
    names = run.labels("parameters/parameter")
    recurrent = [n for n in names if "weight_hh" in n]
    k = parameter_index(run, options.parameter or (recurrent or names)[0], names)
    fig, axes = figure(8, 1.6 + 0.4 * max(len(which), 4), f"Values of {plain(names[k])} of {run.title}")
    ax = axes[0, 0]
    curves = [density(counts[r, k], run.log["parameters/min"][r, k], run.log["parameters/max"][r, k]) for r in which]
    tallest = max(finite(run, name, np.concatenate([y for _, y in curves])))
    for place, ((x, y), colour) in enumerate(zip(curves, shades(len(which)))):
        base = np.full(len(x), float(place))
        # Later ones further up and behind; each may reach over the two above it.
        ax.fill_between(x, base, base + 1.8 * y / tallest, color=colour, alpha=0.75, linewidth=0, zorder=50 - place)
        ax.plot(x, base + 1.8 * y / tallest, color="white", linewidth=0.8, zorder=50 - place)
    ax.set_yticks(range(len(which)), [number(run.steps(name)[r]) for r in which])
    ax.set_ylabel("training step")
    x, y = np.concatenate([np.stack(curve) for curve in curves], axis=1)
    ax.set_xlim(x[y > 0.002 * tallest].min(), x[y > 0.002 * tallest].max())  # without tails that can't be seen
    ax.set_xlabel(f"value (all: {x.min():.3g} to {x.max():.3g}); height: share of the values there")
    return fig


def density(counts, low, high):
    """The centres of the bins and the share of the values in each, per unit of the axis; zero at both ends."""
    width = (high - low) / len(counts) or 1e-6 * max(1, abs(low))  # all values may be the same
    centres = low + width * np.arange(-0.5, len(counts) + 1)
    return centres, np.concatenate([[0], counts / max(counts.sum(), 1) / width, [0]])


def saturation(runs, options):
    """how often each unit's gates are nearly closed and nearly open (as in Karpathy et al. 2015)"""
    run = one(runs, "saturation")
    if is_rnn(run):
        raise Trouble(f"{run.path} is of a plain RNN, which has no gates")
    run.series("saturation/i_low")
    record = run.record_of("saturation/i_low", single_step(options))
    fig, axes = figure(10, 3.7, f"Saturated gates of {run.title}, training step "
                       + number(run.steps("saturation/i_low")[record]), ncols=3, sharex=True, sharey=True)
    for ax, gate in zip(axes[0], "ifo"):
        low, high = (run.read(f"saturation/{gate}_{side}", record) for side in ("low", "high"))
        for layer in layers(run, options, len(low)):
            ax.scatter(low[layer], high[layer], s=22, alpha=0.6, color=COLOURS[layer % len(COLOURS)], linewidth=0,
                       label=f"layer {layer}", clip_on=False, zorder=3)
        ax.plot([0, 1], [1, 0], color="0.5", linewidth=1, linestyle="--", zorder=1)
        ax.set_title(GATES[gate])
        ax.set_xlabel("share of values below 0.1")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_aspect("equal")
    axes[0, 0].set_ylabel("share of values above 0.9")
    legend_beside(axes[0, 2])
    return fig


def metrics(runs, options):
    """any metrics over training steps, of one or many runs; with --by a panel for each value of an option"""
    if options.what is None:
        raise Trouble("metrics: expected --what NAME[,NAME...]: columns of metrics.csv", 2)
    names = options.what.split(",")
    panels = {}
    for run in runs:
        panels.setdefault(run.option(options.by) if options.by else "", []).append(run)
    fig, axes = figure(max(7.5, 1 + 4.2 * len(panels)), 4.5, f"{plain(', '.join(names))} of "
                       + (runs[0].title if len(runs) == 1 else f"{len(runs)} runs"), ncols=len(panels), sharey=True)
    for ax, (value, here) in zip(axes[0], panels.items()):
        for k, (run, name) in enumerate((run, name) for run in here for name in names):
            label = [plain(run.name)] * (len(here) > 1) + [plain(name)] * (len(names) > 1 or len(here) == 1)
            draw_metric(ax, run, name, k, " ".join(label))
        ax.set_title(plain(value))
        ax.set_xlabel("training step")
        ax.set_yscale("log" if options.log else "linear")
        thousands(ax.xaxis)
        ax.legend()
    axes[0, 0].set_ylabel(plain(names[0]) if len(names) == 1 else "")
    return fig


def draw_metric(ax, run, name, k, label):
    if name not in run.log["metrics"]:
        raise Trouble(f"{run.path} has no metric {name}; it has {', '.join(run.log['metrics'])}")
    steps, values = run.metric(name)
    if len(steps) == 0:
        raise Trouble(f"{run.path} has no {name} yet")
    few = {"marker": "o", "markersize": 4} if len(steps) <= 40 else {}
    ax.plot(*outline(steps, values), linewidth=1.6, label=label, **line_style(k), **few)


def curves(runs, options):
    """what a script logged by run:tensor, or another series, over one dimension; a line for each index of the others"""
    run = one(runs, "curves")
    if options.what is None:
        raise Trouble("curves: expected --what GROUP or GROUP/NAME, as in run:tensor", 2)
    group = options.what.split("/")[0]
    names = run.series_of(group) if options.what == group else [options.what]
    axis_of = {name: x_axis(run, name, options) for name in names}
    panels = {}  # one for each series, but one for all that are a single line
    for name, axis in axis_of.items():
        panels.setdefault(group if run.log[name].ndim == 2 and axis == 1 else name, []).append(name)
    ticks = max((texts_along(run, name, axis) for name, axis in axis_of.items()), key=len)  # for which it must be wide
    grid = {"nrows": len(panels)} if len(ticks) > 12 else {"ncols": len(panels)}
    fig, axes = figure(max(7.5, 2.5 + (0.2 if lean(ticks) else 0.105) * len(ticks), 1 + 3.7 * grid.get("ncols", 1)),
                       max(4.5, 1 + 2.3 * grid.get("nrows", 1)), f"{plain(options.what)} of {run.title}", **grid)
    for ax, (title, members) in zip(axes.ravel(), panels.items()):
        for name in members:
            draw_lines(ax, run, name, axis_of[name], options)
        if len(panels) > 1:
            ax.set_title(plain(title.split("/")[-1]))
        elif len(members) == 1:
            ax.set_ylabel(plain(members[0].split("/")[-1]))
        label_curves(ax, run, members[0], axis_of[members[0]], options)
    add_legends(fig, axes, len(ticks) > 12)
    return fig


def x_axis(run, name, options):
    """The axis of a series that --x names; else the last one. Names have no order: over steps, a line for each says
    more, if there are several."""
    dataset = run.series(name)
    dimensions = ["step", *(run.dimension(name, axis) for axis in range(1, dataset.ndim))]
    last = len(dimensions) - 1
    if options.x is None:
        return 0 if options.step is None and len(dataset) > 1 and are_names(run, name, last) else last
    if options.x not in dimensions:
        raise Trouble(f"--x {options.x}: the dimensions of {name} in {run.path} are {', '.join(dimensions)}", 2)
    if options.x == "step" and options.step is not None:
        raise Trouble("--step: expected another --x than step, whose curves are of all steps", 2)
    return dimensions.index(options.x)


def texts_along(run, name, axis):
    """The texts that are the coordinates of an axis; none where these are numbers."""
    return run.coordinates(name, axis)[1] or [] if axis > 0 else []


def are_names(run, name, axis):
    """Whether the coordinates of an axis are texts in no order; those of time are read one after another."""
    return bool(texts_along(run, name, axis)) and run.dimension(name, axis) != "time"


def draw_lines(ax, run, name, axis, options):
    values, x = values_along(run, name, axis, options)
    others = [other for other in range(1, run.log[name].ndim) if other != axis]
    places = list(np.ndindex(values.shape[:-1]))
    ordered = len(others) == 1 and len(places) > 1 and not are_names(run, name, others[0])
    labelled = spread(len(places), 8 if ordered and len(places) > 12 else len(places))  # colours tell those between
    for k, place in enumerate(places):
        y = np.where(values[place] > 0, values[place], np.nan) if options.log else values[place]
        parts = [run.coordinate(name, other, i) for other, i in zip(others, place)]
        style = {"color": shades(len(places))[k], "linestyle": "-"} if ordered else line_style(len(ax.lines))
        if are_names(run, name, axis):  # no line leads from one to the next
            style.update(marker=MARKERS[DASHES.index(style["linestyle"])], linestyle="", markersize=6)
        elif len(y) <= 20 and not texts_along(run, name, axis):
            style.update(marker="o", markersize=4)
        ax.plot(x[:len(y)], y, linewidth=1.6, **style,
                label=plain(", ".join(parts) or name.split("/")[-1]) if k in labelled else "_")


def values_along(run, name, axis, options):
    """The values of the lines, [..., x], and x."""
    dataset = run.series(name)
    if dataset.dtype.kind not in "iuf":
        raise Trouble(f"{run.path}: {name} holds texts; curves draws numbers")
    if axis == 0:
        tell_apart(run, name, dataset.shape[1:])  # before much is read
        values, x = dataset[...], run.steps(name)
    else:
        values, x = run.read(name, run.record_of(name, single_step(options))), run.coordinates(name, axis)[0]
    values = np.moveaxis(finite(run, name, values), max(axis - 1, 0), -1)
    tell_apart(run, name, values.shape[:-1])
    return values, x


def tell_apart(run, name, shape):
    if np.prod(shape) > MOST_LINES:
        raise Trouble(f"{run.path}: {name} has {np.prod(shape)} lines, too many to tell apart; choose another x by --x")


def lean(ticks):
    """Whether texts below an axis would run into each other if they did not."""
    return max(map(len, ticks), default=0) > 2 and sum(map(len, ticks)) > 40


def label_curves(ax, run, name, axis, options):
    ax.set_xlabel(plain(run.dimension(name, axis)) if axis > 0 else "training step")
    ticks = texts_along(run, name, axis)
    if ticks:
        ax.set_xticks(range(len(ticks)), [shown(tick, 30) for tick in ticks],
                      **({"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if lean(ticks) else {}),
                      **({"family": "monospace", "fontsize": 9} if len(ticks) > 12 else {}))
        ax.tick_params(axis="x", length=0)
    elif axis == 0 or run.coordinates(name, axis)[0].dtype.kind in "iu":
        thousands(ax.xaxis)
    ax.set_yscale("log" if options.log else "linear")
    ax.margins(x=0.08 if are_names(run, name, axis) else 0.02)


def add_legends(fig, axes, crowded):
    """A legend for each panel with several lines, or one where all have the same; crowded ones beside, where the figure
    grows to have room for them."""
    entries = [ax.get_legend_handles_labels()[1] if len(ax.lines) > 1 else [] for ax in axes.ravel()]
    most = max(map(len, entries))
    crowded = crowded or most > 4
    shared = crowded and all(labels == entries[0] for labels in entries)
    for ax, labels in [(axes[0, -1], entries[0])] if shared else zip(axes.ravel(), entries):
        if labels:
            (legend_beside if crowded else type(ax).legend)(ax)
    if crowded and most:
        (width, height), (rows, columns) = fig.get_size_inches(), axes.shape
        longest = max(len(label) for labels in entries for label in labels)
        fig.set_size_inches(width + (0.5 + 0.07 * longest) * (1 if shared else columns),
                            max(height, 0.4 + rows * (0.9 + 0.21 * most)))


def sweep(sweeps, options):
    """the metric of a sweep over one parameter, with the spread over seeds, or over two, as a heat map"""
    found = one(sweeps, "sweep")
    varied = [name for name in found.varied if name != options.by] or list(found.columns)
    names = options.what.split(",") if options.what else varied[:1 if options.by else 2]
    columns = [found.column("what", name) for name in names]
    if len(columns) > 2 or len(columns) == 2 and options.by:
        raise Trouble("--what: expected one parameter, or two for a heat map without --by", 2)
    draw = draw_sweep_lines if len(columns) == 1 else draw_sweep_map
    return draw(found, names, columns, options)


def has_value(column):
    """Where a column has a value; a parameter under a condition is NaN in trials without it."""
    return column == column


def cells(found, *columns):
    """The finite values of the metric for each combination of the columns' values, in order."""
    result = {}
    there = np.logical_and.reduce([np.isfinite(found.values), *map(has_value, columns)])
    if not there.any():
        raise Trouble(f"{found.path}: no trial with these parameters has a {found.metric} yet")
    for *key, value in sorted(zip(*(column[there].tolist() for column in columns), found.values[there])):
        result.setdefault(tuple(key), []).append(value)
    return result


def places(values):
    """Where the values of a parameter go on an axis, and whether it is one of numbers."""
    is_number = np.issubdtype(values.dtype, np.number)
    return (lambda v: v) if is_number else np.unique(values).tolist().index, is_number


def label_parameter(ax, name, values, is_number):
    ax.set_xlabel(plain(name))
    if not is_number:
        ax.set_xticks(range(len(np.unique(values))), [plain(str(v)) for v in np.unique(values)])
    elif values.min() > 0 and values.max() >= 8 * values.min():
        ax.set_xscale("log", base=10)
        if len(np.unique(values)) <= 10:
            ax.set_xticks(np.unique(values), [f"{v:g}" for v in np.unique(values)])
            ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def draw_sweep_lines(found, names, columns, options):
    fig, axes = figure(7.5, 4.5, f"Best {plain(found.metric)} of {found.title}")
    values = columns[0][has_value(columns[0])]
    ax, place = axes[0, 0], places(values)
    lines = found.column("by", options.by) if options.by else np.zeros(len(columns[0]), int)
    for k, line in enumerate(np.unique(lines).tolist()):
        of_line = {x: v for (other, x), v in cells(found, lines, columns[0]).items() if other == line}
        if not of_line:
            continue
        x, colour = [place[0](v) for v in of_line], COLOURS[k % len(COLOURS)]
        label = plain(f"{options.by} {line:g}" if isinstance(line, float) else f"{options.by} {line}")
        label = label if options.by else None
        ax.plot(np.repeat(x, [len(v) for v in of_line.values()]), np.concatenate(list(of_line.values())), "o",
                color=colour, markersize=4, alpha=0.6, label=None if len(of_line) > 1 else label)
        if len(of_line) == 1 or len(of_line) > 12 and max(map(len, of_line.values())) == 1:
            continue  # values drawn at random: points tell more than a line
        ax.plot(x, [np.mean(v) for v in of_line.values()], color=colour, linewidth=2, label=label)
        ax.fill_between(x, [min(v) for v in of_line.values()], [max(v) for v in of_line.values()], color=colour,
                        alpha=0.15, linewidth=0)
    label_parameter(ax, names[0], values, place[1])
    ax.set_yscale("log" if options.log else "linear")
    ax.set_ylabel(f"best {plain(found.metric)}: mean, least to largest")
    if options.by:
        legend_beside(ax)
    return fig


def draw_sweep_map(found, names, columns, options):
    values = cells(found, *columns)
    xs, ys = (np.unique(column[has_value(column)]).tolist() for column in columns)
    means = np.full((len(ys), len(xs)), np.nan)
    for (x, y), v in values.items():
        means[ys.index(y), xs.index(x)] = np.mean(v)
    fig, axes = figure(min(max(3 + 0.95 * len(xs), 6), 30), min(max(2.2 + 0.55 * len(ys), 3.6), 20),
                       f"Best {plain(found.metric)} of {found.title}")
    ax = axes[0, 0]
    scale = matplotlib.colors.LogNorm() if options.log and np.nanmin(means) > 0 else None
    drawn = ax.imshow(means, aspect="auto", cmap="viridis_r" if found.is_loss else "viridis", norm=scale,
                      origin="lower")
    ax.set_facecolor("0.85")  # where no trial was
    ax.grid(False)
    best = (min if found.is_loss else max)(values, key=lambda key: np.mean(values[key]))
    for (x, y), v in values.items() if len(xs) <= 14 else ():
        r, g, b, _ = np.ravel(drawn.cmap(drawn.norm(np.mean(v))))
        deviation = f"\n\u00b1{np.std(v, ddof=1):.2g}" if len(v) > 1 else ""
        ax.text(xs.index(x), ys.index(y), f"{np.mean(v):.4g}{deviation}",
                ha="center", va="center", fontsize=8, fontweight="bold" if (x, y) == best else "normal",
                color="white" if 0.3 * r + 0.6 * g + 0.1 * b < 0.5 else "black")
    shown = [[plain(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in axis] for axis in (xs, ys)]
    ax.set_xticks(range(len(xs)), shown[0], rotation=90 if len(xs) > 14 else 0)
    ax.set_yticks(range(len(ys)), shown[1])
    ax.set_xlabel(plain(names[0]))
    ax.set_ylabel(plain(names[1]))
    fig.colorbar(drawn, ax=ax, pad=0.02).set_label(f"best {plain(found.metric)}")
    if max(map(len, values.values())) > 1:
        ax.set_title("mean \u00b1 standard deviation over trials", fontsize=9)
    return fig


def trials(sweeps, options):
    """learning curves of a sweep's best configurations, mean and range over seeds; the others in grey"""
    found = one(sweeps, "trials")
    name = options.what or found.metric
    if name not in found.curves:
        there = f"; it has {', '.join(found.curves)}" if found.curves else ""
        raise Trouble(f"{found.path} has no curves of '{name}'{there}")
    matrix = found.curves[name][...]
    rows_of = configurations(found, np.isfinite(matrix).any(axis=1) & np.isfinite(found.values))
    if not rows_of:
        raise Trouble(f"{found.path} has no curve of {name} yet")
    fig, axes = figure(9, 4.8, f"{plain(name)} of {found.title}")
    ax, best = axes[0, 0], len(COLOURS)
    for row in (row for rows in rows_of[best:] for row in rows):
        there = np.isfinite(matrix[row])
        ax.plot(*outline(found.steps[there], matrix[row][there]), color="0.7", linewidth=0.7, zorder=1)
    for k, rows in enumerate(rows_of[:best]):
        label = f"{configuration_label(found, rows[0])}: {found.values[rows].mean():.4g}"
        draw_configuration(ax, found.steps, matrix[rows], COLOURS[k], label)
    ax.set_xlabel("training step")
    ax.set_ylabel(plain(name))
    ax.set_yscale("log" if options.log else "linear")
    thousands(ax.xaxis)
    legend_beside(ax)
    if len(rows_of) > best:
        ax.set_title(f"the {best} best of {len(rows_of)} configurations; the others in grey", fontsize=9)
    return fig


def configurations(found, there):
    """The rows of each configuration's trials (one a seed) for which `there` is true, best configuration first."""
    groups = {}
    for row in np.flatnonzero(there):
        groups.setdefault(tuple(str(column[row]) for column in found.columns.values()), []).append(row)
    sign = 1 if found.is_loss else -1
    return sorted(groups.values(), key=lambda rows: sign * found.values[rows].mean())


def configuration_label(found, row):
    """The parameters that vary, without those that a trial does not have."""
    values = {name: found.columns[name][row] for name in found.varied or found.columns}
    there = {name: value for name, value in values.items() if value == value and value != ""}
    return plain(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in there.items()))


def draw_configuration(ax, steps, curves_of_seeds, colour, label):
    there = np.isfinite(curves_of_seeds).any(axis=0)
    curves_of_seeds, steps = curves_of_seeds[:, there], steps[there]
    few = {"marker": "o", "markersize": 3} if len(steps) <= 40 else {}
    ax.plot(*outline(steps, np.nanmean(curves_of_seeds, axis=0)), color=colour, linewidth=1.8, label=label, zorder=3,
            **few)
    if len(curves_of_seeds) > 1:
        ax.fill_between(steps, np.nanmin(curves_of_seeds, axis=0), np.nanmax(curves_of_seeds, axis=0), color=colour,
                        alpha=0.15, linewidth=0, zorder=2)


# Each with the options that it has.
KINDS = {
    "loss": (loss, []),
    "gates": (gates, ["step", "layer", "group"]),
    "memory": (memory, ["step", "layer", "time", "row", "group"]),
    "heatmap": (heatmap, ["what", "step", "layer", "units", "time", "row", "group"]),
    "gradients": (gradients, ["what", "step", "layer", "group"]),
    "parameters": (parameters, ["what", "parameter"]),
    "histograms": (histograms, ["parameter", "step"]),
    "saturation": (saturation, ["step", "layer"]),
    "metrics": (metrics, ["what", "by", "log"]),
    "curves": (curves, ["what", "x", "step", "log"]),
    "sweep": (sweep, ["what", "by", "log"]),
    "trials": (trials, ["what", "log"]),
}


# ---- command line ---------------------------------------------------------------------------------------------------

class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Trouble(message + "; lstmplot --help says more", 2)


def step_list(words):
    return [int(word) for word in words.split(",")]


step_list.__name__ = "list of steps"  # for argparse's message


def make_parser():
    kinds = "\n".join(f"  {name:<12}{draw.__doc__}\n{'':14}" + " ".join("--" + o for o in names)
                      for name, (draw, names) in KINDS.items())
    parser = Parser(prog="lstmplot", usage="lstmplot RUN... KIND [options] -o FILE.(png|svg|pdf)",
                    description="Draws a figure of a run, or of several: RUN is a run's directory or its log.h5, "
                    "for the kinds sweep and trials a sweep's directory.",
                    epilog="kinds and their options:\n" + kinds,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="RUN... KIND", help=argparse.SUPPRESS)
    parser.add_argument("-o", dest="output", metavar="FILE", help="the figure: .png, .svg or .pdf")
    parser.add_argument("--what", metavar="X", help=f"heatmap: {' '.join(INSIDE)} (default h); "
                        f"gradients: {' '.join(GRADIENTS)} (default dh); parameters: {' '.join(STATISTICS)}; "
                        "metrics: names, as in a,b; curves: group or series; sweep: a parameter, or two as in a,b; "
                        "trials: a metric")
    parser.add_argument("--x", metavar="DIM", help="curves: the dimension along the axis, or step (default: the last "
                        "one, but step where that has names)")
    parser.add_argument("--step", type=step_list, metavar="N", help="training step (default: the last record); "
                        "gradients and histograms: several, as in 100,500,900")
    parser.add_argument("--layer", type=int, metavar="N", help="layer, from 0 (default: all; heatmap: 0)")
    parser.add_argument("--row", type=int, metavar="N", help="row of the batch, from 0 (default: 0)")
    parser.add_argument("--units", metavar="LIST", help="units (of an output: classes), as in 3,8,12 or 0:32 (default: "
                        "all)")
    parser.add_argument("--time", metavar="LIST", help="time steps, as in 0:50 (default: all)")
    parser.add_argument("--group", metavar="NAME", help="gates, memory, heatmap, gradients: what run:watch recorded by "
                        "this name (default: activations or gradients)")
    parser.add_argument("--by", metavar="OPTION", help="metrics: option of the runs that has a panel for each value; "
                        "sweep: parameter that has a line for each value")
    parser.add_argument("--log", action="store_true", default=None,
                        help="metrics, curves, sweep: logarithmic axis of values")
    parser.add_argument("--parameter", metavar="NAME", help="parameter, such as lstm.weight_hh_l0")
    return parser


def parse(arguments):
    options = make_parser().parse_intermixed_args(arguments)
    if not options.words:
        raise Trouble("expected RUN... KIND; lstmplot --help says more", 2)
    *options.runs, options.kind = options.words
    if options.kind not in KINDS:
        raise Trouble(f"'{options.kind}' is no kind of figure; expected RUN... KIND, KIND one of {', '.join(KINDS)}", 2)
    if not options.runs:
        raise Trouble(f"expected a run before '{options.kind}'", 2)
    if options.output is None:
        raise Trouble("expected -o FILE.png, FILE.svg or FILE.pdf", 2)
    options.format = os.path.splitext(options.output)[1][1:].lower()
    if options.format not in ("png", "svg", "pdf"):
        raise Trouble(f"-o {options.output}: expected a name that ends in .png, .svg or .pdf", 2)
    known = KINDS[options.kind][1]
    for name in "what", "x", "step", "layer", "row", "units", "time", "parameter", "by", "log", "group":
        if getattr(options, name) is not None and name not in known:
            raise Trouble(f"{options.kind} has no option --{name}"
                          + (f"; it has --{', --'.join(known)}" if known else ""), 2)
    return options


def save(fig, options):
    """Draws into memory first: what was at the place stays when drawing or writing fails."""
    image = io.BytesIO()
    date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[options.format]
    fig.savefig(image, format=options.format, metadata=date)
    unfinished = options.output + ".tmp"
    try:
        with open(unfinished, "wb") as f:
            f.write(image.getvalue())
        os.replace(unfinished, options.output)
    except OSError as error:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise Trouble(f"{options.output}: {error.strerror}") from None


def draw_figure(options):
    """Draws what the command line asks for. The one place for what a damaged log leads to: anything may lack, or be of
    another type or shape than ours, and h5py, numpy and matplotlib each complain of it in their own way."""
    try:
        opened = [(Sweep if options.kind in ("sweep", "trials") else Run)(path) for path in options.runs]
        save(KINDS[options.kind][0](opened, options), options)
    except Trouble:
        raise
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        of = options.runs[0] if len(options.runs) == 1 else "one of the runs"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise Trouble(f"cannot draw {options.kind}: {of} is damaged, which lstmlog verify tells, or lstmplot has a fault, "
                      f"which python3 -X dev shows: {reason}") from None


def main(arguments):
    """Returns the exit status."""
    try:
        options = parse(arguments)
        if LACKS:
            raise Trouble(LACKS)
        h5py._errors.silence_errors()
        with matplotlib.rc_context(STYLE):
            draw_figure(options)
        return 0
    except Trouble as trouble:
        print(f"lstmplot: {trouble}", file=sys.stderr)
        return trouble.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
