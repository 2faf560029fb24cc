#!/usr/bin/env python3
"""A machine that the person has already: infra: ssh/HOST. A kept rehearsal machine plays it, known only to ssh's
config."""
import hashlib
import json
import os
import shlex
import subprocess
import time

from lib import ITS_AGENTS, Home, main


def own_machine(home):
    """Makes `ssh box` work, as the person's own configuration would."""
    home.good("run", "--keep", "--name", "box", "--infra", "rehearsal", "--", "true")
    run = home.runs()[0]
    machine, folder = run["instances"][0], home.root / "data/ferry/runs" / run["run"]
    (home.root / "ssh_config").write_text(
        f"Host box\n HostName {machine['address']}\n Port {machine['ssh_port']}\n User {machine['login_user']}\n"
        f" IdentityFile {folder}/id_ed25519\n IdentitiesOnly yes\n UserKnownHostsFile {folder}/known_hosts\n"
        f" HostKeyAlias {run['run']}\n"
    )
    programs = home.root / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {home.root}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    home.env["PATH"] = f"{programs}:{home.env['PATH']}"
    return run["run"]


def on_box(home, command):
    return subprocess.run(["ssh", "box", command], env=home.env, capture_output=True, text=True, check=True).stdout


def test_a_run_on_an_own_machine_rents_nothing_and_leaves_only_ferrys_folder():
    with Home() as home:
        own_machine(home)
        before = on_box(home, "ls -A")
        done = home.good(
            "run", "--infra", "ssh/box", "--", "sh", "-c", "mkdir outputs; hostname > outputs/m; echo trained"
        )
        assert done.out == "trained\n" and "nothing is rented" in done.err, done.err
        assert "ssh/box is free again" in done.err and "terminated" not in done.err, done.err
        run = home.newest()
        assert run["phase"] == "released" and run["outcome"] == "succeeded" and not run["spent_usd"], run
        assert (home.home_of(run) / "outputs/m").read_text() == on_box(home, "hostname")
        assert len(home.alive()) == 1, "the machine itself must stay"
        assert on_box(home, "ls -A") == before, on_box(home, "ls -A")
        assert run["run"] not in on_box(home, "find .ferry"), on_box(home, "find .ferry")
        home.wait_for(
            "the agent's end",
            lambda: "ferry-agent"
            not in on_box(home, "ps axww -o cmd | grep '[f]erry-agent.* '" + run["run"] + " || true"),
        )
        assert home.ferry("run", "--infra", "ssh/box", "--", "sh", "-c", "exit 5").returncode == 5
        home.good("down", run["run"])
        assert ".ferry" in on_box(home, "ls -A"), "the machine's own kept run still needs it"
        on_box(home, f'pkill -KILL -f "{ITS_AGENTS}"; rm -rf .ferry/runs/*')  # a living agent makes its folder anew
        home.good("down", run["run"])
        # Where a rehearsal's environments are mounted, their folder stays.
        assert on_box(home, "find .ferry -xdev ! -type d 2>/dev/null || true") == "", on_box(home, "find .ferry")


