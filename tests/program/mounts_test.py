#!/usr/bin/env python3
"""Buckets that a machine mounts: with the real rclone, against the rehearsal cloud's S3, in its machines. mount-s3 is a
stand-in that shows a folder in the bucket's place, for there is none to be had: what it does with a bucket is not shown
here."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from data_test import aws, sums, text_of
from lib import Home, main

BUCKET = "some-data"
AWKWARD = "a set/it's (not) \"more\" & so; #1"


def fill(home, key="set"):
    home.good("rehearsal", "start")
    source = home.root / "source"
    (source / "deep").mkdir(parents=True)
    for i in range(20):
        (source / "deep" / f"f {i}").write_bytes(os.urandom(10 + 37 * i))
    (source / "large").write_bytes(os.urandom(20_000_000))
    aws(home, "s3", "mb", f"s3://{BUCKET}")
    aws(home, "s3", "cp", "--quiet", "--recursive", str(source), f"s3://{BUCKET}/{key}")
    return source


def there(home, key):
    """What is below that key, by name: SHA-256."""
    folder = home.root / "there"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    aws(home, "s3", "cp", "--quiet", "--recursive", f"s3://{BUCKET}/{key}", str(folder))
    return sums(folder)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def listed(text):
    return {
        line[66:].removeprefix("./"): line[:64] for line in text.splitlines() if len(line) > 66 and line[64:66] == "  "
    }


def task(home, mounts, run, **more):
    lines = ["name: tiny", f"resources: {json.dumps({'infra': 'rehearsal', **more})}", "file_mounts:"]
    lines += [f"  {json.dumps(place)}: {json.dumps(what)}" for place, what in mounts.items()]
    home.file("task.yaml", text_of([*lines, "run: |", "  set -e", *(f"  {line}" for line in run)]))


def test_a_bucket_is_mounted_and_what_is_written_is_in_it_and_does_not_come_home():
    with Home() as home:
        source = fill(home)
        task(
            home,
            {
                "~/shared": {"source": f"s3://{BUCKET}/set"},
                "data": {"source": f"s3://{BUCKET}/set", "type": "DATASET_RO"},
                "out": {"source": f"s3://{BUCKET}/fresh/deep", "mode": "MOUNT_CACHED"},
            },
            [
                "(cd data/ && find . -type f | sort | tr '\\n' '\\0' | xargs -0 sha256sum)",
                "! touch data/new 2>/dev/null",
                "head -c 30000000 /dev/urandom >~/shared/model.tmp; mv ~/shared/model.tmp ~/shared/model.pt",
                "rm ~/shared/deep/'f 3'",
                "for i in 1 2 3; do echo epoch $i >>out/log; done",
                "dd if=/dev/zero of=out/sparse bs=1 count=1 seek=9 conv=notrunc status=none; "
                "printf X | dd of=out/sparse bs=1 seek=4 conv=notrunc status=none",
                "mkdir -p outputs; sha256sum <~/shared/model.pt >outputs/model.sum; "
                "stat -c %U ~/shared/large >outputs/owner; id -un >>outputs/owner",
            ],
        )
        done = home.good("run", "task.yaml")
        assert "is mounted by rclone" in done.err and "not mounted" not in done.err, done.err
        assert listed(done.out) == sums(source), done.out
        run = home.newest()
        assert run["outcome"] == "succeeded", run
        folder = home.home_of(run)
        owner = (folder / "outputs/owner").read_text().split()
        assert owner[0] == owner[1], owner
        now = there(home, "set")
        assert (
            now.pop("model.pt") == (folder / "outputs/model.sum").read_text()[:64]
        ), "the model in the bucket is another one"
        was = sums(source)
        del was["deep/f 3"]
        assert now == was, (now, was)
        assert there(home, "fresh/deep") == {
            "log": digest(b"epoch 1\nepoch 2\nepoch 3\n"),
            "sparse": digest(b"\0\0\0\0X\0\0\0\0\0"),
        }
        left = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
        assert [one for one in left if one.startswith(("data", "out/", "mounts"))] == [], left
        assert (
            "comes home" not in done.err and f"what was written there is in s3://{BUCKET}/fresh/deep" in done.err
        ), done.err
        home.nothing_left()


def test_awkward_names_are_mounted_too():
    with Home() as home:
        source = fill(home, AWKWARD)
        task(
            home,
            {"~/it's \"data\"": {"source": f"s3://{BUCKET}/{AWKWARD}"}},
            [
                "cd ~/\"it's \\\"data\\\"\"/",
                "find . -type f | sort | tr '\\n' '\\0' | xargs -0 sha256sum",
                "echo new >'n e w'",
            ],
        )
        done = home.ferry("run", "task.yaml")
        assert done.returncode == 0 and "is mounted by rclone" in done.err, (done.out, done.err)
        assert listed(done.out) == sums(source), done.out
        assert there(home, AWKWARD)["n e w"] == digest(b"new\n")
        home.nothing_left()


def test_what_is_still_on_its_way_when_the_training_ends_is_waited_for():
    with Home() as home:
        fill(home)
        home.good("rehearsal", "fault", "latency", "action=s3:PutObject", "ms=4000")
        task(
            home,
            {"~/ckpt": {"source": f"s3://{BUCKET}/ckpt", "mode": "MOUNT_CACHED"}},
            ["for i in 1 2 3 4 5 6; do head -c 100000 /dev/urandom >~/ckpt/$i.pt; done", "cd ~/ckpt && sha256sum *"],
        )
        done = home.good("run", "task.yaml")
        assert there(home, "ckpt") == listed(done.out) and len(listed(done.out)) == 6, done.out
        home.nothing_left()


def test_what_the_bucket_does_not_take_comes_home():
    with Home() as home:
        fill(home)
        deny = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
            ],
        }
        aws(home, "s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", json.dumps(deny))
        task(
            home,
            {"~/ckpt": {"source": f"s3://{BUCKET}/ckpt"}, "here": {"source": f"s3://{BUCKET}/here"}},
            ["echo trained >~/ckpt/model; mkdir here/deep; echo more >here/deep/model; exit 3"],
        )
        done = home.ferry("run", "task.yaml")
        assert done.returncode == 3 and "could not be put into" in done.err, (done.returncode, done.err)
        folder = home.home_of(home.newest())
        assert (folder / "mounts/ckpt/model").read_text() == "trained\n"
        assert (folder / "mounts/here/deep/model").read_text() == "more\n"
        home.nothing_left()


def test_of_a_training_that_is_killed_what_is_not_in_the_bucket_yet_comes_home():
    with Home() as home:
        fill(home)
        home.good("rehearsal", "fault", "latency", "action=s3:PutObject", "ms=25000")
        task(
            home,
            {"~/ckpt": {"source": f"s3://{BUCKET}/ckpt"}},
            ["trap '' TERM", "echo trained >~/ckpt/model", "while :; do sleep 1; done"],
        )
        done = home.ferry("run", "task.yaml", "--max-duration", "5s")
        assert done.returncode not in (0, 125), (done.returncode, done.err)
        assert (home.home_of(home.newest()) / "mounts/ckpt/model").read_text() == "trained\n", done.err
        home.nothing_left()


def test_a_mount_that_dies_ends_the_training_and_says_so():
    with Home() as home:
        fill(home)
        task(
            home,
            {"~/ckpt": {"source": f"s3://{BUCKET}/ckpt"}},
            ["echo one >~/ckpt/one", "sleep 3; kill -9 $(cat ~/.ferry/runs/$FERRY_RUN/mounted/0/tool)", "sleep 1000"],
        )
        done = home.ferry("run", "task.yaml")
        assert done.returncode not in (0, 125) and f"the mount of s3://{BUCKET}/ckpt is gone" in done.err, (
            done.returncode,
            done.err,
        )
        assert there(home, "ckpt") == {"one": digest(b"one\n")}
        home.nothing_left()


def test_another_attempt_mounts_again_and_nothing_in_the_bucket_becomes_older():
    with Home() as home:
        fill(home)
        task(
            home,
            {"~/ckpt": {"source": f"s3://{BUCKET}/ckpt"}},
            [
                "cat ~/ckpt/last 2>/dev/null || true",
                "echo attempt $FERRY_ATTEMPT >~/ckpt/last; echo $FERRY_ATTEMPT >~/ckpt/of$FERRY_ATTEMPT",
                "while [ $FERRY_ATTEMPT = 1 ]; do sleep 0.1; done",
            ],
            job_recovery="FAILOVER",
        )
        training = home.start("run", "task.yaml", env={"FERRY_PULL_EVERY": "1s"})
        home.wait_for(
            "it is written", lambda: home.runs() and "of1" in aws(home, "s3", "ls", f"s3://{BUCKET}/", "--recursive")
        )
        (machine,) = home.alive()
        home.good("rehearsal", "fault", "die", f"instance={machine}")
        out, err = training.communicate(timeout=300)
        assert training.returncode == 0 and out.decode() == "attempt 1\n", (out, err)
        assert err.decode().count("is mounted by rclone") == 2, err
        assert there(home, "ckpt") == {"last": digest(b"attempt 2\n"), "of1": digest(b"1\n"), "of2": digest(b"2\n")}
        home.nothing_left()


def test_one_object_is_copied_and_a_place_that_is_not_there_yet_is_mounted():
    with Home() as home:
        fill(home)
        task(
            home,
            {
                "big": {"source": f"s3://{BUCKET}/set/large", "type": "DATASET_RO"},
                "new": {"source": f"s3://{BUCKET}/not/yet/there/"},
            },
            ["stat -Lc %s big", "ls new/ | wc -l", "echo x >new/x"],
        )
        done = home.good("run", "task.yaml")
        assert done.out == "20000000\n0\n" and "it is one object" in done.err, (done.out, done.err)
        assert there(home, "not/yet/there") == {"x": digest(b"x\n")}
        home.nothing_left()


BUCKETS = pathlib.Path(__file__).resolve().parents[2] / "src/job/buckets.sh"
OWN_MACHINE = BUCKETS.parents[1] / "fleet/own_machine.sh"


def stand_in(folder):
    """A mount-s3 that writes down its words and, in the bucket's place, shows FOLDER/bucket by rclone."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "mount-s3").write_text(
        "#!/bin/sh\n"
        f"printf '%s\\n' \"$@\" >{folder}/words; env >{folder}/env\n"
        f"exec rclone mount --config /dev/null {folder}/bucket \"$2\"\n"
    )
    (programs / "mount-s3").chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "AWS_ACCESS_KEY_ID": "mine",
    }


