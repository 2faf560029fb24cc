#!/usr/bin/env python3
"""Runs whose machine stores by itself what it makes, in the rehearsal cloud's S3: what is there outlives the
machine."""
import json
import os
import re
import shutil
import signal

from lib import Home, main

STORE = "s3://a-bucket/team"
SOON = {"FERRY_STORE_EVERY": "1s"}


def task(home, run):
    home.file("task.yaml", f"name: tiny\nresources: {{infra: rehearsal}}\nstore: {STORE}\nrun: {json.dumps(run)}\n")


def stored(home):
    said = home.ferry("store", "ls", "--infra", "rehearsal", "--store", STORE, "--json")
    return {one["run"]: one for one in json.loads(said.out).get("runs", [])}  # none before there is a bucket


def no_roles(home):
    """The cloud's own count of what was made for machines to store with."""
    state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
    assert "ferry-tiny" not in json.dumps(state.get("iam", {})), state["iam"]


def test_a_machine_stores_and_its_outputs_come_home_from_there_again_and_again():
    with Home() as home:
        task(home, "mkdir -p outputs; echo model >outputs/model; echo trained")
        done = home.good("run", "task.yaml")
        assert f"all outputs are in {STORE}" in done.err, done.err
        run = home.newest()
        assert run["outcome"] == "succeeded" and run["outputs_stored"] and run["outputs_home"], run
        home.nothing_left()
        no_roles(home)
        assert stored(home)[run["run"]]["state"] == "complete", stored(home)
        shutil.rmtree(home.home_of(run))
        home.good("fetch", run["run"])
        assert (home.home_of(run) / "outputs/model").read_text() == "model\n"


def test_a_machine_ends_itself_when_all_is_stored_and_nobody_is_there():
    with Home() as home:
        task(home, "mkdir -p outputs; sleep 3; echo model >outputs/model; echo trained")
        done = home.good("run", "--detach", "task.yaml", "--json")
        os.kill(int(re.search(r'"follower_pid":\s*(\d+)', done.out)[1]), signal.SIGKILL)
        home.wait_for("the machine ends itself", lambda: not home.alive())
        home.wait_for(
            "any ferry command goes on with the run",
            lambda: home.newest()["phase"] == "released" and home.newest()["outputs_home"],
        )
        run = home.newest()
        assert run["outcome"] == "succeeded" and run["exit_code"] == 0, run
        assert (home.home_of(run) / "outputs/model").read_text() == "model\n"
        assert (home.home_of(run) / "train.log").read_text() == "trained\n"
        home.nothing_left()
        no_roles(home)


def test_checkpoints_that_are_no_outputs_are_stored_while_it_trains_and_come_home():
    with Home() as home:
        home.file(
            "task.yaml",
            f"name: tiny\nresources: {{infra: rehearsal}}\nstore: {STORE}\ncheckpoints: ['ckpt/*.pt']\n"
            "run: mkdir -p ckpt; echo saved >ckpt/1.pt; echo no >ckpt/notes; sleep 1000\n",
        )
        training = home.start("run", "task.yaml", env=SOON)
        home.wait_for("the checkpoint is stored", lambda: any(one["files"] == 1 for one in stored(home).values()))
        home.good("rehearsal", "fault", "die", f"instance={home.alive()[0]}")
        _, err = training.communicate(timeout=240)
        assert training.returncode == 125, err
        files = [
            str(one.relative_to(home.home_of(home.newest())))
            for one in (home.home_of(home.newest()) / "ckpt").iterdir()
        ]
        assert files == ["ckpt/1.pt"], files
        home.nothing_left()


def test_checkpoints_come_home_without_a_store_beside_whatever_the_run_made():
    with Home() as home:
        home.file(
            "task.yaml",
            "name: tiny\nresources: {infra: rehearsal}\ncheckpoints: [ckpt/]\n"
            "run: mkdir -p ckpt; echo saved >ckpt/1.pt; echo model >model.pt\n",
        )
        home.good("run", "task.yaml")
        there = home.home_of(home.newest())
        assert (there / "ckpt/1.pt").read_text() == "saved\n" and (there / "model.pt").read_text() == "model\n"
        home.good("run", "-o", "model.pt", "task.yaml")
        there = home.home_of(home.newest())
        assert (there / "ckpt/1.pt").exists() and (there / "model.pt").exists()
        home.nothing_left()


def test_another_computer_knows_a_run_by_its_store_alone():
    with Home() as home:
        task(home, "mkdir -p outputs; echo model >outputs/model; echo trained")
        run = home.good("run", "task.yaml") and home.newest()
        shutil.rmtree(home.home_of(run))
        ledger = home.root / "data/ferry"
        for one in [*ledger.glob("ledger*"), ledger / "runs" / run["run"]]:
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        where = ("--store", STORE, "--infra", "rehearsal")
        listed = home.ferry("recover", *where)
        assert f"left alone: {run['run']}" in listed.out and f"ferry recover {run['run']}" in listed.out, (
            listed.out + listed.err
        )
        taken = json.loads(home.ferry("recover", run["run"], *where, "--json").out)
        assert taken["stored"] == [run["run"]] and taken["runs"] == [], taken
        assert home.newest()["outcome"] == "succeeded" and home.newest()["exit_code"] == 0, home.newest()
        home.good("fetch", run["run"])
        assert (home.work / "runs" / run["run"] / "outputs/model").read_text() == "model\n"
        assert "trained" in home.good("logs", run["run"]).out
        home.nothing_left()


def test_what_a_machine_that_dies_had_stored_comes_home():
    with Home() as home:
        task(home, "mkdir -p outputs; echo saved >outputs/checkpoint; sleep 1000")
        training = home.start("run", "task.yaml", env=SOON)
        home.wait_for("the checkpoint is stored", lambda: any(one["files"] == 1 for one in stored(home).values()))
        home.good("rehearsal", "fault", "die", f"instance={home.alive()[0]}")
        _, err = training.communicate(timeout=240)
        assert training.returncode == 125, err
        run = home.newest()
        assert run["outcome"] == "lost" and "1 file that it had stored is home" in run["error"], run
        assert (home.home_of(run) / "outputs/checkpoint").read_text() == "saved\n"
        home.nothing_left()
        no_roles(home)


def test_a_store_that_cannot_be_is_refused_before_anything_is_rented():
    with Home() as home:
        for store, said in (
            ("gs://bucket/x", "s3://"),
            ("/shared/runs", "a folder is no store"),
            ("s3://Bad_Bucket", "bucket"),
        ):
            home.file("task.yaml", f"name: tiny\nresources: {{infra: rehearsal}}\nstore: {store}\nrun: 'true'\n")
            done = home.ferry("run", "task.yaml")
            assert done.returncode in (2, 125) and said in done.err and "launch" not in done.err, done.err
        assert home.runs("--all") == []
        home.good("run", "--store", "none", "--infra", "rehearsal", "--", "true")


if __name__ == "__main__":
    main(globals())
