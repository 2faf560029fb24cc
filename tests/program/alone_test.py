#!/usr/bin/env python3
"""Each limit and each switch alone ends the machine: all others are disabled, and the rehearsal cloud says when it is
gone."""
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess

from lib import Home, main

FOR_EVER = "mkdir -p outputs; echo model > outputs/m; echo up; while :; do sleep 0.1; done"
# A training that hears what FERRY_NOTICE says, and saves.
SAVES = (
    "mkdir -p outputs; trap 'cp \"$FERRY_NOTICE\" outputs/notice.json; exit 0' TERM; echo up; " "while :; do {}; done"
)


def asked(home, what):
    """Of the ledger, without a ferry command, which would look after what was left."""
    with sqlite3.connect(f"file:{home.root}/data/ferry/ledger.db?mode=ro", uri=True, timeout=10) as ledger:
        return ledger.execute(what).fetchone()[0]


def name_of(home):
    return asked(home, "SELECT name FROM runs ORDER BY created_ms DESC")


def processes(*words, parent=None):
    """Of this computer, and so of the machines of its rehearsal cloud, by their command line."""
    found = subprocess.run(
        ["pgrep", *(["-P", str(parent)] if parent else []), "-f", *words], capture_output=True, text=True, check=False
    ).stdout
    return [int(one) for one in found.split()]


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def timers(run):
    """The shells of the timer that the machine of the run was booted with."""
    return [pid for pid in processes(f"sleep [0-9]+; while .*ferry-end-{run}`") if "ferry-end" in command_line(pid)]


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def disarm_timer(home, run):
    send(signal.SIGKILL, home.wait_for("the machine's timer", lambda: timers(run), 30))
    assert not timers(run)


def let_timer_come(home, run):
    """Ends its sleep: to the timer its time has come."""
    waiting = home.wait_for(
        "the machine's timer", lambda: [one for shell in timers(run) for one in processes("^sleep ", parent=shell)], 30
    )
    send(signal.SIGKILL, waiting)


def agents(run):
    """The agent's process on the machine; what bridges a connection to it has the same command line, and another
    parent."""
    return [
        pid
        for pid in processes(f"ferry-agent-[0-9a-f]+ connect .*/runs/{run}$")
        if "rehearsal-instance" in command_line(parent_of(pid))
    ]


