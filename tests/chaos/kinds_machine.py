"""The machine: it dies, stops, reboots, does not answer; what ferry has on it is killed."""
import os
import shutil
import signal
import time

import outside
from kinds import RENTED, WITH_MACHINE, dies_early, kind


def loses(trial, why):
    trial.allow("lost", "failed", why=why)
    if trial.before("training"):
        trial.allow("not_started", why=why)


def on_machine(trial):
    """Its id, once there is one."""
    end = time.time() + 5
    while not (found := trial.instance()) and time.time() < end:
        time.sleep(0.05)
    return found


@kind("machine-crashes", phases=("launching", *WITH_MACHINE), modes=RENTED)
def crashes(trial, dice):
    loses(trial, "its machine died")
    if instance := on_machine(trial):
        trial.fault("die", f"instance={instance}")


@kind("machine-crashes-soon-after-ctrl-c", phases=("training",), modes=("foreground", "aws"))
def crashes_on_cancel(trial, dice):
    loses(trial, "its machine died")
    trial.allow("cancelled", why="Ctrl-C")
    trial.signal(signal.SIGINT, trial.followers(), "ferry")
    time.sleep(dice.uniform(0, 0.6))
    if instance := on_machine(trial):
        trial.fault("die", f"instance={instance}")


@kind("sshd-resets-connections", phases=WITH_MACHINE)
def no_sshd(trial, dice):
    dies_early(trial)
    if not (instance := on_machine(trial)):
        return
    trial.fault("no-sshd", f"instance={instance}")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
    trial.lasts(dice.choice((1, 4, 10)), lambda: trial.fault("no-sshd", f"instance={instance}", "on=false"))


@kind(
    "sshd-resets-connections-longer-than-ferry-waits",
    phases=("setup", "training", "fetching"),
    prepare=lambda trial: trial.env.update(FERRY_LOST_LIMIT="2s"),
)
def no_sshd_for_long(trial, dice):
    dies_early(trial)
    if not (instance := on_machine(trial)):
        return
    trial.fault("no-sshd", f"instance={instance}")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
    trial.lasts(dice.choice((5, 9)), lambda: trial.fault("no-sshd", f"instance={instance}", "on=false"))


@kind("sshd-killed", phases=WITH_MACHINE)
def sshd_killed(trial, dice):
    if trial.before("setup"):
        trial.allow("lost", "not_started", why="the connection broke before anything ran")
    if instance := on_machine(trial):
        trial.signal(signal.SIGKILL, trial.inside(instance, r"^sshd"), "sshd of the machine")


@kind("sshd-stands-still", phases=WITH_MACHINE)
def sshd_silent(trial, dice):
    dies_early(trial)
    if not (instance := on_machine(trial)):
        return
    pids = trial.inside(instance, r"^sshd")
    trial.signal(signal.SIGSTOP, pids, "sshd of the machine")
    trial.lasts(dice.choice((2, 8)), lambda: trial.signal(signal.SIGCONT, pids, "sshd of the machine"))


@kind("agent-killed", phases=("setup", "training", "fetching"))
def agent_killed(trial, dice):
    loses(trial, "the agent was killed, and the training with it")
    trial.allow("not_started", why="the agent was killed")
    if instance := on_machine(trial):
        trial.signal(signal.SIGKILL, trial.inside(instance, r"^ferry-agent"), "the agent")


@kind("agent-asked-to-end", phases=("setup", "training", "fetching"))
def agent_terminated(trial, dice):
    loses(trial, "the agent was ended, and the training with it")
    trial.allow("cancelled", "not_started", why="the agent was ended")
    if instance := on_machine(trial):
        trial.signal(signal.SIGTERM, trial.inside(instance, r"^ferry-agent"), "the agent")


@kind("agent-stands-still", phases=("setup", "training", "fetching"))
def agent_silent(trial, dice):
    if not (instance := on_machine(trial)):
        return
    pids = trial.inside(instance, r"^ferry-agent")
    trial.signal(signal.SIGSTOP, pids, "the agent")
    trial.lasts(dice.choice((2, 8)), lambda: trial.signal(signal.SIGCONT, pids, "the agent"))


@kind("training-killed-on-the-machine", phases=("training",))
def training_killed(trial, dice):
    trial.allow("failed", why="the training was killed")
    if instance := on_machine(trial):
        trial.signal(signal.SIGKILL, trial.inside(instance, r"^bash .*mkdir -p outputs/many"), "the training")


