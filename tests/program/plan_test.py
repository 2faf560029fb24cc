#!/usr/bin/env python3
"""ferry plan, gpus and catalog update: what would be rented, for how much, and of when the prices are."""
import json

from aws_test import aws_env
from lib import Home, main


def plan(home, *args):
    return json.loads(home.good("plan", "--region", "us-east-1", *args, "--json").out)


def test_a_budget_pays_for_the_disk_too():
    with Home() as home:
        home.file("task.yaml", "resources: {cpus: 2, disk_size: 64TB}\nbudget: 6\nmax_duration: 20h\nrun: 'true'\n")
        told = plan(home, "task.yaml")
        best = told["offers"][0]
        hours = told["until_power_off_s"] / 3600
        assert (
            best["beside_usd"] > 6 and 4 < hours * (best["hourly_usd"] + best["beside_usd"]) < told["at_most_usd"] <= 6
        ), told


def test_several_machines_are_planned_and_priced_together_and_a_run_says_later():
    with Home() as home:
        text = "resources: {instance_type: g5.xlarge}\nduration: 2h\nmax_duration: 4h\nrun: 'true'\n"
        home.file("one.yaml", text)
        home.file("four.yaml", "num_nodes: 4\n" + text)
        one, four = plan(home, "one.yaml"), plan(home, "four.yaml")
        assert (one["num_nodes"], four["num_nodes"]) == (1, 4)
        for name in ("total_usd", "at_most_usd"):
            assert abs(four["offers"][0][name] - 4 * one["offers"][0][name]) < 1e-5, (name, one, four)
        assert (
            four["offers"][0]["hourly_usd"] == one["offers"][0]["hourly_usd"]
            and abs(four["at_most_usd"] - 4 * one["at_most_usd"]) < 1e-5
        )
        assert any(
            "4 machines of g5.xlarge in one zone of us-east-1" in note and "16 vCPUs" in note for note in four["notes"]
        ), four["notes"]
        assert "4 × g5.xlarge" in home.good("plan", "--region", "us-east-1", "four.yaml").out
        # What pays for one for four hours pays for four for less than one.
        enough = one["at_most_usd"] + 0.01
        assert not plan(home, "one.yaml", "--budget", str(enough))["notes"]
        cut = plan(home, "four.yaml", "--budget", str(enough))
        assert 0 < cut["max_duration_s"] < 3600 and cut["at_most_usd"] <= enough, cut
        done = home.ferry("run", "four.yaml", "--infra", "rehearsal")
        assert (
            done.returncode == 125
            and "four.yaml:1:12: num_nodes: running 4 machines for one task comes later" in done.err
        ), done.err
        assert home.runs("--all") == []


def test_a_budget_that_pays_for_the_best_machine_does_not_cut_its_time():
    with Home() as home:
        told = plan(home, "--gpus", "T4", "--budget", "5.5", "--max-duration", "8h")
        assert told["max_duration_s"] == 8 * 3600 and not told["notes"], told
        dear = [one for one in told["offers"] if one["not_taken"]]
        assert dear and "budget" in dear[0]["not_taken"] and dear[0]["hourly_usd"] * 8 > 4.5, dear
        shown = home.good(
            "plan", "--region", "us-east-1", "--gpus", "T4", "--budget", "5.5", "--max-duration", "8h"
        ).out
        assert "not taken by itself: 8:00:00 of it would break the budget" in shown, shown


def test_alternatives_that_the_task_lists_are_taken_though_they_are_dear():
    with Home() as home:
        aws_env(home)
        home.file(
            "task.yaml", "resources: {infra: aws, ordered: [{accelerators: T4}, {accelerators: L40S}]}\nrun: 'true'\n"
        )
        home.good("rehearsal", "fault", "capacity", "type=g4dn*")
        home.good("run", "task.yaml")
        assert [one["type"] for one in home.newest()["instances"] if one["id"]] == ["g6e.xlarge"]
        home.nothing_left()


def test_on_demand_beside_spot_is_taken_when_spot_cannot_be_had():
    with Home() as home:
        aws_env(home)
        home.file(
            "task.yaml",
            "resources:\n  instance_type: g4dn.xlarge\n  any_of: [{use_spot: true}, {use_spot: false}]\nrun: 'true'\n",
        )
        home.good(
            "rehearsal",
            "fault",
            "error",
            "action=RunInstances",
            "code=MaxSpotInstanceCountExceeded",
            "status=400",
            "count=1",
        )
        home.good("run", "--infra", "aws", "task.yaml")
        live = [one for one in home.newest()["instances"] if one["id"]]
        assert len(live) == 1 and live[0]["type"] == "g4dn.xlarge", live
        home.nothing_left()


