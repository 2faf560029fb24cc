#!/usr/bin/env python3
"""examples/resume on spot machines that are taken away five times (once without a store): in the end the weights are
those of an undisturbed training."""
import pathlib
import re
import shutil
import subprocess

from lib import Home, main

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/resume"
INTERRUPTIONS = 5
SAME = """
import sys, torch
one, other = (torch.load(path) for path in sys.argv[1:])
assert list(one) == list(other) and len(one) > 0
assert all(torch.equal(one[name], other[name]) for name in one)
"""


def trained(home, *words, pause, interruptions):
    """The weights that come home."""
    shutil.copytree(EXAMPLE, home.work / "resume")
    home.good("rehearsal", "start")
    home.good("rehearsal", "fault", "settings", "spot_notice_ms=4000")
    training = home.start(
        "run",
        "resume",
        "--infra",
        "rehearsal",
        "--env",
        f"PAUSE={pause}",
        *words,
        env={"FERRY_STORE_EVERY": "1s", "FERRY_PULL_EVERY": "1s"},
    )
    log = lambda: home.ferry("logs", home.newest()["run"]).out if home.runs("--all") else ""
    for n in range(1, interruptions + 1):
        began = re.compile(rf"attempt {n} begins at epoch (\d+)")
        first = int(home.wait_for(f"attempt {n} trains", lambda: began.search(log()))[1])
        home.wait_for(f"attempt {n} gets on", lambda: f"epoch={first + 2} " in log())
        home.good("interrupt", home.newest()["run"])
    out, err = training.communicate(timeout=600)
    assert training.returncode == 0, err
    run = home.newest()
    lines = (home.home_of(run) / "train.log").read_text().splitlines()
    begun = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("attempt ")]
    assert len(begun) == interruptions + 1 and begun[0] == 1, lines
    assert begun == sorted(set(begun)), f"an attempt got nowhere: {begun}"
    home.nothing_left()
    return home.home_of(run) / "outputs/model.pt"


def test_weights_after_five_interruptions_are_those_of_an_undisturbed_training():
    with Home() as calm, Home() as stored, Home() as pulled:
        wanted = trained(calm, pause=0, interruptions=0)
        for home, words, interruptions in ((stored, ("--store", "s3://a-bucket/team"), INTERRUPTIONS), (pulled, (), 1)):
            weights = trained(home, *words, pause=0.4, interruptions=interruptions)
            subprocess.run(["/usr/bin/python3", "-c", SAME, str(wanted), str(weights)], check=True)


if __name__ == "__main__":
    main(globals())
