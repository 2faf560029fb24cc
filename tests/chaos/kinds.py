"""The kinds of things that go wrong: a registry. Each kind is a function of the trial and its dice; it breaks
something, says with trial.allow() which outcomes are right beside the training's own, and puts right what it broke
(trial.lasts)."""
from trial import SPAN, WEIGHT

KINDS = {}


class Kind:
    def __init__(self, name, act, phases, modes, prepare, flags):
        self.name, self.act, self.phases, self.modes, self._prepare, self.flags = (
            name,
            act,
            phases,
            modes,
            prepare,
            flags,
        )

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


def kind(name, phases=ANY, modes=None, prepare=None, flags=()):
    """`modes`: those it makes sense in (None: all). `prepare` is called before the run, whose command gets `flags`."""

    def register(act):
        assert name not in KINDS, name
        KINDS[name] = Kind(name, act, phases, modes, prepare, flags)
        return act

    return register


def dies_early(trial):
    """Before the job can have started, a run whose ferry or whose cloud failed is given up."""
    if trial.before("training"):
        trial.allow("lost", "not_started", why="it happened before the training")


def hangs_up(trial):
    """Whoever hangs up before the training has cancelled it: there is nothing yet that could go on alone."""
    dies_early(trial)
    if trial.before("training"):
        trial.allow("cancelled", why="hung up before the training")


def load():
    import kinds_api
    import kinds_beside
    import kinds_files
    import kinds_machine
    import kinds_person
    import kinds_process
    import kinds_terminal

    return KINDS
