#!/usr/bin/env python3
"""Ten runs at the same time on one rehearsal cloud."""
from lib import Home, main


def test_ten_runs_at_once_do_not_meet():
    with Home() as home:
        runs = [
            home.start(
                "run",
                "-n",
                f"run{i}",
                "--infra",
                "rehearsal",
                "--",
                "sh",
                "-c",
                f"mkdir outputs; echo {i} > outputs/number; hostname > outputs/host; sleep 1; echo done {i}",
            )
            for i in range(10)
        ]
        for i, run in enumerate(runs):
            out, err = run.communicate(timeout=180)
            assert run.returncode == 0, err.decode()
            assert out == f"done {i}\n".encode(), out
        noted = home.runs("--all")
        assert len(noted) == 10 and all(one["outcome"] == "succeeded" for one in noted)
        hosts = set()
        for one in noted:
            number = (home.home_of(one) / "outputs/number").read_text().strip()
            assert one["run"].startswith(f"run{number}-")
            hosts.add((home.home_of(one) / "outputs/host").read_text())
        # Without namespaces all of them have this computer's name.
        assert len(hosts) == (1 if home.sandbox() == "plain" else 10), hosts
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
