#!/usr/bin/env python3
"""Things that go wrong, one clear message each: disks, sshd, instances, folders that may not be written."""
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from lib import FERRY, ITS_AGENTS, Home, main


def cut_connections(home):
    """Kills every ssh of this home: each connection to a machine breaks at once."""
    subprocess.run(["pkill", "-9", "-f", f"[s]sh -o UserKnownHostsFile={home.root}"], check=True)


def phase(home):
    """The newest run's, from the ledger alone: no ferry command that could look after it."""
    with sqlite3.connect(f"file:{home.root}/data/ferry/ledger.db?mode=ro", uri=True, timeout=10) as ledger:
        return ledger.execute("SELECT phase FROM runs ORDER BY created_ms DESC").fetchone()[0]


def test_a_read_only_home_is_told_before_anything_is_rented():
    with Home() as home:
        data = home.root / "frozen"
        data.mkdir(mode=0o500)
        if os.geteuid() == 0:
            # root writes anywhere, but not into a file system that is mounted read-only.
            script = f"mount -t tmpfs -o ro none {data} && exec {FERRY} run --infra rehearsal -- true"
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", script],
                env={**home.env, "XDG_DATA_HOME": str(data)},
                cwd=home.work,
                capture_output=True,
                text=True,
            )
            if "unshare" in done.stderr or "mount:" in done.stderr:
                return
            code, err = done.returncode, done.stderr
        else:
            done = home.ferry("run", "--infra", "rehearsal", "--", "true", env={"XDG_DATA_HOME": str(data)})
            code, err = done.returncode, done.err
        assert code == 125 and "frozen" in err and err.count("error") == 1, err


def test_results_that_cannot_be_written_are_told_before_anything_is_rented():
    with Home() as home:
        home.file("taken", "a file where a folder should be")
        done = home.ferry("run", "--infra", "rehearsal", "--results", "taken/x", "--", "true")
        assert done.returncode == 125 and "taken" in done.err, done.err
        assert home.runs("--all") == []


def test_an_instance_that_dies_is_told_and_released():
    with Home() as home:
        ferry = home.start("run", "--infra", "rehearsal", "--", "sh", "-c", "echo up; sleep 1000")
        assert ferry.stdout.readline() == b"up\n"
        home.good("rehearsal", "fault", "die", f"instance={home.alive()[0]}")
        _, err = ferry.communicate(timeout=120)
        err = err.decode()
        assert ferry.returncode == 125 and "terminated" in err, err
        run = home.newest()
        assert run["outcome"] == "lost" and run["phase"] == "released", run
        home.nothing_left()


def test_what_was_saved_while_training_is_home_though_the_machine_dies():
    with Home() as home:
        ferry = home.start(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo 1 > outputs/ck-1; echo 2 > outputs/ck-2; echo saved; sleep 1000",
            env={"FERRY_PULL_EVERY": "1s"},
        )
        assert ferry.stdout.readline() == b"saved\n"
        run = home.runs()[0]
        outputs = home.home_of(run) / "outputs"
        home.wait_for(
            "both checkpoints at home", lambda: outputs.is_dir() and sorted(os.listdir(outputs)) == ["ck-1", "ck-2"]
        )
        assert run["phase"] == "training", run
        home.good("rehearsal", "fault", "die", f"instance={home.alive()[0]}")
        _, err = ferry.communicate(timeout=60)
        err = err.decode()
        assert ferry.returncode == 125 and "2 files that it had saved are home" in err, err
        run = home.newest()
        assert run["outcome"] == "lost" and not run["outputs_home"], run
        record = json.loads((home.home_of(run) / "run.json").read_text())
        assert sorted(one["path"] for one in record["outputs"]["files"]) == ["outputs/ck-1", "outputs/ck-2"], record
        assert (outputs / "ck-2").read_text() == "2\n"
        home.nothing_left()


