# SPDX-License-Identifier: MIT
"""tap.py - what the Python tests need to speak TAP (Test Anything Protocol); as tap.h, tap.lua and tap.sh.

    import tap

    tap.ok(n == 3, "three layers")
    if tap.missing("pandas"):        # a skipped test
        return
    tap.done()                       # prints the plan and ends the program; exit status 1 when something failed
"""
import importlib.util
import sys

count = failed = 0  # count may be set to that of tests before these, which somebody else ran


def ok(condition, text):
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {text}", flush=True)


def skip(text, reason):
    """Stands in for a test that cannot be made here."""
    ok(True, f"{text} # SKIP {reason}")


def missing(*modules):
    """True, and a skipped test, when one of the modules is not installed."""
    there = all(importlib.util.find_spec(module) for module in modules)
    if not there:
        skip(modules[-1], "not installed")
    return not there


def done():
    print(f"1..{count}")
    sys.exit(failed != 0)
