#!/usr/bin/env python3
"""Volumes that outlive machines: found by name, attached, mounted, and what is on them is there for the next machine.
On the rehearsal cloud, whose volumes are folders that move from machine to machine (src/sandbox/volume.h)."""
import json
import signal

from data_test import aws_ec2
from lib import Home, main


def make(home, name, zone="us-east-1a"):
    home.good("rehearsal", "start")
    volume = aws_ec2(
        home,
        "create-volume",
        "--availability-zone",
        zone,
        "--size",
        "20",
        "--volume-type",
        "gp3",
        "--tag-specifications",
        f"ResourceType=volume,Tags=[{{Key=Name,Value={name}}}]",
    )["VolumeId"]
    home.wait_for("the volume is there", lambda: state_of(home, volume)["State"] == "available", 30)
    return volume


def state_of(home, volume):
    return aws_ec2(home, "describe-volumes", "--volume-ids", volume)["Volumes"][0]


def task(home, run, volumes="{~/vol: my-data}", name="task.yaml", more=""):
    home.file(
        name,
        (f"name: tiny\nresources: {{infra: rehearsal}}\nvolumes: {volumes}\n{more}run: |\n")
        + "".join(f"  {line}\n" for line in run.splitlines()),
    )


def test_what_one_run_writes_the_next_one_reads_on_another_machine_and_down_leaves_it():
    with Home() as home:
        volume = make(home, "my-data", "us-east-1c")
        task(
            home,
            "set -e\nls -A ~/vol | wc -l\necho 42 >~/vol/answer\necho other >data/inside\necho model >model\n",
            "{~/vol: my-data, data: $OTHER}",
            more="envs: {OTHER: my-other}\n",
        )
        other = make(home, "my-other", "us-east-1c")
        done = home.good("run", "task.yaml")
        assert (
            f"the volume my-data, {volume} (20 GiB, in us-east-1c): held nothing, and was formatted"
        ) in done.err, done.err
        first = home.newest()
        assert (home.home_of(first) / "train.log").read_text().splitlines() == ["0"]
        came = {str(one.relative_to(home.home_of(first))) for one in home.home_of(first).rglob("*")}
        assert "model" in came and not any(name.endswith(("answer", "inside", "data")) for name in came), came
        home.nothing_left()
        for one in (volume, other):
            assert state_of(home, one)["State"] == "available", state_of(home, one)
        task(home, "cat ~/vol/answer\ntouch ~/vol/more\n", f"{{~/vol: {volume}}}")
        done = home.good("run", "task.yaml")
        assert "held nothing" not in done.err and f"{volume}" in done.err, done.err
        assert (home.home_of(home.newest()) / "train.log").read_text() == "42\n"
        home.good("down", "--all", "--no-fetch")
        assert state_of(home, volume)["State"] == "available"


def test_a_machine_that_dies_gives_its_volume_to_the_next_attempts():
    with Home() as home:
        volume = make(home, "my-data")
        task(
            home,
            "echo attempt $FERRY_ATTEMPT sees $(cat ~/vol/step 2>/dev/null || echo nothing)\n"
            "echo $FERRY_ATTEMPT >~/vol/step\n"
            "sync; touch outputs-ready\n[ $FERRY_ATTEMPT = 3 ] || sleep 1000\n",
            more="",
        )
        text = (
            (home.work / "task.yaml")
            .read_text()
            .replace("infra: rehearsal}", "infra: rehearsal, job_recovery: FAILOVER}")
        )
        home.file("task.yaml", text)
        training = home.start("run", "task.yaml")
        gone = set()
        for n in (1, 2):
            home.wait_for(
                f"attempt {n} trains",
                lambda: home.runs() and f"attempt {n} sees" in home.good("logs", home.newest()["run"]).out,
            )
            (machine,) = (one for one in home.alive() if one not in gone)
            gone.add(machine)
            assert state_of(home, volume)["Attachments"][0]["InstanceId"] == machine
            home.good("rehearsal", "fault", "die", f"instance={machine}")
        _, err = training.communicate(timeout=300)
        assert training.returncode == 0, err
        log = (home.home_of(home.newest()) / "train.log").read_text()
        assert log == "attempt 1 sees nothing\nattempt 2 sees 1\nattempt 3 sees 2\n", log
        assert state_of(home, volume)["State"] == "available"
        home.nothing_left()


