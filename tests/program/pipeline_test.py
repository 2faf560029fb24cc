#!/usr/bin/env python3
"""A task file with several documents: runs one after the other, each with what the one before made."""
import hashlib
import json
import os
import signal

from aws_test import aws_env
from lib import Home, main

THREE = """name: chain
---
name: prepare
outputs: [outputs/, data/made/]
resources: {infra: rehearsal}
run: |
  mkdir -p data/made outputs; echo rows >data/made/rows; echo first >outputs/log; echo kept >outputs/model.pt
---
name: train
resources: {infra: rehearsal}
run: |
  cat data/made/rows data/old outputs/model.pt
  %s
  echo second >outputs/log; echo weights >outputs/weights
---
name: judge
resources: {infra: rehearsal}
run: cat outputs/log outputs/weights; mkdir -p outputs; echo good >outputs/verdict
"""


def chain(home, middle="true"):
    home.file("chain.yaml", THREE % middle)
    home.file("data/old", "old\n")
    home.file(".gitignore", "*.pt\nruns/\n")


def test_each_document_is_a_run_with_what_the_one_before_made_and_one_receipt_is_over_all():
    with Home() as home:
        chain(home)
        planned = home.good("plan", "chain.yaml")
        assert "document 3 of 3" in planned.out and "chain: one after the other" in planned.out, planned.out
        told = json.loads(home.good("plan", "chain.yaml", "--json").out)
        assert told["task"] == "chain" and [one["task"] for one in told["documents"]] == [
            "prepare",
            "train",
            "judge",
        ], told
        assert abs(told["at_most_usd"] - sum(one["at_most_usd"] for one in told["documents"])) < 1e-5
        done = home.good("run", "chain.yaml")
        assert done.out == "rows\nold\nkept\nsecond\nweights\n", done.out
        runs = home.runs("--all")[::-1]
        assert [run["run"].rsplit("-", 1)[0] for run in runs] == ["prepare", "train", "judge"] and all(
            run["outcome"] == "succeeded" for run in runs
        )
        assert (home.home_of(runs[2]) / "outputs/verdict").read_text() == "good\n"
        receipt = [line for line in done.err.splitlines() if "together $" in line][-1]
        assert all(run["run"] in receipt for run in runs) and "of at most $" in receipt, receipt
        assert "was left" not in home.ferry("ps").err
        home.nothing_left()


def test_the_first_that_fails_ends_it_and_from_goes_on():
    with Home() as home:
        chain(home, "exit 7")
        done = home.ferry("run", "chain.yaml")
        assert (
            done.returncode == 7 and "again, when that is mended:  ferry run " in done.err and "--from 2" in done.err
        ), done.err
        assert len(home.runs("--all")) == 2 and home.newest()["outcome"] == "failed"
        done = home.ferry("run", "chain.yaml", "--from", "3")
        assert done.returncode == 125 and "document 2 has not succeeded" in done.err, done.err
        chain(home)
        done = home.good("run", "chain.yaml", "--from", "2")
        assert done.out == "rows\nold\nkept\nsecond\nweights\n" and len(home.runs("--all")) == 4, done.out
        assert home.ferry("run", "chain.yaml", "--from", "4").returncode == 2
        home.nothing_left()


def test_killed_in_the_middle_the_next_command_says_where_it_stands_and_how_to_go_on():
    with Home() as home:
        chain(home, "[ -e /nowhere ] || { echo up; sleep 4; }")
        ferry = home.start("run", "chain.yaml")
        home.wait_for(
            "the second document's training",
            lambda: any(run["run"].startswith("train") and run["phase"] == "training" for run in home.runs("--all")),
        )
        assert "was left" not in home.ferry("ps").err, "a ferry is at it"
        ferry.send_signal(signal.SIGKILL)
        ferry.communicate()
        done = home.ferry("ps")
        train = next(run["run"] for run in home.runs("--all") if run["run"].startswith("train"))
        assert (
            f"chain.yaml was left: document 2 of 3 ({train}) is not over" in done.err and "--from 3" in done.err
        ), done.err
        home.good("wait", train)
        assert f"({train}) has succeeded; go on:  ferry run " in home.ferry("ps").err
        done = home.good("run", "chain.yaml", "--from", "3")
        assert done.out == "second\nweights\n", done.out
        assert "was left" not in home.ferry("ps").err
        home.nothing_left()


def test_nobody_is_asked_twice_and_a_budget_is_for_all_of_them():
    with Home() as home:
        aws_env(home)
        home.file(
            "two.yaml",
            "name: one\nresources: {infra: aws, cpus: 2}\nrun: mkdir outputs; echo a >outputs/a\n"
            "---\nname: two\nresources: {infra: aws, cpus: 2}\nrun: cat outputs/a\n",
        )
        done = home.good("run", "two.yaml", "--yes", "--budget", "3")
        assert done.out == "a\n" and "at most $3" in done.err, done.err
        for words in (("--detach",), ("--keep",), ("--rehearse",), ("--", "true")):
            done = home.ferry("run", "two.yaml", *words)
            assert done.returncode == 2 and "several" in done.err, (words, done.err)
        home.file("one.yaml", "run: 'true'\n")
        assert home.ferry("run", "one.yaml", "--from", "2", "--infra", "rehearsal").returncode == 2
        home.file("bad.yaml", "run: a\n---\nrun: b\nservice: {port: 1}\n---\nrun: c\nvolume_mounts: {/a: b}\n")
        done = home.ferry("run", "bad.yaml", "--yes")
        assert "bad.yaml:4:1: 'service'" in done.err and "bad.yaml:7:1: 'volume_mounts'" in done.err, done.err
        home.nothing_left()


