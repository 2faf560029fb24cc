#!/usr/bin/env python3
"""ferry killed with SIGKILL at random moments: nothing leaks, nothing is lost. FERRY_KILLS says how often (default
6)."""
import os
import random
import subprocess
import time

from lib import Home, main

LINES = 30
SCRIPT = (
    f"mkdir -p outputs; for i in $(seq {LINES}); do echo line $i; echo err $i >&2; sleep 0.05; done; "
    "echo weights > outputs/model"
)


def test_a_killed_ferry_leaks_nothing_and_loses_nothing():
    seed = int(os.environ.get("FERRY_SEED", time.time_ns() % 1_000_000))
    print(f"FERRY_SEED={seed}")
    dice = random.Random(seed)
    with Home() as home:
        home.good("rehearsal", "start")
        for _ in range(int(os.environ.get("FERRY_KILLS", "6"))):
            wait = dice.uniform(0.0, 4.5)
            ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", SCRIPT)
            try:
                ferry.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                ferry.kill()
                ferry.communicate()
            runs = home.runs("--all")
            if not runs:
                print(f"killed after {wait:.2f} s: before the run was noted")
                assert home.alive() == []
                continue
            name = runs[0]["run"]
            told = home.good("ps", "--all").out
            assert name in told
            run = home.wait_for(
                "the run is settled",
                lambda: next(
                    (one for one in home.runs("--all") if one["run"] == name and one["phase"] == "released"), None
                ),
            )
            print(f"killed after {wait:.2f} s: {run['outcome']} {run.get('error', '')}")
            if run["outcome"] == "succeeded":
                logs = home.good("logs", name)
                assert logs.out == "".join(f"line {i}\n" for i in range(1, LINES + 1)), logs.out
                assert logs.err == "".join(f"err {i}\n" for i in range(1, LINES + 1)), logs.err
                home.good("fetch", name)
                assert (home.home_of(run) / "outputs/model").read_text() == "weights\n"
            else:
                rented = any(one["id"] for one in run["instances"])
                # A machine may have been rented on which the training was never started.
                assert run["outcome"] in (("lost", "not_started") if rented else ("not_started",)), run
            assert home.alive() == []
        home.good("down", "--all")
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
