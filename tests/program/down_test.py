#!/usr/bin/env python3
"""Giving up runs: nothing is thrown away by mistake, nothing is left, nothing of others is touched."""
import calendar
import datetime
import hashlib
import hmac
import re
import sqlite3
import shutil
import subprocess
import time
import urllib.request

from lib import Home, main
from aws_test import aws_env
from host_test import on_box, own_machine


def ledger_of(home, query, *values):
    with sqlite3.connect(home.root / "data/ferry/ledger.db") as ledger:
        rows = ledger.execute(query, values).fetchall()
    ledger.close()
    return rows


def stop_from_the_console(home, instance):
    """As the person would in AWS's console; there is no command of ferry's for it."""
    home.good("rehearsal", "start")
    call(home, "StopInstances", f"InstanceId.1={instance}")
    home.wait_for("stopped", lambda: state_of(home, instance) == "stopped")


def state_of(home, instance):
    return next((one["state"] for one in home.cloud()["instances"] if one["id"] == instance), None)


def call(home, action, parameters):
    """What the console does: a signed request of somebody else's."""
    lines = home.good("rehearsal", "env").out.splitlines()
    env = {
        key: value.strip("'\"")
        for key, value in (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    }
    body = f"Action={action}&Version=2016-11-15&{parameters}"
    url = env["AWS_ENDPOINT_URL"]
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host = url.split("//")[1].rstrip("/")
    digest = hashlib.sha256(body.encode()).hexdigest()
    kind = "application/x-www-form-urlencoded"
    canonical = (
        f"POST\n/\n\ncontent-type:{kind}\nhost:{host}\nx-amz-date:{stamp}\n\ncontent-type;host;x-amz-date\n{digest}"
    )
    scope = f"{day}/us-east-1/ec2/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + env["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (day, "us-east-1", "ec2", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        url,
        data=body.encode(),
        headers={
            "Content-Type": kind,
            "X-Amz-Date": stamp,
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential={env['AWS_ACCESS_KEY_ID']}/{scope}, "
                f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
            ),
        },
    )
    return urllib.request.urlopen(request, timeout=30).read().decode()


def left_behind(home, script="mkdir -p outputs; echo model > outputs/m; echo up; exec sleep 1000"):
    """A training whose ferry and follower are gone; its run."""
    home.good("run", "--detach", "--infra", "rehearsal", "--", "bash", "-c", script)
    run = home.runs()[0]
    # `ferry logs` would ask the machine: what matters is that this computer has it.
    log = home.root / "data/ferry/runs" / run["run"] / "log"
    home.wait_for("the first line", lambda: log.exists() and b"up\n" in log.read_bytes())
    return run


def block_ssh(home, run):
    instance = run["instances"][0]["id"]
    home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
    subprocess.run(["pkill", "-9", "-f", f"[s]sh -o .*{home.root}"], check=False)
    return instance


def test_down_keeps_a_machine_that_ssh_does_not_reach_and_says_so():
    with Home() as home:
        home.env["FERRY_LOST_LIMIT"] = "1s"
        run = left_behind(home)
        instance = block_ssh(home, run)
        done = home.ferry("down", run["run"], timeout=200)
        assert (
            done.returncode == 125 and f"{run['run']} is kept, on {instance}" in done.err and "--no-fetch" in done.err
        ), done.err
        assert "nothing left running" not in done.out and home.alive() == [instance]
        assert (home.home_of(run) / "train.log").read_text() == "up\n", "what is here comes home in any case"
        done = home.good("down", run["run"], "--no-fetch")
        assert f"{instance} terminated" in done.out
        home.nothing_left()


