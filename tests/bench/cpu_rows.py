"""scripts/bench --profile: what the processors do while ferry's engine brings files over loopback, in seconds of
processor time for each step, from samples of perf. Both ends run under names of their own, so that they can be told
apart; what they do in the kernel is looking at, reading and writing files, and talking to ssh. The agent must have its
symbols (see docs/benchmarks.md)."""
import collections
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import tables
import tools
from sync_rows import rows_of
from world import Failed, Loopback, Machine

SAMPLES_A_SECOND = 1999
DEFAULT_ROWS = ("small", "large", "noise", "known")
COLUMNS = (
    "sender: kernel",
    "sender: hash",
    "sender: zstd",
    "sender: rest",
    "ssh, sshd",
    "receiver: zstd",
    "receiver: hash",
    "receiver: rest",
    "receiver: kernel",
)
ENDS = {"bench-send": "sender", "bench-receive": "receiver"}


def step_of(command, where, symbol):
    end = ENDS.get(command)
    if not end:
        return "ssh, sshd"
    if "kernel" in where:
        return f"{end}: kernel"
    if "sha256" in symbol.lower():
        return f"{end}: hash"
    return f"{end}: zstd" if re.search("ZSTD|HUF_|FSE_|HIST_|XXH", symbol) else f"{end}: rest"


class Perf:
    """Samples all processors while it lives."""

    def __init__(self, file):
        self.file = file
        self.process = subprocess.Popen(
            ["perf", "record", "-a", "-e", "cpu-clock", "-F", str(SAMPLES_A_SECOND), "-o", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)

    def seconds(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        commands = ",".join([*ENDS, "ssh", "sshd"])
        report = subprocess.run(
            ["perf", "report", "-i", str(self.file), "-n", "--sort", "comm,dso,sym", "--comms", commands],
            capture_output=True,
            text=True,
        ).stdout
        found = collections.Counter()
        for line in report.splitlines():
            told = re.match(r"\s+[\d.]+%\s+(\d+)\s+(\S+)\s+(\S+)\s+\[[.k]\]\s+(.*)", line)
            if told:
                found[step_of(told[2], told[3], told[4])] += int(told[1]) / SAMPLES_A_SECOND
        return found


def measure(row, machine, ends, scale):
    """(seconds it took, processor seconds by step)"""
    source, target, state = (machine.root / name for name in ("here", "there", "state"))
    source.mkdir()
    state.mkdir()
    row.make(source, scale)
    send = [ends[0], "send", str(source), "--hashes", str(state / "hashes")]
    receive = [ends[1], "receive", str(target), "--mirror", "--state", str(state / "received")]
    if row.updates:
        tools.finish(tools.joined(receive, send), 1200)
    if row.change:
        row.change(source, 0)
    subprocess.run(["sync"], check=True)
    perf = Perf(machine.root / "samples")
    began = time.perf_counter()
    tools.finish(tools.joined([machine.ssh, machine.host, shlex.join(receive)], send), 1200)
    took = time.perf_counter() - began
    found = perf.seconds()
    for folder in (source, target, state):
        shutil.rmtree(folder, ignore_errors=True)
    machine.forget()
    return took, found


def run(world, ferry, agent, options):
    if not shutil.which("perf") or os.geteuid() != 0:
        raise Failed("--profile needs perf, and root")
    machine = Machine(world, Loopback())
    ends = [str(world.root / name) for name in ENDS]
    for end in ends:
        shutil.copy(agent, end)
    lines = []
    for row in rows_of(options.row or DEFAULT_ROWS):
        took, found = measure(row, machine, ends, 1 / 200 if options.quick else 1)
        if not found:
            raise Failed("perf saw nothing of it")
        cells = [f"{found[column]:.2f}" for column in COLUMNS]
        lines.append([row.title, f"{took:.1f} s", f"{sum(found.values()):.2f}", *cells])
        print(tables.markdown(["", "took", "processors", *COLUMNS], lines[-1:]), flush=True)
    if options.write:
        head = f"{tables.version(agent)}; 2 cores, Debian 12; loopback; seconds of processor time."
        tables.write("profile", head + "\n\n" + tables.markdown(["", "took", "processors", *COLUMNS], lines))
