"""What the judge looks for in the cloud and in the books: nothing left, one machine, its times, its price."""
import calendar
import re
import time

import host_test
from seen import the_run

TOLERANCE_MS = 1000  # the cloud tells its times in whole seconds


def nothing_left(trial):
    end = time.time() + 15
    while any(one["phase"] == "shutting-down" for one in trial.state()["instances"].values()) and time.time() < end:
        time.sleep(0.2)
    state, found = trial.state(), []
    mine = lambda one: one["client_token"].startswith((trial.run() or "?") + "-") or not trial.box
    alive = [one["id"] for one in state["instances"].values() if mine(one) and one["phase"] != "terminated"]
    if alive:
        found.append(f"still in the cloud: {', '.join(alive)}")
    if not trial.box:
        groups = [one["name"] for one in state["groups"].values() if one["name"] != "default"]
        keys = list(state["keys"])
        if groups or keys:
            found.append(f"left in the cloud: groups {groups}, key pairs {keys}")
        folder = trial.data / "rehearsal/instances"
        left = (
            [one.name for one in folder.iterdir() if one.name != ".trial"] if folder.exists() else []
        )  # a server that starts tries what it may
        if left:
            found.append(f"folders of machines are left: {left}")
    end = time.time() + 15
    while (left := trial.ferries("run", "follow-run") + trial.ssh_clients()) and time.time() < end:
        time.sleep(0.2)
    if left:
        found.append(f"processes of ferry are left: {[' '.join(trial.processes().get(pid, []))[:80] for pid in left]}")
    return found


def nothing_on_the_box(trial):
    """A machine of the person's own stays, without what the run had there."""
    run = trial.run()
    if not trial.box or not run:
        return []
    if trial.machine(trial.box) != trial.box_instance:
        return ["the person's own machine is gone"]
    left = host_test.on_box(
        trial, f"find .ferry -name '{run}*' -not -name '*.lock'; ps axww -o args | grep '[f]erry-agent.*{run}' || true"
    ).strip()
    end = time.time() + 10
    while left and time.time() < end:
        time.sleep(0.5)
        left = host_test.on_box(
            trial,
            f"find .ferry -name '{run}*' -not -name '*.lock'; ps axww -o args | grep '[f]erry-agent.*{run}' || true",
        ).strip()
    return [f"left on the person's own machine: {left}"] if left else []


def one_machine(trial):
    tokens = [one["client_token"] for one in trial.state()["instances"].values()]
    mine = [token for token in tokens if token.startswith((trial.run() or "?") + "-")]
    log = (trial.data / "rehearsal/server.log").read_text(errors="replace")
    # One that broke down before it ran has a successor.
    began = [
        one
        for one in trial.state()["instances"].values()
        if one["client_token"] in mine and f" {one['id']} pending: died" not in log
    ]
    return [f"{len(began)} machines were rented for one run: {mine}"] if len(began) > 1 else []


def money(trial):
    run, said = the_run(trial), re.search(r"at most \$([0-9.]+)", trial.main.err)
    if run and said and (run["spent_usd"] or 0) > float(said[1]) + 1e-6:
        return [f"it cost ${run['spent_usd']}, and was said to cost at most ${said[1]}"]
    return []


def end_of(trial, machine):
    """When the cloud stopped billing a machine, in milliseconds since 1970: whole seconds where somebody asked for its
    end."""
    said = re.search(r"\((\d+-\d+-\d+ \d+:\d+:\d+) GMT\)", machine["transition_reason"])
    if said:
        return calendar.timegm(time.strptime(said[1], "%Y-%m-%d %H:%M:%S")) * 1000
    log = (trial.data / "rehearsal/server.log").read_text(errors="replace")
    if ended := re.search(rf"^(\S+)\.(\d+)Z {machine['id']} (?:running: died|shutting-down: )", log, re.MULTILINE):
        return calendar.timegm(time.strptime(ended[1], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(ended[2])
    return machine["phase_ms"]


def start_of(trial, machine):
    """When it was launched; the cloud's own launched_ms is that of the last start."""
    log = (trial.data / "rehearsal/server.log").read_text(errors="replace")
    boots = re.findall(rf"^(\S+)\.(\d+)Z {machine['id']} pending: boot", log, re.MULTILINE)
    if len(boots) < 2:
        return machine["launched_ms"]
    return calendar.timegm(time.strptime(boots[0][0], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(boots[0][1])


def differences(trial):
    """(id, what, ledger minus cloud in milliseconds, the cloud's words) of every machine that both know to be over."""
    cloud = trial.state()["instances"]
    for ident, launched, released, state in trial.query(
        "SELECT id, launched_ms, released_ms, state FROM instances WHERE id LIKE 'i-%'"
    ):
        one = cloud.get(ident)
        if one and state == "released" and one["phase"] == "terminated":
            yield ident, "launched", launched - start_of(trial, one), ""
            yield ident, "released", released - end_of(trial, one), one["transition_reason"] or one["reason_message"]


def furthest(trial):
    return 0 if "times" in trial.exempt else max((abs(ms) for _, _, ms, _ in differences(trial)), default=0)


def times(trial):
    """What is billed by: the ledger beside the cloud, to the second."""
    return [
        f"{ident}: {what} by the ledger {ms / 1000:+.3f} s from the cloud's time ({words})"
        for ident, what, ms, words in differences(trial)
        if abs(ms) > TOLERANCE_MS
    ]
