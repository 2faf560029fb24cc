"""The cloud's API: throttled, failing, silent, refusing, gone; its clock and its view of the caller."""
import signal
import socket
import time
import urllib.parse

from kinds import ANY, RENTED, WITH_MACHINE, dies_early, kind

ACTIONS = (
    "RunInstances",
    "DescribeInstances",
    "TerminateInstances",
    "ImportKeyPair",
    "DeleteKeyPair",
    "CreateSecurityGroup",
    "DeleteSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "DescribeSecurityGroups",
    "GetCallerIdentity",
    "DescribeImages",
    "GetParameter",
    "*",
)
BEFORE = ("planning", "launching", "connecting", "training", "fetching", "releasing")


def for_a_while(trial, dice, *fault):
    """A few answers, or all of them for some seconds."""
    if dice.random() < 0.6:
        trial.fault(*fault, f"count={dice.choice((1, 2, 5))}")
        return
    trial.fault(*fault)
    trial.lasts(dice.choice((1, 3, 8)), lambda: trial.fault("clear"))


@kind("api-throttled", phases=BEFORE, modes=RENTED)
def throttled(trial, dice):
    dies_early(trial)
    for_a_while(trial, dice, "throttle", f"action={dice.choice(ACTIONS)}")


@kind("api-error-500", phases=BEFORE, modes=RENTED)
def server_error(trial, dice):
    dies_early(trial)
    for_a_while(trial, dice, "error", f"action={dice.choice(ACTIONS)}", "code=InternalError", "status=500")


@kind("api-unavailable-503", phases=BEFORE, modes=RENTED)
def unavailable(trial, dice):
    dies_early(trial)
    for_a_while(trial, dice, "error", f"action={dice.choice(ACTIONS)}", "code=Unavailable", "status=503")


@kind("api-answer-lost", phases=BEFORE, modes=RENTED)
def answer_lost(trial, dice):
    dies_early(trial)
    trial.fault("drop", f"action={dice.choice(ACTIONS)}", f"count={dice.choice((1, 2, 4))}")


@kind("launch-answer-lost-and-ferry-killed", phases=("planning",), modes=RENTED)
def launch_lost(trial, dice):
    dies_early(trial)
    trial.fault("drop", "action=RunInstances", "count=1")
    trial.wait_for_phase("launching")
    time.sleep(dice.uniform(0, 1))
    dies_early(trial)
    trial.signal(signal.SIGKILL, trial.followers(), "ferry")


@kind("group-still-in-use", phases=BEFORE, modes=RENTED)
def group_in_use(trial, dice):
    trial.fault(
        "error", "action=DeleteSecurityGroup", "code=DependencyViolation", "status=400", f"count={dice.choice((1, 3))}"
    )


@kind("no-capacity", phases=("planning",), modes=RENTED)
def no_capacity(trial, dice):
    trial.allow("not_started", why="no machine was to be had")
    trial.fault("capacity", f"count={dice.choice((1, 3, 100))}")


@kind("limit-of-the-account", phases=("planning",), modes=RENTED)
def quota(trial, dice):
    trial.allow("not_started", why="the account's limit is too low")
    trial.fault("quota", "bucket=standard", "limit=0")
    trial.lasts(6, lambda: trial.fault("clear"))


@kind("permission-missing", phases=BEFORE, modes=RENTED)
def permission(trial, dice):
    """For a while; whoever needs it then must come through it without a leak."""
    dies_early(trial)
    trial.fault("permission", f"action=ec2:{dice.choice(ACTIONS[:9])}")
    trial.lasts(dice.choice((2, 5)), lambda: trial.fault("clear"))


@kind("session-expired", phases=BEFORE, modes=RENTED)
def expired(trial, dice):
    dies_early(trial)
    trial.fault("expired-token")
    trial.lasts(dice.choice((2, 6)), lambda: trial.fault("clear"))


@kind("cloud-server-killed", phases=ANY, modes=RENTED)
def server_killed(trial, dice):
    dies_early(trial)
    trial.signal(signal.SIGKILL, trial.server(), "the cloud's server")
    trial.lasts(dice.choice((0, 1, 4)), lambda: trial.type("rehearsal", "start"))


# (While a run is planned the cloud may not have been started yet.)
@kind("cloud-server-comes-back-at-another-port", phases=("launching", *WITH_MACHINE), modes=("foreground", "detached"))
def other_port(trial, dice):
    dies_early(trial)
    port = urllib.parse.urlsplit(trial.cloud()["endpoint_url"]).port
    trial.signal(signal.SIGKILL, trial.server(), "the cloud's server")
    with socket.socket() as other:
        end = time.time() + 10
        while other.connect_ex(("127.0.0.1", port)) == 0 and time.time() < end:
            time.sleep(0.05)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:  # a ferry was quicker, and has started it again
            return
        trial.type("rehearsal", "start")
        trial.over.wait(dice.choice((1, 3)))


@kind("cloud-server-stands-still", phases=ANY, modes=RENTED)
def server_silent(trial, dice):
    dies_early(trial)
    pids = trial.server()
    trial.signal(signal.SIGSTOP, pids, "the cloud's server")
    trial.exempt.add("times")
    trial.lasts(dice.choice((1, 4, 12)), lambda: trial.signal(signal.SIGCONT, pids, "the cloud's server"))


@kind("clock-of-the-cloud-ahead", phases=BEFORE, modes=RENTED)
def clock(trial, dice):
    dies_early(trial)
    trial.exempt.add("times")
    trial.fault("clock", f"ms={dice.choice((-900_000, -60_000, 60_000, 900_000))}")
    trial.lasts(dice.choice((2, 5)), lambda: trial.fault("clock", "ms=0"))


@kind("laptop-in-another-network", phases=("connecting", "setup", "training", "fetching", "releasing"), modes=RENTED)
def moved(trial, dice):
    dies_early(trial)
    trial.fault("caller", "address=203.0.113.9")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
