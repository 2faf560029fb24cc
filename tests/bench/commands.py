"""scripts/bench alone: ferry's own commands beside the aws CLI, and the engine beside rsync, each over a pipe on this
computer."""
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from lib import Home

import tools


def median_ms(command, env, cwd, times):
    """The first run, which warms caches, is not counted."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        subprocess.run(command, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:])


def line(what, ferry, peer=None, peer_ms=None):
    text = f"{what:<44} {ferry:9.1f} ms"
    if peer_ms:
        text += f"   {peer:<28} {peer_ms:9.1f} ms   {peer_ms / ferry:6.1f} times"
    print(text, flush=True)


def processes(ferry):
    with Home() as home:
        lines = home.good("rehearsal", "env").out.splitlines()
        pairs = dict(one.removeprefix("export ").split("=", 1) for one in lines if one.startswith("export "))
        home.env.update({key: value.strip("'\"") for key, value in pairs.items()})
        for words, times in (
            (["--version"], 21),
            (["ps"], 21),
            (["gpus", "A100"], 21),
            (["plan", "--gpus", "A100:8", "--region", "*"], 21),
        ):
            line("ferry " + " ".join(words), median_ms([ferry, *words], home.env, home.work, times))
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        took = median_ms([ferry, "ps"], home.env, home.work, 11)
        peer = shutil.which("aws") and median_ms(["aws", "ec2", "describe-instances"], home.env, home.work, 5)
        line("ferry ps, one instance (one AWS call)", took, "aws ec2 describe-instances", peer)


def tree(folder, files, size):
    for i in range(files):
        place = folder / f"d{i % 50}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{i}.bin").write_bytes(os.urandom(size))


def by_ferry(agent, source, target):
    tools.finish(
        tools.joined(
            [agent, "receive", target, "--mirror", "--state", f"{target}.state"],
            [agent, "send", source, "--hashes", f"{source}.hashes"],
        ),
        600,
    )


def by_rsync(rsh, source, target):
    command = ["rsync", "-a", "--delete", "-e", rsh, f"{source}/", f"here:{target}/"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def sync(root, agent, what, files, size):
    """Sender and receiver over a pipe on this computer; rsync the same way, by its own protocol over a pipe."""
    source = root / "source"
    tree(source, files, size)
    rsh = root / "rsh"
    rsh.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    rsh.chmod(0o755)
    ways = {"ferry": lambda target: by_ferry(agent, str(source), str(target))}
    if shutil.which("rsync"):
        ways["rsync"] = lambda target: by_rsync(str(rsh), source, target)
    taken = {(name, turn): [] for name in ways for turn in ("cold", "warm")}
    for i in range(3):
        for name, way in ways.items():
            for turn in ("cold", "warm"):
                began = time.perf_counter()
                way(root / f"{name}{i}")
                taken[name, turn].append((time.perf_counter() - began) * 1000)
    middle = {key: statistics.median(values) for key, values in taken.items()}
    for turn, words in (("cold", "everything new"), ("warm", "nothing changed")):
        line(f"sync {what}, {words}", middle["ferry", turn], "rsync -a", middle.get(("rsync", turn)))


def run(world, ferry, agent, options):
    processes(ferry)
    small, large = (50, 2) if options.quick else (5000, 20)
    sync(pathlib.Path(world.folder("small")), agent, f"{small:,} files of 1 KB", small, 1000)
    sync(pathlib.Path(world.folder("large")), agent, f"{large} files of 10 MB", large, 10_000_000)