def is_mounted(place):
    return " " + str(place).replace(" ", "\\040") + " " in pathlib.Path("/proc/self/mountinfo").read_text()


def test_a_mount_is_kept_is_made_once_and_is_told_when_it_dies():
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        folder = pathlib.Path(name)
        (folder / "bucket").mkdir()
        (folder / "home").mkdir()
        every, place, env = folder / "home/mounted", folder / "home/a place", stand_in(folder)
        words = ["mount-s3", "a-bucket", str(place), "--prefix", "it's $x/"]

        def call(*verb, notes=b""):
            return subprocess.run(["bash", str(BUCKETS), *verb], env=env, input=notes, capture_output=True, timeout=60)

        def mount():
            return call("mount", f"{every}/0", str(place), "--", *words, notes=b"uri\0s3://a-bucket\0written\0\0")

        try:
            assert mount().returncode == 0 and is_mounted(place)
            keeper = (every / "0/keeper").read_text()
            assert (folder / "words").read_text().splitlines() == words[1:]
            assert "AWS_ACCESS_KEY_ID" not in (folder / "env").read_text(), "the machine's role, and nothing else"
            assert mount().returncode == 0 and (every / "0/keeper").read_text() == keeper, "what is mounted stays"
            (place / "model").write_text("trained")
            done = call("end", str(every))
            assert done.returncode == 0 and b"what was written there is in s3://a-bucket" in done.stderr, done.stderr
            assert not is_mounted(place) and (folder / "bucket/model").read_text() == "trained"
            assert mount().returncode == 0 and is_mounted(place), "and again"
            watching = subprocess.Popen(
                ["bash", str(BUCKETS), "watch", str(every)], env=env, stderr=subprocess.PIPE, start_new_session=True
            )
            os.kill(int((every / "0/tool").read_text()), 9)
            said = watching.communicate(timeout=60)[1]
            assert b"the mount of s3://a-bucket is gone" in said and watching.returncode == -15, (
                said,
                watching.returncode,
            )
            done = call("end", str(every))
            assert done.returncode == 1 and b"had gone before the training's end" in done.stderr, done.stderr
            (folder / "bin/mount-s3").write_text("#!/bin/sh\necho no such bucket >&2; exit 1\n")
            done = mount()
            assert done.returncode == 1 and b"no such bucket" in done.stderr and not is_mounted(place), done.stderr
        finally:
            call("end", str(every))
            subprocess.run(["fusermount3", "-uz", str(place)], capture_output=True)


