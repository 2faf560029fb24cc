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
        home.good(
            "run",
            "--detach",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            f"mkdir -p outputs; echo one; echo model > outputs/m; while ! [ -e {go} ] && [ $SECONDS -lt 8 ]; "
            "do sleep 0.1; done; echo two",
        )
        (run,) = home.runs()
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


def test_a_ledger_that_is_garbage_with_the_file_that_names_it_finds_its_machine_by_what_it_made_for_it():
    with Home() as home:
        home.env["FERRY_LEASE_PULSE"] = "1s"  # the ledger is another one now: it waits for the first to be gone
        go = home.root / "go"
        home.good(
            "run",
            "--detach",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            f"mkdir -p outputs; echo up; echo model > outputs/m; while ! [ -e {go} ] && [ $SECONDS -lt 20 ]; "
            "do sleep 0.1; done",
        )
        (run,) = home.runs()
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        data = home.root / "data/ferry"
        os.kill(int((data / "runs" / run["run"] / "owner").read_text().split()[1]), signal.SIGKILL)
        for name in ("ledger.db", "ledger-id"):
            (data / name).write_bytes(b"\x55" * (data / name).stat().st_size)
        for name in data.glob("ledger.db-*"):
            name.unlink()
        told = home.good("ps").err
        assert f"{run['run']} was left behind while training" in told, told
        go.touch()
        home.wait_for("the end of the run", lambda: [one for one in home.runs("--all") if one["phase"] == "released"])
        assert home.newest()["outcome"] == "succeeded", home.newest()
        assert (home.work / "runs" / run["run"] / "outputs/m").read_text() == "model\n"
        home.nothing_left()


def test_a_key_of_ferrys_own_that_was_damaged_in_part_is_renewed_once():
    with Home() as home:
        go = home.root / "go"
        home.good(
            "run",
            "--detach",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            f"mkdir -p outputs; echo up; echo model > outputs/m; while ! [ -e {go} ] && [ $SECONDS -lt 20 ]; "
            "do sleep 0.1; done",
        )
        (run,) = home.runs()
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        folder = home.root / "data/ferry/runs" / run["run"]
        key = (folder / "id_ed25519").read_text()
        # Its seed: the file is a key still, and its public half is the same, but it signs nothing.
        lines = key.splitlines()
        lines[3] = lines[3][:40] + ("B" if lines[3][40] == "A" else "A") + lines[3][41:]
        (folder / "id_ed25519").write_text("\n".join(lines) + "\n")
        os.kill(int((folder / "owner").read_text().split()[1]), signal.SIGKILL)
        told = lambda: (folder / "follower.txt").read_text()
        home.wait_for(
            "a new key", lambda: home.good("ps") and "has a new key" in told()
        )  # the first may come before the kill
        assert told().count("does not take the private key of") == 1, told()
        assert (folder / "id_ed25519").read_text() != key
        # One that cannot be read at all: who logs in is let in, too.
        (folder / "id_ed25519").write_text("no key")
        assert "has a new key" in home.good("ssh", run["run"], "--", "true").err
        go.touch()
        home.wait_for("the end of the run", lambda: [one for one in home.runs("--all") if one["phase"] == "released"])
        assert home.newest()["outcome"] == "succeeded"
        assert (home.work / "runs" / run["run"] / "outputs/m").read_text() == "model\n"
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