def test_prices_keep_the_date_of_the_day_they_were_asked_for():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "permission", "action=pricing:GetProducts")
        done = home.good("catalog", "update")
        assert "no on-demand price could be read" in done.out and "those of 2025-10 stay" in done.out, done.out
        assert "of 2025-10" in home.good("catalog").out
        told = plan(home, "--gpus", "T4")
        assert told["prices_of"] == told["catalog_date"] == "2025-10", told
        best = told["offers"][0]
        assert best["price_old"] and best["price_date"] == "2025-10" and best["last_seen"], best
        for words in (["plan", "--gpus", "T4"], ["gpus", "T4"]):
            shown = home.good(*words, "--region", "us-east-1").out
            assert "0.526" in shown and "* older than 90 days; today's: ferry catalog update\n" in shown, shown
        home.good("rehearsal", "fault", "clear")
        assert "of today in us-east-1" in home.good("catalog", "update").out
        shown = home.good("gpus", "T4", "--region", "us-east-1,us-west-2").out
        assert "us-west-2 of 2025-10" in shown and "us-east-1 of 20" in shown, shown
        told = plan(home, "--gpus", "T4")
        best = told["offers"][0]
        assert not best["price_old"] and len(best["last_seen"]) == 10, best
        assert "older than" not in home.good("gpus", "T4", "--region", "us-east-1").out
        assert "us-west-2 of 2025-10" in shown and "older than" in shown, shown
        assert f"prices of {told['prices_of']};" in home.good("plan", "--region", "us-east-1", "--gpus", "T4").out


def test_a_zone_that_the_region_does_not_have_is_refused_once_its_zones_are_known():
    with Home() as home:
        aws_env(home)
        home.good("catalog", "update")
        done = home.ferry("plan", "--infra", "aws/us-east-1/us-east-1z", "-t", "m5.large")
        assert (
            done.returncode == 125 and "us-east-1 has no zone us-east-1z" in done.err and "us-east-1a" in done.err
        ), done.err


def test_gpus_takes_counts_memory_and_regions():
    with Home() as home:

        def types(*args):
            return [one["instance_type"] for one in json.loads(home.good("gpus", *args, "--json").out)["types"]]

        assert types("H100:8") == ["p5.48xlarge"] and types("A100-40GB") == ["p4d.24xlarge"]
        assert "p4de.24xlarge" in types("80GB+:8")
        assert home.ferry("gpus", "m5").err.count("m5 has no GPU") == 1
        head = home.good("gpus", "T4", "--region", "us-east-1,eu-west-1").out
        assert "us-east-1" in head and "eu-west-1" in head and "us-west-2" not in head, head
        done = home.ferry("gpus", "T4", "--region", "us-east-9")
        assert done.returncode == 2 and "did you mean 'us-east-" in done.err, done.err
        assert home.good("gpus", "T4", "--region", "*").out.count("spot") > 5


def test_one_rule_for_hardware_that_aws_does_not_have():
    with Home() as home:
        home.file("train.py", "print('trained')\n")
        for gpu, said in (
            ("A10", "AWS has no A10\n"),
            ("V100", "AWS has no V100 any more"),
            ("1", "'1' does not say which GPU"),
            ("A100:1", "AWS sells A100 by eight only"),
            ("H100-NVL", "AWS has no H100-NVL\n"),
            ("A10H", "did you mean 'A10G'?"),
        ):
            for words in (
                ["gpus", gpu],
                ["plan", "--gpus", gpu],
                ["run", "--gpus", gpu, "--yes", "--", "python3", "train.py"],
            ):
                done = home.ferry(*words)
                assert done.returncode == 2 and said in done.err, (words, done.returncode, done.err)
        assert not home.runs()


def test_a_mistake_on_the_command_line_is_one_whether_its_form_or_its_sense_is_wrong():
    with Home() as home:
        for words in (
            ["-e", "1X=2"],
            ["--name", "!!!"],
            ["--max-duration", "soon"],
            ["--disk", "0"],
            ["--budget", "x"],
            ["--cpus", "x"],
            ["--infra", "moon"],
            ["--secret", "A=b"],
            ["--env-file", "nowhere"],
            ["--subnet", "mine"],
            ["--image", "mine"],
        ):
            for command in ("run", "plan"):
                done = home.ferry(command, *words, "--", "true")
                assert done.returncode == 2 and {"-e": "--env"}.get(words[0], words[0]) in done.err, (words, done)
        for words in (["run", "nowhere.yaml"], ["run"], ["cost", "--since", "soon"], ["down"]):
            done = home.ferry(*words)
            assert done.returncode == 2 and done.err.startswith("ferry: error: "), (words, done)


