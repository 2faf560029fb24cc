#!/usr/bin/env python3
"""`recover: aws`: while no ferry runs anywhere, AWS starts the next machine, and that goes on by itself; whoever comes
back finds it done."""
import contextlib
import json
import sqlite3
import subprocess
import time

from elsewhere_test import Laptops
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
    home.file(
        "task.yaml",
        f"name: tiny\nresources: {{infra: rehearsal, use_spot: true}}\nstore: {STORE}\nrecover: aws\n"
        f"max_duration: 20m\n{more}"
        "setup: echo by setup > made.txt\nrun: sh train.sh\n",
    )


def begin(home):
    """It trains on its first machine, which has stored something; nobody follows it any more."""
    done = home.good("run", "task.yaml", "--detach", env=SOON)
    assert "AWS will not start" not in done.err, done.err
    run = home.newest()["run"]
    home.wait_for("something is stored", lambda: stored(home, 1))
    subprocess.run(["pkill", "-9", "-f", f"follow-run {run}"], check=True)
    return run


def stored_objects(home):
    """Key → file with its bytes, by the rehearsal cloud's index, for a ferry command would follow the run; none while
    its S3 has not been asked for anything."""
    folder = home.root / "data/ferry/rehearsal/s3"
    if not (folder / "index.db").exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"file:{folder}/index.db?mode=ro", uri=True)) as index:
        if not index.execute("SELECT 1 FROM sqlite_master WHERE name = 'objects'").fetchall():
            return {}
        rows = index.execute("SELECT CAST(key AS TEXT), CAST(id AS TEXT) FROM objects").fetchall()
    return {key: folder / "data" / id[:2] / id for key, id in rows}


def stored(home, attempt):
    """Whether the attempt's manifest names the file that was saved: it is put after that, and again and again."""
    for key, file in stored_objects(home).items():
        if key.endswith(f"/a{attempt}/r0/manifest.json"):
            with contextlib.suppress(FileNotFoundError):  # there is a newer one by now
                return "outputs/saved" in file.read_text()
    return False


def stored_whole(home, attempt):
    return any(key.endswith(f"/a{attempt}/r0/record/end.json") for key in stored_objects(home))


def die(home):
    (machine,) = home.alive()
    home.good("rehearsal", "fault", "die", f"instance={machine}")
    home.wait_for("its machine is gone", lambda: machine not in home.alive())
    return machine


def test_while_nobody_is_there_aws_starts_the_next_machine_and_who_comes_back_finds_the_model():
    with Home() as home:
        task(home)
        run = begin(home)
        first = die(home)
        home.wait_for("another machine is there", lambda: home.alive() and home.alive() != [first])
        (second,) = home.alive()
        home.wait_for("it has ended itself", lambda: not home.alive(), limit=120)
        assert (
            "SetDesiredCapacity 200" in (home.root / "data/ferry/rehearsal/server.log").read_text()
        ), "and wants no other"
        shown = home.good("recover")
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", (home.newest(), shown.err)
        expected = "attempt 1 resumed 0\nattempt 2 resumed 1\n"
        assert (home.home_of({"run": run}) / "outputs/model").read_text() == expected
        log = home.good("logs", run).out
        assert (
            log == "as it was sent\nby setup\nattempt 1 resumed 0\nas it was sent\nby setup\nattempt 2 resumed 1\n"
        ), log
        record = json.loads((home.home_of({"run": run}) / "run.json").read_text())
        assert [one["outcome"] for one in record["attempts"]] == ["lost", "succeeded"], record["attempts"]
        assert [one["id"] for one in record["machines"]] == [first, second], record["machines"]
        nothing_left(home)


def test_several_machines_die_one_after_the_other_while_nobody_is_there():
    with Home() as home:
        task(home, last=4)
        run = begin(home)
        for attempt in (2, 3):
            die(home)
            home.wait_for("the next machine has stored what it saved", lambda: stored(home, attempt))
        die(home)
        home.wait_for("the last one is there", home.alive)
        home.wait_for("the last one has ended itself", lambda: not home.alive(), limit=120)
        home.good("recover")
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        saved = (home.home_of({"run": run}) / "outputs/model").read_text().splitlines()
        assert saved[0] == "attempt 1 resumed 0" and saved[-1] == "attempt 4 resumed 1", saved
        record = json.loads((home.home_of({"run": run}) / "run.json").read_text())
        assert [one["outcome"] for one in record["attempts"]] == ["lost"] * 3 + ["succeeded"], record["attempts"]
        nothing_left(home)


