"""How each tool brings a folder to a machine and back. ferry's engine is used as ferry uses it: its two ends joined by
one ssh session."""
import os
import shlex
import shutil
import subprocess
import threading

from world import Failed, descendants, kill_all


def finish(processes, limit):
    """Waits for all; after `limit` seconds they are ended, and False is answered."""
    is_late = threading.Event()

    def end():
        is_late.set()
        for process in processes:
            kill_all([*descendants(process.pid), process.pid])

    # (Popen's own waiting with a limit looks only every 50 ms.)
    watch = threading.Timer(limit, end)
    watch.start()
    try:
        for process in processes:
            process.wait()
    finally:
        watch.cancel()
    if is_late.is_set():
        return False
    for process in processes:
        if process.returncode:
            raise Failed(f"{shlex.join(map(str, process.args))[:200]} ended with {process.returncode}")
    return True


def joined(first, second, env=None):
    """Two programs, each with its output as the other's input."""
    one = subprocess.Popen(first, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    other = subprocess.Popen(second, stdin=one.stdout, stdout=one.stdin, env=env)
    one.stdin.close()
    one.stdout.close()
    return [other, one]


class Tool:
    """`up` and `down` begin to bring what is in a folder into another one, at the other end, and return the processes.
    What makes the target like the source where much is there already `updates`."""

    updates = False
    needs = ()

    def __init__(self, machine, agent):
        self.machine, self.agent = machine, agent
        self.ssh = [machine.ssh, machine.host]

    @classmethod
    def is_here(cls):
        return all(shutil.which(program) for program in cls.needs)

    def prepare(self, source, target):
        """Makes them alike without the link, as after a transfer by this tool before."""
        shutil.copytree(source, target, symlinks=True)

    def get_ready(self, source):
        """What is not measured."""

    def forget(self, target):
        """After each round, if what is there is not to be updated."""
        shutil.rmtree(target, ignore_errors=True)

    def end(self):
        """After the last."""


class Ferry(Tool):
    name, updates = "ferry", True
    # As in every connection of ferry's (src/ssh/target.cc).
    options = ("-o", "KexAlgorithms=^curve25519-sha256", "-o", "Ciphers=^aes128-gcm@openssh.com")

    def __init__(self, machine, agent):
        super().__init__(machine, agent)
        self.ssh = [machine.ssh, *self.options, machine.host]
        self.home = machine.root / "agent-home"  # of the end on this computer
        self.env = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache")}

    def ends(self, source, target):
        state = f"{target}.state"
        os.makedirs(state, exist_ok=True)
        self.home.mkdir(exist_ok=True)
        return (
            [self.agent, "send", str(source), "--hashes", f"{state}/hashes"],
            [self.agent, "receive", str(target), "--mirror", "--state", f"{state}/received"],
        )

    def up(self, source, target):
        send, receive = self.ends(source, target)
        return joined([*self.ssh, shlex.join(receive)], send, self.env)

    def down(self, source, target):
        send, receive = self.ends(source, target)
        return joined([*self.ssh, shlex.join(send)], receive, self.env)

    def prepare(self, source, target):
        send, receive = self.ends(source, target)
        there = ["env", f"HOME={self.machine.home}", *receive]
        if not finish(joined(there, send, self.env), 1200):
            raise Failed("ferry-agent did not send to ferry-agent within twenty minutes")

    def forget(self, target):
        super().forget(target)
        shutil.rmtree(f"{target}.state", ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self.machine.forget()


class Line(Tool):
    """No peer but a bound: what tar and zstd make of a folder, made before, by one ssh session into nothing. Nobody who
    goes by ssh, with as many bytes, is done sooner."""

    name, needs = "the same bytes by ssh alone", ("tar", "zstd")

    def __init__(self, machine, agent):
        super().__init__(machine, agent)
        self.ssh = [machine.ssh, *Ferry.options, machine.host]
        self.bytes = machine.root / "line.tar.zst"

    def get_ready(self, source):
        if not self.bytes.exists():
            subprocess.run(["tar", "-C", source, "-I", "zstd -T0 -3 -q", "-cf", self.bytes, "."], check=True)

    def up(self, source, target):
        with self.bytes.open("rb") as made:
            return [subprocess.Popen([*self.ssh, "cat > /dev/null"], stdin=made)]

    def down(self, source, target):
        return [subprocess.Popen([*self.ssh, f"cat {shlex.quote(str(self.bytes))}"], stdout=subprocess.DEVNULL)]

    def forget(self, target):
        """Kept for the next round."""

    def end(self):
        self.bytes.unlink(missing_ok=True)


class Rsync(Tool):
    name, updates, needs = "rsync -z", True, ("rsync",)

    def command(self, source, target):
        return [
            subprocess.Popen(["rsync", "-a", "--delete", "-z", "--zc=zstd", "-e", self.machine.ssh, source, target])
        ]

    def up(self, source, target):
        return self.command(f"{source}/", f"{self.machine.host}:{target}/")

    def down(self, source, target):
        return self.command(f"{self.machine.host}:{source}/", f"{target}/")


class Tar(Tool):
    name, needs = "tar, zstd, ssh", ("tar", "zstd", "bash")

    def start(self, pack, unpack):
        return [subprocess.Popen(["bash", "-o", "pipefail", "-c", f"{pack} | {unpack}"])]

    def up(self, source, target):
        unpack = f"mkdir -p {target} && zstd -dq | tar -C {target} -xf -"
        return self.start(f"tar -C {source} -cf - . | zstd -T0 -3 -q", shlex.join([*self.ssh, unpack]))

    def down(self, source, target):
        pack = f"tar -C {source} -cf - . | zstd -T0 -3 -q"
        return self.start(shlex.join([*self.ssh, pack]), f"(mkdir -p {target} && zstd -dq | tar -C {target} -xf -)")


class Rclone(Tool):
    name, updates, needs = "rclone sftp", True, ("rclone",)

    def command(self, source, target):
        return [
            subprocess.Popen(
                [*self.machine.link.near, "rclone", "sync", source, target],
                env={**os.environ, "RCLONE_CONFIG": "/dev/null", "HOME": str(self.machine.root)},
                stderr=subprocess.DEVNULL,
            )
        ]

    def there(self, folder):
        machine = self.machine
        options = f"host={machine.link.address},port={machine.port},user={machine.user},key_file={machine.root}/login"
        return f":sftp,{options},known_hosts_file={machine.root}/known_hosts:{folder}"

    def up(self, source, target):
        return self.command(str(source), self.there(target))

    def down(self, source, target):
        return self.command(self.there(source), str(target))


class Scp(Tool):
    name, needs = "scp -r", ("scp",)

    def command(self, source, target):
        return [subprocess.Popen(["scp", "-r", "-q", "-p", "-S", self.machine.ssh, source, target])]

    def up(self, source, target):
        return self.command(str(source), f"{self.machine.host}:{target}")

    def down(self, source, target):
        return self.command(f"{self.machine.host}:{source}", str(target))


PEERS = (Tar, Rsync, Rclone, Scp)