def test_what_one_run_sent_need_not_be_sent_again_by_another_and_is_no_longer_believed_when_it_was_damaged():
    with Home() as home:
        own_machine(home)
        noise, names = os.urandom(3_000_000), ("noise", "again/same noise")
        (home.work / "noise").write_bytes(noise)
        (home.work / "small").write_text("small\n")
        (home.work / "empty").touch()

        def sent_by_run():
            check = "; ".join(f"sha256sum '{name}'" for name in names if (home.work / name).exists())
            done = home.good("run", "--json", "--infra", "ssh/box", "--", "sh", "-c", check + "; echo more >> noise")
            events = [json.loads(line) for line in done.out.splitlines()]
            said = "".join(one["text"] for one in events if one["event"] == "output")
            assert said.count(hashlib.sha256(noise).hexdigest()) == check.count("sha256sum"), said
            return next(one["data"] for one in events if one["event"] == "phase_done" and one["phase"] == "sync")

        def kept():
            return on_box(home, "find .ferry/contents -type f -printf '%s %p\n' 2>/dev/null || true").splitlines()

        assert sent_by_run()["wire_bytes"] > 3_000_000
        home.wait_for("what nobody touched is kept", kept)
        time.sleep(0.5)
        # "noise" had more written to it by the training.
        assert [line.split()[0] for line in kept()] == ["6"], kept()
        (home.work / "again").mkdir()
        (home.work / names[1]).write_bytes(noise)
        assert sent_by_run()["wire_bytes"] > 3_000_000
        home.wait_for("the untouched copy is kept", lambda: len(kept()) == 2)
        assert sent_by_run()["wire_bytes"] < 100_000
        (place,) = [line.split()[1] for line in kept() if not line.startswith("6 ")]
        on_box(home, f"printf x | dd of={place} conv=notrunc bs=1 seek=1000 status=none")
        assert sent_by_run()["wire_bytes"] > 3_000_000
        assert on_box(home, "ls .ferry/trash 2>/dev/null || true") == ""


def test_a_run_is_given_the_small_files_that_the_one_before_it_left_as_they_came_and_nothing_else():
    with Home() as home:
        own_machine(home)
        (home.work / "code").mkdir()
        for i in range(300):
            (home.work / f"code/{i}.py").write_text(f"x = {i}\n")

        def run(*script):
            done = home.good("run", "--json", "--infra", "ssh/box", "--", "sh", "-c", "; ".join(script))
            events = [json.loads(line) for line in done.out.splitlines()]
            sent = next(one["data"] for one in events if one["event"] == "phase_done" and one["phase"] == "sync")
            return "".join(one["text"] for one in events if one["event"] == "output").split(), sent

        look = ("stat -c %i code/7.py", "find . -type f | sort | xargs sha256sum | sha256sum | cut -c1-64")
        spoil = ("echo y >>code/8.py", "touch code/new.py", "mkdir outputs", "touch outputs/model", "rm code/9.py")
        (inode, whole), _ = run(*look, *spoil)
        home.wait_for("its files are kept", lambda: on_box(home, "ls .ferry/contents.trees 2>/dev/null || true"))
        (home.work / "code/10.py").write_text("x = 'ten'\n")
        ((again, other), sent) = run(*look)
        assert again == inode and other != whole, (again, other)
        assert sent["wire_bytes"] < 3_000, sent
        home.wait_for("its files are kept", lambda: on_box(home, "ls .ferry/contents.trees 2>/dev/null || true"))
        (home.work / "code/10.py").write_text("x = 10\n")
        ((again, other), _) = run(*look)
        assert (again, other) == (inode, whole), "the files as they were at first"


def test_what_others_write_on_an_own_machine_is_not_the_runs():
    with Home() as home:
        own_machine(home)
        beside = (
            "cd && mkdir -p theirs && touch theirs/{0..1200} && echo other >theirs/model.pt && for f in theirs/*; "
            "do echo x >$f; done"
        )
        done = home.good("run", "--infra", "ssh/box", "--", "bash", "-c", beside)
        assert "the run wrote no file below its workdir" in done.err and "is free again" in done.err, done.err
        assert sorted(one.name for one in home.home_of(home.newest()).iterdir() if one.name != "train.log") == [
            "run.json"
        ], done.err
        done = home.good(
            "run", "--infra", "ssh/box", "--", "bash", "-c", "echo mine >$FERRY_SCRATCH/model.pt; " + beside
        )
        brought = [one for one in home.home_of(home.newest()).rglob("outputs-elsewhere/**/*") if one.is_file()]
        assert [one.name for one in brought] == ["model.pt"] and brought[0].read_text() == "mine\n", (brought, done.err)