def test_another_laptop_finds_done_what_aws_went_on_with():
    with Home() as home:
        task(home)
        run = begin(home)
        laptops = Laptops(home)
        laptops.close("first")
        die(home)
        home.wait_for("the next machine has stored what it saved", lambda: not home.alive() and stored_whole(home, 2))
        taken = json.loads(
            home.ferry("recover", run, "--yes", "--store", STORE, "--infra", "rehearsal", "--json", env=SOON).out
        )
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", (taken, home.newest())
        home.good("fetch", run)
        assert (
            home.home_of({"run": run}) / "outputs/model"
        ).read_text() == "attempt 1 resumed 0\nattempt 2 resumed 1\n"
        laptops.close("second")
        laptops.open("first")
        home.good("recover")
        home.wait_for("it is over there, too", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        nothing_left(home)


def test_who_takes_it_up_may_be_killed_at_any_moment():
    with Home() as home:
        task(home)
        run = begin(home)
        die(home)
        home.wait_for("the next machine has stored what it saved", lambda: not home.alive() and stored_whole(home, 2))
        for n in range(10):
            one = home.start("recover", env=SOON)
            time.sleep(0.02 + 0.03 * n)  # whatever it is at by then
            one.kill()
            one.wait()
            subprocess.run(["pkill", "-9", "-f", f"follow-run {run}"], check=False)
        home.good("recover", env=SOON)
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert (
            home.home_of({"run": run}) / "outputs/model"
        ).read_text() == "attempt 1 resumed 0\nattempt 2 resumed 1\n"
        record = json.loads((home.home_of({"run": run}) / "run.json").read_text())
        assert len(record["attempts"]) == 2 and len(record["machines"]) == 2, record
        nothing_left(home)


def test_who_is_there_follows_the_machine_that_aws_started():
    with Home() as home:
        task(home)
        training = home.start("run", "task.yaml", env=SOON)
        home.wait_for("something is stored", lambda: stored(home, 1))
        die(home)
        assert training.wait(timeout=200) == 0, training.stderr.read().decode()[-3000:]
        said = training.stdout.read().decode() + training.stderr.read().decode()
        assert "AWS started i-" in said and "attempt 2 resumed 1" in said, said
        assert len(home.cloud()["instances"]) == 2, "only AWS rented another one"
        assert home.newest()["outcome"] == "succeeded", home.newest()
        nothing_left(home)


def test_where_no_machine_can_be_had_in_its_place_this_computer_looks_for_another():
    with Home() as home:
        task(home)
        training = home.start("run", "task.yaml", env={**SOON, "FERRY_STAND_IN_LIMIT": "2s"})
        home.wait_for("something is stored", lambda: stored(home, 1))
        kind = next(one["type"] for one in home.cloud()["instances"])
        home.good("rehearsal", "fault", "capacity", f"type={kind}")
        die(home)
        assert training.wait(timeout=200) == 0, training.stderr.read().decode()[-3000:]
        types = [one["type"] for one in home.cloud()["instances"]]
        assert len(types) == 2 and types[0] != types[1], types
        nothing_left(home)


def test_what_is_cancelled_or_ends_well_leaves_no_group_that_would_start_another():
    with Home() as home:
        task(home, last=1)
        home.good("run", "task.yaml", env=SOON)
        assert len(home.cloud()["instances"]) == 1, home.cloud()["instances"]
        nothing_left(home)
        task(home)
        run = begin(home)
        home.good("cancel", run)
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "cancelled" and len(home.cloud()["instances"]) == 2, home.cloud()[
            "instances"
        ]
        nothing_left(home)


def test_what_aws_could_not_go_on_with_is_refused_before_anything_is_rented():
    with Home() as home:
        for words, why in (
            (["--secret", "PASSWORD"], "has secrets"),
            (["--store", "none"], "no store in S3"),
            (["--keep"], "kept is not replaced"),
        ):
            task(home)
            done = home.ferry("run", *words, "task.yaml", env={"PASSWORD": "hush"})
            assert done.returncode == 125 and "recover: aws cannot be had" in done.err and why in done.err, (
                words,
                done.err,
            )
        assert "recover: aws (AWS starts" in home.ferry("run", "--recover", "me", "task.yaml").err
        home.good("rehearsal", "start")
        assert home.cloud()["instances"] == []


def nothing_left(home):
    home.nothing_left()
    left = {
        name: things for name, things in home.cloud().items() if things and ("scaling" in name or "template" in name)
    }
    assert not left, left


if __name__ == "__main__":
    main(globals())
