"""scripts/bench --sync: how long it takes to bring files to a machine and home, by ferry's engine and by its peers.

A row is one kind of data, brought by each tool in turn, round after round; its figures are medians. A row's data is
made once; rows of what changed bring it over without the link first (that is not measured), then change it, the same
for all tools, and measure what brings the other end up to date. Each tool's first result is compared with the source,
byte by byte."""
import dataclasses
import shutil
import statistics
import subprocess
import time
from typing import Callable, Optional

import tables
import tools
import trees
from laptop import Laptop
from world import Failed, machine_behind

MIB = trees.MIB
FAT = {"rtt_ms": 120, "mbit": 400, "buffer_kib": 5860}  # the buffer holds what is under way
SHORTEST_PATIENCE_S = 60  # a peer that takes longer than this, and than three times ferry's time, is not waited for


@dataclasses.dataclass
class Row:
    name: str
    title: str
    make: Callable  # (folder, scale): makes the data there; scale is 1, or less for a try
    change: Optional[Callable] = None  # (folder, step): changes it before each round; None: all is new each time
    down: bool = False
    loopback: bool = False  # measured on loopback whatever the link
    fat: bool = False  # by a link that is longer and wider: more than one ssh fills
    whole: bool = False  # also by `ferry run`, of which the sync phase counts
    held: bool = False  # and by one that finds a connection that another ferry holds
    unchanged: bool = False  # `change` is nothing: the other end has it all

    @property
    def updates(self):
        return self.unchanged or self.change is not None


def part(count, scale):
    return max(3, int(count * scale))


def small(count, median=2500):
    return lambda folder, scale: trees.small_files(folder, part(count, scale), median)


def one_file(make, size):
    return lambda folder, scale: make(folder / "model.bin", part(size, scale))


def several(count, size):
    def make(folder, scale):
        for i in range(count):
            trees.noise(folder / f"part{i}.bin", part(size, scale), seed=10 + i)

    return make


def twice(folder, scale):
    trees.small_files(folder / "first/small", part(5000, scale))
    trees.half_compressible(folder / "first/model.bin", part(256 * MIB, scale))


ROWS = (
    Row("small", "20,000 small files", small(20000), whole=True),
    Row("small-down", "20,000 small files, home", small(20000), down=True),
    Row("changed", "3 of 20,000 changed", small(20000), trees.change_three, whole=True, held=True),
    Row("large", "1 GiB, half compressible", one_file(trees.half_compressible, 1024 * MIB)),
    Row("large-down", "1 GiB, half compressible, home", one_file(trees.half_compressible, 1024 * MIB), down=True),
    Row("noise", "1 GiB, incompressible", one_file(trees.noise, 1024 * MIB)),
    Row(
        "appended",
        "1 MiB appended to 1 GiB",
        one_file(trees.half_compressible, 1024 * MIB),
        lambda folder, step: trees.append(folder / "model.bin", step),
    ),
    Row(
        "inserted",
        "1 KB inserted into the middle of 1 GiB",
        one_file(trees.half_compressible, 1024 * MIB),
        lambda folder, step: trees.insert(folder / "model.bin", step),
    ),
    Row("again", "318 MiB again under another name", twice, trees.copy_again),
    Row("known", "100,000 small files, nothing changed", small(100_000, 700), unchanged=True, whole=True),
    Row(
        "million",
        "1,000,000 empty files, nothing changed",
        lambda folder, scale: trees.empty_files(folder, part(1_000_000, scale)),
        unchanged=True,
    ),
    Row("fat", "120 ms, 400 Mbit/s: 1 GiB, incompressible", one_file(trees.noise, 1024 * MIB), fat=True, whole=True),
    Row("near-small", "loopback: 5,000 small files", small(5000), loopback=True),
    Row("near-small-down", "loopback: 5,000 small files, home", small(5000), down=True, loopback=True),
    Row("near-large", "loopback: 20 files of 10 MB", several(20, 10_000_000), loopback=True),
    Row("near-large-down", "loopback: 20 files of 10 MB, home", several(20, 10_000_000), down=True, loopback=True),
)


class FerryRun(tools.Tool):
    """The sync phase of a whole run; files that the training finds are not looked at here."""

    name, updates = "ferry run: sync", True

    def __init__(self, machine, agent, ferry):
        super().__init__(machine, agent)
        self.ferry, self.laptop = ferry, Laptop(machine, ferry)
        self.laptop.run("true")  # the agent is there from now on

    def prepare(self, source, target):
        self.laptop.run("true", work=source)

    def forget(self, target):
        self.machine.forget()
        shutil.rmtree(self.laptop.root, ignore_errors=True)
        self.laptop = Laptop(self.machine, self.ferry)

    def seconds(self, source):
        events, _, _ = self.laptop.run("true", work=source)
        for event in events:
            if event["event"] == "phase_done" and event["phase"] == "sync":
                return event["ms"] / 1000
        raise Failed("the run has no sync phase")


class HeldRun(FerryRun):
    """The same, by a connection that is there already."""

    name = "ferry run, held: sync"

    def prepare(self, source, target):
        self.laptop.hold()
        super().prepare(source, target)