def test_a_dead_sshd_is_told_and_the_run_is_found_again_when_it_is_back():
    with Home() as home:
        ferry = home.start(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo up; sleep 6; echo m > outputs/m; echo end",
            env={"FERRY_LOST_LIMIT": "2s"},
        )
        assert ferry.stdout.readline() == b"up\n"
        instance, run = home.alive()[0], home.runs()[0]
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        cut_connections(home)
        _, err = ferry.communicate(timeout=60)
        err = err.decode()
        assert ferry.returncode == 125 and "did not answer ssh" in err and f"ferry logs -f {run['run']}" in err, err
        assert "A follower in the background goes on" in err, err
        assert home.alive() == [instance], "the machine was released with the model on it"
        time.sleep(3)
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}", "on=false")
        home.wait_for("released, though nobody typed anything", lambda: phase(home) == "released")
        assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        assert home.good("logs", run["run"]).out == "up\nend\n"
        home.nothing_left()


def test_a_follower_outlasts_an_outage_however_long_it_is():
    with Home() as home:
        home.env["FERRY_LOST_LIMIT"] = "1s"
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo m > outputs/m; echo up; sleep 3; echo end",
        )
        instance, run = home.alive()[0], home.runs()[0]
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        cut_connections(home)
        told = home.root / f"data/ferry/runs/{run['run']}/follower.txt"
        home.wait_for("the outage is told", lambda: "goes on trying" in told.read_text())
        time.sleep(5)
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}", "on=false")
        home.wait_for("released, though nobody typed anything", lambda: phase(home) == "released")
        assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        assert home.good("logs", run["run"]).out == "up\nend\n"
        home.nothing_left()


def test_a_cancellation_that_cannot_be_delivered_is_delivered_later():
    with Home() as home:
        ferry = home.start(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            "trap 'echo saved > outputs/m; exit 0' TERM; mkdir outputs; echo up; while :; do sleep 0.1; done",
            env={"FERRY_LOST_LIMIT": "2s"},
        )
        assert ferry.stdout.readline() == b"up\n"
        instance, run = home.alive()[0], home.runs()[0]
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        cut_connections(home)
        while b"connecting again" not in ferry.stderr.readline():
            pass
        ferry.send_signal(signal.SIGTERM)
        _, err = ferry.communicate(timeout=60)
        assert ferry.returncode == 125 and b"is kept" in err, err.decode()
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}", "on=false")
        home.wait_for("released, though nobody typed anything", lambda: phase(home) == "released")
        one = home.newest()
        assert (
            one["outcome"] == "cancelled"
            and one["exit_code"] == 130
            and (home.home_of(run) / "outputs/m").read_text() == "saved\n"
        ), one
        home.nothing_left()


