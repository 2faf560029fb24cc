#!/usr/bin/env python3
"""From a limit of zero to the first machine: the request for more is filed, watched, and the run starts when it is
granted."""
import json

from aws_test import aws_env
from lib import Home, main

CODE = "L-DB2E81BA"


def waiting_run(home, *more):
    """A run that waits for a GPU, and what it has said so far."""
    said = home.root / "said"
    with said.open("wb") as out:
        process = home.start(
            "run",
            "--infra",
            "aws",
            "--gpus",
            "T4",
            "--wait",
            "10m",
            *more,
            "--",
            "true",
            env={"FERRY_WAIT_EVERY": "1s"},
            stderr=out,
        )
    return process, said.read_text


def test_a_run_waits_for_a_limit_says_which_request_is_open_and_starts_when_it_is_granted():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "quota", "bucket=g", "limit=0")
        process, said = waiting_run(home)
        home.wait_for(
            "it says what asks for more",
            lambda: f"{CODE} in us-east-1 (on-demand G and VT): nobody has requested more yet: "
            f"ferry quota request {CODE} 4 "
            "--region us-east-1" in said(),
        )
        asked = json.loads(home.good("quota", "request", CODE, "8", "--json").out)["request"]
        assert (asked["state"], asked["status"], asked["vcpus"]) == ("open", "PENDING", 8), asked
        home.wait_for("it says what is open", lambda: f"request {asked['id']} for 8 vCPUs is PENDING since" in said())
        assert process.poll() is None
        table = home.good("quota").out
        assert asked["id"] in table and "PENDING" in table, table
        home.good("rehearsal", "fault", "quota-answer", "status=APPROVED")
        assert process.wait(timeout=300) == 0, said()
        assert said().count("is PENDING since") == 1, "it says the same twice"
        assert json.loads(home.good("quota", "--json").out)["requests"][0]["state"] == "granted"
        home.nothing_left()


def test_a_run_gives_up_when_what_it_waits_for_is_refused():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "quota", "bucket=g", "limit=0")
        home.good("quota", "request", CODE, "8")
        process, said = waiting_run(home)
        home.wait_for("it says what is open", lambda: "is PENDING since" in said())
        home.good("rehearsal", "fault", "quota-answer", "status=DENIED")
        assert process.wait(timeout=300) == 125, said()
        assert "the account's limit stays too low" in said() and "is DENIED since" in said(), said()
        (run,) = home.runs("--all")
        assert run["outcome"] == "not_started", run
        home.nothing_left()
        # What was refused before is told, and a new request is what is waited for.
        process, said = waiting_run(home)
        home.wait_for(
            "it says what asks for more", lambda: "nobody has requested more since: ferry quota request" in said()
        )
        home.good("rehearsal", "fault", "quota-answer", "status=CASE_OPENED")
        home.good("quota", "request", CODE, "4")
        home.wait_for("it says what is open", lambda: "is CASE_OPENED since" in said() or "is PENDING since" in said())
        home.good("rehearsal", "fault", "quota-answer", "status=APPROVED")
        assert process.wait(timeout=300) == 0, said()
        home.nothing_left()


def test_a_rehearsal_waits_for_its_own_clouds_limits():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "quota", "bucket=standard", "limit=1")
        process = home.start(
            "run", "--infra", "rehearsal", "--wait", "10m", "--", "true", env={"FERRY_WAIT_EVERY": "1s"}
        )
        home.wait_for(
            "it asked in vain",
            lambda: (home.root / "data/ferry/rehearsal/server.log")
            .read_text()
            .count("ListRequestedServiceQuotaChangeHistory")
            > 1,
        )
        home.good("rehearsal", "fault", "clear")
        _, err = process.communicate(timeout=300)
        assert (
            process.returncode == 0
            and b'(eval "$(ferry rehearsal env)"; ferry quota request L-1216C47A 2 --region us-east-1)' in err
        ), err
        home.nothing_left()


def test_a_request_is_watched_until_it_is_answered():
    with Home() as home:
        aws_env(home)
        home.env["FERRY_WAIT_EVERY"] = "1s"
        home.good("rehearsal", "fault", "quota", "bucket=g", "limit=0")
        late = home.ferry("quota", "request", CODE, "8", "--wait", "1s")
        assert late.returncode == 75 and "is not answered after" in late.err and "it stays open" in late.err, late.err
        again = home.ferry("quota", "request", CODE, "8")
        assert again.returncode == 125 and "open" in again.err, again.err
        home.good("rehearsal", "fault", "quota-answer", "status=APPROVED", "after_ms=1")
        done = json.loads(home.good("quota", "request", CODE, "8", "--wait", "5m", "--json").out)
        assert done["request"]["state"] == "granted" and done["answer"].startswith("APPROVED "), done
        row = next(one for one in json.loads(home.good("quota", "--json").out)["quotas"] if one["code"] == CODE)
        assert row["limit"] == 8, row
        home.good("rehearsal", "fault", "quota-answer", "status=NOT_APPROVED")
        refused = home.ferry("quota", "request", CODE, "64", "--wait", "5m")
        assert (
            refused.returncode == 125
            and "is NOT_APPROVED since" in refused.err
            and "AWS did not grant it" in refused.err
        ), refused.err
        home.good("rehearsal", "fault", "permission", "action=servicequotas:List*")
        told = home.good("quota")
        assert CODE in told.out and "! requests for more:" in told.err, told.err


if __name__ == "__main__":
    main(globals())
