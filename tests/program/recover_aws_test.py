#!/usr/bin/env python3
"""`recover: aws`: while no ferry runs anywhere, AWS starts the next machine, and that goes on by itself; whoever comes back finds it done."""
import json
import subprocess

from lib import Home, main

STORE = "s3://a-bucket/team"
SOON = {"FERRY_STORE_EVERY": "1s", "FERRY_LEASE_PULSE": "1s"}
TRAIN = """
mkdir -p outputs
cat said.txt made.txt
line="attempt $FERRY_ATTEMPT resumed $FERRY_RESUMED"
echo "$line"
sleep 1  # where the file is stored, so is the line
echo "$line" >> outputs/saved
[ $FERRY_ATTEMPT -ge LAST ] || exec sleep 1000
cp outputs/saved outputs/model
"""


def task(home, last=2, more=""):
    home.file("train.sh", TRAIN.replace("LAST", str(last)))
    home.file("said.txt", "as it was sent\n")
    home.file("task.yaml", f"name: tiny\nresources: {{infra: rehearsal, use_spot: true}}\nstore: {STORE}\nrecover: aws\nmax_duration: 20m\n{more}"
              "setup: echo by setup > made.txt\nrun: sh train.sh\n")


def groups(home):
    return home.cloud().get("auto_scaling_groups", [])


def has(home, attempt, key="outputs/saved"):
    said = home.ferry("store", "ls", "--store", STORE, "--infra", "rehearsal", "--json")
    runs = json.loads(said.out).get("runs", [])
    return any(attempt in one.get("attempts", []) or one.get("attempt") == attempt for one in runs) if runs else False


def begin(home):
    """It trains on its first machine, which has stored something; nobody follows it any more."""
    done = home.good("run", "task.yaml", "--detach", env=SOON)
    assert "AWS will not start" not in done.err, done.err
    run = home.newest()["run"]
    home.wait_for("something is stored", lambda: stored_files(home) >= 1)
    subprocess.run(["pkill", "-9", "-f", f"follow-run {run}"], check=True)
    return run


def stored_files(home):
    said = json.loads(home.ferry("store", "ls", "--store", STORE, "--infra", "rehearsal", "--json").out)
    return sum(one["files"] for one in said.get("runs", []))


def die(home):
    machine, = home.alive()
    home.good("rehearsal", "fault", "die", f"instance={machine}")
    home.wait_for("its machine is gone", lambda: machine not in home.alive())
    return machine


def test_while_nobody_is_there_aws_starts_the_next_machine_and_who_comes_back_finds_the_model():
    with Home() as home:
        task(home)
        run = begin(home)
        first = die(home)
        home.wait_for("another machine is there", lambda: home.alive() and home.alive() != [first])
        second, = home.alive()
        home.wait_for("it has ended itself", lambda: not home.alive(), limit=120)
        shown = home.good("recover")
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", (home.newest(), shown.err)
        expected = "attempt 1 resumed 0\nattempt 2 resumed 1\n"
        assert (home.home_of({"run": run}) / "outputs/model").read_text() == expected
        log = home.good("logs", run).out
        assert log == "as it was sent\nby setup\nattempt 1 resumed 0\nas it was sent\nby setup\nattempt 2 resumed 1\n", log
        record = json.loads((home.home_of({"run": run}) / "run.json").read_text())
        assert [one["outcome"] for one in record["attempts"]] == ["lost", "succeeded"], record["attempts"]
        assert [one["id"] for one in record["machines"]] == [first, second], record["machines"]
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