def test_a_ferry_whose_run_is_given_up_says_so_and_leaves_nothing_behind():
    with Home() as home:
        tmp = home.root / "tmp"
        tmp.mkdir()
        ferry = home.start(
            "run", "--infra", "rehearsal", "--", "bash", "-c", "echo up; exec sleep 1000", env={"TMPDIR": str(tmp)}
        )
        home.wait_for("the training", lambda: home.runs() and home.runs()[0]["phase"] == "training")
        run = home.runs()[0]["run"]
        assert f"{run}: nothing left running" in home.good("down", run, "--no-fetch").out
        out, err = ferry.communicate(timeout=60)
        assert ferry.returncode == 130 and f"{run} is given up".encode() in out + err, (ferry.returncode, out, err)
        assert not list(tmp.glob("ferry-ssh*")), list(tmp.iterdir())
        home.nothing_left()


def test_down_of_a_machine_that_is_gone_says_that_its_outputs_are_lost():
    with Home() as home:
        run = left_behind(home)
        home.env["FERRY_LOST_LIMIT"] = "1s"
        pid = int((home.root / "data/ferry/runs" / run["run"] / "owner").read_text().split()[1])
        subprocess.run(["kill", "-9", str(pid)], check=True)
        call(home, "TerminateInstances", f"InstanceId.1={run['instances'][0]['id']}")
        home.wait_for("its end", lambda: home.alive() == [])
        done = home.good("down", run["run"])
        assert "are lost" in done.err, done.err
        after = home.newest()
        assert after["outcome"] == "lost" and after["phase"] == "released", after
        assert (home.home_of(run) / "train.log").read_text() == "up\n", done.err
        home.nothing_left()


def test_a_machine_that_was_stopped_is_told_and_started_again_for_its_outputs():
    with Home() as home:
        run = left_behind(home)
        instance = run["instances"][0]["id"]
        stop_from_the_console(home, instance)
        told = home.good("ps").err
        assert (
            f"{instance} is stopped: nothing trains on it, its disk costs $" in told and "no timer ends it" in told
        ), told
        done = home.ferry("fetch", run["run"], timeout=200)
        assert done.returncode == 125 and "--yes" in done.err and state_of(home, instance) == "stopped", done.err
        done = home.good("fetch", "--yes", run["run"], timeout=200)
        assert "are home" in done.out and (home.home_of(run) / "outputs/m").read_text() == "model\n", done.out
        home.nothing_left()


def test_cancel_and_down_start_a_stopped_machine_for_its_outputs():
    with Home() as home:
        for command in ("cancel", "down"):
            run = left_behind(home)
            stop_from_the_console(home, run["instances"][0]["id"])
            home.good(command, run["run"], timeout=200)
            assert (home.home_of(run) / "outputs/m").read_text() == "model\n"
            home.nothing_left()
        run = left_behind(home)
        stop_from_the_console(home, run["instances"][0]["id"])
        home.good("down", run["run"], "--no-fetch")
        assert not (home.home_of(run) / "outputs").exists()
        home.nothing_left()


def end_in_cloud(home, instance):
    found = re.search(r"<reason>[^<]*\((.*) GMT\)", call(home, "DescribeInstances", f"InstanceId.1={instance}"))
    return found.group(1)


def test_the_end_in_the_ledger_is_the_clouds_even_when_nobody_listens():
    with Home() as home:
        aws_env(home)
        home.env["FERRY_RELEASE_LIMIT"] = "60s"
        running = home.start(
            "run",
            "--infra",
            "aws",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo m > outputs/m; while [ ! -e ~/go ]; do sleep 0.1; done",
        )
        run = home.wait_for("training", lambda: [one for one in home.runs() if one["phase"] == "training"])[0]
        home.good("rehearsal", "fault", "throttle", "action=TerminateInstances", "count=100000")
        home.good("ssh", run["run"], "--", "touch ~/go")
        _, err = running.communicate(timeout=120)
        assert running.returncode == 0, err.decode()  # it ended itself, and that was seen
        ((released,),) = ledger_of(home, "SELECT released_ms FROM instances WHERE id <> ''")
        ended = (
            calendar.timegm(time.strptime(end_in_cloud(home, run["instances"][0]["id"]), "%Y-%m-%d %H:%M:%S")) * 1000
        )
        assert abs(released - ended) <= 1000, (released, ended)
        home.good("rehearsal", "fault", "clear")
        home.nothing_left()


