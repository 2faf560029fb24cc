"""Where a measurement runs: a folder of its own, a link, a machine behind it with its own sshd, and an end that leaves
nothing: no process, no namespace, no file."""
import contextlib
import ctypes
import getpass
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


class Failed(Exception):
    """A measurement that could not be made, in one line."""


def descendants(of):
    """Of a process, by /proc; those that nobody waits for any more are this process's (World makes it so)."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, todo = [], [of]
    while todo:
        parent = todo.pop()
        children = [pid for pid, its in parents.items() if its == parent]
        found += children
        todo += children
    return found


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class World:
    """The folder of a whole bench. Everything that it starts, however far that forked, ends with it."""

    def __enter__(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        for one in (signal.SIGINT, signal.SIGTERM):  # also where whoever started this ignores Ctrl-C
            signal.signal(one, signal.default_int_handler)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ferry-bench."))
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end = time.monotonic() + 10
        while (left := descendants(os.getpid())) and time.monotonic() < end:
            kill_all(left)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.01)
        if subprocess.run(["rm", "-rf", str(self.root)], capture_output=True).returncode:
            subprocess.run(["chmod", "-R", "u+rwX", str(self.root)], capture_output=True)
            subprocess.run(["rm", "-rf", str(self.root)], capture_output=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def folder(self, name):
        made = self.root / name
        made.mkdir(parents=True, exist_ok=True)
        return made


class Loopback:
    """No way at all: this computer's own loopback."""

    name, address, counts = "loopback", "127.0.0.1", False
    near, far = [], []

    def reset(self):
        pass

    def report(self):
        return {}

    def close(self):
        pass


class Wan:
    """wan.cc between two namespaces, for root."""

    address, counts = "10.99.0.2", True

    def __init__(self, world, rtt_ms=60, mbit=200, buffer_kib=1536):
        self.name = f"{rtt_ms} ms, {mbit} Mbit/s"
        program = world.root / "wan"
        if not program.exists():
            built = subprocess.run(
                ["g++", "-std=c++20", "-O2", "-o", str(program), str(HERE / "wan.cc")], capture_output=True, text=True
            )
            if built.returncode:
                raise Failed("wan.cc does not compile: " + built.stderr.strip())
        self.process = subprocess.Popen(
            [str(program), str(rtt_ms / 2), str(mbit), str(buffer_kib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.process.stderr.read().strip() or "the link's emulator ended")
        ends = json.loads(line)
        self.near, self.far = (
            ["nsenter", f"--net=/proc/{self.process.pid}/fd/{ends[side]}", "--"] for side in ("near", "far")
        )

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def reset(self):
        self.ask("reset")

    def report(self):
        return self.ask("report")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def make_link(world, loopback, **how):
    """The long link (how: Wan) where it can be made; else loopback, and why is said."""
    if loopback:
        return Loopback()
    if os.geteuid() != 0:
        print("bench: only root can make the long link: all is measured on loopback", flush=True)
        return Loopback()
    try:
        return Wan(world, **how)
    except (Failed, FileNotFoundError) as why:
        print(f"bench: no long link here ({why}): all is measured on loopback", flush=True)
        return Loopback()


class Machine:
    """A computer behind a link, as a person has one: `ssh box` reaches its sshd by the config and keys of this bench,
    and its HOME is a folder of ours. `ssh` is a program that stands for ssh; `env` has it first in PATH."""

    host = "box"

    def __init__(self, world, link):
        self.link, self.root = link, pathlib.Path(tempfile.mkdtemp(prefix="machine.", dir=world.root))
        self.home = self.root / "home"
        self.home.mkdir()
        for name in ("host", "login"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.root / name)], check=True
            )
        shutil.copy(self.root / "login.pub", self.root / "authorized_keys")
        self.port = self.start()
        self.user = getpass.getuser()
        host_key = (self.root / "host.pub").read_text().strip()
        (self.root / "known_hosts").write_text(f"[{link.address}]:{self.port} {host_key}\n")
        self.config = self.root / "ssh_config"
        self.config.write_text(
            f"Host {self.host}\n HostName {link.address}\n Port {self.port}\n User {self.user}\n"
            f" IdentityFile {self.root}/login\n IdentitiesOnly yes\n UserKnownHostsFile {self.root}/known_hosts\n"
        )
        programs = self.root / "bin"
        programs.mkdir()
        self.ssh = str(programs / "ssh")
        way = " ".join(link.near)
        pathlib.Path(self.ssh).write_text(f'#!/bin/sh\nexec {way} {shutil.which("ssh")} -F {self.config} "$@"\n')
        os.chmod(self.ssh, 0o755)
        self.path = f"{programs}:{os.environ['PATH']}"
        self.wait()

    def start(self):
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # sshd insists on it, and Debian's own makes it at boot
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = self.root / "sshd_config"
        config.write_text(
            f"ListenAddress {self.link.address}\nPort {port}\nHostKey {self.root}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.root}/authorized_keys\nStrictModes no\nUsePAM no\nUseDNS no\nPrintMotd no\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"MaxSessions 64\nMaxStartups 100\nSubsystem sftp internal-sftp\nSetEnv HOME={self.home}\n"
        )
        self.log = self.root / "sshd.log"
        self.sshd = subprocess.Popen([*self.link.far, SSHD, "-D", "-f", str(config), "-E", str(self.log)])
        return port

    def wait(self):
        end = time.monotonic() + 20
        while True:
            tried = subprocess.run([self.ssh, self.host, "true"], capture_output=True, text=True)
            if tried.returncode == 0:
                return
            if self.sshd.poll() is not None or time.monotonic() > end:
                raise Failed("the bench's own sshd does not let us in: " + tried.stderr.strip())
            time.sleep(0.05)

    def forget(self):
        """As if ferry had brought nothing there but its agent."""
        for kept in self.home.glob(".ferry/*"):
            if kept.name != "bin":
                shutil.rmtree(kept, ignore_errors=True)
        shutil.rmtree(self.home / ".cache", ignore_errors=True)

    def close(self):
        kill_all([*descendants(self.sshd.pid), self.sshd.pid])
        self.sshd.wait()


@contextlib.contextmanager
def machine_behind(world, loopback, **how):
    """A machine behind the long link (how: Wan), or on loopback; both end with the block."""
    link = make_link(world, loopback, **how)
    machine = Machine(world, link)
    try:
        yield machine
    finally:
        machine.close()
        link.close()
