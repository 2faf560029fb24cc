#!/usr/bin/env python3
"""One run from check to release, and the ways it can end."""
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request

from lib import FERRY, Home, main


def task(home, run, **fields):
    lines = ["name: tiny", "resources: {infra: rehearsal}", f"run: {json.dumps(run)}"]
    lines += [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    home.file("task.yaml", "\n".join(lines) + "\n")


def test_a_run_brings_its_outputs_home_and_leaves_nothing():
    with Home() as home:
        home.file("data.txt", "seven")
        task(home, "mkdir -p outputs; tr a-z A-Z < data.txt > outputs/model.txt; printf 'one\\rtwo\\n'; echo oops >&2")
        done = home.good("run", "task.yaml")
        assert done.stdout == b"one\rtwo\n", done.stdout
        assert "oops\n" in done.err
        run = home.newest()
        assert run["phase"] == "released" and run["outcome"] == "succeeded" and run["exit_code"] == 0, run
        assert (home.home_of(run) / "outputs/model.txt").read_text() == "SEVEN"
        assert (home.home_of(run) / "train.log").read_bytes() == b"one\rtwo\noops\n"
        home.nothing_left()
        for phase in ("check", "plan", "launch", "connect", "sync", "setup", "train", "fetch", "release"):
            assert phase in done.err, f"{phase} was not shown:\n{done.err}"


def test_what_linux_would_not_start_is_refused_before_anything_is_rented():
    with Home() as home:
        for fields in ({"envs": {"DATA": "x" * 140_000}}, {"secrets": {"DATA": "x" * 140_000}}):
            task(home, "true", **fields)
            for flags in ((), ("--no-check",)):
                done = home.ferry("run", *flags, "task.yaml")
                assert (
                    done.returncode == 125
                    and "DATA is too large: 140000 bytes" in done.err
                    and "launch" not in done.err
                ), done.err
        assert home.runs("--all") == []


def test_a_cancelled_training_behind_a_pipe_saves_and_what_it_left_running_is_named():
    with Home() as home:
        home.file(
            "st.py",
            """import os, signal, sys, time
def save(*_):
    for part in range(10):
        print("saving", part, flush=True)
        time.sleep(0.1)
    os.makedirs("outputs", exist_ok=True)
    open("outputs/checkpoint", "w").write("all")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    print(".", flush=True)
    time.sleep(0.1)
""",
        )
        task(home, "setsid -f sleep 1000 >/dev/null 2>&1; python3 st.py 2>&1 | tee log")
        run = home.start("run", "task.yaml")
        log = home.root / "data/ferry/runs"
        home.wait_for("the training", lambda: any(b"ready" in one.read_bytes() for one in log.glob("*/log")))
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=120)
        assert b"saving 9" in out, out
        assert (home.home_of(home.newest()) / "outputs/checkpoint").read_text() == "all"
        assert (
            "ferry: stopped what still ran in the background: sleep 1000\n"
            in (home.home_of(home.newest()) / "train.log").read_text()
        )
        home.nothing_left()


def test_a_saver_in_the_background_is_waited_for():
    with Home() as home:
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; (for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done > outputs/part; "
            "mv outputs/part outputs/model) & echo end",
        )
        assert (home.home_of(home.newest()) / "outputs/model").exists() and done.out == "end\n", done.err


def test_the_exit_code_is_the_trainings_own_and_a_failed_run_brings_what_there_is():
    with Home() as home:
        done = home.ferry(
            "run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo half > outputs/part; exit 7"
        )
        assert done.returncode == 7, (done.returncode, done.err)
        run = home.newest()
        assert run["outcome"] == "failed"
        assert (home.home_of(run) / "outputs/part").read_text() == "half\n"
        home.nothing_left()