def test_a_launch_whose_answer_was_lost_begins_when_the_cloud_says():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "drop", "action=RunInstances", "count=1")
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        instance = home.newest()["instances"][0]["id"]
        answer = call(home, "DescribeInstances", f"InstanceId.1={instance}")
        began = re.search(r"<launchTime>(.*?)</launchTime>", answer).group(1)
        cloud_ms = datetime.datetime.fromisoformat(began.replace("Z", "+00:00")).timestamp() * 1000
        ((noted,),) = ledger_of(home, "SELECT launched_ms FROM instances WHERE id = ?", instance)
        assert abs(noted - cloud_ms) < 1000, (noted, cloud_ms)
        home.good("down", "--all")
        home.nothing_left()


def test_ps_ends_no_run_whose_young_machine_is_not_known_yet():
    with Home() as home:
        home.good("run", "--keep", "--infra", "rehearsal", "--", "true")
        run = home.newest()
        instance = run["instances"][0]["id"]
        ledger_of(home, "UPDATE instances SET id = 'i-0123456789abcdef0' WHERE id = ?", instance)
        done = home.good("ps")
        assert run["run"] in done.err and "NotFound" in done.err, done.err
        assert [one["run"] for one in home.runs()] == [run["run"]], "looking ended its books"
        ledger_of(home, "UPDATE instances SET id = ?", instance)
        # Its end, by the cloud's own word, ends the run of a machine that nobody waits for.
        call(home, "TerminateInstances", f"InstanceId.1={instance}")
        home.wait_for("its end", lambda: home.alive() == [])
        home.good("ps")
        assert home.runs() == [] and home.newest()["outcome"] == "succeeded", home.newest()
        home.nothing_left()


def test_a_lost_ledger_is_no_reason_to_lose_outputs():
    with Home() as home:
        run = left_behind(home)
        pid = int((home.root / "data/ferry/runs" / run["run"] / "owner").read_text().split()[1])
        subprocess.run(["kill", "-9", str(pid)], check=True)
        for name in (home.root / "data/ferry").glob("ledger.db*"):
            name.unlink()
        done = home.ferry("down", "--all")
        assert done.returncode == 1 and done.err.startswith(
            "! down      AWS was NOT looked at: "
        ), done.err  # no credentials
        assert f"{run['instances'][0]['id']} terminated" in done.out, done.out + done.err
        assert (home.work / "runs" / run["run"] / "outputs/m").read_text() == "model\n"
        assert home.newest()["run"] == run["run"], "it is in the ledger again, with its costs"
        home.nothing_left()


