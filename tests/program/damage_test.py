#!/usr/bin/env python3
"""What a run has on this computer is damaged while it trains: the model comes home, and nothing stays rented."""
import os
import random
import signal

from lib import Home, main


def overwrite(path, chance, count):
    with open(path, "r+b") as file:
        size = path.stat().st_size
        for _ in range(count):
            file.seek(chance.randrange(size))
            file.write(chance.randbytes(chance.randint(1, 200)))


def test_a_ledger_and_a_runs_folder_that_are_damaged_while_it_trains_are_mended():
    chance = random.Random(7)
    with Home() as home:
        go = home.root / "go"
        home.good("run", "--detach", "--infra", "rehearsal", "--", "bash", "-c",
                  f"mkdir -p outputs; echo one; echo model > outputs/m; while ! [ -e {go} ] && [ $SECONDS -lt 8 ]; do sleep 0.1; done; echo two")
        run, = home.runs()
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "one\n")
        data = home.root / "data/ferry"
        folder = data / "runs" / run["run"]
        os.kill(int((folder / "owner").read_text().split()[1]), signal.SIGKILL)
        overwrite(data / "ledger.db", chance, 40)
        for name in ("known_hosts", "log", "owner"):
            overwrite(folder / name, chance, 2)
        told = home.good("ps").err
        assert told.count("the ledger was damaged: it is set aside as ") == 1, told
        assert (data / "ledger.db.damaged").exists()
        go.touch()
        home.wait_for("the end of the run", lambda: [one for one in home.runs("--all") if one["phase"] == "released"])
        ended = home.newest()
        assert ended["run"] == run["run"] and ended["outcome"] == "succeeded", ended
        assert (home.work / "runs" / run["run"] / "outputs/m").read_text() == "model\n"
        assert home.good("logs", run["run"]).out == "one\ntwo\n"
        assert "damaged" not in home.good("ps").err, "it is told once"
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
