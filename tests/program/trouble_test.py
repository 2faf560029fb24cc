#!/usr/bin/env python3
"""Things that go wrong, one clear message each: disks, sshd, instances, folders that may not be written."""
import os
import subprocess
import time

from lib import FERRY, Home, main


def test_a_read_only_home_is_told_before_anything_is_rented():
    with Home() as home:
        data = home.root / "frozen"
        data.mkdir(mode=0o500)
        if os.geteuid() == 0:
            # root writes anywhere, but not into a file system that is mounted read-only.
            script = f"mount -t tmpfs -o ro none {data} && exec {FERRY} run --infra rehearsal -- true"
            done = subprocess.run(["unshare", "-m", "sh", "-c", script], env={**home.env, "XDG_DATA_HOME": str(data)}, cwd=home.work,
                                  capture_output=True, text=True)
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


def test_a_dead_sshd_is_told_and_the_run_is_found_again_when_it_is_back():
    with Home() as home:
        ferry = home.start("run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo up; sleep 6; echo m > outputs/m; echo end",
                           env={"FERRY_LOST_LIMIT": "2s"})
        assert ferry.stdout.readline() == b"up\n"
        instance, run = home.alive()[0], home.runs()[0]
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}")
        subprocess.run(["pkill", "-9", "-f", f"[s]sh -o UserKnownHostsFile={home.root}"], check=True)
        _, err = ferry.communicate(timeout=60)
        err = err.decode()
        assert ferry.returncode == 125 and "did not answer ssh" in err and f"ferry logs -f {run['run']}" in err, err
        assert home.alive() == [instance], "the machine was released with the model on it"
        home.good("rehearsal", "fault", "no-sshd", f"instance={instance}", "on=false")
        home.good("ps")
        home.wait_for("released", lambda: home.newest()["phase"] == "released")
        assert (home.home_of(run) / "outputs/m").read_text() == "m\n"
        assert home.good("logs", run["run"]).out == "up\nend\n"
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
        script = (f"mount -t tmpfs -o size=300k none {results} && exec {FERRY} run --infra rehearsal -- "
                  "sh -c 'mkdir outputs; head -c 2000000 /dev/urandom > outputs/model.pt'")
        namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        done = subprocess.run([*namespace, "sh", "-c", script], env=home.env, cwd=home.work, capture_output=True, text=True)
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
        home.good("rehearsal", "fault", "small-disk", "mib=8", "count=1")
        done = home.ferry("run", "--infra", "rehearsal", "--", "sh", "-c",
                          "mkdir outputs; echo first > outputs/a; head -c 20000000 /dev/zero > outputs/b || exit 3; echo never")
        assert done.returncode == 3 and "No space left" in done.err and "never" not in done.out, (done.returncode, done.err)
        assert (home.home_of(home.newest()) / "outputs/a").read_text() == "first\n"
        home.nothing_left()
        # Too small even for the code.
        home.file("big.bin", "x" * 12_000_000)
        home.good("rehearsal", "fault", "small-disk", "mib=8", "count=1")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "not enough space" in done.err, done.err
        home.nothing_left()


def test_no_capacity_anywhere_is_told():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "capacity", "count=100")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "InsufficientInstanceCapacity" in done.err, done.err
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
        home.good("run", "-d", "--infra", "rehearsal", "--", "sh", "-c",
                  "mkdir outputs; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done; echo m > outputs/m")
        run = home.runs()[0]
        subprocess.run(["pkill", "-9", "-f", f"follow-run {run['run']} "], check=True)
        done = home.good("ps")
        assert "following it again" in done.err, done.err
        home.wait_for("released", lambda: home.newest()["phase"] == "released")
        assert home.good("logs", run["run"]).out == "".join(f"{i}\n" for i in range(1, 11))
        assert (home.home_of(run) / "outputs/m").exists()
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
