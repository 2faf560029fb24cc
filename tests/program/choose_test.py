#!/usr/bin/env python3
"""Runs are found by label, by pattern and by what they are; logs by time and by words."""
from lib import Home, main
from words_test import answered


def test_runs_are_found_by_label_and_filter_and_ended_only_with_a_yes():
    with Home() as home:
        home.file("s.env", "TOKEN='hush hush'\n")
        home.good(
            "run",
            "--infra",
            "rehearsal",
            "-d",
            "-n",
            "one",
            "-l",
            "team=vision",
            "--secrets-file",
            "s.env",
            "--",
            "sh",
            "-c",
            "echo ${#TOKEN}; sleep 600",
        )
        home.good(
            "run",
            "--infra",
            "rehearsal",
            "-d",
            "-n",
            "two",
            "--label",
            "team=vision",
            "--label",
            "try=2",
            "--",
            "sleep",
            "600",
        )
        home.good("run", "--infra", "rehearsal", "-n", "other", "--", "sh", "-c", "exit 0")
        quiet = home.ferry("run", "--infra", "rehearsal", "-q", "-d", "-n", "quiet", "--", "sh", "-c", "exit 0")
        assert quiet.err == "" and quiet.out.startswith("quiet-") and len(quiet.out.split()) == 1, (
            quiet.out,
            quiet.err,
        )
        assert home.ferry("run", "--infra", "rehearsal", "-q", "--", "sh", "-c", "echo mine; exit 3").out == "mine\n"
        two, one = home.good("ps", "-q", "-l", "team=vision").out.split()
        assert one.startswith("one-") and home.good("ps", "-q", "--filter", "label=try").out.split() == [two]
        assert home.good("ps", "-q", "-f", "outcome=succeeded", "-f", "name=other").out.startswith("other-")
        assert home.good("ps", "-q", "-f", "name=one*", "-f", "type=t3.*", "-f", "since=1h").out.split() == [one]
        done = home.ferry("ps", "--filter", "sate=training")
        assert done.returncode == 2 and "did you mean 'state='?" in done.err, done.err
        assert "sleep 600" in home.good("ps").out and "COMMAND" in home.good("ps").out
        labels = [run["labels"] for run in home.runs() if run["run"] == two]
        assert labels == [{"team": "vision", "try": "2"}], labels
        assert f"/ferry/{one}" in answered(home, b"pwd; exit\n", "ssh", one)[0]
        home.wait_for("the secret's length", lambda: home.good("logs", "-l", "team=vision", "one").out == "9\n")
        assert not [path for path in (home.root / "data/ferry").glob("ledger.db*") if b"hush" in path.read_bytes()]
        for words in (["cancel", "t*"], ["down", "--label", "team=vision"]):
            done = home.ferry(*words)
            assert done.returncode == 2 and two in done.err and "--yes" in done.err, done.err
        seen, code = answered(home, b"n\n", "cancel", "*", "--label", "team=vision")
        assert (
            code == 1 and one in seen and two in seen and "cancel these? [y/N]" in seen and "nothing was done" in seen
        ), seen
        home.wait_for("the quiet one's end", lambda: len(home.runs()) == 2)
        assert f"{two} cancelled" in home.good("cancel", "t*", "--yes").out
        assert f"{one}: nothing left running" in home.good("down", "-l", "team=vision", env={"FERRY_YES": "1"}).out
        told = home.good("ps").out
        assert "nothing is running; the last runs" in told and "other-" in told and home.runs() == [], told
        home.nothing_left()


def test_logs_are_chosen_by_time_and_words_and_followed_to_the_runs_own_end():
    with Home() as home:
        home.good(
            "run", "--infra", "rehearsal", "-d", "-n", "bad", "--", "sh", "-c", "seq 20; sleep 3; echo last >&2; exit 3"
        )
        run = home.newest()["run"]
        done = home.ferry("logs", "-f", run)
        assert (
            done.returncode == 3
            and done.out.endswith("20\n")
            and "last" in done.err
            and f"{run} failed (exit 3)" in done.err
        ), done
        assert home.ferry("logs", "-f", run).returncode == 3
        assert home.good("logs", run, "--search", "^1[0-2]$").out == "10\n11\n12\n"
        assert home.good("logs", run, "--search", "[0-9]", "--tail", "2").out == "19\n20\n"
        assert (
            home.good("logs", run, "--since", "1h").out.endswith("20\n")
            and home.good("logs", run, "--until", "1h").out == ""
        )
        for words in (["--search", "("], ["--since", "soon"]):
            assert home.ferry("logs", run, *words).returncode == 2


def test_a_command_that_is_not_there_is_named_with_what_was_meant():
    with Home() as home:
        done = home.ferry("run", "--infra", "rehearsal", "--no-check", "-n", "typo", "--", "pyhton train.py")
        assert done.returncode == 127 and "pyhton: command not found; did you mean python?" in done.err, done.err
        assert (
            "\noutputs:" not in done.err and "model:" not in done.err and "log: ferry logs typo-" in done.out + done.err
        ), done.err
        done = home.ferry("run", "--infra", "rehearsal", "-n", "cut", "--max-duration", "1s", "--", "sleep", "60")
        assert "write a checkpoint to outputs/ after each epoch" in done.err, done.err
        home.ferry("run", "--infra", "rehearsal", "--setup", "exit 4", "-n", "broken", "--", "true")
        assert "setup failed (exit 4)" in home.good("ps", "--all").out
        done = home.ferry("run", "--infra", "rehearsal", "-n", "quiet", "--", "true")
        assert "wrote no log: succeeded" in home.good("logs", "quiet").err


def test_tables_drop_columns_and_cut_none():
    with Home() as home:
        home.good(
            "run",
            "--infra",
            "rehearsal",
            "-n",
            "wide",
            "--",
            "echo",
            "a command line of more than forty characters, altogether",
        )
        full = {}
        for width in (60, 80, 120):
            for words in (["ps", "--all"], ["gpus", "L4"], ["plan", "--gpus", "L4"], ["cost", "--infra", "rehearsal"]):
                seen, _ = answered(home, b"", *words, width=width)
                table = [
                    line
                    for line in seen.replace("\r", "").splitlines()
                    if "   " in line and not line.startswith(("!", "*"))
                ]
                assert table and max(map(len, table)) <= width and not [line for line in table if line.endswith("…")], (
                    width,
                    words,
                    seen,
                )
                full.setdefault(words[0], []).append(len(table[0].split()))
        assert all(few <= many for few, _, many in full.values()), full


if __name__ == "__main__":
    main(globals())
