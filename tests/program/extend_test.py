#!/usr/bin/env python3
"""ferry extend: more time for a training that runs, whoever follows it; what the training is told of its limits."""
import json
import re

from lib import Home, main

# Says what it is told, and ends once it is told of a later end.
WATCHES = """
import json, os, pathlib, time
def told():
    return json.load(open(os.environ["FERRY_BUDGET_LEFT"]))
first = told()
print("deadline", os.environ["FERRY_DEADLINE"], first["deadline"], flush=True)
while told()["deadline"] <= int(os.environ["FERRY_DEADLINE"]):
    time.sleep(0.05)
pathlib.Path("outputs").mkdir(exist_ok=True)
pathlib.Path("outputs/told.json").write_text(json.dumps([first, told()]))
while not pathlib.Path("enough").exists():
    time.sleep(0.05)
"""


def begin(home, *args):
    home.file("watches.py", WATCHES)
    home.good(
        "run", "--infra", "rehearsal", "--max-duration", "10m", "--detach", *args, "--", "python3", "-u", "watches.py"
    )
    run = home.newest()["run"]
    home.wait_for("the training's first words", lambda: "deadline" in home.ferry("logs", run).out)
    return run


def most(home, run):
    return json.loads(home.good("show", run, "--json").out)["at_most_usd"]


def until(home, run):
    """To when the machine's timer was put off, in seconds of its uptime; 0: it was not."""
    return int(home.good("ssh", run, "--", "cat", f"/run/ferry-end-{run}").out)


def test_a_training_gets_more_time_while_another_process_follows_it():
    with Home() as home:
        run = begin(home)
        if home.sandbox() == "plain":
            return print("(machines have no /run of their own here)")
        before, at_first = most(home, run), until(home, run)
        told = json.loads(home.good("extend", run, "2h", "--yes", "--json").out)
        assert told["at_most_usd"] > before and told["at_most_usd"] == most(home, run), (before, told)
        assert at_first == 0
        uptime = float(home.good("ssh", run, "--", "cat", "/proc/uptime").out.split()[0])
        # 2:10:00 of training, a tenth of that (13 minutes) for its outputs, and a quarter of an hour to start.
        assert 0 <= 2 * 3600 + 600 + 780 + 900 - (until(home, run) - uptime) < 120, (until(home, run), uptime)
        # The timer that it was booted with still waits there.
        assert "sleep" in home.good("ssh", run, "--", "ps", "-eo", "args").out
        home.wait_for(
            "the training to see it",
            lambda: "told.json" in home.ferry("ssh", run, "--", "ls", f"ferry/{run}/outputs").out,
        )
        home.good("ssh", run, "--", "touch", f"ferry/{run}/enough")
        assert home.ferry("wait", run).returncode == 0
        first, then = json.loads((home.work / "runs" / run / "outputs/told.json").read_text())
        assert then["deadline"] == told["deadline"] == first["deadline"] + 7200, (first, then, told)
        assert then["at_most_usd"] == told["at_most_usd"] and first["at_most_usd"] == before
        assert 0 < first["usd_left"] <= before and 0 < first["seconds_left"] <= 600
        follower = (home.root / f"data/ferry/runs/{run}/follower.txt").read_text()
        assert re.search(rf"of at most \${told['at_most_usd']:.2f}", follower), follower
        home.nothing_left()


def test_what_does_not_keep_a_limit_or_the_budget_is_not_extended():
    with Home() as home:
        run = begin(home, "--budget", "0.20")
        refused = home.ferry("extend", run, "2h", "--yes")
        assert refused.returncode == 125 and "budget" in refused.err and "--budget" in refused.err, refused.err
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("limits: {usd_per_day: 0.21}\n")
        refused = home.ferry("extend", run, "2h", "--budget", "5", "--yes")
        assert refused.returncode == 125 and "usd_per_day" in refused.err, refused.err
        assert most(home, run) <= 0.20
        settings.unlink()
        if home.sandbox() != "plain":
            assert (
                json.loads(home.good("extend", run, "2h", "--budget", "5", "--yes", "--json").out)["at_most_usd"] > 0.2
            )
        home.good("cancel", run)
        over = home.ferry("extend", run, "2h", "--yes")
        assert over.returncode != 0 and "no running instance" in over.err, over.err
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