def test_of_an_own_machine_a_bucket_is_unmounted_before_anything_is_removed():
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        folder = pathlib.Path(name)
        (folder / "bucket").mkdir()
        (folder / "bucket/precious").write_text("1")
        run = folder / "home/.ferry/runs/r-1"
        run.mkdir(parents=True)
        env, place = stand_in(folder), run / "buckets/0"
        try:
            subprocess.run(
                ["bash", str(BUCKETS), "mount", f"{run}/mounted/0", str(place), "--", "mount-s3", "b", str(place)],
                env=env,
                input=b"",
                check=True,
            )
            tool = (run / "mounted/0/tool").read_text().strip()
            assert (place / "precious").exists() and is_mounted(place)
            done = subprocess.run(
                ["sh", "-s", "--", "run", "r-1"],
                env=env,
                input=OWN_MACHINE.read_bytes(),
                capture_output=True,
                timeout=60,
            )
            assert done.stdout == b"", done.stdout
            assert not run.exists() and (folder / "bucket/precious").read_text() == "1"
            end = time.time() + 20
            while os.path.exists(f"/proc/{tool}") and time.time() < end:
                time.sleep(0.05)
            assert not os.path.exists(f"/proc/{tool}"), "what mounted it is still there"
        finally:
            subprocess.run(["fusermount3", "-uz", str(place)], capture_output=True)


def may_mount():
    """Why not; of root, and of others where FUSE is everybody's."""
    if not os.path.exists("/dev/fuse") or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "FUSE (/dev/fuse) cannot be used on this computer"
    for program in ("rclone", "fusermount3"):
        if not shutil.which(program):
            return f"this computer has no {program}"
    with tempfile.TemporaryDirectory(prefix="ft.") as folder:
        tried = subprocess.Popen(
            ["rclone", "mount", "--config", "/dev/null", "--read-only", "/usr/share", folder],
            stderr=subprocess.PIPE,
            text=True,
        )
        while tried.poll() is None and not os.path.ismount(folder):
            time.sleep(0.05)
        subprocess.run(["fusermount3", "-uz", folder], capture_output=True)
        tried.terminate()
        said = tried.communicate()[1]
    return "" if tried.returncode in (0, -15, 143) else f"rclone cannot mount: {said.strip().splitlines()[-1:]}"


if __name__ == "__main__":
    if why := may_mount():
        print(f"SKIP: no bucket can be mounted here: {why}")
        sys.exit(77)
    # In machines with namespaces of their own nothing may be mounted.
    os.environ["FERRY_SANDBOX"] = "plain"
    main(globals())