def test_a_folder_of_an_own_machine_is_its_store():
    with Home() as home:
        own_machine(home)
        home.good(
            "run", "--infra", "ssh/box", "--store", "~/kept", "--", "sh", "-c", "mkdir outputs; echo model > outputs/m"
        )
        run = home.newest()
        assert run["outcome"] == "succeeded" and (home.home_of(run) / "outputs/m").read_text() == "model\n", run
        assert on_box(home, f"cat ~/kept/runs/{run['run']}/a1/r0/outputs/outputs/m").strip() == "model"
        assert not (home.root / "kept").exists(), "it is that machine's alone"


def test_a_login_shell_that_ends_or_speaks_no_sense_is_told_within_seconds_with_the_file_to_look_at():
    with Home() as home:
        own_machine(home)
        shell_file = on_box(home, "cd && echo $PWD/.bashrc").strip()

        def with_line(line):
            on_box(home, f"printf '%s\\n' {shlex.quote(line)} > {shell_file}")
            return home.ferry("run", "--infra", "ssh/box", "--", "true")

        done = with_line("unset HOME")
        assert done.returncode == 125 and "has no HOME" in done.err and "bashrc" in done.err, done.err
        done = with_line("head -c 200000 /dev/zero | tr '\\0' x")
        assert done.returncode == 125 and "says too much before it runs a command: 200 KB" in done.err, done.err
        began = time.time()
        done = with_line("exec no-such-shell")
        assert done.returncode == 125 and "box ended with code 127 before it ran anything" in done.err, done.err
        assert f"look at {shell_file} there" in done.err and "get-console-output" not in done.err, done.err
        assert time.time() - began < 120, "it was waited for as for a machine that boots"


def test_wishes_that_an_own_machine_cannot_be_asked_for_are_named():
    with Home() as home:
        own_machine(home)
        assert "kept" in home.good("ps").out
        done = home.good("run", "--infra", "ssh/box", "--gpus", "A100:8", "--budget", "5", "--spot", "--", "true")
        assert "box is taken as it is: nothing is done about accelerators, spot, budget" in done.err, done.err


def test_two_runs_take_turns():
    with Home() as home:
        own_machine(home)
        script = (
            "date +%s%N > started; echo up; sleep 8; mkdir outputs; date +%s%N > outputs/ended; cp started outputs/"
        )
        first = home.start("run", "--name", "first", "--infra", "ssh/box", "--", "sh", "-c", script)
        assert first.stdout.readline() == b"up\n"
        second = home.start("run", "--name", "second", "--infra", "ssh/box", "--", "sh", "-c", script)
        first.communicate(timeout=60)
        _, err = second.communicate(timeout=60)
        assert first.returncode == 0 and second.returncode == 0, err.decode()
        assert b"waiting for it" in err, err.decode()
        runs = {run["task"]: home.home_of(run) / "outputs" for run in home.runs("--all")}
        assert int((runs["first"] / "ended").read_text()) <= int((runs["second"] / "started").read_text())


def test_giving_up_a_run_ends_its_training_and_removes_its_files():
    with Home() as home:
        own_machine(home)
        home.good(
            "run",
            "-d",
            "--infra",
            "ssh/box",
            "--",
            "bash",
            "-c",
            "mkdir outputs; echo half > outputs/a; echo up; exec sleep 1234.5",
        )
        run = home.runs()[0]
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        home.good("down", run["run"])
        assert "1234.5" not in on_box(home, "ps axww -o cmd"), "the training goes on"
        assert run["run"] not in on_box(home, "find .ferry")
        assert (home.home_of(run) / "outputs/a").read_text() == "half\n"


def test_an_unknown_host_and_a_locked_door_are_told():
    with Home() as home:
        own_machine(home)
        done = home.ferry("run", "--infra", "ssh/nowhere.invalid", "--", "true")
        assert done.returncode == 125 and "does not know the host" in done.err, done.err
        config = home.root / "ssh_config"
        config.write_text(config.read_text().replace("id_ed25519", "none"))
        done = home.ferry("run", "--infra", "ssh/box", "--", "true")
        assert done.returncode == 125 and "ssh box true" in done.err, done.err


if __name__ == "__main__":
    main(globals())
