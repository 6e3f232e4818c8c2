#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The engine against PyTorch, oneDNN and NumPy on the benchmark's configurations; prints Markdown tables.

    compare.py [--bench tests/bench] [--python python3]... [--onednn PREFIX]... [--configs ABCDEF] [--threads 1,2]
               [--rounds 5] [--seconds 1] [--pause 0] [--environment NAME] [--precision bf16] [--log FILE]

Everything is interleaved: a round measures each configuration and number of threads with one program after the other,
so that a machine which is slower for a while is so for all of them. What is compared are medians over the rounds of
each program's median step. With --precision bf16 lstmrun and PyTorch multiply in mixed precision; the others do not, and
are left out. Every --python is asked for PyTorch, the first that has NumPy for NumPy; --onednn is a
prefix with include/ and lib/ (default: the system's). Peers that are missing are said and left out.

Each peer runs with the environment that suits it best: before the rounds, every environment of ENVIRONMENTS is tried on
every configuration, and the fastest is kept; --environment takes one for all instead. --pause lets the machine rest
before each program.
"""
import argparse
import datetime
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184",
          "MALLOC_TOP_PAD_": "268435456"}  # memory once taken is kept, instead of mapped and zeroed at every step
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:"
                          "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456"}
ENVIRONMENTS = {"plain": {}, "kept memory": MEMORY, "huge pages": HUGE,
                "huge pages and active waits": {**HUGE, "OMP_WAIT_POLICY": "active"}}


def say(*words):
    print("compare:", *words, file=sys.stderr, flush=True)


def openmp_openblas():
    """Debian's PyTorch with the OpenBLAS of pthreads has two teams of threads that fight; this one has one."""
    found = glob.glob("/usr/lib/*/openblas-openmp")
    return {"LD_LIBRARY_PATH": found[0]} if found else {}


class Program:
    """One that prints a line of JSON for a configuration and a number of threads."""
    pause = 0.0

    def __init__(self, name, command, configs, environments=ENVIRONMENTS, base=()):
        self.name, self.command, self.configs = name, command, configs
        self.environments, self.base = environments, dict(base)
        self.chosen = {}  # (config, threads): a key of environments

    def arguments(self, config, threads, seconds):
        return [config, str(threads), "--seconds", str(seconds)]

    def run(self, config, threads, seconds, environment):
        time.sleep(Program.pause)
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), **self.base, **self.environments[environment]}
        done = subprocess.run(self.command + self.arguments(config, threads, seconds), env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
        return json.loads(done.stdout)

    def tune(self, config, threads, seconds, only):
        if only in self.environments or len(self.environments) == 1:
            self.chosen[config, threads] = only if only in self.environments else next(iter(self.environments))
            return
        names = [name for name, env in self.environments.items() if threads > 1 or "OMP_WAIT_POLICY" not in env]
        speed = {name: self.run(config, threads, seconds, name)["tokens_per_second"] for name in names}
        self.chosen[config, threads] = max(speed, key=speed.get)

    def measure(self, config, threads, seconds):
        return self.run(config, threads, seconds, self.chosen[config, threads])


class Engine(Program):
    """tests/bench; nothing to choose."""

    def __init__(self, bench, precision):
        super().__init__("lstmrun", [bench], "ABCDEF", {"as it is": {}})
        self.precision = precision

    def arguments(self, config, threads, seconds):
        return [config, f"threads={threads}", f"seconds={seconds}", "rounds=1", f"precision={self.precision}",
                "--json", "--no-check"]


# ---- which peers there are ------------------------------------------------------------------------------------------

def version_in(python, module):
    done = subprocess.run([python, "-c", f"import {module}; print({module}.__version__)"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.strip().split("+")[0] if done.returncode == 0 else None


def find_pytorch(pythons, precision):
    for python in pythons:
        version = version_in(python, "torch") if shutil.which(python) else None
        if version:
            yield Program(f"PyTorch {version}", [python, f"{HERE}/pytorch.py", "--precision", precision], "ABCDEF",
                          base=openmp_openblas())
        else:
            say(f"no PyTorch in {python}: left out")


def find_numpy(pythons):
    for python in pythons:
        version = version_in(python, "numpy") if shutil.which(python) else None
        if version:
            yield Program(f"NumPy {version}, float64", [python, f"{HERE}/numpy_lstm.py"], "A", base=openmp_openblas())
            return
    say("no NumPy: left out")


def find_onednn(prefixes, directory):
    for number, prefix in enumerate(prefixes):
        program = f"{directory}/onednn{number}"
        paths = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"] if prefix else []
        command = ["c++", "-O2", "-fopenmp", f"{HERE}/onednn.cpp", "-o", program, *paths, "-ldnnl"]
        try:
            if prefix and not os.path.isdir(prefix):
                raise FileNotFoundError(prefix)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peer = Program("oneDNN", [program], "ABCDE")
            peer.name = peer.run("E", 1, 0, "plain")["peer"] + ", bare layers"
            yield peer
        except (OSError, RuntimeError, subprocess.CalledProcessError):
            say(f"no oneDNN in {prefix or 'the system'}: left out")


# ---- the machine ----------------------------------------------------------------------------------------------------

def machine():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    with open("/proc/meminfo") as f:
        gib = int(f.readline().split()[1]) / 2**20
    try:
        with open("/sys/devices/system/cpu/cpu0/cache/index3/size") as f:
            cache = ", L3 " + f.read().strip()
    except OSError:
        cache = ""
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} processors{cache}, {gib:.0f} GiB"


# ---- results --------------------------------------------------------------------------------------------------------

class Results:
    def __init__(self):
        self.values = {}  # (program, config, threads): one dictionary a round

    def add(self, name, config, threads, value):
        self.values.setdefault((name, config, threads), []).append(value)

    def median(self, name, config, threads, field):
        found = [v[field] for v in self.values.get((name, config, threads), ())]
        return statistics.median(found) if found else None

    def share_of_limit(self, name, config, threads):
        """The weights' stream for one sequence at a time, else the peak of multiply-adds; round by round."""
        got, limit = ("weights_gbs", "stream_gbs") if config in "AF" else ("gflops", "fma_gflops")
        return statistics.median(v[got] / v[limit] for v in self.values[name, config, threads])


def short(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def speed_table(results, programs, configs, threads):
    ours, peers = programs[0], programs[1:]
    lines = ["| config | threads | lstmrun | " + " | ".join(p.name for p in peers) + " | of the limit |",
             "| --- | --- | --- | " + "--- | " * len(peers) + "--- |"]
    for config in configs:
        for n in threads:
            our = results.median(ours.name, config, n, "tokens_per_second")
            cells = []
            for peer in peers:
                their = results.median(peer.name, config, n, "tokens_per_second")
                cells.append(f"{short(their)} (**{our / their:.1f} x**)" if their else "-")
            share = results.share_of_limit(ours.name, config, n)
            kind = "stream" if config in "AF" else "FMA"
            lines.append(f"| {config} | {n} | {short(our)} | " + " | ".join(cells) + f" | {share:.0%} of {kind} |")
    return "\n".join(lines)


def limit_table(results, name, configs, threads):
    lines = ["| config | threads | GFLOP/s | FMA peak | weights GB/s | stream limit | handover ns | ms a step | best |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for config in configs:
        for n in threads:
            got = [results.median(name, config, n, field) for field in
                   ("gflops", "fma_gflops", "weights_gbs", "stream_gbs", "handover_ns", "ms", "ms_best")]
            lines.append(f"| {config} | {n} | " + " | ".join(f"{value:.3g}" for value in got) + " |")
    return "\n".join(lines)


def phase_table(results, name, configs, threads):
    phases = list(results.values[name, configs[0], threads[0]][0]["phases"])
    lines = ["| config | threads | " + " | ".join(phases) + " |", "| --- | --- |" + " --- |" * len(phases)]
    for config in configs:
        for n in threads:
            rounds = results.values[name, config, n]
            shares = [statistics.median(r["phases"][phase] for r in rounds) for phase in phases]
            lines.append(f"| {config} | {n} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def report(results, programs, args):
    name = programs[0].name
    first = results.values[name, args.configs[0], args.threads[0]][0]
    print(f"{machine()}; lstmrun {first['version']}, kernel {first['kernel']}, {args.precision}; "
          f"{args.rounds} interleaved rounds of {args.seconds:g} s, {datetime.date.today()}.\n")
    print("Tokens per second, and how many times as fast lstmrun is (ratios of medians):\n")
    print(speed_table(results, programs, args.configs, args.threads))
    print("\nlstmrun and the limits measured beside it:\n")
    print(limit_table(results, name, args.configs, args.threads))
    print("\nWhere the time goes:\n")
    print(phase_table(results, name, args.configs, args.threads))
    print()
    for peer in programs[1:]:
        chosen = ", ".join(f"{config}{n} {env}" for (config, n), env in sorted(peer.chosen.items()))
        print(f"{peer.name} ran with: {chosen}.")


# ---- all of it ------------------------------------------------------------------------------------------------------

def configs_of(text):
    """Of ACF or A,C,F; one that there is not would be found out after minutes of measuring."""
    configs = list(text.replace(",", "").upper())
    unknown = [c for c in configs if c not in "ABCDEF"]
    if unknown or not configs:
        raise argparse.ArgumentTypeError(f"'{text}': expected some of A to F, as in ACF")
    return configs


def threads_of(text):
    try:
        threads = sorted({int(n) for n in text.split(",")})
    except ValueError:
        threads = [0]
    if threads[0] < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected numbers of threads, as in 1,2")
    return threads


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default="tests/bench")
    parser.add_argument("--python", action="append", help="default: python3")
    parser.add_argument("--onednn", action="append", help="default: the system's")
    parser.add_argument("--configs", type=configs_of, default="ABCDEF", help="default: ABCDEF")
    parser.add_argument("--threads", type=threads_of, default=f"1,{os.cpu_count()}", help="default: 1 and all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--environment", choices=list(ENVIRONMENTS))
    parser.add_argument("--precision", choices=["float", "bf16"], default="float")
    parser.add_argument("--log", help="a file for every single result, as lines of JSON")
    return parser.parse_args()


def attempt(program, work):
    """False, and said, when a program cannot do what is asked of it."""
    try:
        work()
        return True
    except (RuntimeError, ValueError) as error:
        say(f"left out: {error}")
        return False


def tune(programs, args):
    for program in programs:
        for config in args.configs:
            for n in args.threads:
                if config in program.configs:
                    attempt(program, lambda: program.tune(config, n, args.seconds / 4, args.environment))
        say(program.name, "is ready")


def run_rounds(programs, args):
    results = Results()
    for number in range(args.rounds):
        for config in args.configs:
            for n in args.threads:
                for program in programs:
                    if (config, n) in program.chosen:
                        value = program.measure(config, n, args.seconds)
                        results.add(program.name, config, n, value)
                        if args.log:
                            with open(args.log, "a") as log:
                                log.write(json.dumps({**value, "name": program.name, "round": number}) + "\n")
        say(f"round {number + 1} of {args.rounds} done")
    return results


def main():
    args = read_arguments()
    Program.pause = args.pause
    pythons = args.python or ["python3"]
    with tempfile.TemporaryDirectory() as directory:
        programs = [Engine(args.bench, args.precision), *find_pytorch(pythons, args.precision)]
        if args.precision == "float":
            programs += [*find_onednn(args.onednn or [""], directory), *find_numpy(pythons)]
        programs = [p for p in programs if set(p.configs) & set(args.configs)]
        say("comparing", "; ".join(p.name for p in programs))
        tune(programs, args)
        report(run_rounds(programs, args), programs, args)


if __name__ == "__main__":
    main()