def test_a_run_whose_ledger_was_lost_goes_on_in_a_new_one():
    with Home() as home:
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "echo one; sleep 4; mkdir outputs; echo model > outputs/m; echo two",
        )
        (run,) = home.runs()
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "one\n")
        pid = int((home.root / "data/ferry/runs" / run["run"] / "owner").read_text().split()[1])
        subprocess.run(["kill", "-9", str(pid)], check=True)
        # A new computer: nothing of the ledger, nor of the run's own folder with its key and host key.
        for name in (home.root / "data/ferry").glob("ledger.db*"):
            name.unlink()
        shutil.rmtree(home.root / "data/ferry/runs")
        shutil.rmtree(home.work / "runs")
        seen = home.ferry("orphans")
        instance = run["instances"][0]["id"]
        assert instance in seen.out and f"ferry recover {run['run']}" in seen.out and home.alive() == [instance], (
            seen.out + seen.err
        )
        assert home.runs("--all") == [], "looking notes nothing"
        done = home.ferry("recover")
        assert f"{run['run']} is in this ledger again" in done.out, done.out + done.err
        home.wait_for("the end of the run", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert (home.work / "runs" / run["run"] / "outputs/m").read_text() == "model\n"
        assert home.good("logs", run["run"]).out == "one\ntwo\n"
        assert "nothing is left" in home.ferry("orphans").out
        home.nothing_left()


def test_machines_of_another_ledger_are_left_alone_unless_asked_for():
    with Home() as home, Home() as other:
        aws_env(home)
        # Another container of the same account: the same user@host, a ledger of its own.
        other.env.update({key: value for key, value in home.env.items() if key.startswith("AWS_")})
        other.good("run", "--yes", "--keep", "--infra", "aws", "--", "true")
        (run,) = other.runs()
        theirs = run["instances"][0]["id"]
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        done = home.ferry("down", "--all")
        assert done.returncode == 1 and f"left alone: {theirs}" in done.err and "--every-ledger" in done.err, done.err
        assert "nothing left running" not in done.out and home.alive() == [theirs], done.out
        done = home.good("down", "--all", "--every-ledger", timeout=200)
        assert theirs in done.out and home.alive() == [], done.out
        other.good("down", "--all")


def test_a_run_that_never_rented_is_told_once_and_can_be_given_up():
    with Home() as home:
        aws_env(home)
        home.env["FERRY_RELEASE_LIMIT"] = "1s"
        home.good(
            "rehearsal", "fault", "error", "action=RunInstances", "code=UnauthorizedOperation", "status=403", "count=1"
        )
        home.good("rehearsal", "fault", "permission", "action=ec2:DeleteKeyPair")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert done.returncode == 125 and home.cloud()["instances"] == [], done.err
        ((run,),) = ledger_of(home, "SELECT name FROM runs")
        told = home.ferry("ps", "--all").err
        assert f"{run} could not be settled now" in told and f"ferry down --forget {run}" in told, told
        for _ in range(3):
            assert home.good("ps", "--all").err == ""
        assert not (home.root / "data/ferry/runs" / run / "follower.txt").exists(), "there is nothing to follow"
        done = home.good("down", "--forget", run)
        assert f"the key pair ferry-{run}" in done.out and "given up" in done.out, done.out
        ((phase,),) = ledger_of(home, "SELECT phase FROM runs")
        assert phase == "released", phase
        home.good("rehearsal", "fault", "clear")


def test_a_run_that_was_rented_is_not_forgotten():
    with Home() as home:
        home.good("run", "--keep", "--infra", "rehearsal", "--", "true")
        run = home.newest()
        done = home.ferry("down", "--forget", run["run"])
        assert done.returncode == 125 and f"{run['instances'][0]['id']} was rented for it" in done.err, done.err
        home.good("down", run["run"])
        home.nothing_left()


def test_nothing_of_ferrys_is_left_on_an_own_machine_by_down_all():
    with Home() as home:
        own_machine(home)
        hidden = "echo up; (trap '' TERM; setsid sleep 4321.5 & wait) & exec sleep 4321.25"
        for _ in range(3):
            home.good("run", "--detach", "--infra", "ssh/box", "--", "bash", "-c", hidden)
        runs = [one["run"] for one in home.runs() if one["infra"] == "ssh/box"]
        assert len(runs) == 3
        home.wait_for("the first training", lambda: "4321.25" in on_box(home, "ps axww -o cmd"))
        for run in runs[:2]:
            home.good("down", run, "--no-fetch")
        processes = on_box(home, "ps axww -o cmd")
        assert not any(run in processes for run in runs[:2]), processes
        home.ferry("down", runs[2], "--no-fetch")
        processes = on_box(home, "ps axww -o cmd")
        assert "4321" not in processes and not any(run in processes for run in runs), processes
        assert not any(run in on_box(home, "find .ferry 2>/dev/null || true") for run in runs)


if __name__ == "__main__":
    main(globals())