def test_what_is_late_is_there_for_setup_and_does_not_come_home():
    with Home() as home:
        home.file("late/part.txt", "seven")
        task(home, "cat late/part.txt > made.txt", setup="test -s late/part.txt", late=["late/", "nothing/"])
        done = home.good("run", "task.yaml")
        assert "late: nothing of what is sent matches nothing/" in done.err, done.err
        assert "1 file, 5 B follows while the environment is made" in done.err, done.err
        assert "what is late is there: 1 file, 5 B sent" in done.err, done.err
        brought = home.home_of(home.newest())
        assert (brought / "made.txt").read_text() == "seven" and not (brought / "late").exists(), done.err
        home.nothing_left()


def test_a_failing_setup_ends_the_run_before_training():
    with Home() as home:
        task(home, "echo never", setup="echo preparing; exit 4")
        done = home.ferry("run", ".")
        assert done.returncode == 4, (done.returncode, done.err)
        assert "never" not in done.out and "preparing" in done.out
        home.nothing_left()


def test_a_missing_output_is_named_and_what_was_made_comes_home_instead():
    with Home() as home:
        home.file("old.txt", "was here before")
        task(home, "echo weights > modle.pt", outputs=["model.pt"])
        done = home.good("run", ".")
        assert "model.pt" in done.err and "does not exist" in done.err, done.err
        run = home.newest()
        assert (home.home_of(run) / "modle.pt").read_text() == "weights\n"
        assert not (home.home_of(run) / "old.txt").exists()
        home.nothing_left()


def test_without_named_outputs_what_the_run_made_comes_home():
    with Home() as home:
        home.file("old.txt", "was here before")
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "echo w > model.pt; mkdir -p __pycache__; echo c > __pycache__/x.pyc",
        )
        assert "made no outputs/" in done.err, done.err
        home_folder = home.home_of(home.newest())
        assert (home_folder / "model.pt").read_text() == "w\n"
        assert not (home_folder / "old.txt").exists() and not (home_folder / "__pycache__").exists()
        done = home.good("run", "--infra", "rehearsal", "--", "true")
        assert "no outputs" in done.err and "!" not in done.err, done.err


def test_errors_found_on_the_laptop_rent_nothing():
    with Home() as home:
        task(home, "python3 trian.py")
        home.file("train.py", "print(1)\n")
        done = home.ferry("run", ".")
        assert done.returncode == 125 and "trian.py" in done.err and "train.py" in done.err, done.err
        home.file("train.py", "print(1\n")
        task(home, "python3 train.py")
        done = home.ferry("run", ".")
        assert done.returncode == 125 and "train.py: line" in done.err, done.err
        home.file("task.yaml", "name: x\nresorces: {}\nrun: true\n")
        done = home.ferry("run", ".")
        assert done.returncode == 125 and "task.yaml:2:1" in done.err and "resources" in done.err, done.err
        home.file("task.yaml", "name: [x\n")
        done = home.ferry("run", ".")
        assert done.returncode == 125 and "task.yaml:" in done.err, done.err
        assert not (home.root / "data/ferry/rehearsal").exists(), "the rehearsal cloud was started for nothing"


def test_json_events_are_one_object_a_line():
    with Home() as home:
        done = home.good("run", "--json", "--infra", "rehearsal", "--", "sh", "-c", "printf 'a\\377'; echo b >&2")
        events = [json.loads(line) for line in done.out.splitlines()]
        outputs = [one for one in events if one["event"] == "output"]
        assert {one["stream"] for one in outputs} == {"stdout", "stderr"}
        phases = [one["phase"] for one in events if one["event"] == "phase_done"]
        assert phases == ["check", "plan", "launch", "connect", "sync", "setup", "train", "fetch", "release"], phases


def test_environment_and_secrets_reach_the_training_and_secrets_nothing_else():
    with Home() as home:
        task(
            home,
            "echo $GREETING $TOKEN $FERRY_RUN $SKYPILOT_NUM_NODES > outputs.txt",
            envs={"GREETING": "hello"},
            secrets={"TOKEN": None},
            outputs=["outputs.txt"],
        )
        done = home.ferry("run", ".")
        assert done.returncode == 125 and "TOKEN" in done.err, done.err
        home.good("run", ".", env={"TOKEN": "s3cr3t-value"})
        run = home.newest()
        assert (home.home_of(run) / "outputs.txt").read_text() == f"hello s3cr3t-value {run['run']} 1\n"
        found = subprocess.run(
            ["grep", "-rl", "s3cr3t-value", str(home.root / "data")], capture_output=True, text=True
        ).stdout
        assert not found, f"the secret was stored in {found}"


