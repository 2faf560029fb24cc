#!/usr/bin/env python3
"""Who looks after a run: one process at a time, asked to end by those who may, and never by those who only look."""
import os
import shutil
import signal
import time

from aws_test import aws_env
from lib import Home, main

# Saves what it has when it is asked to end.
SAVER = "trap 'mkdir -p outputs; echo saved > outputs/m; exit 0' TERM; echo up; while :; do sleep 0.1; done"
TRAIN = ("--infra", "rehearsal", "--", "bash", "-c", SAVER)


def training(home, *flags):
    """A detached run whose training has begun: its newest state."""
    home.good("run", "--detach", *flags, *TRAIN)
    run = home.runs()[0]
    home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
    return run


def is_cancelled_with_what_it_saved(home, run):
    after = next(one for one in home.runs("--all") if one["run"] == run["run"])
    assert after["phase"] == "released" and after["outcome"] == "cancelled", after
    assert (home.home_of(run) / "outputs/m").read_text() == "saved\n"
    home.nothing_left()


def test_cancel_finds_somebody_for_a_run_whose_ferry_was_killed():
    with Home() as home:
        for _ in range(2):
            ferry = home.start("run", *TRAIN)
            assert ferry.stdout.readline() == b"up\n"
            run = home.runs()[0]
            ferry.kill()
            ferry.communicate()
            done = home.good("cancel", run["run"])
            assert "cancelled" in done.out, done.out + done.err
            is_cancelled_with_what_it_saved(home, run)


def test_cancel_right_after_detach_reaches_the_follower():
    with Home() as home:
        for _ in range(3):
            home.good("run", "--detach", *TRAIN)
            run = home.runs()[0]
            home.good("cancel", run["run"], timeout=100)
            after = home.newest()
            assert after["phase"] == "released" and after["outcome"] == "cancelled", after
        home.nothing_left()


