# SPDX-License-Identifier: MIT
"""Optuna for optuna.lua: reads requests, a JSON object a line, and answers each with one.

The study is in memory: what is known of it is in the sweep's directory, and is told anew to each bridge."""
import inspect
import json
import sys

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def distribution(kind, size):
    if kind == "choice":
        return CategoricalDistribution(list(range(size)))
    return FloatDistribution(0.0, 1.0) if kind == "float" else IntDistribution(0, size - 1)


class Bridge:
    def __init__(self):
        self.numbers = {}  # of our configurations in the study
        self.asked = {}  # trials of the study that this process asked for, by these numbers
        self.trial = None

    def start(self, direction, sampler, seed, options):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        kind = getattr(optuna.samplers, sampler, None)
        if not inspect.isclass(kind):
            names = [name for name in dir(optuna.samplers) if name.endswith("Sampler") and not name.startswith("Base")]
            raise ValueError(f"there is no sampler '{sampler}'; Optuna {optuna.__version__} has {', '.join(names)}")
        self.kind, self.seed, self.options = kind, seed, options
        self.sampler(0)
        self.study = optuna.create_study(direction=direction + "imize")
        return {"version": optuna.__version__}

    def sampler(self, number):
        """A new one for each configuration, so that what it does depends on the study and the seed alone."""
        options = dict(self.options)
        if "seed" in inspect.signature(self.kind).parameters:
            options.setdefault("seed", (self.seed * 1000003 + number) % 2**32)
        return self.kind(**options)

    def known(self, n, coordinates, state, value=None, step=None):
        """How a configuration stands that is in the study or not."""
        values = {"value": value} if state == "done" else {}
        if n in self.numbers:
            if state in STATES:
                self.finish(self.numbers[n], state, value, step)
            return {}
        middle = {step: value} if state == "pruned" and value is not None else {}
        trial = create_trial(state=STATES.get(state, TrialState.RUNNING), intermediate_values=middle, **values,
                             params={c["name"]: c["at"] for c in coordinates},
                             distributions={c["name"]: distribution(c["kind"], c["size"]) for c in coordinates})
        self.study.add_trial(trial)
        self.numbers[n] = len(self.study.get_trials(deepcopy=False)) - 1
        return {}

    def finish(self, number, state, value, step):
        if state == "pruned" and value is not None and number in self.asked:
            self.asked[number].report(value, step)
        self.study.tell(number, value if state == "done" else None, state=STATES[state])

    def ask(self, number):
        self.study.sampler = self.sampler(number)
        self.trial = self.study.ask()
        return {}

    def suggest(self, name, kind, size):
        if kind == "choice":
            return {"at": self.trial.suggest_categorical(name, list(range(size)))}
        if kind == "float":
            return {"at": self.trial.suggest_float(name, 0.0, 1.0)}
        return {"at": self.trial.suggest_int(name, 0, size - 1)}

    def keep(self, n):
        self.numbers[n] = self.trial.number
        self.asked[self.trial.number] = self.trial
        return {}

    def drop(self):
        """The configuration was there before."""
        self.study.tell(self.trial, state=TrialState.FAIL)
        return {}


bridge = Bridge()
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = getattr(bridge, request.pop("do"))(**request)
    except Exception as problem:  # whatever Optuna says of the script's options
        answer = {"problem": f"{problem}" or type(problem).__name__}
    print(json.dumps(answer), flush=True)