def test_the_nearest_is_taken_only_when_that_is_said():
    with Home() as home:
        aws_env(home)
        home.file("train.py", "print('trained')\n")
        done = home.ferry("run", "-t", "p3.2xlarge", "--infra", "aws", "--yes", "--", "python3", "train.py")
        assert (
            done.returncode == 2
            and "AWS has no p3.2xlarge any more" in done.err
            and "nearest: A10G:1 (24 GB" in done.err
        ), done.err
        done = home.good("run", "-t", "p3.2xlarge", "--nearest", "--infra", "aws", "--yes", "--", "python3", "train.py")
        assert "V100:1 → A10G:1" in done.err, done.err
        assert [one["type"] for one in home.newest()["instances"] if one["id"]] == ["g5.xlarge"]
        home.nothing_left()


def test_flags_outrank_what_a_file_says_of_other_clouds_and_the_refusal_names_them():
    with Home() as home:
        home.file(
            "task.yaml",
            "num_nodes: two\nresources:\n  infra: gcp/us-central1\n  image_id: projects/a/global/images/b\n"
            "  accelerators: L4\n"
            "file_mounts: {/data: gs://bucket}\nrun: a\n",
        )
        done = home.ferry("plan", "task.yaml")
        assert done.returncode == 125 and done.err.count("ferry: error: ") == 4, done.err
        places = [
            line.split("task.yaml:")[1].split(": ")[0] for line in done.err.splitlines() if "ferry: error: " in line
        ]
        assert places == ["1:12", "3:10", "4:13", "6:22"], done.err
        assert "pass --infra aws, which outranks the file" in done.err and "pass --image pytorch" in done.err, done.err
        home.file(
            "task.yaml",
            "resources:\n  infra: gcp/us-central1\n  image_id: projects/a/global/images/b\n"
            "  accelerators: L4\nrun: a\n",
        )
        assert home.ferry("plan", "task.yaml", "--infra", "aws").returncode == 125
        told = plan(home, "task.yaml", "--image", "pytorch")
        assert told["offers"][0]["accelerator"] == "L4" and told["image_wish"] == "AWS's pytorch", told
        home.file(
            "task.yaml", "resources: {any_of: [{cloud: gcp, instance_type: a2-highgpu-1g}, {infra: lambda}]}\nrun: a\n"
        )
        assert plan(home, "task.yaml", "-t", "g5.xlarge")["offers"][0]["instance_type"] == "g5.xlarge"
        # What AWS does not have is among what is told at once.
        home.file("task.yaml", "num_nodes: 0\nresources: {cloud: gcp, accelerators: A10}\nrun: a\n")
        done = home.ferry("plan", "task.yaml")
        assert (
            "'num_nodes' must be" in done.err and "'gcp' is not on AWS" in done.err and "AWS has no A10" in done.err
        ), done.err


def test_a_plan_says_what_is_still_to_be_given_and_where_skypilot_gives_more():
    with Home() as home:
        home.file("task.yaml", "envs: {RUN_ID: null}\nsecrets: [HF_TOKEN]\nsetup: a\nrun: b\n")
        done = home.good("plan", "task.yaml", "--region", "us-east-1")
        assert (
            "no value for the variable RUN_ID" in done.err and "no value for the secret HF_TOKEN" in done.err
        ), done.err
        assert (
            "SkyPilot gives a task that says nothing of it 8 vCPU, 32 GiB, a disk of 256 GB; here it is 2 vCPU"
            in done.err
        ), done.err
        assert (
            f"workdir: {home.work}" in done.out and "image: AWS's for what the training imports" in done.out
        ), done.out
        told = plan(home, "task.yaml")
        assert (
            told["missing_secrets"] == ["HF_TOKEN"]
            and told["missing_envs"] == ["RUN_ID"]
            and told["workdir"] == str(home.work)
        ), told
        (home.root / "config/ferry").mkdir(parents=True, exist_ok=True)
        (home.root / "config/ferry/config.yaml").write_text("defaults: skypilot\n")
        done = home.good(
            "plan", "task.yaml", "--region", "us-east-1", "--json", env={"XDG_CONFIG_HOME": str(home.root / "config")}
        )
        told = json.loads(done.out)
        assert told["offers"][0]["vcpus"] >= 8 and told["offers"][0]["memory_mib"] >= 32768, told
        assert not any("SkyPilot" in note for note in told["notes"]), told["notes"]
        done = home.ferry("run", "task.yaml", "--infra", "rehearsal")
        assert "variable RUN_ID" in done.err and "secret HF_TOKEN" in done.err, done.err


if __name__ == "__main__":
    main(globals())
