#!/usr/bin/env python3
"""The connection to a machine that stays, held in the background for the next command."""
import os
import pathlib
import re
import signal
import subprocess
import time

from host_test import on_box, own_machine
from lib import FERRY, Home, main

HELD = {"FERRY_HOLD_CONNECTION": "10m"}


class Held(Home):
    """With a machine of one's own, and a list of what ssh was called for."""

    def __enter__(self):
        own_machine(self)
        self.env.update(HELD)
        self.calls = self.root / "ssh_calls"
        (self.root / "bin/ssh").write_text(
            f"#!/bin/sh\ncase \"$*\" in *ferry-home*) echo login >>{self.calls};; esac\n"
            f'exec /usr/bin/ssh -F {self.root}/ssh_config "$@"\n'
        )
        return self

    def __exit__(self, *what):
        super().__exit__(*what)
        assert what[0] or self.gone(10), f"it outlives its folder: {self.holders()}"

    def logins(self):
        return len(self.calls.read_text().split()) if self.calls.exists() else 0

    def folder(self):
        return self.root / "data/ferry/held"

    def sockets(self):
        return [one for one in self.folder().glob("*") if one.is_socket()] if self.folder().exists() else []

    def holders(self):
        """Process ids, whose environment names this home."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"hold-connection" in words and str(self.root).encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                pass
        return found

    def gone(self, limit):
        end = time.time() + limit
        while self.holders() and time.time() < end:
            time.sleep(0.1)
        return not self.holders()

    def run_on_box(self, *words, **more):
        return self.good("run", "--infra", "ssh/box", *words, **more)

    def is_held(self):
        self.wait_for("a held connection", self.sockets, 30)


def test_the_next_run_logs_in_no_more_and_two_at_once_share_it():
    with Held() as home:
        home.run_on_box("--", "true")
        home.is_held()
        before, let_in = home.logins(), accepted(home)
        assert before == 2, "the run's own, and the holder's"
        done = home.run_on_box("--", "sh", "-c", "mkdir outputs; hostname > outputs/m; echo trained")
        assert done.out == "trained\n" and "by the connection that is held" in done.err, done.err
        assert (home.home_of(home.newest()) / "outputs/m").read_text() == on_box(home, "hostname")
        both = [home.start("run", "--infra", "ssh/box", "--", "sh", "-c", f"sleep 1; echo {n}") for n in (1, 2)]
        assert [one.communicate(timeout=120)[0] for one in both] == [b"1\n", b"2\n"]
        assert [one.returncode for one in both] == [0, 0]
        assert home.logins() == before, home.calls.read_text()
        assert accepted(home) == let_in + 1, "this test's own look at the machine"
        home.wait_for("one holder", lambda: len(home.holders()) == 1, 20)  # another sees that, and ends
        assert "/.ferry/runs/" not in on_box(home, "ps axww -o cmd | grep '[f]erry-agent.*runs/' || true").replace(
            "/.ferry/runs/box", ""
        )


def test_it_keeps_nothing_of_the_command_that_started_it_and_outlives_its_terminal():
    with Held() as home:
        pipe = subprocess.run(
            f"{FERRY} run --infra ssh/box -- echo hello 2>&1 | cat",
            shell=True,
            cwd=home.work,
            env=home.env,
            capture_output=True,
            timeout=120,
        )
        assert b"hello" in pipe.stdout  # and the pipe ended
        home.is_held()
        (holder,) = home.holders()
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{holder}/fd/{number}") == "/dev/null"
        stat = pathlib.Path(f"/proc/{holder}/stat").read_text().rsplit(")", 1)[1].split()
        assert int(stat[3]) == holder and int(stat[4]) == 0, "a session of its own, without a terminal"
        held = {os.readlink(one) for one in pathlib.Path(f"/proc/{holder}/fd").iterdir()}
        assert not [one for one in held if "ledger" in one or "/runs/" in one], held
        os.kill(holder, signal.SIGHUP)
        home.run_on_box("--", "true")
        home.wait_for("no other holder", lambda: home.holders() == [holder], 20)
        os.kill(holder, signal.SIGTERM)
        assert home.gone(10) and not list(home.folder().iterdir()), list(home.folder().iterdir())


def test_it_is_off_by_the_flag_and_by_the_settings():
    with Held() as home:
        home.run_on_box("--hold-connection", "off", "--", "true")
        home.env.pop("FERRY_HOLD_CONNECTION")
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("hold_connection: off\n")
        home.run_on_box("--", "true")
        time.sleep(1)
        assert not home.holders() and not home.sockets()
        settings.write_text("hold_connection: 1h\n")
        home.run_on_box("--", "true")
        home.is_held()
        before = home.logins()
        home.run_on_box("--hold-connection", "off", "--", "true")
        assert home.logins() == before + 1, "off is also: not used"
        done = home.ferry("run", "--infra", "ssh/box", "--hold-connection", "soon", "--", "true")
        assert done.returncode == 2 and "--hold-connection" in done.err, done.err


def test_it_ends_when_nobody_used_it_for_its_limit():
    with Held() as home:
        home.run_on_box("--hold-connection", "2s", "--", "true")
        home.is_held()
        assert home.gone(20) and not list(home.folder().iterdir())
        home.run_on_box("--", "true")


def test_another_host_key_user_or_way_is_another_connection():
    with Held() as home:
        home.run_on_box("--", "true")
        home.is_held()
        config, before = home.root / "ssh_config", home.logins()
        config.write_text(config.read_text() + " ConnectTimeout 19\n")
        home.run_on_box("--", "true")
        assert home.logins() >= before + 1
        known = next(re.finditer(r"UserKnownHostsFile (\S+)", config.read_text()))[1]
        text = pathlib.Path(known).read_text()
        pathlib.Path(known).write_text(text.replace("AAAAC3", "AAAAC4"))
        done = home.ferry("run", "--infra", "ssh/box", "--", "true")
        assert done.returncode == 125 and "does not let us" in done.err, done.err
        pathlib.Path(known).write_text(text)


def test_where_the_holder_is_killed_in_the_middle_of_a_training_ssh_is_used_again():
    with Held() as home:
        home.run_on_box("--", "true")
        home.is_held()
        before = home.logins()
        run = home.start("run", "--infra", "ssh/box", "--", "sh", "-c", "echo up; sleep 3; echo down")
        assert run.stdout.readline() == b"up\n"
        (holder,) = home.holders()
        os.kill(holder, signal.SIGKILL)
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0 and out == b"down\n", err.decode()
        assert b"connection lost" in err and home.logins() > before, err.decode()
        home.is_held()
        home.wait_for("leftovers to be gone", lambda: len(list(home.folder().iterdir())) == 2, 30)


def accepted(home):
    """Logins, by the machines' own sshd."""
    logs = home.root.glob("data/ferry/rehearsal/instances/*/**/var/log/auth.log")
    return sum(log.read_text().count("Accepted publickey") for log in logs)


def test_a_kept_machine_is_held_and_down_lets_go():
    with Home() as home:
        home.env.update(HELD)
        home.good("run", "--keep", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo x >outputs/m")
        folder = home.root / "data/ferry/held"
        home.wait_for(
            "a held connection", lambda: folder.exists() and [one for one in folder.iterdir() if one.is_socket()]
        )
        run, before = home.newest()["run"], accepted(home)
        assert before == 2, "the run's login, and the holder's"
        home.good("fetch", run)
        assert (home.work / "runs" / run / "outputs/m").read_text() == "x\n"
        assert accepted(home) == before, "its sshd let somebody in"
        home.good("down", run)
        home.wait_for("the holder's end", lambda: not list(folder.iterdir()), 20)
        home.nothing_left()


def test_clearing_an_own_machine_lets_go_of_it():
    with Held() as home:
        home.run_on_box("--", "true")
        home.is_held()
        home.good("down", home.newest()["run"])
        assert home.gone(15) and not list(home.folder().iterdir())


if __name__ == "__main__":
    main(globals())
