#!/usr/bin/env python3
"""A machine of one's own is told of the job before its environment is made, which may take long, fail, or be broken
off: the job starts after it, once, or never."""
import signal
import subprocess

from host_test import on_box, own_machine
from lib import Home, main

# Stands for conda: notes each try by its process, and ends once ~/go is there; well if that is empty.
CONDA = """#!/bin/sh
echo $$ >>~/tries
echo solving >&2
while [ ! -e ~/go ]; do sleep 0.05; done
[ ! -s ~/go ] || { cat ~/go >&2; exit 1; }
while [ "$1" != -p ]; do shift; done
mkdir -p "$2/bin" && echo 'echo made' >"$2/bin/made" && chmod +x "$2/bin/made"
"""


class Ahead(Home):
    """With a machine of one's own, whose environment takes until go()."""

    def __enter__(self):
        own_machine(self)
        self.file("environment.yml", "dependencies: [python]\n")
        place = "~/miniconda3/bin"
        write = f"mkdir -p {place} && cat >{place}/conda && chmod +x {place}/conda"
        subprocess.run(["ssh", "box", write], input=CONDA.encode(), env=self.env, check=True)
        return self

    def begin(self, *flags):
        return self.start("run", *flags, "--infra", "ssh/box", "--", "sh", "-c", "echo ran >>~/ran; made")

    def go(self, trouble=""):
        on_box(self, f"printf %s '{trouble}' >~/go")

    def tries(self):
        return on_box(self, "cat ~/tries 2>/dev/null || true").split()

    def ran(self):
        return on_box(self, "cat ~/ran 2>/dev/null || true").split()

    def is_being_made(self):
        self.wait_for("the environment's first try", self.tries, 60)

    def processes(self):
        """Those of the machine that make the environment."""
        return on_box(self, "ps axww -o cmd | grep '[m]iniconda3/bin/conda' || true")

    def ended(self):
        """The run, which nobody has left to look after."""
        return self.wait_for("the run's end", lambda: (run := self.newest())["phase"] == "released" and run, 120)


def children_of(pid):
    text = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [(int(number), name) for number, name in (line.split(None, 1) for line in text.splitlines())]


def test_the_job_runs_once_in_the_environment_that_was_made_first():
    with Ahead() as home:
        run = home.begin()
        home.is_being_made()
        assert home.newest()["phase"] == "setup" and home.ran() == []
        home.go()
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0 and out == b"made\n", err.decode()
        told = err.decode()
        assert "environment.yml installed" in told and told.index("environment.yml installed") < told.index(
            "exit 0"
        ), told
        assert len(home.tries()) == 1 and home.ran() == ["ran"]
        kept = home.ended()
        assert '"made": "environment.yml installed"' in (home.home_of(kept) / "run.json").read_text()


def test_where_it_cannot_be_had_its_last_words_are_told_and_nothing_starts():
    with Ahead() as home:
        home.go("no such package: torhc\n")
        run = home.begin()
        out, err = run.communicate(timeout=120)
        told = err.decode()
        assert run.returncode == 125 and out == b"", told
        assert "the training's environment cannot be had on this machine" in told, told
        assert "no such package: torhc" in told and "environment: none" in told, told
        assert "start the job" not in told and "ferry-agent" not in told, told
        kept = home.ended()
        assert kept["outcome"] == "not_started" and home.ran() == [], kept
        assert kept["run"] not in on_box(home, "find .ferry"), on_box(home, "find .ferry")


def test_who_cancels_meanwhile_ends_it_and_nothing_starts():
    with Ahead() as home:
        run = home.begin()
        home.is_being_made()
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=120)
        assert home.processes() == "", home.processes()
        home.go()
        kept = home.ended()
        assert kept["outcome"] == "cancelled" and home.ran() == [], (kept, err.decode())


def test_a_ferry_that_is_killed_meanwhile_starts_nothing_later():
    with Ahead() as home:
        run = home.begin()
        home.is_being_made()
        run.kill()
        run.communicate()
        home.go()
        home.wait_for("the environment's end", lambda: home.processes() == "", 60)
        home.good("ps")  # which finds the run without an owner
        kept = home.ended()
        assert kept["outcome"] == "not_started" and home.ran() == [], kept
        assert kept["run"] not in on_box(home, "find .ferry"), on_box(home, "find .ferry")


def test_a_ferry_that_is_killed_before_it_heard_of_the_start_is_followed_and_the_facts_are_not_lost():
    with Ahead() as home:
        run = home.begin()
        home.is_being_made()
        run.send_signal(signal.SIGSTOP)
        home.go()
        home.wait_for("the job", home.ran, 60)
        run.kill()
        run.communicate()
        assert "following it again" in home.good("ps").err
        kept = home.ended()
        assert kept["outcome"] == "succeeded" and home.ran() == ["ran"], kept
        record = (home.home_of(kept) / "run.json").read_text()
        assert '"made": "environment.yml installed"' in record, record


def test_a_connection_that_breaks_meanwhile_is_made_again_and_the_job_still_runs_once():
    with Ahead() as home:
        run = home.begin()
        home.is_being_made()
        (ssh,) = [pid for pid, name in children_of(run.pid) if name == "ssh"]
        subprocess.run(["kill", "-9", str(ssh)], check=True)
        home.wait_for("a second try", lambda: len(home.tries()) == 2, 60)
        first, second = home.tries()
        assert on_box(home, f"kill -0 {first} 2>/dev/null && echo there || echo gone") == "gone\n"
        home.go()
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0 and out == b"made\n" and home.ran() == ["ran"], err.decode()
        assert b"connection lost" in err and home.ended()["outcome"] == "succeeded", err.decode()


if __name__ == "__main__":
    main(globals())
