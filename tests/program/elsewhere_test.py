#!/usr/bin/env python3
"""A run whose laptop is gone, and whose machine was taken, is gone on with by another laptop; and the first one, when
it comes back, knows."""
import json
import shutil
import subprocess

from lib import Home, main

STORE = "s3://a-bucket/team"
WHERE = ("--store", STORE, "--infra", "rehearsal")
SOON = {"FERRY_STORE_EVERY": "1s", "FERRY_LEASE_PULSE": "1s"}
TRAIN = """
mkdir -p outputs
cat said.txt
line="attempt $FERRY_ATTEMPT resumed $FERRY_RESUMED $PASSWORD"
echo "$line"
sleep 1  # where the file is stored, so is the line
echo "$line" >> outputs/saved
[ $FERRY_ATTEMPT -ge 2 ] || exec sleep 1000
cp outputs/saved outputs/model
"""


class Laptops:
    """Two ledgers with what belongs to them, one at a time in the place of this computer's."""

    def __init__(self, home):
        self.home, self.data = home, home.root / "data/ferry"

    def own(self):
        return [*self.data.glob("ledger*"), *([self.data / "runs"] if (self.data / "runs").exists() else [])]

    def close(self, name):
        aside = self.home.root / name
        aside.mkdir()
        for one in self.own():
            shutil.move(one, aside / one.name)

    def open(self, name):
        for one in (self.home.root / name).iterdir():
            shutil.move(one, self.data / one.name)


def begin(home, more=""):
    """It trains on the first laptop, which is lost then; its machine, which had stored something, dies."""
    home.file("train.sh", TRAIN)
    home.file("said.txt", "as it was sent\n")
    home.file(
        "task.yaml",
        f"name: tiny\nresources: {{infra: rehearsal, job_recovery: FAILOVER}}\nstore: {STORE}\n"
        f"{more}run: sh train.sh\n",
    )
    home.good("run", "task.yaml", "--detach", env={**SOON, "PASSWORD": "hush"})
    run = home.newest()["run"]

    def is_stored():
        said = json.loads(home.ferry("store", "ls", *WHERE, "--json").out)
        return any(one["files"] == 1 for one in said.get("runs", []))

    home.wait_for("something is stored", is_stored)
    subprocess.run(["pkill", "-9", "-f", f"follow-run {run}"], check=True)
    laptops = Laptops(home)
    laptops.close("first")
    (machine,) = home.alive()
    home.good("rehearsal", "fault", "die", f"instance={machine}")
    home.wait_for("its machine is gone", lambda: machine not in home.alive())
    home.file("said.txt", "changed meanwhile\n")
    return run, laptops


def test_another_laptop_goes_on_with_what_was_sent_and_stored_and_the_first_one_finds_it_done():
    with Home() as home:
        run, laptops = begin(home)
        listed = home.ferry("recover", run, *WHERE, env=SOON)
        assert listed.returncode != 0 and "--yes goes on with it" in listed.err and home.runs("--all") == [], listed.err
        taken = json.loads(home.ferry("recover", run, "--yes", *WHERE, "--json", env=SOON).out)
        assert taken["going_on"] == [run] and taken["stored"] == [], taken
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        expected = "attempt 1 resumed 0 \nattempt 2 resumed 1 \n"
        assert (home.home_of({"run": run}) / "outputs/model").read_text() == expected
        log = home.good("logs", run).out
        assert log == "as it was sent\nattempt 1 resumed 0 \nas it was sent\nattempt 2 resumed 1 \n", log
        record = json.loads((home.home_of({"run": run}) / "run.json").read_text())
        assert [one["outcome"] for one in record["attempts"]] == ["lost", "succeeded"], record["attempts"]
        assert len(record["machines"]) == 2 and all(one["state"] == "released" for one in record["machines"]), record[
            "machines"
        ]
        home.nothing_left()

        laptops.close("second")
        laptops.open("first")
        shutil.rmtree(home.home_of({"run": run}))
        before = len(home.cloud()["instances"])
        home.good("ps", env=SOON)
        home.wait_for("the first one knows that it is over", lambda: home.newest()["phase"] == "released")
        now = home.newest()
        assert now["run"] == run and now["outcome"] == "succeeded", now
        assert len(home.cloud()["instances"]) == before, "nothing is rented for what is done"
        assert (home.home_of(now) / "outputs/model").read_text() == expected
        home.nothing_left()


def test_its_secret_is_what_the_other_laptop_has():
    with Home() as home:
        run, _ = begin(home, "secrets: {PASSWORD: null}\n")
        assert f"{run} is gone on with here" in home.ferry("recover", run, "--yes", *WHERE, env=SOON).out
        home.wait_for("it waits", lambda: "needs PASSWORD" in home.ferry("ps", env=SOON).err)
        home.good("ps", env={**SOON, "PASSWORD": "other"})
        home.wait_for("it is over", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert "attempt 2 resumed 1 other" in home.good("logs", run).out
        home.nothing_left()


def test_who_does_not_want_to_go_on_has_what_was_stored():
    with Home() as home:
        run, _ = begin(home)
        taken = json.loads(home.ferry("recover", run, "--over", *WHERE, "--json", env=SOON).out)
        assert taken["stored"] == [run] and taken["going_on"] == [], taken
        assert home.newest()["outcome"] == "lost", home.newest()
        home.good("fetch", run)
        assert (home.home_of({"run": run}) / "outputs/saved").read_text() == "attempt 1 resumed 0 \n"
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
