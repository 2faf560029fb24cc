#!/usr/bin/env python3
"""People who want to leave: what a second Ctrl-C does, what a closed terminal means, and what ferry exits with then."""
import fcntl
import os
import pathlib
import pty
import signal
import subprocess
import termios
import time

from lib import FERRY, ITS_AGENTS, Home, main

SAVES_AND_EXITS_0 = "trap 'echo saved > outputs/m; exit 0' TERM; mkdir outputs; echo up; while :; do sleep 0.1; done"


class Terminal:
    """ferry at a terminal of its own, as a person has it."""

    def __init__(self, home, *args):
        self.main, there = pty.openpty()

        def become_session():
            os.setsid()
            fcntl.ioctl(there, termios.TIOCSCTTY, 0)

        self.ferry = subprocess.Popen(
            [FERRY, *args],
            cwd=home.work,
            env={**home.env, "TERM": "xterm"},
            stdin=there,
            stdout=there,
            stderr=there,
            preexec_fn=become_session,
        )
        os.close(there)
        self.seen = b""

    def until(self, words, limit=90):
        end = time.time() + limit
        while words not in self.seen:
            assert time.time() < end, self.seen.decode(errors="replace")
            try:
                self.seen += os.read(self.main, 65536)
            except OSError:
                raise AssertionError(f"ended before it said {words}: " + self.seen.decode(errors="replace"))

    def press(self, keys):
        os.write(self.main, keys)

    def wait(self, limit=90):
        """Reads on, as a terminal does, until ferry has ended; its exit code."""
        end = time.time() + limit
        os.set_blocking(self.main, False)
        while self.ferry.poll() is None:
            assert time.time() < end, self.seen.decode(errors="replace")
            try:
                self.seen += os.read(self.main, 65536)
            except OSError:
                pass
            time.sleep(0.05)
        return self.ferry.returncode


def test_a_run_that_was_stopped_never_exits_0():
    with Home() as home:
        home.good("rehearsal", "start")
        for number in (signal.SIGTERM, signal.SIGINT):
            ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", SAVES_AND_EXITS_0)
            assert ferry.stdout.readline() == b"up\n"
            ferry.send_signal(number)
            _, err = ferry.communicate(timeout=90)
            run = home.newest()
            assert ferry.returncode == run["exit_code"] == 130 and run["outcome"] == "cancelled", (
                ferry.returncode,
                run,
                err.decode(),
            )
            assert (home.home_of(run) / "outputs/m").read_text() == "saved\n"
        done = home.ferry("run", "--infra", "rehearsal", "--max-duration", "2s", "--", "bash", "-c", SAVES_AND_EXITS_0)
        run = home.newest()
        assert done.returncode == run["exit_code"] == 124 and run["outcome"] == "failed", (
            done.returncode,
            run,
            done.err,
        )
        assert "max_duration" in done.err and "max_duration" in run["error"]
        assert (home.home_of(run) / "outputs/m").read_text() == "saved\n"
        home.nothing_left()


def test_a_run_that_another_terminal_cancels_exits_130():
    with Home() as home:
        ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", SAVES_AND_EXITS_0)
        assert ferry.stdout.readline() == b"up\n"
        home.good("cancel", home.runs()[0]["run"])
        ferry.communicate(timeout=90)
        assert ferry.returncode == 130 and home.newest()["outcome"] == "cancelled"
        home.nothing_left()


def test_a_terminal_that_closes_or_ends_at_the_question_detaches():
    with Home() as home:
        home.good("rehearsal", "start")
        for leave in (lambda terminal: terminal.press(b"\x04"), lambda terminal: os.close(terminal.main)):
            terminal = Terminal(
                home,
                "run",
                "--infra",
                "rehearsal",
                "--",
                "bash",
                "-c",
                "trap 'echo TERM > outputs/m; exit 1' TERM; mkdir outputs; echo up; "
                "for i in $(seq 40); do sleep 0.1; done; echo m > outputs/m",
            )
            terminal.until(b"up\r\n")
            terminal.press(b"\x03")
            terminal.until(b"[g]o on?")
            leave(terminal)
            terminal.ferry.wait(90)
            home.wait_for("released", lambda: home.newest()["phase"] == "released")
            run = home.newest()
            assert run["outcome"] == "succeeded" and (home.home_of(run) / "outputs/m").read_text() == "m\n", run
        home.nothing_left()


