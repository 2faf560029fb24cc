#!/usr/bin/env python3
"""Which account and profile a run belongs to, and that nobody looks for its machine in another one."""
import json
import sqlite3

from lib import Home, main
from aws_test import aws_env


def change_ledger(home, line, *values):
    with sqlite3.connect(home.root / "data/ferry/ledger.db") as ledger:
        ledger.execute(line, values)
    ledger.close()


def write_profiles(home, **more):
    """The rehearsal cloud's keys as profile "ml" (and others); none in the environment."""
    keys = {name: home.env.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    folder = home.root / ".aws"
    folder.mkdir(exist_ok=True)
    sections = {
        "ml": f"aws_access_key_id={keys['AWS_ACCESS_KEY_ID']}\naws_secret_access_key={keys['AWS_SECRET_ACCESS_KEY']}\n",
        **more,
    }
    (folder / "credentials").write_text("".join(f"[{name}]\n{text}" for name, text in sections.items()))
    (folder / "config").write_text("".join(f"[profile {name}]\nregion=us-east-1\n" for name in sections))


def test_a_machine_of_another_account_is_not_taken_for_gone():
    with Home() as home:
        aws_env(home)
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        run = home.newest()
        machine = home.alive()
        assert len(machine) == 1
        # As with keys of another account: the machine is unknown there.
        change_ledger(
            home, "UPDATE instances SET account = '999999999999', id = 'i-0123456789abcdef0' WHERE run = ?", run["run"]
        )
        done = home.ferry("ps")
        assert "rented in the AWS account 999999999999" in done.err and "123456789012" in done.err, done.err
        done = home.ferry("down", run["run"])
        assert done.returncode == 125 and "999999999999" in done.err and "--profile" in done.err, done.err
        change_ledger(
            home, "UPDATE instances SET account = '123456789012', id = ? WHERE run = ?", machine[0], run["run"]
        )
        change_ledger(home, "UPDATE resources SET account = '123456789012'")
        home.good("down", run["run"])
        home.nothing_left()


def test_a_run_is_released_with_the_profile_it_was_rented_with():
    with Home() as home:
        aws_env(home)
        write_profiles(home, other="aws_access_key_id=AKIDOTHER\naws_secret_access_key=wrong\n")
        home.good("run", "--keep", "--profile", "ml", "--infra", "aws", "--", "true")
        run = home.newest()["run"]
        # Another shell, another day: some other profile is in force.
        other = {"AWS_PROFILE": "other"}
        done = home.ferry("ps", env=other)
        assert done.returncode == 0 and "cannot ask" not in done.err, done.err
        assert home.ferry("down", run, env={**other, "FERRY_PROFILE": "other"}).returncode == 125
        home.good("down", run, env=other)
        home.nothing_left()


def test_an_image_is_looked_up_once_a_day_and_again_when_it_was_withdrawn():
    with Home() as home:
        aws_env(home)
        log = home.root / "data/ferry/rehearsal/server.log"
        lookups = lambda: log.read_text().count("ssm:GetParameter")
        home.good("run", "--infra", "aws", "--", "true")
        assert lookups() == 1, lookups()
        home.good("run", "--infra", "aws", "--", "true")
        assert lookups() == 1, "the second run has to remember it"
        memory = home.root / "data/ferry/images.json"
        known = json.loads(memory.read_text())
        ((key, image),) = known.items()
        assert image["name"] and image["created"] and image["id"].startswith("ami-"), image
        assert (
            image["name"] in home.good("env", home.newest()["run"]).out
            and image["created"][:10] in home.good("env", home.newest()["run"]).out
        )
        # Withdrawn meanwhile: another is looked up, and one machine rented.
        memory.write_text(json.dumps({key: {**image, "id": "ami-0123456789abcdef0"}}))
        home.good("run", "--infra", "aws", "--", "true")
        assert lookups() == 2 and json.loads(memory.read_text())[key]["id"] == image["id"]
        # A day later.
        memory.write_text(json.dumps({key: {**image, "found_ms": image["found_ms"] - 25 * 3600 * 1000}}))
        home.good("run", "--infra", "aws", "--", "true")
        assert lookups() == 3
        memory.write_text("}{")
        home.good("run", "--infra", "aws", "--", "true")
        assert len(home.cloud()["instances"]) == 5, home.cloud()
        home.nothing_left()


def test_a_profile_that_is_not_there_is_told_with_the_command_that_makes_one():
    with Home() as home:
        done = home.ferry("check", "--profile", "nobody")
        assert done.returncode == 1 and 'no AWS profile "nobody"' in done.out and "aws configure" in done.out, (
            done.out + done.err
        )


def test_check_and_run_agree_about_the_region_and_the_settings():
    with Home() as home:
        aws_env(home)
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            home.env.pop(name, None)
        done = home.good("check")
        assert "! region        none is set" in done.out and "✓ region        us-east-1" in done.out, done.out
        home.env["AWS_REGION"] = "us-east-1a"
        done = home.ferry("check")
        assert done.returncode == 1 and "is a zone" in done.out and "write us-east-1 where" in done.out, done.out
        home.env["AWS_REGION"] = "us-east-1"
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("- a\n")
        done = home.ferry("check")
        assert done.returncode == 1 and "✗ settings" in done.out and "config.yaml:1:" in done.out, done.out


if __name__ == "__main__":
    main(globals())
