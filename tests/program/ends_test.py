#!/usr/bin/env python3
"""ends: stop. A machine that is stopped when its run is over, in place of being ended: what is on its disk stays, its
price is said, and ferry down ends it."""
import json

from alone_test import end_ferries, let_timer_come, name_of
from json_test import valid
from lib import Home, main

TASK = (
    "outputs: [outputs]\nends: stop\nresources: {infra: rehearsal, disk_size: 100}\nrun: |\n"
    "  mkdir -p outputs; echo model >outputs/model; echo kept >beside\n"
)


def states(home):
    return [one["state"] for one in home.cloud()["instances"]]


def test_the_machine_rests_and_is_visited_and_ended():
    with Home() as home:
        home.file("task.yaml", TASK)
        plan = json.loads(home.good("plan", "task.yaml", "--json").out)
        assert plan["ends"] == "stop" and plan["resting_usd_month"] > 0, plan
        assert "ends: stop: when the run is over its disk stays" in home.good("plan", "task.yaml").out
        done = home.good("run", "task.yaml")
        assert "rests: its disk" in done.err and "a month until  ferry down" in done.err, done.err
        run = home.newest()
        name = run["run"]
        assert run["state"] == "stopped" and run["outcome"] == "succeeded" and run["outputs_home"], run
        assert run["instances"][0]["stopped_since"] and run["resting_usd_month"] > 0, run
        assert states(home) == ["stopped"], home.cloud()
        assert (home.work / run["home"] / "outputs/model").read_text() == "model\n"
        assert "a month" in home.good("show", name).out and home.good("wait", name).out
        assert "are home" in home.good("fetch", name).out
        said = home.ferry("ssh", name, "--", "true")
        assert said.returncode != 0 and f"ferry ssh --start {name}" in said.err, said.err
        assert home.ferry("ssh", "--start", name, "--", "true").returncode != 0, "it costs, and nobody said yes"
        seen = home.good("ssh", "--start", "--yes", name, "--", f"cat ferry/{name}/beside")
        assert seen.out == "kept\n", seen.out
        assert states(home) == ["stopped"] and home.newest()["state"] == "stopped"
        home.good("ps")
        assert states(home) == ["stopped"], "left alone"
        home.good("down", name)
        home.nothing_left()
        assert home.newest()["outcome"] == "succeeded"


def test_programs_are_told_so_too():
    with Home() as home:
        home.file("task.yaml", TASK)
        told = [valid(json.loads(line)) for line in home.good("run", "task.yaml", "--json").out.splitlines()]
        assert told[-1]["outcome"] == "succeeded" and any(
            one.get("data", {}).get("stopped") and one["data"]["disk_usd_month"] > 0 for one in told
        ), told
        name = told[-1]["run"]
        for words in (("plan", "task.yaml"), ("ps",), ("show", name)):
            assert valid(json.loads(home.good(*words, "--json").out))
        home.good("down", name)


def test_its_own_timer_stops_it_with_its_outputs_and_fetch_brings_them_home():
    with Home() as home:
        home.file(
            "task.yaml", TASK.replace("  mkdir", "  trap '' TERM; mkdir") + "  echo up; while :; do sleep 0.1; done\n"
        )
        home.env["FERRY_PULL_EVERY"] = "off"
        home.good("run", "-d", "task.yaml")
        name = name_of(home)
        end_ferries(home, name)
        let_timer_come(home, name)
        home.wait_for("its stop", lambda: states(home) == ["stopped"])
        told = home.good("ps")
        run = home.newest()
        assert run["state"] == "stopped" and not run["outputs_home"] and run["resting_usd_month"] > 0, run
        assert (
            "its machine stopped, as ends: stop has it" in run["error"] and f"ferry fetch {name} --yes" in told.err
        ), (run, told.err)
        done = home.ferry("fetch", name)
        assert done.returncode != 0 and "is stopped" in done.err, done.err
        home.good("fetch", name, "--yes")
        run = home.newest()
        assert run["outputs_home"] and (home.work / run["home"] / "outputs/model").read_text() == "model\n", run
        assert states(home) == ["stopped"] and run["state"] == "stopped", "and it rests again"
        home.good("down", name)
        home.nothing_left()


def test_a_training_that_is_cancelled_leaves_its_machine_too():
    with Home() as home:
        home.file("task.yaml", TASK + "  echo up; sleep 1000\n")
        home.good("run", "-d", "task.yaml")
        name = name_of(home)
        assert "its machine rests" in home.good("cancel", name).out
        run = home.newest()
        assert run["outcome"] == "cancelled" and run["state"] == "stopped" and run["outputs_home"], run
        assert states(home) == ["stopped"]
        home.good("cancel", name)  # of one that rests: its end
        home.nothing_left()


def test_who_lost_the_ledger_is_told_of_it_and_it_is_left_alone():
    with Home() as home:
        home.file("task.yaml", TASK)
        home.good("run", "task.yaml")
        for one in (home.root / "data/ferry").glob("ledger.db*"):
            one.unlink()
        assert "stopped" in home.ferry("orphans").out
        home.ferry("recover")
        assert states(home) == ["stopped"] and home.newest()["state"] == "stopped", home.newest()
        home.good("down", "--all")
        home.nothing_left()


def test_what_cannot_rest_is_refused_with_its_reason():
    with Home() as home:
        for resources, said in (
            ("use_spot: true", "not of a spot machine"),
            ("local_disk: 100+", "not with local_disk"),
            ("infra: ssh/box", "a machine of your own is never ended"),
        ):
            home.file("task.yaml", f"ends: stop\nresources: {{{resources}}}\nrun: 'true'\n")
            for words in (("run", "task.yaml", "--yes"), ("plan", "task.yaml")):
                if words[0] == "plan" and "ssh" in resources:
                    continue
                done = home.ferry(*words)
                assert done.returncode != 0 and said in done.err, (words, resources, done.err)
        home.file("task.yaml", "ends: stop\naws: {capacity_reservation_id: cr-0123456789abcdef0}\nrun: 'true'\n")
        done = home.ferry("run", "task.yaml", "--yes")
        assert done.returncode != 0 and "reserved capacity" in done.err, done.err
        home.file("task.yaml", "ends: sleep\nrun: 'true'\n")
        done = home.ferry("run", "task.yaml")
        assert (
            done.returncode != 0 and "task.yaml:1:7" in done.err and "neither terminate nor stop" in done.err
        ), done.err
        assert home.ferry("run", "--ends", "sleep", "--", "true").returncode != 0


if __name__ == "__main__":
    main(globals())