def parent_of(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def end_ferries(home, run):
    """kill -9 to whoever follows it."""
    home.wait_for("its follower", lambda: processes(f"follow-run {run} "), 30)
    send(signal.SIGKILL, processes(f"follow-run {run} "))
    home.wait_for("it to be gone", lambda: not processes(f"follow-run {run} "), 30)


def begin(home, script, *args):
    """A training that prints `up`, with nobody but its follower who looks after it; its run and machine."""
    home.good("run", "--detach", "--infra", "rehearsal", *args, "--", "bash", "-c", script)
    run = name_of(home)
    return run, machine(home)["id"]


def machine(home):
    (one,) = home.cloud()["instances"]
    return one


def ended(home, limit=120):
    """The machine, when the cloud says that it is gone; nobody asked ferry for that."""
    return home.wait_for(
        "the machine to be gone", lambda: (one := machine(home))["state"] == "terminated" and one, limit
    )


def check_receipt(home, run):
    """The next command settles the run; what it has cost is within what was said."""
    home.wait_for(
        "it is settled",
        lambda: next((one for one in home.runs("--all") if one["run"] == run and one["phase"] == "released"), None),
    )
    told = json.loads(home.good("show", run, "--json").out)
    assert 0 < told["spent_usd"] <= told["at_most_usd"], told
    home.nothing_left()
    return told


def test_only_the_ferry_in_the_foreground():
    with Home() as home:
        ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", FOR_EVER)
        assert ferry.stdout.readline() == b"up\n"
        run = name_of(home)
        disarm_timer(home, run)
        send(signal.SIGKILL, home.wait_for("the agent", lambda: agents(run), 30))
        _, err = ferry.communicate(timeout=120)
        assert ferry.returncode == 125, err.decode()
        assert "User initiated" in machine(home)["reason"], machine(home)
        assert (home.work / "runs" / run / "outputs/m").read_text() == "model\n"
        check_receipt(home, run)


def test_only_the_agents_limit():
    with Home() as home:
        run, _ = begin(home, FOR_EVER, "--max-duration", "4s")
        end_ferries(home, run)
        disarm_timer(home, run)
        assert "Instance initiated" in ended(home)["reason"]
        assert check_receipt(home, run)["outcome"] == "lost"


def test_only_the_timer_that_it_was_booted_with():
    for number in (signal.SIGKILL, signal.SIGSTOP):
        with Home() as home:
            run, _ = begin(home, FOR_EVER, "--max-duration", "1h")
            end_ferries(home, run)
            send(number, home.wait_for("the agent", lambda: agents(run), 30))
            assert machine(home)["state"] == "running"
            let_timer_come(home, run)
            assert "Instance initiated" in ended(home)["reason"]
            check_receipt(home, run)


def test_only_the_limit_of_a_training_that_does_nothing():
    with Home() as home:
        run, _ = begin(home, SAVES.format("sleep 1000 & wait"), "--max-duration", "5m", "--idle", "2s")
        end_ferries(home, run)
        disarm_timer(home, run)
        assert "Instance initiated" in ended(home)["reason"]
        check_receipt(home, run)


def test_only_the_budget():
    with Home() as home:
        large = ("--infra", "rehearsal", "--instance-type", "g5.24xlarge")  # of which a cent pays for four seconds
        told = json.loads(home.good("plan", *large, "--max-duration", "61s", "--json", "--", "true").out)["at_most_usd"]
        run, _ = begin(home, FOR_EVER, *large[2:], "--budget", str(told))
        seconds = asked(home, f"SELECT json_extract(task, '$.max_duration_s') FROM runs WHERE name = '{run}'")
        assert 60 <= seconds < 80, seconds
        end_ferries(home, run)
        disarm_timer(home, run)
        assert "Instance initiated" in ended(home, seconds + 120)["reason"]
        assert check_receipt(home, run)["at_most_usd"] <= told


def test_only_the_next_command_for_a_machine_that_trains_nothing_yet():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "slow-boot", "ms=3000")
        ferry = home.start("run", "--infra", "rehearsal", "--", "true")
        home.wait_for(
            "a machine that boots",
            lambda: home.cloud()["instances"]
            and asked(home, "SELECT phase FROM runs ORDER BY created_ms DESC") in ("launching", "connecting"),
        )
        ferry.kill()
        ferry.communicate()
        run = name_of(home)
        disarm_timer(home, run)
        home.wait_for("it to run", lambda: machine(home)["state"] == "running")
        assert not agents(run)
        home.good("ps")
        assert "User initiated" in ended(home)["reason"]
        assert check_receipt(home, run)["outcome"] == "lost"


def test_only_the_time_that_outputs_wait_for_whom_nobody_fetches():
    with Home() as home:
        run, _ = begin(home, "mkdir outputs; echo up; sleep 2; echo model > outputs/m", "--max-duration", "5s")
        end_ferries(home, run)
        disarm_timer(home, run)
        assert "Instance initiated" in ended(home)["reason"]
        check_receipt(home, run)


def test_what_was_asked_for_a_checkpoint_is_home_before_the_machine_goes():
    for reason, flags, work in (
        ("max_duration", ("--max-duration", "5s"), "sleep 0.1"),
        ("idle", ("--max-duration", "5m", "--idle", "2s"), "sleep 1000 & wait"),
    ):
        with Home() as home:
            done = home.ferry("run", "--infra", "rehearsal", *flags, "--", "bash", "-c", SAVES.format(work))
            assert done.returncode == 124, done.err
            run = name_of(home)
            told = json.loads((home.work / "runs" / run / "outputs/notice.json").read_text())
            assert told["kind"] == "limit" and told["reason"] == reason, told
            assert re.search(r"3? ?file|1 file", done.err), done.err
            check_receipt(home, run)


if __name__ == "__main__":
    main(globals())
