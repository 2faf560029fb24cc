#!/usr/bin/env python3
"""scripts/bench still measures: its tables come, and nothing is left of it."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from lib import FERRY, main

BENCH = pathlib.Path(__file__).resolve().parents[2] / "scripts/bench"


def start(folder, *flags):
    return subprocess.Popen(
        [str(BENCH), FERRY, *flags],
        env={**os.environ, "TMPDIR": folder},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bench(*flags):
    """What it prints; its folder must be empty afterwards, and no process may name it."""
    with tempfile.TemporaryDirectory(prefix="ft.") as folder:
        process = start(folder, *flags)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        nothing_left(folder)
        return out


def nothing_left(folder):
    assert os.listdir(folder) == [], os.listdir(folder)
    found = subprocess.run(["pgrep", "-af", folder], capture_output=True, text=True).stdout
    assert not found, found


def test_rows_of_files_have_a_time_for_ferry_and_a_ratio_to_its_best_peer():
    out = bench("--sync", "--quick", "--loopback", "--row", "small", "--row", "appended")
    for title in ("20,000 small files", "1 MiB appended to 1 GiB"):
        row = re.search(rf"^\| {title} +\|(.*)$", out, re.M)
        assert row, out
        cells = [cell.strip() for cell in row[1].split("|")]
        assert re.fullmatch(r"\d+\.\d\d s", cells[0]), row[0]
        assert re.fullmatch(r"\d+\.\d\d×|–", cells[-3]), row[0]


def test_the_phases_of_an_empty_run_and_their_sum_are_told():
    out = bench("--overhead", "--quick", "--loopback")
    found = dict(re.findall(r"^\| ([a-z ]+?) +\| +(\d+) \|", out, re.M))
    for what in ("ssh box true", "connect", "sync", "setup", "train", "fetch", "release", "whole run"):
        assert what in found, out
    assert int(found["whole run"]) >= int(found["first line of the training"]) > int(found["connect"]), out


def test_ctrl_c_ends_it_with_a_line_and_leaves_nothing():
    with tempfile.TemporaryDirectory(prefix="ft.") as folder:
        process = start(folder, "--sync", "--loopback", "--row", "small")
        while not list(pathlib.Path(folder).glob("ferry-bench.*/machine.*/here")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 1 and err == "bench: stopped; nothing is left\n", err
        nothing_left(folder)


if __name__ == "__main__":
    main(globals())
