"""scripts/bench --overhead: what a run of nothing takes on a machine that was used before, phase by phase, in
milliseconds and in round trips; an ssh login by itself stands beside it, for no run can take less."""
import statistics
import subprocess
import time

import tables
from laptop import Laptop
from world import machine_behind

PHASES = ("check", "plan", "launch", "connect", "sync", "setup", "train", "fetch", "release")
LOGIN, FIRST_LINE, WHOLE = "ssh box true", "first line of the training", "whole run"
HELD_FIRST_LINE, HELD_WHOLE = "first line, on a held connection", "whole run, on a held connection"
# By link: (milliseconds, round trips) that are the goal of each; the login's round trips come on top of connect's and
# the first line's. Up to the first line four are allowed: hello, files, start, and the line itself.
GOALS = {
    "long": {
        "check": (50, 0),
        "plan": (20, 0),
        "launch": (20, 0),
        "connect": (900, 1),
        "sync": (70, 1),
        "setup": (70, 1),
        "train": (70, 1),
        "fetch": (130, 2),
        "release": (70, 1),
        FIRST_LINE: (1200, 4),
        WHOLE: (1900, None),
        HELD_FIRST_LINE: (280, 3),
    },
    "loopback": {WHOLE: (350, None)},
}


def measure_login(machine):
    machine.link.reset()
    began = time.monotonic() * 1000
    subprocess.run([machine.ssh, machine.host, "true"], check=True, stdin=subprocess.DEVNULL)
    took = time.monotonic() * 1000 - began
    return {LOGIN: (took, trips(machine.link.report(), 0, float("inf")))}


def trips(report, begin, end):
    """How many round trips began between two moments; None where nobody counts."""
    return sum(begin <= at < end for at in report["trips_ms"]) if "trips_ms" in report else None


def measure_run(laptop):
    """What → (milliseconds, round trips). A phase's part goes on until the next begins."""
    link = laptop.machine.link
    link.reset()
    events, began, ended = laptop.run("echo", "first")
    report = link.report()
    begins, first = {}, None
    for event in events:
        if event["event"] == "phase_begin":
            begins.setdefault(event["phase"], event["at_ms"])
        if event["event"] == "output" and first is None:
            first = event["at_ms"]
    found = {}
    order = [(phase, begins[phase]) for phase in PHASES if phase in begins]
    for i, (phase, at) in enumerate(order):
        end = order[i + 1][1] if i + 1 < len(order) else ended
        found[phase] = (end - at, trips(report, at, end))
    found[FIRST_LINE] = (first - began, trips(report, began, first))
    found[WHOLE] = (ended - began, trips(report, began, ended))
    return found


def middle(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def goal_words(goal, login_trips, what):
    if not goal:
        return ""
    ms, more = goal
    words = f"≤ {ms} ms"
    if more is not None and login_trips is not None:
        of_login = login_trips if what in ("connect", FIRST_LINE) else 0
        allowed = of_login + more
        words += f", {allowed:.0f} round trip{'s' if allowed > 1 else ''}" if allowed else ""
    return words


def measure(machine, ferry, rounds):
    laptop = Laptop(machine, ferry)
    laptop.work.joinpath("train.py").write_text('print("first")\n')
    laptop.run("true")  # from now on it is a machine that was used before
    rows = []
    for _ in range(rounds):
        rows.append({**measure_login(machine), **measure_run(laptop)})
    laptop.hold()
    for i in range(rounds):
        found = measure_run(laptop)
        rows[i] |= {HELD_FIRST_LINE: found[FIRST_LINE], HELD_WHOLE: found[WHOLE]}
    return {what: tuple(middle(row[what][i] for row in rows if what in row) for i in (0, 1)) for what in rows[0]}


def table_of(link, found):
    goals = GOALS["long" if link.counts else "loopback"]
    login_trips = found[LOGIN][1]
    rows = []
    for what, (ms, count) in found.items():
        cells = [what, f"{ms:.0f}"] + (["–" if count is None else f"{count:.0f}"] if link.counts else [])
        rows.append([*cells, goal_words(goals.get(what), login_trips, what)])
    head = [link.name, "ms"] + (["round trips"] if link.counts else []) + ["goal"]
    return tables.markdown(head, rows)


def run(world, ferry, agent, options):
    rounds = 1 if options.quick else max(5, options.rounds)
    texts, is_long = [], False
    for loopback in (False, True):
        if loopback and not is_long and texts:
            break  # the first was loopback already
        with machine_behind(world, loopback or options.loopback) as machine:
            is_long = is_long or machine.link.counts
            texts.append(table_of(machine.link, measure(machine, ferry, rounds)))
        print(texts[-1] + "\n", flush=True)
    if options.write:
        head = f"{tables.version(ferry)}; 2 cores, Debian 12; medians of {rounds}."
        tables.write("overhead", "\n\n".join([head, *texts]))
