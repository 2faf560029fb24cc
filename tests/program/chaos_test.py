#!/usr/bin/env python3
"""A dozen of scripts/chaos's trials, always the same; and that its judge sees what it is there to see."""
import concurrent.futures
import pathlib
import sys

from lib import main

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
import interrupted
import judge
import one
import seen
from trial import Plan, Trial

DOZEN = (
    (1, "kill-ferry"),
    (2, "kill-ssh-master"),
    (3, "hup-ferry"),
    (4, "api-throttled"),
    (5, "api-answer-lost"),
    (6, "machine-crashes"),
    (7, "sshd-resets-connections"),
    (8, "agent-killed"),
    (9, "ferry-cancel"),
    (10, "two-commands-at-once"),
    (11, "log-cut-short"),
    (12, "cloud-server-killed"),
)


def test_a_dozen_trainings_broken_at_chosen_moments_keep_what_ferry_promises():
    one.kinds()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda pair: one.trial(*pair), DOZEN))
    for result in results:
        print(result.line())
    failed = [result for result in results if result.problems]
    assert not failed, "\n".join(result.whole() for result in failed)


def test_trainings_that_are_interrupted_again_and_again_end_with_the_undisturbed_model():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(interrupted.trial, (2010, 2002, 1000, 2000)))
    for result in results:
        print(result.line())
    failed = [result for result in results if result.problems]
    assert not failed, "\n".join(result.whole() for result in failed)


def test_the_judge_sees_each_broken_promise():
    plan = Plan(1, one.kinds(), only="")
    plan.mode = "foreground"
    with Trial(plan) as trial:
        trial.play()
        assert judge.judge(trial) == [], judge.judge(trial)
        run = seen.the_run(trial)
        home = trial.home_of(run)

        def sees(rule, word):
            told = rule(trial)
            assert any(word in sentence for sentence in told), (rule.__name__, told)

        (home / "outputs/ck-1").write_text("something else")
        sees(judge.outputs, "ck-1 is home with the wrong bytes")
        (home / "outputs/ck-1").unlink()
        sees(judge.outputs, "not home")
        (home / "outputs/more").write_text("")
        sees(judge.outputs, "nobody made")
        log = home / "train.log"
        log.write_text(log.read_text() + "out 1\n")
        sees(judge.logs, "out of order")
        log.write_text("")
        sees(judge.logs, "0 of")
        for change, rule, word in (
            ({"outputs_home": False}, judge.books, "not home"),
            ({"outcome": "lost"}, judge.books, "makes it other"),
            ({"phase": "training"}, judge.books, "the ledger says training"),
            ({"outcome": "lost", "exit_code": None}, judge.books, "without a reason"),
            ({"spent_usd": 1000}, judge.money, "at most"),
        ):
            trial.seen = {**run, **change}
            sees(rule, word)
        trial.seen = {**run, "outcome": "failed", "exit_code": 7}
        trial.main.process.returncode = 0
        sees(judge.exit_code, "exits 0")
        trial.type("run", "--keep", "--infra", "rehearsal", "--", "true")
        sees(judge.nothing_left, "still in the cloud")
        sees(judge.nothing_left, "folders of machines")


if __name__ == "__main__":
    main(globals())