@kind("full-disk-on-the-machine", phases=("planning",), modes=RENTED)
def small_disk(trial, dice):
    """3 MiB: the code fits, not everything that the training writes."""
    trial.allow("failed", "not_started", "lost", why="the machine's disk is full")
    trial.exempt.add("outputs")
    trial.disk_is_full = True
    trial.fault("small-disk", f"mib={dice.choice((6, 11, 16))}", "count=1")


@kind("machine-boots-slowly", phases=("planning",), modes=RENTED)
def slow_boot(trial, dice):
    trial.fault("slow-boot", f"ms={dice.choice((1000, 4000))}", "count=1")


def colleague(trial, action, instance):
    """Somebody else's call, with the same account."""
    lines = trial.good("rehearsal", "env").out.splitlines()
    env = {
        key: value.strip("'\"")
        for key, value in (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    }
    status, text = outside.call(
        env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], action, instance
    )
    trial.note(f"somebody calls {action} {instance}: {status}" + ("" if status == 200 else " " + text))
    return status == 200


def from_outside(action, why):
    def act(trial, dice):
        loses(trial, why)
        trial.allow("cancelled", why=why)
        if instance := on_machine(trial):
            trial.ended_outside |= colleague(trial, action, instance) and action == "TerminateInstances"

    return act


kind("machine-terminated-from-outside", phases=("launching", *WITH_MACHINE), modes=RENTED)(
    from_outside("TerminateInstances", "somebody ended its machine")
)
kind("machine-stopped-from-outside", phases=WITH_MACHINE, modes=RENTED)(
    from_outside("StopInstances", "somebody stopped its machine")
)
kind("machine-rebooted-from-outside", phases=WITH_MACHINE, modes=RENTED)(
    from_outside("RebootInstances", "somebody rebooted its machine")
)


@kind("machine-stopped-and-started-from-outside", phases=WITH_MACHINE, modes=RENTED)
def stopped_and_started(trial, dice):
    loses(trial, "somebody stopped its machine")
    trial.allow("cancelled", why="its machine was away")
    if (instance := on_machine(trial)) and colleague(trial, "StopInstances", instance):
        time.sleep(dice.uniform(0.5, 4))
        end = time.time() + 20
        while trial.state()["instances"][instance]["phase"] in ("stopping", "stopped") and time.time() < end:
            if colleague(trial, "StartInstances", instance):
                break
            time.sleep(1)


def on_disk(trial):
    """The home of the machine's login; a box and the plain sandbox have other ways."""
    instance = on_machine(trial)
    return trial.files_of(instance) if instance else None


@kind("agents-program-gone-on-the-machine", phases=("setup", "training", "fetching"), modes=RENTED)
def program_gone(trial, dice):
    if home := on_disk(trial):
        for path in (home / ".ferry/bin").glob("ferry-agent-*"):
            path.unlink()
            trial.note(f"{path.name} is removed from the machine")
        trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")


@kind("keys-that-may-log-in-gone-for-a-while", phases=("setup", "training", "fetching"), modes=RENTED)
def authorized_keys_gone(trial, dice):
    """Somebody else's tool wrote ~/.ssh anew."""
    dies_early(trial)
    home = on_disk(trial)
    if not home or not (home / ".ssh/authorized_keys").exists():
        return
    folder = os.open(home / ".ssh", os.O_RDONLY)  # it stays the same when the process that we look through is gone
    opener = lambda name, flags: os.open(name, flags, dir_fd=folder)
    with open("authorized_keys", "r+b", opener=opener) as file:
        keys = file.read()
        file.truncate(0)
    trial.note("authorized_keys of the machine is empty")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")

    def heal():
        with open("authorized_keys", "r+b", opener=opener) as file:
            file.write(keys)
        os.close(folder)

    trial.lasts(dice.choice((2, 6)), heal)


@kind("agents-socket-gone-on-the-machine", phases=("training", "fetching"), modes=RENTED)
def socket_gone(trial, dice):
    home = on_disk(trial)
    for path in home.glob(".ferry/runs/*/*sock*") if home else ():
        path.unlink()
        trial.note(f"{path.name} is removed from the machine")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")


@kind("agents-folder-gone-on-the-machine", phases=("training", "fetching"), modes=RENTED)
def folder_gone(trial, dice):
    home = on_disk(trial)
    for path in home.glob(".ferry/runs/*/") if home else ():
        shutil.rmtree(path, ignore_errors=True)
        trial.note(f".ferry/runs/{path.name} is removed from the machine")
    if dice.choice((True, False)):
        trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
