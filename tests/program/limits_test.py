#!/usr/bin/env python3
"""What a run can cost at most is one number wherever it is said, and caps across runs hold."""
import json
import re

from aws_test import aws_env
from lib import Home, main


def test_the_most_is_the_same_number_wherever_it_is_said():
    with Home() as home:
        aws_env(home)
        home.file("task.yaml", "resources: {infra: aws, instance_type: m5.large, disk_tier: high, disk_size: 200}\nmax_duration: 20m\n"
                  "run: 'true'\n")
        told = json.loads(home.good("plan", "task.yaml", "--json").out)["at_most_usd"]
        words = f"at most ${told:.2f}"
        assert round(told * 100) == told * 100, "whole cents"
        assert words + ":" in home.good("plan", "task.yaml").out
        done = home.good("run", "task.yaml")
        said = re.findall(r"at most \$[0-9.]+[0-9]", done.out + done.err)
        assert len(said) >= 2 and set(said) == {words}, (words, done.err)
        run = home.newest()["run"]
        assert "of " + words in home.good("show", run).out
        assert json.loads(home.good("show", run, "--json").out)["at_most_usd"] == told
        home.nothing_left()


def test_the_most_of_a_rehearsal_counts_its_disk():
    with Home() as home:
        told = json.loads(home.good("plan", "--infra", "rehearsal", "--max-duration", "10m", "--json", "--", "true").out)
        assert told["offers"][0]["beside_usd"] > 0.005, told["offers"][0]
        home.good("run", "--infra", "rehearsal", "--max-duration", "10m", "--", "true")
        assert json.loads(home.good("show", home.newest()["run"], "--json").out)["at_most_usd"] == told["at_most_usd"]


if __name__ == "__main__":
    main(globals())