def test_an_agent_that_does_not_answer_is_let_go_by_a_second_request():
    with Home() as home:
        home.good("rehearsal", "start")
        for number in (signal.SIGINT, signal.SIGTERM):
            ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", SAVES_AND_EXITS_0)
            assert ferry.stdout.readline() == b"up\n", ferry.communicate()[1].decode()
            run = home.runs()[0]["run"]
            home.good("ssh", run, "--", f'pkill -STOP -f "{ITS_AGENTS}.* (serve|connect)"')
            ferry.send_signal(signal.SIGINT)
            time.sleep(1)
            began = time.time()
            ferry.send_signal(number)
            _, err = ferry.communicate(timeout=90)
            err = err.decode()
            assert ferry.returncode == 125 and time.time() - began < 45, (time.time() - began, err)
            assert "is kept" in err and f"ferry down {run}" in err and f"logs -f {run}" in err, err
            assert len(home.alive()) == 1, "the machine is kept, with the training on it"
            home.good("down", run, "--no-fetch")
        home.nothing_left()


def test_a_second_request_during_a_fetch_leaves_the_rest_to_a_follower():
    with Home() as home:
        ferry = home.start(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo up; sleep 1; head -c 100000000 /dev/urandom > outputs/m",
        )
        assert ferry.stdout.readline() == b"up\n"
        run = home.runs()[0]["run"]
        home.ferry(
            "ssh",
            run,
            "--",
            f'(while :; do pkill -STOP -f "{ITS_AGENTS}.* send"; done) >/dev/null 2>&1 & echo $! > ~/stopper',
        )
        home.wait_for("fetching", lambda: home.runs()[0]["phase"] == "fetching")
        time.sleep(1)
        ferry.send_signal(signal.SIGTERM)
        time.sleep(2)
        assert ferry.poll() is None, "one request does not leave a model behind"
        ferry.send_signal(signal.SIGTERM)
        _, err = ferry.communicate(timeout=60)
        err = err.decode()
        assert ferry.returncode == 125 and "follower in the background" in err and f"ferry fetch {run}" in err, err
        home.good("ssh", run, "--", f'kill $(cat ~/stopper); sleep 1; pkill -CONT -f "{ITS_AGENTS}.* send"; true')
        home.wait_for("released", lambda: home.newest()["phase"] == "released")
        one = home.newest()
        assert one["outcome"] == "succeeded" and (home.home_of(one) / "outputs/m").stat().st_size == 100000000, one
        home.nothing_left()


def test_a_request_to_end_before_the_training_releases_at_once():
    with Home() as home:
        home.file("big.bin", "x" * 1000)
        home.good("rehearsal", "start")
        ferry = home.start("run", "--infra", "rehearsal", "--", "true")
        home.wait_for(
            "connecting",
            lambda: [one for one in home.runs() if one["phase"] in ("connecting", "syncing", "setup", "training")],
        )
        ferry.send_signal(signal.SIGTERM)
        _, err = ferry.communicate(timeout=90)
        assert ferry.returncode in (130, 143), err.decode()
        home.nothing_left()


def test_detaching_with_keep_says_what_comes_of_the_machine():
    with Home() as home:
        done = home.good("run", "-d", "--keep", "--infra", "rehearsal", "--", "true")
        assert "released when done" not in done.err and "is kept" in done.err and "/h" in done.err, done.err
        run = home.runs()[0]["run"]
        home.wait_for("done", lambda: home.runs()[0]["outputs_home"])
        assert len(home.alive()) == 1
        home.good("down", run)
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
