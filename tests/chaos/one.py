"""One trial from its seed to the judge's sentences."""
import time
import traceback

import judge
import kinds as registry
import seen
from trial import Plan, Trial


def kinds():
    return registry.load()


class Result:
    def __init__(self, plan):
        self.plan, self.problems, self.transcript, self.outcome = plan, [], "", "never noted"
        self.seconds = self.furthest_ms = 0

    def line(self):
        return f"{'FAIL' if self.problems else 'ok  '} {self.seconds:5.1f} s  {self.outcome:14} {self.plan.told()}"

    def whole(self):
        sentences = "\n".join(f"  ! {sentence}" for sentence in self.problems)
        return f"--- {self.plan.repeat()}\n{self.transcript}\n{sentences}\n---"


def trial(seed, only=None):
    plan = Plan(seed, kinds(), only)
    result, began = Result(plan), time.monotonic()
    try:
        with Trial(plan) as world:
            try:
                world.play()
                result.problems = judge.judge(world)
                run = seen.the_run(world)
                result.outcome = run["outcome"] if run else "never noted"
                result.furthest_ms = judge.furthest(world)
            except Exception:  # of the harness, unless ferry made it
                result.problems.append("the harness: " + traceback.format_exc())
            result.transcript = world.transcript()
            for path in world.data.glob("runs/*/follower.txt"):
                result.transcript += (
                    f"\n--- {path.parent.name}/follower.txt\n" + path.read_text(errors="replace")[-6000:]
                )
            if result.problems:
                log = world.data / "rehearsal/server.log"
                result.transcript += "\n--- the cloud's log\n" + (
                    log.read_text(errors="replace")[-6000:] if log.exists() else ""
                )
    except Exception:
        result.problems.append("the harness, cleaning up: " + traceback.format_exc())
    result.seconds = time.monotonic() - began
    return result
