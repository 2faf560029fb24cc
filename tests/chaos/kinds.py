"""The kinds of things that go wrong: a registry. Each kind is a function of the trial and its dice; it breaks something, says with
trial.allow() which outcomes are right beside the training's own, and puts right what it broke (trial.lasts)."""
from trial import SPAN, WEIGHT

KINDS = {}


class Kind:
    def __init__(self, name, act, phases, modes, prepare):
        self.name, self.act, self.phases, self.modes, self._prepare = name, act, phases, modes, prepare

    def fits(self, mode):
        return self.modes is None or mode in self.modes

    def moment(self, dice):
        """(phase, seconds after it has begun)."""
        phase = dice.choices(self.phases, [WEIGHT[one] for one in self.phases])[0]
        return phase, dice.uniform(0, SPAN[phase])

    def prepare(self, trial):
        if self._prepare:
            self._prepare(trial)


ANY = tuple(WEIGHT)
WITH_MACHINE = ("connecting", "syncing", "setup", "training", "fetching", "releasing")
RENTED = ("foreground", "detached", "aws", "aws detached")


def kind(name, phases=ANY, modes=None, prepare=None):
    def register(act):
        assert name not in KINDS, name
        KINDS[name] = Kind(name, act, phases, modes, prepare)
        return act
    return register


def dies_early(trial):
    """Before the job can have started, a run whose ferry or whose cloud failed is given up."""
    if trial.before("training"):
        trial.allow("lost", "did not start", why="it happened before the training")


def load():
    import kinds_api
    import kinds_files
    import kinds_machine
    import kinds_person
    import kinds_process
    return KINDS
