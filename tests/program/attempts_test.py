#!/usr/bin/env python3
"""Runs whose machine the cloud takes back while they train: another attempt goes on from what was saved, on another
machine."""
import json
import subprocess

from lib import Home, main

# Each step depends on all before it, so that one that is lost, repeated or begun anew shows in the model.
TRAINING = """
import hashlib, json, os, pathlib, time
out = pathlib.Path("outputs")
out.mkdir(exist_ok=True)
saved = out / "state.json"
state = json.loads(saved.read_text()) if saved.exists() else {"step": 0, "weights": "none"}
link = out / "latest"
attempt = os.environ["FERRY_ATTEMPT"]
resumed = os.environ["FERRY_RESUMED"]
print(f"attempt {attempt} resumed {resumed} at {state['step']} link {link.is_symlink()}", flush=True)
if not link.is_symlink():
    link.symlink_to("state.json")
while state["step"] < 12:
    state = {"step": state["step"] + 1, "weights": hashlib.sha256(f"{state}".encode()).hexdigest()}
    part = out / ".state.part"
    part.write_text(json.dumps(state))
    part.rename(saved)
    (out / f"step-{state['step']}").write_text(state["weights"])
    while state["step"] in (4, 8) and attempt == str(state["step"] // 4) and os.environ["DISTURBED"] == "1":
        time.sleep(0.1)
(out / "model").write_text(state["weights"])
"""
STORE = "s3://a-bucket/team"


def write_task(home, store, disturbed):
    home.file("train.py", TRAINING)
    home.file(
        "task.yaml",
        "name: tiny\nresources: {infra: rehearsal, job_recovery: FAILOVER}\n"
        + store
        + f"envs: {{DISTURBED: '{disturbed}'}}\nrun: python3 train.py\n",
    )


def undisturbed():
    with Home() as home:
        write_task(home, "", 0)
        home.good("run", "task.yaml")
        return (home.home_of(home.newest()) / "outputs/model").read_text()


def disturbed(store, env, is_safe):
    """A run that is interrupted twice, each time when what it saved last is safe."""
    with Home() as home:
        write_task(home, store, 1)
        training = home.start("run", "task.yaml", env=env)
        gone = set()
        for step in (4, 8):
            home.wait_for(f"step {step} is safe", lambda: home.runs() and is_safe(home, step))
            (machine,) = (one for one in home.alive() if one not in gone)
            gone.add(machine)
            home.good("rehearsal", "fault", "die", f"instance={machine}")
        out, err = training.communicate(timeout=300)
        assert training.returncode == 0, err
        run = home.newest()
        record = json.loads((home.home_of(run) / "run.json").read_text())
        assert [one["outcome"] for one in record["attempts"]] == ["lost", "lost", "succeeded"], record["attempts"]
        assert len({one["nodes"][0]["instance"] for one in record["attempts"]}) == 3, record["attempts"]
        log = (home.home_of(run) / "train.log").read_text()
        assert log == "".join(f"attempt {n + 1} resumed {int(n > 0)} at {4 * n} link {n > 0}\n" for n in range(3)), log
        assert home.good("logs", run["run"]).out == log
        files = {one.name for one in (home.home_of(run) / "outputs").iterdir()}
        assert files == {"state.json", "latest", "model", *(f"step-{n}" for n in range(1, 13))}, files
        home.nothing_left()
        return (home.home_of(run) / "outputs/model").read_text()


def test_a_training_without_a_store_goes_on_from_what_had_come_home():
    def is_home(home, step):
        outputs = home.home_of(home.newest()) / "outputs"
        saved = outputs / "state.json"
        return saved.exists() and json.loads(saved.read_text())["step"] == step and (outputs / f"step-{step}").exists()

    assert disturbed("", {"FERRY_PULL_EVERY": "1s"}, is_home) == undisturbed()


def test_a_training_with_a_store_goes_on_from_what_was_stored():
    def is_stored(home, step):
        said = home.ferry("store", "ls", "--infra", "rehearsal", "--store", STORE, "--json")
        return any(one["files"] >= step + 1 for one in json.loads(said.out).get("runs", []))

    assert disturbed(f"store: {STORE}\n", {"FERRY_STORE_EVERY": "1s"}, is_stored) == undisturbed()


def test_each_attempt_runs_what_the_first_one_ran_whatever_became_of_the_workdir():
    with Home() as home:
        home.file("train.sh", "echo as it was; [ $FERRY_ATTEMPT = 2 ] || sleep 1000\n")
        home.file("task.yaml", "name: tiny\nresources: {infra: rehearsal, job_recovery: FAILOVER}\nrun: sh train.sh\n")
        training = home.start("run", "task.yaml")
        home.wait_for("it trains", lambda: home.runs() and home.log_is_here("as it was"))
        home.file("train.sh", "echo changed; exit 3\n")
        home.file("task.yaml", "name: other\n")
        home.good("rehearsal", "fault", "die", f"instance={home.alive()[0]}")
        _, err = training.communicate(timeout=300)
        assert training.returncode == 0, err
        assert home.good("logs").out == "as it was\nas it was\n"
        home.nothing_left()


def test_a_run_whose_ferries_are_gone_goes_on_with_the_next_command_and_its_secret():
    with Home() as home:
        home.file(
            "train.sh",
            "echo \"$FERRY_ATTEMPT $PASSWORD\"; [ $FERRY_ATTEMPT = 2 ] || sleep 1000\n"
            "mkdir outputs; echo model >outputs/model\n",
        )
        home.file("task.yaml", "name: tiny\nresources: {infra: rehearsal, job_recovery: FAILOVER}\nrun: sh train.sh\n")
        home.file("secrets", "PASSWORD=hush\n")
        home.good("run", "task.yaml", "--detach", "--secrets-file", "secrets")
        home.wait_for("it trains", lambda: home.log_is_here("1 hush"))
        name = home.newest()["run"]
        subprocess.run(["pkill", "-9", "-f", f"follow-run {name}"], check=True)
        (machine,) = home.alive()
        home.good("rehearsal", "fault", "die", f"instance={machine}")
        home.wait_for("its machine is gone", lambda: machine not in home.alive())
        # Followed again, but by nobody who has the secret.
        home.wait_for("it waits", lambda: "needs PASSWORD" in home.ferry("ps").err)
        assert home.newest()["phase"] != "released"
        home.good("ps", env={"PASSWORD": "hush"})
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        run = home.newest()
        assert run["outcome"] == "succeeded", run
        assert (home.home_of(run) / "outputs/model").read_text() == "model\n"
        assert home.good("logs", run["run"]).out == "1 hush\n2 hush\n"
        assert not any(b"hush" in one.read_bytes() for one in (home.root / "data/ferry").glob("ledger*"))
        home.nothing_left()


def test_a_run_that_waits_for_room_trains_when_there_is_some():
    with Home() as home:
        home.file(
            "task.yaml", "name: tiny\nresources: {infra: rehearsal}\nrun: mkdir outputs; echo model >outputs/model\n"
        )
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "capacity")
        waiting = home.start("run", "task.yaml", "--wait", "10m", env={"FERRY_WAIT_EVERY": "1s"})
        asked = home.root / "data/ferry/rehearsal/server.log"
        home.wait_for("it asked in vain", lambda: asked.read_text().count("RunInstances") > 20)
        home.good("rehearsal", "fault", "clear")
        _, err = waiting.communicate(timeout=300)
        assert waiting.returncode == 0 and b"waits for one, at most until" in err, err
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
