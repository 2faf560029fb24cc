#!/usr/bin/env python3
"""Giving back what was rented when AWS, the laptop or the ledger make it hard."""
import pathlib
import subprocess
import tempfile
import os

from lib import Home, main
from aws_test import aws_env


def lose_ledger(home):
    for name in (home.root / "data/ferry").glob("ledger.db*"):
        name.unlink()


def test_a_lost_ledger_leaves_nothing_behind_after_down_all():
    with Home() as home:
        aws_env(home)
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        assert len(home.alive()) == 1
        lose_ledger(home)
        # The rehearsal cloud is elsewhere, as far as this ferry can see.
        (home.root / "data/ferry/rehearsal").rename(home.root / "elsewhere")
        done = home.ferry("down", "--all", env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
        assert (
            done.returncode == 1
            and done.err.startswith("! down      AWS was NOT looked at")
            and "nothing left" not in done.out
        ), (done.out + done.err)
        (home.root / "elsewhere").rename(home.root / "data/ferry/rehearsal")
        assert len(home.alive()) == 1
        home.env.pop("AWS_REGION", None)
        home.env.pop("AWS_DEFAULT_REGION", None)
        done = home.good("down", "--all")
        state = home.cloud()
        assert home.alive() == [], state
        log = (home.root / "data/ferry/rehearsal/server.log").read_text()
        assert (
            log.count("ec2:DeleteKeyPair 200") == log.count("ec2:DeleteSecurityGroup 200") == 1
        ), "its key pair and group must go, too"
        home.nothing_left()


def test_the_bill_stops_even_when_aws_does_not_listen_and_the_next_command_settles_the_rest():
    with Home() as home:
        aws_env(home)
        home.env["FERRY_RELEASE_LIMIT"] = "2s"
        for action in ("TerminateInstances", "GetCallerIdentity"):
            fault = ("rehearsal", "fault", "throttle", f"action={action}", "count=100000")
            script = "mkdir outputs; echo model > outputs/m; while [ ! -e ~/go ]; do sleep 0.1; done"
            running = home.start("run", "--infra", "aws", "--", "sh", "-c", script)
            run = home.wait_for("training", lambda: [one for one in home.runs() if one["phase"] == "training"])[0]
            home.good(*fault)
            home.good("ssh", run["run"], "--", "touch ~/go")
            _, err = running.communicate(timeout=120)
            home.wait_for("the machine's own end", lambda: home.alive() == [], 60)
            assert (home.home_of(run) / "outputs/m").read_text() == "model\n"
            if running.returncode != 0:
                assert (
                    running.returncode == 125
                    and b"may still run, for $0.0416/h" in err
                    and f"ferry down {run['run']}".encode() in err
                ), err.decode()
            home.good("rehearsal", "fault", "clear")
            home.good("down", "--all")
            assert home.runs() == [], home.runs()
        home.nothing_left()


def test_a_group_still_in_use_is_waited_for():
    with Home() as home:
        aws_env(home)
        home.good(
            "rehearsal",
            "fault",
            "error",
            "action=DeleteSecurityGroup",
            "code=DependencyViolation",
            "status=400",
            "count=3",
        )
        home.good("run", "--infra", "aws", "--", "true")
        home.nothing_left()


def test_down_keeps_a_machine_whose_outputs_cannot_be_stored_here():
    if os.getuid() != 0:
        return  # a small disk takes a mount
    with Home() as home:
        small = home.root / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(small)]).returncode != 0:
            return
        try:
            done = home.ferry(
                "run",
                "--infra",
                "rehearsal",
                "--results",
                str(small / "runs"),
                "--",
                "sh",
                "-c",
                "mkdir outputs; head -c 2000000 /dev/urandom > outputs/m",
            )
            assert done.returncode == 125, done.err
            run = home.runs()[0]["run"]
            done = home.ferry("down", run)
            assert (
                done.returncode == 125
                and f"{run} is kept" in done.err
                and "--no-fetch" in done.err
                and len(home.alive()) == 1
            ), done.err
            assert home.ferry("down", "--all").returncode == 125 and len(home.alive()) == 1
            subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
            home.good("down", "--all")
            assert (small / "runs" / run / "outputs/m").stat().st_size == 2000000
            home.nothing_left()
        finally:
            subprocess.run(["umount", "-l", str(small)])


def test_a_region_that_is_not_enabled_is_passed_over_and_released():
    with Home() as home:
        aws_env(home)
        for zone in "abcdef":
            home.good("rehearsal", "fault", "capacity", f"zone=us-east-1{zone}")
        done = home.ferry("run", "--infra", "aws", "--region", "*", "-t", "m5.large", "--", "true")
        assert done.returncode == 125, done.err
        assert home.runs() == [], home.runs()
        home.good("down", "--all")
        home.nothing_left()


def test_without_a_default_vpc_nothing_stays_to_be_released():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "no-default-vpc")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert done.returncode == 125 and "create-default-vpc" in done.err and done.err.count("error:") == 1, done.err
        assert home.runs() == []
        home.good("down", "--all")


def test_what_could_not_be_watched_is_not_rented():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "permission", "action=ec2:DescribeInstances")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert done.returncode == 125 and "ec2:DescribeInstances" in done.err and "ferry policy" in done.err, done.err
        home.good("rehearsal", "fault", "clear")
        assert home.cloud()["instances"] == []


def test_a_machine_that_ferry_may_not_end_ends_itself_when_its_outputs_are_home():
    # Whether a policy by tags allows it cannot be asked before there is a machine.
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "permission", "action=ec2:TerminateInstances")
        home.good("run", "--infra", "aws", "--", "sh", "-c", "mkdir outputs; echo m > outputs/m")
        assert home.alive() == [] and (home.home_of(home.newest()) / "outputs/m").exists()
        home.good("rehearsal", "fault", "clear")
        home.nothing_left()


def test_outputs_outside_the_workdir_are_refused_before_anything_is_rented():
    with Home() as home:
        for output in ("/etc", "../x", "~/a", "a/../../b"):
            done = home.ferry("run", "--no-check", "-o", output, "--infra", "rehearsal", "--", "true")
            assert done.returncode == 125 and "is outside the workdir" in done.err, done.err
        assert not (home.root / "data/ferry/rehearsal").exists()


if __name__ == "__main__":
    main(globals())