def test_a_machine_that_somebody_stopped_is_told_as_what_it_is():
    try:
        import boto3
    except ImportError:
        return
    with Home() as home:
        ferry = home.start(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo half > outputs/m; echo up; sleep 1000",
            env={"FERRY_LOST_LIMIT": "5s"},
        )
        assert ferry.stdout.readline() == b"up\n"
        instance, run = home.alive()[0], home.runs()[0]["run"]
        lines = home.good("rehearsal", "env").out.splitlines()
        env = dict(
            line.removeprefix("export ").replace("'", "").replace('"', "").split("=", 1)
            for line in lines
            if line.startswith("export ")
        )
        ec2 = boto3.client(
            "ec2",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        ec2.stop_instances(InstanceIds=[instance])
        _, err = ferry.communicate(timeout=120)
        err = err.decode()
        assert (
            ferry.returncode == 125 and f"{instance} is stopped: nothing trains on it" in err and "a month" in err
        ), err
        assert f"ferry fetch {run}" in err and "may still go on" not in err and "no timer ends it" in err, err
        assert home.alive() == [instance], "what is on its disk is kept"
        one = home.runs()[0]
        assert one["outcome"] == "lost" and "stopp" in one["error"], one
        home.good("down", run, "--no-fetch")
        home.nothing_left()


def test_what_linux_would_not_start_is_refused_before_anything_is_rented():
    with Home() as home:
        home.file("task.yaml", "resources: {infra: rehearsal}\nenvs: {BIG: " + "x" * 140_000 + "}\nrun: 'true'\n")
        for flags in ([], ["--no-check"]):
            done = home.ferry("run", *flags, "task.yaml")
            assert done.returncode != 0 and "131071 bytes" in done.err and "launch" not in done.err, done.err
        assert all(one["instances"] == [] for one in home.runs("--all")), home.runs("--all")


def test_a_hang_up_during_a_reconnection_in_setup_leaves_a_follower():
    with Home() as home:
        home.file(
            "task.yaml",
            "resources: {infra: rehearsal}\nsetup: echo preparing; sleep 4\n"
            "run: mkdir outputs; echo m > outputs/m; echo end\n",
        )
        ferry = home.start("run", "task.yaml", env={"FERRY_LOST_LIMIT": "60s"})
        assert ferry.stdout.readline() == b"preparing\n"
        instance, run = home.alive()[0], home.runs()[0]
        assert run["phase"] == "setup", run
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        cut_connections(home)
        while b"connecting again" not in ferry.stderr.readline():
            pass
        ferry.send_signal(signal.SIGHUP)
        _, err = ferry.communicate(timeout=60)
        assert ferry.returncode == 0 and b"logs -f" in err, err.decode()
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}", "on=false")
        home.wait_for("released, though nobody typed anything", lambda: phase(home) == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        home.nothing_left()


def test_a_machine_that_dies_while_outputs_move_is_told_as_lost():
    with Home() as home:
        ferry = home.start(
            "run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo up; sleep 1; echo m > outputs/m"
        )
        assert ferry.stdout.readline() == b"up\n"
        instance, run = home.alive()[0], home.runs()[0]
        with open(home.root / f"data/ferry/runs/{run['run']}/fetch", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another ferry fetches: this one waits
            home.wait_for("fetching", lambda: phase(home) == "fetching")
            assert home.runs()[0]["outcome"] is None, "no run is called succeeded whose outputs are not home"
            home.good("rehearsal", "fault", "die", f"instance={instance}")
        _, err = ferry.communicate(timeout=120)
        err = err.decode()
        assert ferry.returncode == 125 and f"but {instance} is " in err and "outputs are lost" in err, err
        assert "ferry fetch" not in err and "is kept" not in err, err
        run = home.newest()
        assert (run["phase"], run["outcome"], run["outputs_home"], run["exit_code"]) == (
            "released",
            "lost",
            False,
            None,
        ), run
        assert "outputs are lost" in run["error"] and "exit 0" in run["error"], run
        assert "succeeded" not in home.good("ps", "--all").out
        home.nothing_left()


def test_the_death_of_the_agent_is_told_and_not_taken_for_a_lost_connection():
    with Home() as home:
        ferry = home.start(
            "run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo half > outputs/m; echo up; sleep 1000"
        )
        assert ferry.stdout.readline() == b"up\n"
        run = home.runs()[0]
        home.ferry("ssh", run["run"], "--", f'pkill -9 -f "{ITS_AGENTS}"')
        _, err = ferry.communicate(timeout=120)
        err = err.decode()
        assert (
            ferry.returncode == 125 and "the agent on the machine was killed" in err and "no output is lost" not in err
        ), err
        assert home.newest()["outcome"] == "lost" and (home.home_of(run) / "outputs/m").read_text() == "half\n"
        home.nothing_left()


def test_a_damaged_log_is_made_whole_again_from_the_machine():
    def zeros(log):
        with log.open("ab") as file:
            file.write(bytes(4096))

    def cut_in_the_middle(log):
        held = log.read_bytes()
        log.write_bytes(held[: len(held) // 3] + held[len(held) // 2 :])

    def one_byte(log):
        with log.open("r+b") as file:
            file.seek(log.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    with Home() as home:
        home.good("rehearsal", "start")
        for damage, kill in (
            (zeros, True),
            (zeros, False),
            (cut_in_the_middle, False),
            (one_byte, True),
            (lambda log: log.unlink(), False),
            (lambda log: os.truncate(log, 7), True),
        ):
            home.good(
                "run",
                "-d",
                "--infra",
                "rehearsal",
                "--",
                "sh",
                "-c",
                "mkdir outputs; seq 500; echo up; while [ ! -e ~/go ]; do sleep 0.1; done; seq 501 600; "
                "echo m > outputs/m",
            )
            run = home.runs()[0]
            folder = home.root / f"data/ferry/runs/{run['run']}"
            home.wait_for("its first lines are here", lambda: b"up\n" in (folder / "log").read_bytes())
            if kill:
                subprocess.run(["pkill", "-9", "-f", f"follow-run {run['run']} "], check=True)
            damage(folder / "log")
            home.good("ps")
            home.good("ssh", run["run"], "--", "touch ~/go")
            home.wait_for("released", lambda: phase(home) == "released")
            whole = "".join(f"{i}\n" for i in range(1, 501)) + "up\n" + "".join(f"{i}\n" for i in range(501, 601))
            assert home.newest()["outcome"] == "succeeded", home.newest()
            assert home.good("logs", run["run"]).out == whole, (damage, kill)
        home.nothing_left()


def test_a_log_that_cannot_be_kept_holds_up_no_release():
    with Home() as home:
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo up; while [ ! -e ~/go ]; do sleep 0.1; done; echo m > outputs/m",
        )
        run = home.runs()[0]
        folder = home.root / f"data/ferry/runs/{run['run']}"
        home.wait_for("its first line is here", lambda: b"up\n" in (folder / "log").read_bytes())
        subprocess.run(["pkill", "-9", "-f", f"follow-run {run['run']} "], check=True)
        (folder / "log").unlink()
        (folder / "log").mkdir()
        home.good("ps")
        home.good("ssh", run["run"], "--", "touch ~/go")
        home.wait_for("released", lambda: phase(home) == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        home.nothing_left()


def test_files_of_a_run_that_are_gone_are_made_anew():
    with Home() as home:
        home.good("rehearsal", "start")
        for lost in ("known_hosts", "."):
            home.good(
                "run",
                "-d",
                "--infra",
                "rehearsal",
                "--",
                "sh",
                "-c",
                "mkdir outputs; echo up; sleep 3; echo m > outputs/m",
            )
            run = home.runs()[0]
            folder = home.root / f"data/ferry/runs/{run['run']}"
            home.wait_for("its first line is here", lambda: b"up\n" in (folder / "log").read_bytes())
            follower = subprocess.run(
                ["pgrep", "-f", f"follow-run {run['run']} "], capture_output=True, text=True, check=True
            ).stdout
            subprocess.run(["kill", "-9", *follower.split()], check=True)
            if lost == ".":
                shutil.rmtree(folder)
            else:
                (folder / lost).unlink()
            home.good("ps")
            home.wait_for("released", lambda: phase(home) == "released")
            assert home.newest()["outcome"] == "succeeded", home.newest()
            assert home.good("logs", run["run"]).out == "up\n"
            assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        home.nothing_left()


def test_a_machine_whose_sshd_never_comes_up_is_told_and_released():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "slow-boot", "ms=3000")
        ferry = home.start("run", "--infra", "rehearsal", "--", "true", env={"FERRY_CONNECT_LIMIT": "3s"})
        instance = home.wait_for("an instance", home.alive)[0]
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        _, err = ferry.communicate(timeout=90)
        assert ferry.returncode == 125 and b"error" in err, err.decode()
        home.nothing_left()


def test_a_full_disk_at_home_keeps_the_machine_until_there_is_room():
    with Home() as home:
        if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
            return
        home.good("rehearsal", "start")
        # A file system of 300 KiB where the outputs are to land; outside of the namespace there is room.
        results = home.work / "runs"
        results.mkdir()
        # Where root is nobody, ssh trusts none of the system's settings: it has none there.
        hidden = (
            ""
            if os.geteuid() == 0
            else "if [ -d /etc/ssh/ssh_config.d ]; then mount -t tmpfs none /etc/ssh/ssh_config.d; fi && "
        )
        script = (
            f"{hidden}mount -t tmpfs -o size=300k none {results} && exec {FERRY} run --infra rehearsal -- "
            "sh -c 'mkdir outputs; head -c 2000000 /dev/urandom > outputs/model.pt'"
        )
        namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        done = subprocess.run(
            [*namespace, "sh", "-c", script], env=home.env, cwd=home.work, capture_output=True, text=True
        )
        assert done.returncode == 125 and "not enough space" in done.stderr, done.stderr
        run = home.runs()[0]
        assert len(home.alive()) == 1, "the machine was released with the model on it"
        assert f"ferry down {run['run']}" in done.stderr, done.stderr
        home.good("fetch", run["run"])
        assert (home.home_of(run) / "outputs/model.pt").stat().st_size == 2000000
        home.good("down", run["run"])
        home.nothing_left()


def test_a_full_disk_on_the_machine_is_told_and_what_is_there_comes_home():
    with Home() as home:
        home.good("rehearsal", "start")
        if home.sandbox() == "plain":
            return  # its machines have no disk of their own
        home.good("rehearsal", "fault", "small-disk", "mib=24", "count=1")
        done = home.ferry(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "exec 2>&1; mkdir outputs; echo first > outputs/a; head -c 60000000 /dev/zero > outputs/b "
            "|| { seq 30000; exit 3; }; echo never",
        )
        assert done.returncode == 3 and "No space left" in done.out and "never" not in done.out, (
            done.returncode,
            done.out,
            done.err,
        )
        run = home.newest()
        assert (home.home_of(run) / "outputs/a").read_text() == "first\n"
        log = (home.home_of(run) / "train.log").read_text()  # there was no room for it on the machine
        complaint, numbers = log.split("\n", 1)
        assert "No space left" in complaint and numbers == "".join(f"{i}\n" for i in range(1, 30001)), (
            complaint,
            log[:1000],
            log[-1000:],
        )
        home.nothing_left()
        # Too small even for the code.
        home.file("big.bin", "x" * 30_000_000)
        home.good("rehearsal", "fault", "small-disk", "mib=24", "count=1")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "not enough space" in done.err, done.err
        home.nothing_left()


def test_no_capacity_anywhere_is_told():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "capacity", "count=100")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 75 and "InsufficientInstanceCapacity" in done.err, done.err
        home.nothing_left()


def test_a_launch_whose_answer_is_lost_rents_one_machine():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "drop", "action=RunInstances", "count=1")
        home.good("run", "--infra", "rehearsal", "--", "true")
        launched = [one for one in home.cloud()["instances"]]
        assert len(launched) <= 1, launched
        home.nothing_left()


def test_throttling_is_waited_out():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "throttle", "action=RunInstances", "count=1")
        home.good("run", "--infra", "rehearsal", "--", "true")
        home.nothing_left()


def test_a_detached_job_outlives_its_killed_follower():
    with Home() as home:
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done; echo m > outputs/m",
        )
        run = home.runs()[0]
        subprocess.run(["pkill", "-9", "-f", f"follow-run {run['run']} "], check=True)
        # A process that was killed holds its lock until it is scheduled once more.
        home.wait_for("somebody follows it again", lambda: "following it again" in home.good("ps").err)
        home.wait_for("released", lambda: home.newest()["phase"] == "released")
        assert home.good("logs", run["run"]).out == "".join(f"{i}\n" for i in range(1, 11))
        assert (home.home_of(run) / "outputs/m").exists()
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