def test_with_json_the_last_line_is_the_result_and_the_receipt_is_an_event():
    with Home() as home:
        chain(home)
        lines = [json.loads(line) for line in home.good("run", "chain.yaml", "--json").out.splitlines()]
        assert lines[-1]["event"] == "result" and lines[-1]["run"].startswith("judge"), lines[-1]
        receipts = [line for line in lines if "pipeline" in line.get("data", {})]
        assert (
            len(receipts) == 1
            and [one["outcome"] for one in receipts[0]["data"]["pipeline"]["runs"]] == ["succeeded"] * 3
        ), receipts
        home.nothing_left()


STORE = "s3://a-bucket/team"
BY_STORE = """name: prepare
store: %s
resources: {infra: rehearsal}
run: |
  mkdir -p outputs/deep; cp blob outputs/deep/big; echo small >outputs/small; ln -s big outputs/deep/newest
---
name: train
store: %s
resources: {infra: rehearsal, job_recovery: FAILOVER}
run: |
  sha256sum <outputs/deep/newest; cat outputs/small
  mkdir -p outputs; echo "$FERRY_ATTEMPT" >outputs/made
  [ ! -e hold ] || [ $FERRY_ATTEMPT = 2 ] || { echo up; exec sleep 1000; }
"""
SIZE = 20_000_000


def by_store(home, second=STORE):
    """A file of random bytes that the first document passes on, and no file of the workdir once that has it; its
    digest."""
    home.file("chain.yaml", BY_STORE % (STORE, second))
    home.file("outputs/small", "the workdir's own\n")
    blob = os.urandom(SIZE)
    (home.work / "blob").write_bytes(blob)
    return hashlib.sha256(blob).hexdigest()


def events(done):
    return [json.loads(line) for line in done.out.splitlines()]


def syncs(lines):
    """What each sync of each run sent."""
    return [line["data"] for line in lines if line.get("phase") == "sync" and "wire_bytes" in line.get("data", {})]


def test_with_a_store_the_next_machine_takes_from_there_what_the_one_before_made_also_in_its_second_attempt():
    with Home() as home:
        digest = by_store(home)
        home.file("hold", "")
        ferry = home.start("run", "chain.yaml", "--json")
        home.wait_for(
            "the second document's training",
            lambda: home.runs() and home.newest()["run"].startswith("train") and home.log_is_here("up"),
        )
        (machine,) = home.alive()
        home.good("rehearsal", "fault", "die", f"instance={machine}")
        out, err = ferry.communicate(timeout=300)
        assert ferry.returncode == 0, (out, err)
        lines = [json.loads(line) for line in out.splitlines()]
        first, *rest = syncs(lines)
        assert first["bytes_moved"] >= SIZE, first
        # (The workdir's own blob goes over each time; its copy among the outputs does not.)
        assert len(rest) == 2 and all(
            one["bytes_moved"] < SIZE + 100_000 and one["wire_bytes"] < SIZE + 200_000 for one in rest
        ), rest
        train, prepare = home.runs("--all")
        assert any(
            "comes to the machine from the store" in json.dumps(line) and prepare["run"] in json.dumps(line)
            for line in lines
        )
        log = (home.home_of(train) / "train.log").read_text()
        assert log == f"{digest}  -\nsmall\nup\n{digest}  -\nsmall\n", log
        assert (home.home_of(train) / "outputs/made").read_text() == "2\n"
        assert (home.home_of(prepare) / "outputs/deep/big").stat().st_size == SIZE
        home.nothing_left()


def test_what_is_not_in_the_store_as_it_is_at_home_or_not_in_that_store_is_sent_from_home():
    with Home() as home:
        digest = by_store(home)
        home.good("run", "chain.yaml")
        prepare = home.runs("--all")[-1]
        (home.work / "blob").unlink()
        again = events(home.good("run", "chain.yaml", "--from", "2", "--json"))
        (sent,) = syncs(again)
        assert sent["bytes_moved"] < 100_000 and sent["wire_bytes"] < 100_000, sent
        (home.home_of(prepare) / "outputs/small").write_text("changed at home\n")
        changed = home.good("run", "chain.yaml", "--from", "2")
        assert changed.out == f"{digest}  -\nchanged at home\n" and "is sent from here" in changed.err, (
            changed.out,
            changed.err,
        )
        (home.home_of(prepare) / "outputs/small").write_text("small\n")
        home.file("chain.yaml", BY_STORE % (STORE, "s3://a-bucket/other"))
        other = events(home.good("run", "chain.yaml", "--from", "2", "--json"))
        (sent,) = syncs(other)
        assert sent["bytes_moved"] >= SIZE and "from the store" not in json.dumps(other), sent
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
