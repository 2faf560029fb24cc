#!/usr/bin/env python3
"""Data sets that the machine fetches itself: from the rehearsal cloud's S3, with the machine's own role; and what goes
back."""
import hashlib
import json
import os
import signal
import subprocess

from host_test import on_box, own_machine
from lib import Home, main

BUCKET = "some-data"


def cloud_env(home):
    said = home.good("rehearsal", "env").out
    pairs = dict(line.removeprefix("export ").split("=", 1) for line in said.splitlines() if line.startswith("export "))
    return {**home.env, **{name: value.strip("'\"") for name, value in pairs.items()}}


def aws(home, *args):
    config = home.root / "aws-config"
    config.write_text("[default]\ns3 =\n    signature_version = s3v4\n")
    env = {**cloud_env(home), "AWS_CONFIG_FILE": str(config)}
    # An aws CLI before 2.13, as Debian 12's, knows no AWS_ENDPOINT_URL, and would ask AWS.
    done = subprocess.run(
        ["aws", "--endpoint-url", env["AWS_ENDPOINT_URL_S3"], *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def aws_ec2(home, *args):
    """What a call of EC2's says."""
    env = cloud_env(home)
    done = subprocess.run(
        ["aws", "--endpoint-url", env["AWS_ENDPOINT_URL"], "--output", "json", "ec2", *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


def fill(home, bucket=BUCKET):
    """A bucket with 200 small objects and a large one below set/, and one beside."""
    home.good("rehearsal", "start")
    source = home.root / "source"
    (source / "deep").mkdir(parents=True)
    for i in range(200):
        (source / "deep" / f"f{i}").write_bytes(os.urandom(10 + 37 * i))
    (source / "large").write_bytes(os.urandom(40_000_000))
    aws(home, "s3", "mb", f"s3://{bucket}")
    aws(home, "s3", "cp", "--quiet", "--recursive", str(source), f"s3://{bucket}/set")
    (home.root / "one").write_text("one file\n")
    aws(home, "s3", "cp", "--quiet", str(home.root / "one"), f"s3://{bucket}/beside/one.txt")
    return source


def sums(folder):
    return {
        str(one.relative_to(folder)): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in sorted(folder.rglob("*"))
        if one.is_file()
    }


def text_of(lines):
    return "\n".join(lines) + "\n"


def test_data_of_every_kind_are_there_and_what_is_written_goes_where_it_belongs():
    with Home() as home:
        source = fill(home)
        (home.work / "here").mkdir()
        (home.work / "here/a.txt").write_text("a\n")
        home.file(
            "task.yaml",
            text_of(
                [
                    "name: tiny",
                    "resources: {infra: rehearsal}",
                    "file_mounts:",
                    f"  data/set: s3://{BUCKET}/set/",
                    f"  ~/one.txt: s3://{BUCKET}/beside/one.txt",
                    f"  ~/shared: {{source: 's3://{BUCKET}/beside', mode: MOUNT}}",
                    "  ~/ckpt: {name: my-new-bucket, mode: MOUNT}",
                    "run: |",
                    "  set -e",
                    "  find data/set/ -type f | wc -l",
                    "  (cd data/set/ && find . -type f | sort | xargs sha256sum) >sums",
                    "  cat ~/one.txt ~/shared/one.txt local/a.txt",
                    "  echo trained >~/shared/model; echo saved >~/ckpt/1.pt; echo more >local/b.txt",
                    "  mkdir -p outputs; mv sums outputs/",
                ]
            ),
        )
        done = home.good("run", "task.yaml", "-v", "./here:local:rw")
        run = home.newest()
        assert run["outcome"] == "succeeded", run
        there = home.home_of(run)
        assert done.out.startswith("201\none file\none file\na\n"), done.out
        assert "no bucket is made of the name my-new-bucket" in done.err, done.err
        assert "203 files" in done.err and "it is copied (9 B), not mounted" in done.err, done.err
        listed = dict(reversed(line.split("  ./", 1)) for line in (there / "outputs/sums").read_text().splitlines())
        assert listed == sums(source), "what was trained on is not what the bucket has"
        assert (there / "mounts/ckpt/1.pt").read_text() == "saved\n"
        assert (there / "local/b.txt").read_text() == "more\n"
        assert not (home.work / "here/b.txt").exists(), "the folder here is never changed"
        aws(home, "s3", "cp", "--quiet", f"s3://{BUCKET}/beside/model", str(home.root / "model"))
        assert (home.root / "model").read_text() == "trained\n"
        left = sorted(str(one.relative_to(there)) for one in there.rglob("*") if one.is_file())
        assert "only the link comes home" not in done.err, done.err
        assert [one for one in left if "deep" in one or one.endswith(("large", "model", "one.txt"))] == [], left
        assert "my-new-bucket" not in aws(home, "s3", "ls"), "no bucket is made"
        home.nothing_left()
        state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
        assert "ferry-tiny" not in json.dumps(state.get("iam", {})), state["iam"]


def test_where_nothing_can_mount_a_bucket_it_is_copied_and_a_line_says_why():
    with Home() as home:
        fill(home)
        home.file(
            "task.yaml",
            text_of(
                [
                    "name: tiny",
                    "resources: {infra: rehearsal}",
                    "file_mounts:",
                    f"  data: {{source: 's3://{BUCKET}/set/deep', type: DATASET_RO}}",
                    f"  out: {{source: 's3://{BUCKET}/out', mode: MOUNT_CACHED}}",
                    "run: ls data/ | wc -l; echo new >out/new",
                ]
            ),
        )
        done = home.good("run", "task.yaml", env={"FERRY_MOUNT_TOOLS": "none"})
        assert done.out == "200\n", done.out
        assert "is mounted where the machine has mount-s3 or rclone and FUSE; otherwise copied" in done.err, done.err
        assert (
            "not mounted: the machine has neither mount-s3 nor rclone" in done.err
            and "has no rclone, which MOUNT_CACHED needs" in done.err
        ), done.err
        aws(home, "s3", "cp", "--quiet", f"s3://{BUCKET}/out/new", str(home.root / "new"))
        assert (home.root / "new").read_text() == "new\n"
        home.nothing_left()


def test_a_server_that_is_busy_and_connections_that_break_cost_time_only():
    with Home() as home:
        source = fill(home)
        home.good("rehearsal", "fault", "slow-down", "percent=20")
        home.good("rehearsal", "fault", "cut-answer", "action=GetObject", "bytes=1000", "count=30")
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "-v",
            f"s3://{BUCKET}/set:data",
            "--",
            "cd data && find . -type f | sort | xargs sha256sum",
        )
        home.good("rehearsal", "fault", "clear")
        listed = dict(reversed(line.split("  ./", 1)) for line in done.out.splitlines())
        assert listed == sums(source), done.err
        home.nothing_left()


def test_who_ends_ferry_while_data_are_copied_leaves_nothing_behind():
    with Home() as home:
        fill(home)
        home.good("rehearsal", "fault", "latency", "action=s3:GetObject", "ms=3000")
        words = ["run", "--infra", "rehearsal", "-v", f"s3://{BUCKET}/set:data", "--", "true"]
        log = home.root / "data/ferry/rehearsal/server.log"
        for signal_sent in (signal.SIGTERM, signal.SIGKILL):
            before = log.read_text().count("s3:GetObject 200")
            running = home.start(*words)
            home.wait_for("it is copied", lambda: log.read_text().count("s3:GetObject 200") > before)
            running.send_signal(signal_sent)
            running.communicate(timeout=240)
            assert running.returncode == (130 if signal_sent == signal.SIGTERM else -9), running.returncode
            home.wait_for("the machine is given back", lambda: home.ferry("ps") and not home.alive())
            assert home.newest()["phase"] == "released", home.newest()
        home.nothing_left()


def test_another_attempt_has_the_data_and_what_the_one_before_wrote_into_a_bucket():
    with Home() as home:
        fill(home)
        home.file(
            "task.yaml",
            text_of(
                [
                    "name: tiny",
                    "resources: {infra: rehearsal, job_recovery: FAILOVER}",
                    f"file_mounts: {{~/shared: {{source: 's3://{BUCKET}/beside'}}, data: s3://{BUCKET}/set/deep/}}",
                    "run: |",
                    "  set -e",
                    "  ls data/ | wc -l; cat ~/shared/*",
                    "  echo epoch $FERRY_ATTEMPT >~/shared/epoch$FERRY_ATTEMPT",
                    "  while [ $FERRY_ATTEMPT = 1 ]; do sleep 0.1; done",
                ]
            ),
        )
        training = home.start("run", "task.yaml", env={"FERRY_PULL_EVERY": "1s"})
        home.wait_for(
            "what was written is home",
            lambda: home.runs() and (home.home_of(home.newest()) / "mounts/shared/epoch1").exists(),
        )
        (machine,) = home.alive()
        home.good("rehearsal", "fault", "die", f"instance={machine}")
        out, err = training.communicate(timeout=300)
        assert training.returncode == 0, err
        assert out.decode() == "200\none file\n200\nepoch 1\none file\n", out
        there = aws(home, "s3", "ls", f"s3://{BUCKET}/beside/")
        assert "epoch1" in there and "epoch2" in there, there
        home.nothing_left()


def test_what_cannot_be_written_back_comes_home():
    with Home() as home:
        fill(home)
        arn = f"arn:aws:s3:::{BUCKET}"
        deny = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/*"}],
        }
        aws(home, "s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", json.dumps(deny))
        home.file(
            "task.yaml",
            text_of(["name: tiny", "resources: {infra: rehearsal}", f"run: echo trained >~/shared/model; exit 3"]),
        )
        done = home.ferry("run", "task.yaml", "-v", f"s3://{BUCKET}/beside:~/shared:rw")
        assert done.returncode == 3, done.err
        assert "could not be put into" in done.err and "AccessDenied" in done.err, done.err
        there = home.home_of(home.newest())
        assert (there / "mounts/shared/model").read_text() == "trained\n"
        assert not (there / "mounts/shared/one.txt").exists()
        home.nothing_left()


def test_data_that_cannot_be_had_end_the_run_before_it_trains_and_say_why():
    with Home() as home:
        fill(home)
        arn = f"arn:aws:s3:::{BUCKET}"
        deny = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [f"{arn}/*", arn],
                    "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
                }
            ],
        }
        aws(home, "s3api", "put-bucket-policy", "--bucket", BUCKET, "--policy", json.dumps(deny))
        done = home.ferry("run", "--infra", "rehearsal", "-v", f"s3://{BUCKET}/set:data", "--", "echo", "trained")
        assert (
            done.returncode == 125 and "may not be read by this machine" in done.err and "trained" not in done.out
        ), done.err
        home.nothing_left()


def test_the_accounts_boundary_is_told_of_the_buckets_by_who_may():
    with Home() as home:
        fill(home)
        setup = ["store", "setup", "s3://a-bucket/team", "--infra", "rehearsal", "--yes"]
        home.good(*setup)
        words = ["run", "--infra", "rehearsal", "-v", f"s3://{BUCKET}/set:data", "--", "ls data/deep/ | wc -l"]
        done = home.ferry(*words)
        assert done.returncode == 125 and f"--data 's3://{BUCKET}/set'" in done.err and home.alive() == [], done.err
        home.good(*setup, "--data", f"s3://{BUCKET}/set")
        assert home.good(*words).out == "200\n"
        home.nothing_left()


def test_a_machine_of_ones_own_fetches_too_and_keeps_nothing_of_it():
    with Home() as home:
        own_machine(home)
        fill(home)
        url = aws(home, "s3", "presign", f"s3://{BUCKET}/beside/one.txt").strip()
        (home.work / "here").mkdir()
        (home.work / "here/a.txt").write_text("a\n")
        done = home.good(
            "run",
            "--infra",
            "ssh/box",
            "-v",
            f"{url}:data/one.txt",
            "-v",
            "./here:local:rw",
            "--",
            "cat data/one.txt local/a.txt; echo b >local/b.txt",
        )
        assert done.out == "one file\na\n", done.out
        run = home.newest()
        assert (home.home_of(run) / "local/b.txt").read_text() == "b\n"
        assert not (home.home_of(run) / "data/one.txt").exists()
        assert run["run"] not in on_box(home, "find .ferry"), on_box(home, "find .ferry")
        done = home.ferry("run", "--infra", "ssh/box", "-v", "./here:~/local", "--", "true")
        assert done.returncode in (2, 125) and "outside of the run's folder" in done.err, done.err


def test_data_that_are_not_there_are_missed_before_anything_is_rented():
    with Home() as home:
        fill(home)
        words = [
            "-v",
            "s3://no-such-bucket-anywhere/x:a",
            "-v",
            f"s3://{BUCKET}/nothing:b",
            "-v",
            f"s3://{BUCKET}/set:c",
        ]
        done = home.ferry("run", "--infra", "rehearsal", *words, "--", "true")
        assert (
            done.returncode in (2, 125)
            and "NoSuchBucket" in done.err
            and f"there is nothing at s3://{BUCKET}/nothing" in done.err
        ), done.err
        assert home.runs("--all") == []
        # Where the training writes, there may be nothing yet.
        home.good("run", "--infra", "rehearsal", "-v", f"s3://{BUCKET}/fresh:out:rw", "--", "echo trained >out/model")
        aws(home, "s3", "cp", "--quiet", f"s3://{BUCKET}/fresh/model", str(home.root / "model"))
        assert (home.root / "model").read_text() == "trained\n"
        home.nothing_left()


def test_a_file_of_the_web_is_fetched_by_the_machine():
    with Home() as home:
        fill(home)
        url = aws(home, "s3", "presign", f"s3://{BUCKET}/beside/one.txt").strip()
        done = home.ferry("run", "--infra", "rehearsal", "-v", f"{url}:data/set.txt", "--", "cat data/set.txt")
        assert done.returncode == 0 and done.out == "one file\n", (done.out, done.err)
        done = home.ferry(
            "run", "--infra", "rehearsal", "-v", f"{url.replace('one.txt', 'none.txt')}:none", "--", "true"
        )
        assert done.returncode == 125 and "cannot be fetched" in done.err, done.err
        home.nothing_left()


def test_what_cannot_be_brought_is_refused_before_anything_is_rented():
    with Home() as home:
        for words, said in (
            (["-v", "gs://b/x:/d"], "gcloud storage cp"),
            (["-v", "x"], "SRC:DST"),
            (["-v", "./nothing:data"], "there is no "),
            (["-v", "s3://some-data/a:data", "-v", "s3://some-data/b:data"], "is there twice"),
        ):
            done = home.ferry("run", "--infra", "rehearsal", *words, "--", "true")
            assert done.returncode in (2, 125) and said in done.err, done.err
        assert home.runs("--all") == []


if __name__ == "__main__":
    main(globals())
