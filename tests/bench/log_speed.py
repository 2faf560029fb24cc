"""scripts/bench --log: how fast the output of a training comes home, from its pipe into the machine's spool, through
ssh, into this computer's copy and to where it is shown. What came is compared with what was printed, byte by byte."""
import hashlib
import os
import pty
import shutil
import statistics
import subprocess
import threading
import time

import tables
from laptop import Laptop
from world import Failed, machine_behind

LINES = 30_000_000  # of `seq`: 258,888,897 bytes
GOAL = 100  # MB/s, into a file


class Drain(threading.Thread):
    """Takes what comes as fast as it can, and keeps its SHA-256."""

    def __init__(self, fd, is_terminal):
        super().__init__()
        self.fd, self.is_terminal, self.hash, self.bytes = fd, is_terminal, hashlib.sha256(), 0
        self.start()

    def run(self):
        while True:
            try:
                part = os.read(self.fd, 1 << 20)
            except OSError:  # a terminal whose other end is gone
                part = b""
            if not part:
                return
            if self.is_terminal:
                part = part.replace(b"\r\n", b"\n")
            self.bytes += len(part)
            self.hash.update(part)


def train(laptop, lines, into):
    """(seconds of the training as it is seen here, seconds of the whole run)"""
    drain = None
    if into == "file":
        out = os.open(laptop.root / "shown", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    elif into == "pipe":
        reader, out = os.pipe()
        drain = Drain(reader, False)
    else:
        reader, out = pty.openpty()
        drain = Drain(reader, True)
    began = time.monotonic()
    process = subprocess.Popen(
        laptop.command("--", "seq", str(lines)),
        cwd=laptop.work,
        env=laptop.env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(out)
    told, words = {}, []
    for line in process.stderr:
        words.append(line)
        if line[:1] in "✓·":
            told.setdefault(line.split()[1], time.monotonic())
    code = process.wait()
    ended = time.monotonic()
    if drain:
        drain.join()
        os.close(reader)
    if code or "setup" not in told or "train" not in told:
        raise Failed(f"the training ended with {code}: {' '.join(words).strip()}")
    return told["train"] - told["setup"], ended - began, drain


def kept_log(laptop):
    found = list(laptop.work.glob("runs/*/train.log"))
    if len(found) != 1:
        raise Failed("no log came home")
    return found[0]


def digest(file):
    whole = hashlib.sha256()
    with open(file, "rb") as bytes_:
        while part := bytes_.read(1 << 20):
            whole.update(part)
    return whole.hexdigest()


def measure(laptop, lines, expected, into, rounds):
    seconds = []
    for _ in range(rounds):
        took, _, drain = train(laptop, lines, into)
        seconds.append(took)
        shown = digest(laptop.root / "shown") if into == "file" else None
        if into == "pipe":
            shown = drain.hash.hexdigest()
        if digest(kept_log(laptop)) != expected or shown not in (None, expected):
            raise Failed(f"what came home is not what was printed ({into})")
        shutil.rmtree(laptop.work / "runs")
    return statistics.median(seconds)


def run(world, ferry, agent, options):
    lines = LINES // 20 if options.quick else LINES
    rounds = 1 if options.quick else options.rounds
    printed = subprocess.run(["seq", str(lines)], stdout=subprocess.PIPE, check=True).stdout
    size, expected = len(printed) / 1e6, hashlib.sha256(printed).hexdigest()
    del printed
    rows = []
    with machine_behind(world, True) as machine:
        laptop = Laptop(machine, ferry)
        laptop.run("true")  # the agent goes over once
        for into, goal in (("file", f"≥ {GOAL} MB/s"), ("pipe", ""), ("terminal", "")):
            seconds = measure(laptop, lines, expected, into, rounds)
            rows.append((f"into a {into}", f"{seconds:.2f} s", f"{size / seconds:.0f} MB/s", goal))
            print(f"{size:.0f} MB of log into a {into:<10} {seconds:6.2f} s {size / seconds:6.0f} MB/s", flush=True)
    if options.write:
        head = f"{tables.version(ferry)}; 2 cores, Debian 12; loopback; {size:.0f} MB; medians of {rounds}."
        tables.write("log", head + "\n\n" + tables.markdown(["", "time", "rate", "goal"], rows))
