#!/usr/bin/env python3
"""Spot machines that the cloud takes back: the training is told, saves, and what it saved is stored before the machine
goes."""
import json
import sqlite3
import subprocess

from lib import Home, main

STORE = "s3://a-bucket/team"
NOTICE_MS = 12000
TRAINING = """
import json, os, pathlib, signal, sys, time
out = pathlib.Path("outputs")
out.mkdir(exist_ok=True)
saved = out / "checkpoint"
step = int(saved.read_text()) if saved.exists() else 0
def save(*_):
    saved.write_text(str(step))
    (out / "notice.json").write_text(pathlib.Path(os.environ["FERRY_NOTICE"]).read_text())
    print(f"saved step {step}", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print(f"attempt {os.environ['FERRY_ATTEMPT']} from {step}", flush=True)
while os.environ["FERRY_ATTEMPT"] == "1":
    step += 1
    time.sleep(0.05)
(out / "model").write_text(str(step))
"""


def task(home, more="", spot="true"):
    home.file("train.py", TRAINING)
    home.file(
        "task.yaml",
        f"name: tiny\nresources: {{infra: rehearsal, instance_type: g4dn.xlarge, use_spot: {spot}}}\n"
        f"{more}run: python3 train.py\n",
    )


def stored(home, key):
    """An object of the rehearsal cloud's S3, by its own index."""
    folder = home.root / "data/ferry/rehearsal/s3"
    with sqlite3.connect(f"file:{folder / 'index.db'}?mode=ro", uri=True) as index:
        ((name,),) = index.execute("SELECT id FROM objects WHERE key = ?", (f"team/{key}".encode(),)).fetchall()
    name = name.decode()
    return (folder / "data" / name[:2] / name).read_text()


def started(home, *words):
    home.good("rehearsal", "start")
    home.good("rehearsal", "fault", "settings", f"spot_notice_ms={NOTICE_MS}")
    training = home.start("run", *words, "task.yaml", env={"FERRY_STORE_EVERY": "1s"})
    home.wait_for("it trains", lambda: home.runs() and "attempt 1" in home.ferry("logs", home.newest()["run"]).out)
    return training


def test_a_training_that_is_told_saves_and_another_goes_on_from_what_it_stored_as_interrupted():
    with Home() as home:
        task(home, f"store: {STORE}\n")
        training = started(home)
        run = home.newest()["run"]
        said = home.good("interrupt", run)
        assert f"{run} is told" in said.out, said.out
        state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
        assert state["fis_templates"] == {}, "the template is removed"
        assert "ferry-interrupt" not in json.dumps(state["iam"]), "so is the role"
        assert len(state["fis_experiments"]) == 1, state["fis_experiments"]
        err = training.communicate(timeout=240)[1].decode(errors="replace")
        assert "the cloud takes the machine back in" in err, err
        assert training.returncode == 0, err
        where = home.home_of(home.newest())
        step = int((where / "outputs/checkpoint").read_text())
        assert step > 0 and f"saved step {step}" in (where / "train.log").read_text()
        told = json.loads((where / "outputs/notice.json").read_text())
        assert (
            told["kind"] == "interruption"
            and told["action"] == "terminate"
            and 0 < told["seconds_left"] <= NOTICE_MS / 1000
        ), told
        attempts = json.loads((where / "run.json").read_text())["attempts"]
        assert [one["outcome"] for one in attempts] == ["lost", "succeeded"], attempts
        assert (where / "outputs/model").read_text() == str(step), "the next attempt went on from there"
        manifest = json.loads(stored(home, f"runs/{run}/a1/r0/manifest.json"))
        records = {one["path"] for one in manifest["entries"] if one["kind"] == "record"}
        assert records == {"end.json", "notice.json"} and manifest["complete"], manifest
        end = json.loads(stored(home, next(one["key"] for one in manifest["entries"] if one["path"] == "end.json")))
        assert end["reason"] == "interrupted" and end["run_exit"] == 0, end
        home.nothing_left()


def test_what_cannot_be_interrupted_is_said():
    with Home() as home:
        task(home, spot="false")
        training = started(home)
        run = home.newest()["run"]
        done = home.ferry("interrupt", run)
        assert done.returncode == 125 and "is no spot machine" in done.err and "use_spot" in done.err, done.err
        state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
        assert "ferry-interrupt" not in json.dumps(state["iam"]), state["iam"]
        home.good("cancel", run)
        training.communicate(timeout=120)
        done = home.ferry("interrupt", run)
        assert done.returncode == 125 and "has no machine" in done.err, done.err
        home.nothing_left()


