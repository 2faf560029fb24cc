#!/usr/bin/env python3
"""scripts/prove-scale, small: that what it proves by hand at 6 GiB and 20,000 files holds at each change. Usage:
scale_test.py FERRY"""
import pathlib
import subprocess
import sys

from lib import FERRY, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
try:
    import boto3  # noqa: F401  (the script's)
except ImportError:
    print("SKIP: boto3 is not installed")
    sys.exit(77)
if not (pathlib.Path(FERRY).parent / "store_probe").exists():
    print("SKIP: store_probe was not built beside ferry")
    sys.exit(77)


def prove(*words):
    done = subprocess.run(
        [ROOT / "scripts/prove-scale", "--ferry", FERRY, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_large_object_killed_in_its_middle_each_way_goes_on_and_is_whole():
    assert "parts sent twice" in prove("--gib", "0.5", "--files", "0")


def test_many_small_outputs_are_stored_by_their_machine_and_come_home_twice():
    assert "all 400 files are as they were made, twice" in prove("--gib", "0", "--files", "400")


if __name__ == "__main__":
    main(globals())