def test_one_that_is_in_use_and_one_that_is_not_there_are_refused_before_anything_is_rented():
    with Home() as home:
        volume = make(home, "my-data")
        task(home, "sleep 1000\n")
        home.good("run", "-d", "task.yaml")
        holder = home.newest()["run"]
        home.wait_for("it trains", lambda: home.newest()["phase"] == "training")
        (machine,) = home.alive()
        done = home.ferry("run", "task.yaml")
        assert (
            done.returncode != 0
            and f"{volume} (20 GiB, in us-east-1a) is attached to {machine} (of the run {holder})" in done.err
        ), done.err
        assert home.alive() == [machine]
        task(home, "true\n", "{~/vol: nowhere}")
        done = home.ferry("run", "task.yaml")
        assert (
            done.returncode != 0 and "task.yaml:3:11: volumes: there is no volume nowhere in us-east-1" in done.err
        ), done.err
        assert "aws ec2 create-volume --region us-east-1 --availability-zone us-east-1a" in done.err, done.err
        assert home.alive() == [machine]
        for _ in "12":
            make(home, "twice")
        task(home, "true\n", "{~/vol: twice}")
        done = home.ferry("run", "task.yaml")
        assert done.returncode != 0 and "2 volumes are called twice" in done.err, done.err
        elsewhere = make(home, "elsewhere", "us-east-1b")
        task(home, "true\n", "{/mnt/a: my-data, /mnt/b: elsewhere}")
        done = home.ferry("run", "task.yaml")
        assert done.returncode != 0 and "elsewhere is in us-east-1b, my-data in us-east-1a" in done.err, done.err
        home.good("down", holder, "--no-fetch")
        for one in (volume, elsewhere):
            assert state_of(home, one)["State"] == "available"
        home.nothing_left()


def test_a_ferry_that_is_killed_while_it_attaches_leaks_nothing():
    with Home() as home:
        volume = make(home, "my-data")
        task(home, "echo done >~/vol/done\n")
        killed = home.start("run", "task.yaml")
        shown = "data/ferry/rehearsal/instances/*/disk/root/srv/rehearsal-volumes/vol-*"
        home.wait_for("the volume is the machine's", lambda: list(home.root.glob(shown)), 60)
        killed.send_signal(signal.SIGKILL)
        killed.wait(60)
        home.wait_for(
            "the next command has released it", lambda: home.good("ps").returncode == 0 and not home.alive(), 60
        )
        home.wait_for("the volume is free", lambda: state_of(home, volume)["State"] == "available", 30)
        home.nothing_left()
        home.good("run", "task.yaml")
        assert state_of(home, volume)["State"] == "available"


def test_a_plan_shows_the_volumes_and_is_confined_to_their_zone():
    with Home() as home:
        volume = make(home, "my-data", "us-east-1d")
        task(home, "true\n")
        said = home.good("plan", "task.yaml").out
        assert f"volumes: my-data at ~/vol: {volume}, 20 GiB, in us-east-1d" in said, said
        plan = json.loads(home.good("plan", "--json", "task.yaml").out)
        assert plan["volumes"] == [
            {
                "name": "my-data",
                "at": "~/vol",
                "read_only": False,
                "id": volume,
                "gib": 20,
                "zone": "us-east-1d",
                "used_by": "",
            }
        ], plan["volumes"]
        assert {one["zone"] for one in plan["offers"]} == {"us-east-1d"}
        task(home, "true\n", "{~/vol: nowhere}")
        done = home.ferry("plan", "task.yaml")
        assert done.returncode != 0 and "there is no volume nowhere" in done.err, done.err


if __name__ == "__main__":
    main(globals())