def test_what_the_account_does_not_allow_leaves_nothing_behind():
    with Home() as home:
        task(home)
        training = started(home)
        run = home.newest()["run"]
        for action in ("iam:CreateRole", "iam:PutRolePolicy", "fis:CreateExperimentTemplate", "fis:StartExperiment"):
            home.good("rehearsal", "fault", "permission", f"action={action}", "count=1")
            done = home.ferry("interrupt", run)
            assert done.returncode == 125 and action in done.err and "ferry policy --interrupt" in done.err, done.err
            state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
            assert "ferry-interrupt" not in json.dumps(state["iam"]) and state["fis_templates"] == {}, (
                action,
                state["iam"],
            )
        assert home.cloud()["instances"][0]["state"] == "running"
        home.good("cancel", run)
        training.communicate(timeout=120)
        home.nothing_left()


def test_aws_own_tools_interrupt_too():
    """Unchanged botocore makes the same calls as ferry."""
    with Home() as home:
        if subprocess.run(["python3", "-c", "import boto3"], capture_output=True).returncode != 0:
            print("SKIP: no boto3")
            return
        home.good("rehearsal", "start")
        home.file(
            "fis.py",
            """
import boto3, json, os, time, uuid
ec2, iam, fis = (boto3.client(name, endpoint_url=os.environ["AWS_ENDPOINT_URL"]) for name in ("ec2", "iam", "fis"))
image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
machine = ec2.run_instances(
    ImageId=image,
    InstanceType="g4dn.xlarge",
    MinCount=1,
    MaxCount=1,
    InstanceMarketOptions={"MarketType": "spot"},
)["Instances"][0]
request = machine["SpotInstanceRequestId"]
ec2.get_waiter("instance_running").wait(InstanceIds=[machine["InstanceId"]], WaiterConfig={"Delay": 1})
def code():
    requests = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])["SpotInstanceRequests"]
    return requests[0]["Status"]["Code"]
def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
assert code() == "fulfilled", code()
trust = policy(Principal={"Service": "fis.amazonaws.com"}, Action="sts:AssumeRole")
role = iam.create_role(RoleName="chaos", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
def experiment():
    arn = "arn:aws:ec2:us-east-1:123456789012:instance/" + machine["InstanceId"]
    target = {"resourceType": "aws:ec2:spot-instance", "resourceArns": [arn], "selectionMode": "ALL"}
    action = {
        "actionId": "aws:ec2:send-spot-instance-interruptions",
        "parameters": {"durationBeforeInterruption": "PT2M"},
        "targets": {"SpotInstances": "it"},
    }
    made = fis.create_experiment_template(
        clientToken=str(uuid.uuid4()),
        description="interrupt",
        roleArn=role,
        stopConditions=[{"source": "none"}],
        targets={"it": target},
        actions={"go": action},
    )["experimentTemplate"]
    begun = fis.start_experiment(clientToken=str(uuid.uuid4()), experimentTemplateId=made["id"])["experiment"]
    fis.delete_experiment_template(id=made["id"])
    return fis.get_experiment(id=begun["id"])["experiment"]["state"]
assert experiment()["status"] == "failed", "the role may not"
may = policy(Action="ec2:SendSpotInstanceInterruptions", Resource="*")
iam.put_role_policy(RoleName="chaos", PolicyName="may", PolicyDocument=may)
assert experiment()["status"] == "completed"
time.sleep(1)
assert code() == "marked-for-termination", code()
try:
    fis.get_experiment_template(id="EXTnone")
except fis.exceptions.ResourceNotFoundException:
    print("well")
ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
""",
        )
        env = dict(
            one.split("=", 1)
            for one in home.good("rehearsal", "env").out.replace("export ", "").splitlines()
            if "=" in one
        )
        env = {name: value.strip("'") for name, value in env.items()}
        done = subprocess.run(
            ["python3", "fis.py"], cwd=home.work, env={**home.env, **env}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0 and done.stdout == "well\n", done.stderr


if __name__ == "__main__":
    main(globals())