@dataclasses.dataclass
class Measured:
    seconds: list = dataclasses.field(default_factory=list)
    wire: list = dataclasses.field(default_factory=list)  # bytes, both ways
    gave_up_s: float = 0  # it was not waited for longer

    def median(self):
        return statistics.median(self.seconds) if self.seconds else None

    def cell(self):
        if self.gave_up_s:
            return f"> {self.gave_up_s:.0f} s"
        if not self.seconds:
            return "–"
        wire = f" · {statistics.median(self.wire) / 1e6:.1f} MB" if self.wire else ""
        return f"{self.median():.2f} s{wire}"


def same(source, target):
    done = subprocess.run(["diff", "-rq", str(source), str(target)], capture_output=True, text=True)
    if done.returncode:
        raise Failed("not what was sent: " + done.stdout.split("\n")[0])


def once(tool, row, source, target, limit):
    """(seconds or None, bytes on the wire or None)"""
    link = tool.machine.link
    subprocess.run(["sync"], check=True)  # what earlier ones wrote is not this one's burden
    tool.get_ready(source)
    link.reset()
    if isinstance(tool, FerryRun):
        seconds = tool.seconds(source)
    else:
        began = time.perf_counter()
        done = tools.finish((tool.down if row.down else tool.up)(source, target), limit)
        seconds = time.perf_counter() - began if done else None
    report = link.report()
    return seconds, report["up_bytes"] + report["down_bytes"] if link.counts else None


def measure(row, machine, found, rounds, scale):
    """The tools' names with what was Measured. `found`: the tools, ferry first."""
    source = machine.root / ("there" if row.down else "here") / "data"
    source.mkdir(parents=True)
    row.make(source, scale)
    result = {tool.name: Measured() for tool in found}
    targets = {tool.name: machine.root / f"target{i}" for i, tool in enumerate(found)}
    try:
        if row.updates:
            for tool in found:
                tool.prepare(source, targets[tool.name])
        for step in range(rounds):
            if row.change:
                row.change(source, step)
            turn = step % len(found)
            for tool in found[turn:] + found[:turn]:
                got, target = result[tool.name], targets[tool.name]
                if got.gave_up_s:
                    continue
                ferry_s = max(result[found[0].name].seconds, default=0)
                limit = max(SHORTEST_PATIENCE_S, 3 * ferry_s) if tool is not found[0] else 3600
                seconds, wire = once(tool, row, source, target, limit)
                if seconds is None:
                    got.gave_up_s = limit
                else:
                    got.seconds.append(seconds)
                    if wire is not None:
                        got.wire.append(wire)
                    if step == 0 and not isinstance(tool, (FerryRun, tools.Line)):
                        same(source, target)
                if not row.updates:
                    tool.forget(target)
    finally:
        for tool in found:
            tool.forget(targets[tool.name])
            tool.end()
        shutil.rmtree(source)
    return result


def ratio(result, name):
    """How many times longer than ferry the peer took, or the best of all."""
    ferry = result["ferry"].median()
    peers = [one for tool, one in result.items() if not tool.startswith("ferry") and tool != tools.Line.name]
    others = [one.median() for one in peers if one.median()]
    peer = result[name].median() if name in result else min(others, default=None)
    return f"{peer / ferry:.2f}×" if peer and ferry else "–"


def rows_of(names):
    unknown = set(names) - {row.name for row in ROWS}
    if unknown:
        raise Failed(f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not names or row.name in names]


def run(world, ferry, agent, options):
    rows, scale = rows_of(options.row), 1 / 200 if options.quick else 1
    rounds = 1 if options.quick else options.rounds
    if options.quick:
        trees.phrase_bits = 14
    peers = [tool for tool in tools.PEERS if tool.is_here()]
    left_out = ", ".join(tool.name for tool in tools.PEERS if tool not in peers)
    if left_out:
        print(f"bench: not installed: {left_out}", flush=True)
    columns = ["ferry", FerryRun.name, HeldRun.name, tools.Line.name, *(tool.name for tool in peers)]
    lines, link_name = [], ""
    for near, fat in ((False, False), (False, True), (True, False)):
        here = [row for row in rows if (row.loopback, row.fat) == (near, fat)]
        if not here:
            continue
        with machine_behind(world, options.loopback or near, **(FAT if fat else {})) as machine:
            link_name = link_name or machine.link.name
            for row in here:
                found = [tools.Ferry(machine, agent)]
                found += [tool(machine, agent) for tool in peers if tool.updates or not row.updates]
                if row.whole:
                    found.append(FerryRun(machine, agent, ferry))
                if not row.updates and tools.Line.is_here():
                    found.append(tools.Line(machine, agent))
                if row.held:
                    found.append(HeldRun(machine, agent, ferry))
                result = measure(row, machine, found, rounds, scale)
                cells = [result[name].cell() if name in result else "" for name in columns]
                lines.append([row.title, *cells, ratio(result, None), ratio(result, "rsync -z")])
                print(f"{row.title:<40}" + "   ".join(f"{n} {c}" for n, c in zip(columns, cells) if c), flush=True)
                print(f"{'':<40}best peer {lines[-1][-2]}, rsync {lines[-1][-1]}", flush=True)
    table = tables.markdown(["", *columns, "best peer ÷ ferry", "rsync ÷ ferry"], lines)
    print("\n" + table)
    if options.write:
        head = f"{tables.version(ferry)}; 2 cores, Debian 12; {link_name}; medians of {rounds}."
        tables.write("sync", head + "\n\n" + table)