def test_sigterm_cancels_saves_and_releases():
    with Home() as home:
        script = (
            "trap 'echo saved > outputs/ckpt; exit 9' TERM; mkdir outputs; echo started; while :; do sleep 0.1; done"
        )
        ferry = home.start("run", "--infra", "rehearsal", "--", "bash", "-c", script)
        while b"started" not in ferry.stdout.readline():
            pass
        ferry.send_signal(signal.SIGTERM)
        _, err = ferry.communicate(timeout=90)
        assert ferry.returncode == 9, (ferry.returncode, err.decode())
        run = home.newest()
        assert run["outcome"] == "cancelled" and run["phase"] == "released", run
        assert (home.home_of(run) / "outputs/ckpt").read_text() == "saved\n"
        home.nothing_left()


def test_a_detached_run_finishes_by_itself():
    with Home() as home:
        done = home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; for i in 1 2 3 4 5 6; do echo line $i; sleep 0.3; done; echo ok > outputs/m",
        )
        assert "logs -f" in done.err, done.err
        run = home.runs()[0]
        followed = home.good("logs", "-f", run["run"])
        assert followed.out == "".join(f"line {i}\n" for i in range(1, 7)), followed.out
        home.wait_for("released", lambda: home.newest()["phase"] == "released")
        run = home.newest()
        assert (home.home_of(run) / "outputs/m").read_text() == "ok\n"
        assert home.good("logs", run["run"]).out == followed.out
        assert "home" in home.good("fetch", run["run"]).out
        home.nothing_left()


def test_a_detached_run_can_be_looked_at_and_cancelled():
    with Home() as home:
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            "mkdir outputs; echo 1 > outputs/a; echo up; sleep 1000",
        )
        run = home.runs()[0]
        assert run["phase"] == "training"
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        assert home.good("ssh", run["run"], "--", "cat", f"ferry/{run['run']}/outputs/a").out == "1\n"
        home.good("fetch", run["run"])
        assert (home.home_of(run) / "outputs/a").read_text() == "1\n"
        assert len(home.alive()) == 1
        home.good("cancel", run["run"])
        assert home.newest()["outcome"] == "cancelled"
        home.nothing_left()


def test_a_kept_machine_stays_until_down():
    with Home() as home:
        home.good("run", "--keep", "--infra", "rehearsal", "--", "true")
        run = home.runs()[0]
        assert len(home.alive()) == 1
        home.good("ps")
        assert home.good("ssh", run["run"], "--", "echo", "a  b").out == "a  b\n"
        assert home.good("ssh", run["run"], "--", "cd /; pwd").out == "/\n"
        assert len(home.alive()) == 1
        home.good("down", run["run"])
        home.nothing_left()


def test_a_machine_with_another_address_after_a_stop_is_found_again():
    with Home() as home:
        home.good("run", "--keep", "--infra", "rehearsal", "--", "true")
        run = home.runs()[0]
        lines = home.good("rehearsal", "env").out.splitlines()
        env = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        env = {key: value.strip("'\"") for key, value in env.items()}
        if subprocess.run(["which", "aws"], capture_output=True).returncode == 0:
            aws = lambda *args: subprocess.run(
                ["aws", "--endpoint-url", env["AWS_ENDPOINT_URL"], "ec2", *args],
                env={**home.env, **env, "AWS_PAGER": ""},
                check=True,
                capture_output=True,
            )
            instance = home.alive()[0]
            aws("stop-instances", "--instance-ids", instance)
            aws("wait", "instance-stopped", "--instance-ids", instance)
            aws("start-instances", "--instance-ids", instance)
            aws("wait", "instance-running", "--instance-ids", instance)
            assert home.good("ssh", run["run"], "--", "echo", "back").out == "back\n"
        home.good("down", run["run"])
        home.nothing_left()