def test_cancel_of_a_kept_run_releases_it():
    with Home() as home:
        run = training(home, "--keep")
        done = home.good("cancel", run["run"])
        assert "machine is released" in done.out and "brought home" not in done.err, done.out + done.err
        is_cancelled_with_what_it_saved(home, run)
        home.good("run", "--keep", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo m > outputs/m")
        kept = home.runs()[0]
        done = home.good("cancel", kept["run"])
        assert f"{kept['run']} succeeded; its machine is released; what it saved is in" in done.out, done.out
        home.nothing_left()


def test_many_downs_at_once_wait_for_each_other():
    with Home() as home:
        run = training(home)
        downs = [home.start("down", "--all") for _ in range(4)] + [home.start("down", run["run"]) for _ in range(2)]
        looks = [home.start("ps") for _ in range(3)]
        for one in downs + looks:
            out, err = one.communicate(timeout=120)
            assert one.returncode == 0, (one.args, one.returncode, out.decode(), err.decode())
        is_cancelled_with_what_it_saved(home, run)


def test_a_removed_folder_does_not_give_a_run_two_owners():
    with Home() as home:
        run = training(home)
        folder = home.root / "data/ferry/runs" / run["run"]
        shutil.rmtree(folder)
        lock = home.wait_for(
            "the lock made anew", lambda: (folder / "owner").exists() and (folder / "owner").read_text()
        )
        role, pid, _ = lock.split()
        assert role == "follow"
        assert "left behind" not in home.good("ps").err
        home.good("cancel", run["run"])
        is_cancelled_with_what_it_saved(home, run)


def test_who_lost_its_run_to_another_lets_go_of_it():
    with Home() as home:
        run = training(home)
        folder = home.root / "data/ferry/runs" / run["run"]
        pid = int((folder / "owner").read_text().split()[1])
        # Stopped, it cannot make its lock anew: the next command takes the run for an orphan.
        os.kill(pid, signal.SIGSTOP)
        (folder / "owner").unlink()
        assert "following it again" in home.good("ps").err
        other = int((folder / "owner").read_text().split()[1])
        assert other != pid
        os.kill(pid, signal.SIGCONT)
        home.wait_for(
            "the first one's end",
            lambda: not os.path.exists(f"/proc/{pid}")
            or open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z",
        )
        assert "another ferry looks after" in (folder / "follower.txt").read_text()
        home.good("cancel", run["run"])
        is_cancelled_with_what_it_saved(home, run)


def laptops(home, *others):
    """Computers of one owner with one account, each with a ledger of its own; a lease runs out in seconds."""
    aws_env(home)
    for one in others:
        one.env.update({key: value for key, value in home.env.items() if key.startswith("AWS_")})
    for one in (home, *others):
        one.env["FERRY_LEASE_PULSE"] = "1s"


def begin_on(home):
    """In the foreground, until ~/go is there."""
    ferry = home.start(
        "run",
        "--infra",
        "aws",
        "--",
        "bash",
        "-c",
        "mkdir -p outputs; echo up; while ! [ -e ~/go ]; do sleep 0.1; done; echo model > outputs/m",
    )
    assert ferry.stdout.readline() == b"up\n"
    return ferry, home.runs()[0]["run"]


def let_end(home, run):
    home.good("ssh", run, "--", "touch ~/go")
    home.wait_for("the end of the run", lambda: home.newest()["phase"] == "released")
    assert home.newest()["outcome"] == "succeeded", home.newest()
    assert (home.work / "runs" / run / "outputs/m").read_text() == "model\n"


def test_a_run_whose_laptop_died_is_taken_over_by_one_of_two_others_when_it_has_not_shown_itself():
    with Home() as home, Home() as second, Home() as third:
        laptops(home, second, third)
        ferry, run = begin_on(home)
        refused = second.ferry("recover", run)
        assert refused.returncode == 125 and f"works on {run}" in refused.err, refused.err
        assert second.runs("--all") == [], "what is refused is not noted"
        ferry.kill()
        ferry.communicate()
        tries = [(one, one.start("recover", run)) for one in (second, third)]
        told = [(one, one_try.communicate(timeout=120), one_try.returncode) for one, one_try in tries]
        winners = [one for one, _, code in told if code == 0]
        assert len(winners) == 1, told
        assert all(code == 0 or f"works on {run}".encode() in err for _, (_, err), code in told), told
        let_end(winners[0], run)
        home.nothing_left()
        home.ferry("ps")  # finds that its machine is gone


def test_a_laptop_that_slept_while_its_run_was_taken_over_lets_go_of_it():
    with Home() as home, Home() as other:
        laptops(home, other)
        ferry, run = begin_on(home)
        ferry.send_signal(signal.SIGSTOP)
        other.good("recover", run)
        ferry.send_signal(signal.SIGCONT)
        _, err = ferry.communicate(timeout=60)
        assert ferry.returncode == 125 and b"another computer took it over" in err, err
        let_end(other, run)
        home.nothing_left()


def test_a_follower_names_paths_from_the_root():
    with Home() as home:
        run = training(home)
        text = home.root / "data/ferry/runs" / run["run"] / "follower.txt"
        home.good("cancel", run["run"])
        home.wait_for("its last words", lambda: str(home.home_of(run)) in text.read_text())
        assert f" {str(home.home_of(run))[1:]}" not in text.read_text(), text.read_text()


def test_words_behind_two_dashes_are_arguments():
    with Home() as home:
        home.good("run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo 1 > outputs/m; echo first")
        first = home.newest()["run"]
        home.good("run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo 2 > outputs/m; echo second")
        assert first in home.good("fetch", "--", first).out
        assert home.good("logs", "--", first).out == "first\n"
        done = home.ferry("logs", "--", "--follow")
        assert done.returncode == 125 and "no such run: --follow" in done.err, done.err


def test_fetch_while_a_machine_is_connected_to_says_so():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "slow-boot", "ms=20000")
        ferry = home.start("run", "--infra", "rehearsal", "--", "true")
        run = home.wait_for(
            "the launch",
            lambda: [
                one for one in home.runs() if one["phase"] == "launching" and any(it["id"] for it in one["instances"])
            ],
        )[0]
        done = home.ferry("fetch", run["run"])
        assert (
            done.returncode == 125
            and "has no outputs yet: it is launching" in done.err
            and "its machine is i-" in done.err
        ), done.err
        ferry.send_signal(signal.SIGTERM)
        ferry.communicate(timeout=60)
        home.nothing_left()


def test_fetch_by_hand_completes_a_log_that_is_short_here():
    with Home() as home:
        home.good(
            "run",
            "--keep",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            "mkdir outputs; echo m > outputs/m; for i in $(seq 20); do echo line $i; sleep 0.02; done",
        )
        run = home.newest()
        log = home.root / "data/ferry/runs" / run["run"] / "log"
        whole = home.good("logs", run["run"]).out
        os.truncate(log, log.stat().st_size // 2)
        assert home.good("logs", run["run"]).out != whole
        home.good("fetch", run["run"])
        assert home.good("logs", run["run"]).out == whole
        home.good("down", run["run"])
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
