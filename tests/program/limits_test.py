#!/usr/bin/env python3
"""What a run can cost at most is one number wherever it is said, and caps across runs hold."""
import json
import re

from aws_test import aws_env
from lib import Home, main


def test_the_most_is_the_same_number_wherever_it_is_said():
    with Home() as home:
        aws_env(home)
        home.file(
            "task.yaml",
            "resources: {infra: aws, instance_type: m5.large, disk_tier: high, disk_size: 200}\nmax_duration: 20m\n"
            "run: 'true'\n",
        )
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
        told = json.loads(
            home.good("plan", "--infra", "rehearsal", "--max-duration", "10m", "--json", "--", "true").out
        )
        assert told["offers"][0]["beside_usd"] > 0.005, told["offers"][0]
        home.good("run", "--infra", "rehearsal", "--max-duration", "10m", "--", "true")
        assert json.loads(home.good("show", home.newest()["run"], "--json").out)["at_most_usd"] == told["at_most_usd"]


def limit(home, **limits):
    settings = home.root / ".config/ferry/config.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("limits:\n" + "".join(f"  {name}: {value}\n" for name, value in limits.items()))


def rehearse(home, *args, run="true"):
    return home.ferry("run", "--infra", "rehearsal", "--max-duration", "10m", *args, "--", "sh", "-c", run)


def test_a_run_that_would_break_a_limit_is_refused_and_nothing_is_rented():
    with Home() as home:
        told = json.loads(
            home.good("plan", "--infra", "rehearsal", "--max-duration", "10m", "--json", "--", "true").out
        )["at_most_usd"]
        limit(home, usd_per_day=told * 1.5)
        assert rehearse(home, "--detach", run="sleep 600").returncode == 0
        refused = rehearse(home)
        assert refused.returncode == 75, refused.err
        assert (
            "usd_per_day" in refused.err and "would not be kept" in refused.err and "raise limits" in refused.err
        ), refused.err
        assert len(home.alive()) == 1 and len(home.cloud()["instances"]) == 1, home.cloud()
        home.good("cancel", home.runs()[0]["run"])
        assert rehearse(home).returncode == 0, "what the first has cost is little"
        limit(home, usd_per_day=told / 2)
        alone = rehearse(home)
        assert alone.returncode == 125 and "by itself" in alone.err, alone.err
        home.nothing_left()


def test_two_ferries_at_once_do_not_share_one_machine_of_their_limit():
    with Home() as home:
        home.good("rehearsal", "start")
        limit(home, machines=1)
        flags = ("run", "--infra", "rehearsal", "--max-duration", "10m", "--detach", "--", "sh", "-c", "sleep 600")
        both = [home.start(*flags) for _ in range(2)]
        for one in both:
            one.wait(timeout=200)
        errors = [(one.stdout.read1(9999) + one.stderr.read1(9999)).decode() for one in both]
        assert sorted(one.returncode for one in both) == [0, 75], errors
        assert len(home.alive()) == 1


def test_a_run_that_waits_is_rented_for_when_the_limit_allows_it():
    with Home() as home:
        limit(home, machines=1)
        assert rehearse(home, "--detach", run="sleep 600").returncode == 0
        first = home.runs()[0]["run"]
        home.env["FERRY_WAIT_EVERY"] = "200ms"
        second = home.start("run", "--infra", "rehearsal", "--max-duration", "10m", "--wait", "1h", "--", "true")
        home.wait_for("a second run that waits", lambda: len(home.runs()) == 2 and len(home.alive()) == 1)
        home.good("cancel", first)
        assert second.wait(timeout=200) == 0, second.stderr.read().decode()
        home.nothing_left()


def test_check_says_what_the_limits_leave():
    with Home() as home:
        aws_env(home)
        limit(home, usd_per_day=50, machines=2)
        home.good("run", "--infra", "aws", "--max-duration", "10m", "--detach", "--", "sleep", "600")
        said = [
            one["text"]
            for one in json.loads(home.ferry("check", "--json").out)["findings"]
            if one["subject"] == "limits"
        ]
        assert (
            len(said) == 2 and "of $50.00 are left (usd_per_day, today)" in said[0] and "1 of 2 machines" in said[1]
        ), said
        most = json.loads(home.good("show", home.newest()["run"], "--json").out)["at_most_usd"]
        left = float(re.search(r"\$([0-9.]+)", said[0])[1])
        assert 50 - most - 0.02 < left < 50, (said, most)  # before midnight less than the most falls into the day


def test_settings_that_are_wrong_rent_nothing():
    with Home() as home:
        limit(home, usd_per_day="much")
        refused = rehearse(home)
        assert refused.returncode != 0 and "usd_per_day" in refused.err, refused.err
        home.good("rehearsal", "start")
        assert home.cloud()["instances"] == []


if __name__ == "__main__":
    main(globals())