def test_infra_aws_with_the_rehearsal_clouds_address_does_the_same():
    with Home() as home:
        lines = home.good("rehearsal", "env").out.splitlines()
        env = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        env = {key: value.strip("'\"") for key, value in env.items()}
        done = home.good("run", "--infra", "aws", "--", "sh", "-c", "mkdir outputs; echo same > outputs/x", env=env)
        assert "release" in done.err
        assert (home.home_of(home.newest()) / "outputs/x").read_text() == "same\n"
        home.nothing_left()


def test_max_duration_ends_the_job_and_brings_home_what_there_is():
    with Home() as home:
        done = home.ferry(
            "run",
            "--infra",
            "rehearsal",
            "--max-duration",
            "2s",
            "--",
            "bash",
            "-c",
            "mkdir outputs; echo early > outputs/x; exec sleep 1000",
        )
        assert done.returncode not in (0, 125) and "max_duration" in done.err, (done.returncode, done.err)
        assert (home.home_of(home.newest()) / "outputs/x").read_text() == "early\n"
        home.nothing_left()


def test_a_tunnel_leads_to_the_tasks_ports_while_the_run_is_attached():
    with Home() as home, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # the machine has it for itself, or another one is told
        home.file(
            "task.yaml",
            f"resources: {{ports: {port}}}\nrun: |\n  echo from the machine > index.html\n"
            f"  touch ready; timeout 60 python3 -m http.server {port} --bind 127.0.0.1 & while [ ! -e seen ]; "
            "do sleep 0.1; done; kill %1\n",
        )
        taken.close()
        process = subprocess.Popen(
            [FERRY, "run", "task.yaml", "--infra", "rehearsal"],
            cwd=home.work,
            env=home.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        local = None
        for line in process.stdout:
            told = re.search(r"port (\d+) of the machine is http://localhost:(\d+) while ferry is attached", line)
            if told:
                assert int(told[1]) == port and told[2] != told[1], line
                local = told[2]
                break
        assert local, "no tunnel was told"

        def page():
            try:
                return urllib.request.urlopen(f"http://localhost:{local}/", timeout=5).read()
            except OSError:
                return None

        assert home.wait_for("the machine's page", page, 60) == b"from the machine\n"
        name = home.newest()["run"]
        home.good("ssh", name, "--", f"touch ferry/{name}/seen")
        process.stdout.read()
        assert process.wait() == 0 and page() is None, "the tunnel ends with the run"
        home.nothing_left()


def test_a_command_of_the_task_hears_of_every_state_of_a_run_that_was_left_to_the_background():
    with Home() as home:
        home.file(
            "task.yaml",
            f"name: told\nresources: {{infra: rehearsal}}\nenvs: {{LR: 0.1}}\n"
            f"event_callback: |\n  echo \"$TASK_NAME $JOB_STATUS $FERRY_STATE $LR $PWD\" >>{home.root}/heard\n"
            "  [ $JOB_STATUS != SUCCEEDED ] || exit 9\n"
            "run: sleep 1; mkdir outputs; echo x > outputs/m\n",
        )
        home.good("run", "-d", "task.yaml")
        heard = home.root / "heard"
        home.wait_for("the end", lambda: "SUCCEEDED" in heard.read_text())
        assert [line.split()[1:4] for line in heard.read_text().splitlines()] == [
            ["SUBMITTED", "planning", "0.1"],
            ["STARTING", "launching", "0.1"],
            ["STARTED", "training", "0.1"],
            ["SUCCEEDED", "succeeded", "0.1"],
        ]
        assert heard.read_text().splitlines()[0] == f"told SUBMITTED planning 0.1 {home.work}"
        assert home.newest()["outcome"] == "succeeded"
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
