#!/usr/bin/env python3
"""environment: docker, in real containers (podman plays docker) on a machine of one's own (a real sshd, without a
port)."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from lib import Home, main

RUN = pathlib.Path(__file__).resolve().parents[2] / "src/job"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STORE = pathlib.Path(tempfile.gettempdir()) / f"ft-podman.{os.getpid()}"  # images and containers of this process

# docker, as far as podman without cgroups and user managers can play it; it notes its own command lines.
DOCKER = f"""#!/bin/bash
p=(podman --storage-driver vfs --cgroup-manager cgroupfs --runtime runc --root {STORE}/root --runroot {STORE}/runroot)
printf '%s\\n' "$*" >>{STORE}/words
command=$1; shift
case $command in
  run) exec "${{p[@]}}" run --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 "$@" ;;
  build) exec "${{p[@]}}" build --isolation chroot --ulimit nofile=1024:1024 "$@" ;;
  pull) echo "Trying to pull $1..." >&2; echo "Error: no registry has $1" >&2; exit 125 ;;
  *) exec "${{p[@]}}" "$command" "$@" ;;
esac
"""


def docker(*words, **more):
    return subprocess.run([STORE / "bin/docker", *words], capture_output=True, text=True, **more)


def libraries(program):
    for line in subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines():
        for word in line.split():
            if word.startswith("/"):
                yield word


def make_images():
    """tiny has busybox alone; python has bash and this computer's python, too."""
    programs = STORE / "bin"
    programs.mkdir(parents=True)
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    tree = STORE / "tree"
    for folder in ("bin", "tmp", "etc", "root", "lib64", "usr/bin"):
        (tree / folder).mkdir(parents=True)
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
    for name in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not (tree / "bin" / name).exists():
            (tree / "bin" / name).symlink_to("busybox")

    def add(name):
        tar = subprocess.run(["tar", "-C", tree, "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([programs / "docker", "import", "-", name], input=tar, capture_output=True, check=True)

    add("tiny")
    python = os.path.realpath("/usr/bin/python3")
    for program in ("/bin/bash", python):
        for file in [program, *libraries(program)]:
            (tree / file[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / file[1:]).unlink(missing_ok=True)
            shutil.copy(file, tree / file[1:])
    (tree / "usr/bin/python3").symlink_to(python)
    library = "usr/lib/" + os.path.basename(python)
    shutil.copytree(
        "/" + library,
        tree / library,
        dirs_exist_ok=True,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            "test", "__pycache__", "config-*", "idlelib", "lib2to3", "ensurepip", "pydoc_data", "tkinter", "lib-dynload"
        ),
    )
    add("python")
    shutil.rmtree(tree)


def own_machine(home, path=f"{STORE}/bin:{PATH}"):
    """Makes `ssh box` work: this computer itself, with another home and PATH."""
    folder = home.root / "sshd"
    folder.mkdir()
    (home.root / "box").mkdir()
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/mine.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        f"PidFile none\nSetEnv HOME={home.root}/box PATH={path}\nMaxSessions 50\n"
    )
    (folder / "known").write_text("box " + (folder / "host.pub").read_text())
    (folder / "ssh_config").write_text(
        f"Host box\n User root\n IdentityFile {folder}/mine\n IdentitiesOnly yes\n UserKnownHostsFile {folder}/known\n"
        f" ProxyCommand /usr/sbin/sshd -i -f {folder}/config 2>>{folder}/log\n"
    )
    programs = home.root / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    home.env["PATH"] = f"{programs}:{home.env['PATH']}"
    return home.root / "box"


def containers(*flags):
    return docker("ps", *flags, "--format", "{{.Names}}").stdout.split()


def gone(home, run, *flags):
    home.wait_for("the container's end", lambda: "ferry-" + run["run"] not in containers(*(flags or ["-a"])), 20)


def test_setup_and_run_share_a_container_that_ends_with_the_run():
    with Home() as home:
        box = own_machine(home)
        home.file(
            "task.yaml",
            f"""
name: contained
resources: {{infra: ssh/box, image_id: 'docker:python'}}
envs: {{GREETING: "two\\nlines"}}
secrets: {{TOKEN: null}}
setup: |
  echo installed > /opt-installed
  echo "setup on $(python3 -c 'print(6*7)')"
run: |
  cat /opt-installed
  echo "$GREETING" >&2
  echo "secret of ${{#TOKEN}}, pid $$, home $HOME, at $PWD, input $(cat | wc -c)"
  [ -e {home.root}/sshd ] && echo leaked
  mkdir -p outputs && echo "$FERRY_RUN" >outputs/name
  echo much >"$FERRY_SCRATCH/file" && chmod 600 outputs/name
  exit 7
""",
        )
        done = home.ferry("run", "task.yaml", "--secret", "TOKEN", env={"TOKEN": "hush-hush-hush"})
        run = home.newest()
        assert done.returncode == 7, done.err
        lines = done.out.splitlines()
        assert lines[0] == "setup on 42" and lines[1] == "installed", done.out
        assert lines[2].startswith("secret of 14, pid ") and lines[2].endswith(
            "home /root, at " + str(box / ".ferry/work" / run["run"]) + ", input 0"
        ), done.out
        assert len(lines) == 3 and "two\nlines\n" in done.err, (done.out, done.err)
        assert "python 3." in done.err and "python as pulled before" in done.err, done.err
        assert (home.home_of(run) / "outputs/name").read_text() == run["run"] + "\n"
        assert "hush" not in (STORE / "words").read_text() and "-e TOKEN " in (STORE / "words").read_text()
        gone(home, run)
        assert run["run"] not in subprocess.run(["find", box], capture_output=True, text=True).stdout


def test_the_tasks_own_options_for_docker_are_used_and_what_would_hide_the_workdir_is_not():
    with Home() as home:
        box = own_machine(home)
        (box / "sets").mkdir()
        (box / "sets/rows").write_text("12\n")
        task = (
            "name: options\nresources: {infra: ssh/box, image_id: 'docker:tiny'}\nconfig:\n  docker:\n"
            "    run_options: %s\nrun: |\n"
            "  cat /sets/rows; echo $GREETING; df -k /dev/shm | tail -n 1; ulimit -n\n"
        )
        home.file(
            "task.yaml",
            task % "['-v ~/sets:/sets:ro', -it --shm-size=32m, '-e GREETING=\"two words\"', '--ulimit nofile=512:512']",
        )
        done = home.good("run", "task.yaml")
        lines = done.out.splitlines()
        assert (
            lines[0] == "12" and lines[1] == "two words" and lines[2].split()[1] == "32768" and lines[3] == "512"
        ), done.out
        words = [line for line in (STORE / "words").read_text().splitlines() if line.startswith("run -d ")][-1]
        assert "--network host" in words and "--ipc" not in words and "--tty" not in words, words
        gone(home, home.newest())
        place = box / ".ferry"
        home.file("task.yaml", task % f"-v /tmp:{place}")
        done = home.ferry("run", "task.yaml")
        assert done.returncode == 125 and "would cover " in done.err and "mount it elsewhere" in done.err, done.err
        before = len(home.runs("--all"))
        home.file("task.yaml", task % "--gpus all --name mine")
        done = home.ferry("run", "task.yaml")
        assert done.returncode == 125 and "task.yaml:5:18: run_options: --name cannot be had" in done.err, done.err
        assert len(home.runs("--all")) == before


def test_an_image_without_bash_or_python_trains_with_sh_and_long_scripts_are_no_matter():
    with Home() as home:
        own_machine(home)
        home.file(
            "task.yaml",
            "name: small\nresources: {infra: ssh/box}\nenvironment: {kind: docker, name: tiny}\n"
            "run: |\n  : '" + "long " * 60000 + "'\n  mkdir outputs; echo small > outputs/a; echo trained\n",
        )
        done = home.good("run", "task.yaml")
        assert done.out == "trained\n" and "tiny as pulled before" in done.err, done.err
        gone(home, home.newest())


def test_a_dockerfile_is_built_with_the_workdir_and_not_built_again():
    with Home() as home:
        own_machine(home)
        home.file("Dockerfile", "FROM tiny\nCOPY words /words\nRUN echo built >> /words\nENTRYPOINT [\"/bin/false\"]\n")
        home.file("words", "from the workdir\n")
        home.file(
            "task.yaml",
            "name: built\nresources: {infra: ssh/box}\nenvironment: docker\nrun: mkdir outputs; cp /words outputs/; "
            "cat /words\n",
        )
        done = home.good("run", "task.yaml")
        assert done.out == "from the workdir\nbuilt\n" and "Dockerfile built" in done.err, done.err
        images = docker("images", "-aq").stdout
        gone(home, home.newest())
        home.good("run", "task.yaml")
        assert docker("images", "-aq").stdout == images, "the layers were not found again"


def test_cancelling_reaches_the_training_which_saves_and_chooses_its_exit_code():
    with Home() as home:
        own_machine(home)
        home.file(
            "train.sh",
            "trap 'echo saving; mkdir -p outputs; echo saved >outputs/model; exit 3' TERM\necho up\n"
            "while :; do sleep 0.1; done\n",
        )
        home.file(
            "task.yaml", "name: saves\nresources: {infra: ssh/box, image_id: 'docker:python'}\nrun: bash train.sh\n"
        )
        home.good("run", "-d", "task.yaml")
        run = home.runs()[0]
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        began = time.time()
        home.good("cancel", run["run"])
        run = home.newest()
        assert (
            (home.home_of(run) / "outputs/model").read_text() == "saved\n"
            and run["outcome"] == "cancelled"
            and run["exit_code"] == 3
        ), run
        assert home.good("logs", run["run"]).out == "up\nsaving\n" and time.time() - began < 20
        gone(home, run)


def test_before_its_limit_the_training_is_asked_to_save_and_reads_why():
    with Home() as home:
        own_machine(home)
        home.file(
            "task.yaml",
            "name: cut\nresources: {infra: ssh/box, image_id: 'docker:python'}\nmax_duration: 30s\nrun: |\n"
            "  mkdir outputs; trap 'cat \"$FERRY_NOTICE\" >outputs/notice.json; exit 0' TERM\n"
            "  echo up; while :; do sleep 0.1; done\n",
        )
        done = home.ferry("run", "task.yaml")
        run = home.newest()
        assert done.returncode == 124, done.err
        told = json.loads((home.home_of(run) / "outputs/notice.json").read_text())
        assert told["kind"] == "limit" and told["reason"] == "max_duration" and 1 <= told["seconds_left"] <= 3, told
        gone(home, run)


def test_behind_a_pipe_the_training_is_told_to_end_before_who_reads_it():
    with Home() as home:
        own_machine(home)
        # The handler writes to the pipe before it saves: with the reader gone it would end there.
        home.file(
            "train.sh",
            "trap 'for i in 1 2 3 4 5; do echo saving $i || exit 9; sleep 0.2; done; mkdir -p outputs; "
            "echo saved >outputs/model; exit 0' TERM\n"
            "trap '' PIPE\necho up\nwhile :; do sleep 0.1; done\n",
        )
        for image, shell in (("python", "bash"), ("tiny", "sh")):
            home.file(
                "task.yaml",
                f"name: piped\nresources: {{infra: ssh/box, image_id: 'docker:{image}'}}\n"
                f"run: {shell} train.sh 2>&1 | tee log | cat\n",
            )
            home.good("run", "-d", "task.yaml")
            run = home.runs()[0]
            home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
            home.ferry("cancel", run["run"])
            run = home.newest()
            assert (home.home_of(run) / "outputs/model").read_text() == "saved\n", (
                image,
                run,
                home.good("logs", run["run"]).out,
            )
            assert "saving 5\n" in home.good("logs", run["run"]).out, image
            gone(home, run)


def test_a_saver_in_the_background_is_waited_for_while_it_writes_and_what_idles_is_named():
    with Home() as home:
        own_machine(home)
        for image in ("python", "tiny"):
            home.file(
                "task.yaml",
                f"name: later\nresources: {{infra: ssh/box, image_id: 'docker:{image}'}}\n"
                "setup: (sleep 4322 >/dev/null 2>&1 &)\nrun: |\n"
                "  mkdir outputs\n  (for i in 1 2 3 4 5 6 7; do echo $i; sleep 1; done >outputs/part; "
                "mv outputs/part outputs/model) >/dev/null 2>&1 &\n"
                "  sleep 4321 >/dev/null 2>&1 &\n  echo end\n",
            )
            done = home.good("run", "task.yaml")
            run = home.newest()
            assert (home.home_of(run) / "outputs/model").read_text() == "1\n2\n3\n4\n5\n6\n7\n", done.err
            assert "ferry: stopped what still ran in the background: sleep 4321\n" in done.err, done.err
            gone(home, run)


def test_a_training_that_will_not_end_is_killed_with_all_that_it_started():
    with Home() as home:
        own_machine(home)
        home.file(
            "task.yaml",
            "name: stubborn\nresources: {infra: ssh/box, image_id: 'docker:tiny'}\n"
            "run: |\n  trap '' TERM\n  setsid sleep 4321.5 &\n  echo up\n  while :; do sleep 0.1; done\n",
        )
        home.good("run", "-d", "task.yaml")
        run = home.runs()[0]
        home.wait_for("the first line", lambda: home.good("logs", run["run"]).out == "up\n")
        home.good("down", "--no-fetch", run["run"])
        gone(home, run, "--filter", "status=running")  # podman without a daemon keeps the name when its exec was killed
        home.wait_for(
            "the end of all of it",
            lambda: "4321.5" not in subprocess.run(["ps", "axww", "-o", "cmd"], capture_output=True, text=True).stdout,
            20,
        )


def test_what_cannot_be_had_is_told_before_anything_starts_and_with_its_cure():
    with Home() as home:
        own_machine(home)

        def refused(environment, *words):
            home.file(
                "task.yaml",
                f"name: no\nresources: {{infra: ssh/box}}\nenvironment: {environment}\nrun: python train.py\n",
            )
            home.file("train.py", "import unheard_of\n")
            done = home.ferry("run", "task.yaml")
            assert done.returncode == 125 and all(word in done.err for word in words), done.err
            assert "unheard_of" not in done.err, done.err

        refused("docker", "needs an image or a Dockerfile")
        assert home.runs("--all") == []
        home.file("Dockerfile", "FROM tiny\n")
        home.file(".ferryignore", "Dockerfile\n")
        refused("docker", "would not be sent", "!/Dockerfile")
        refused("{kind: docker, file: Dockerfil}", "does not exist")
        assert home.runs("--all") == []
        refused("{kind: docker, name: nobody/has-this}", "cannot be pulled", "docker login")
        assert all(run["phase"] == "released" for run in home.runs("--all"))


def test_a_machine_without_docker_says_how_to_get_it():
    with Home() as home, tempfile.TemporaryDirectory(prefix="ft.") as programs:
        for place in PATH.split(":"):
            for program in pathlib.Path(place).iterdir() if os.path.isdir(place) else ():
                target = pathlib.Path(programs) / program.name
                if program.name not in ("docker", "podman") and not target.is_symlink():
                    target.symlink_to(program)
        own_machine(home, programs)
        home.file(
            "task.yaml",
            "name: none\nresources: {infra: ssh/box}\nenvironment: {kind: docker, name: tiny}\nrun: 'true'\n",
        )
        done = home.ferry("run", "task.yaml")
        assert done.returncode == 125 and "there is no docker on this machine: install it" in done.err, done.err


@contextlib.contextmanager
def workdir(owner, path=f"{STORE}/bin:{PATH}"):
    """A workdir that is OWNER's, prepared by the scripts as on a machine; gives a function that runs text in the
    container."""
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o755)
        work, activate = folder / "work", folder / f"{folder.name}-env.sh"
        work.mkdir()
        os.chown(work, owner, owner)
        (folder / "volume").mkdir()
        (folder / "volume/kept").write_text("42\n")
        (folder / f"{folder.name}-volumes").write_text(f"{folder}/volume\n")  # as src/job/volumes.sh leaves it
        env = {"HOME": name, "PATH": path, "TOKEN": "hush", "STORE": str(STORE)}
        scripts = "".join((RUN / f"{one}.sh").read_text() for one in ("scratch", "container", "environment"))
        done = subprocess.run(
            ["bash", "-s", "docker", "python", "", activate, "0", "TOKEN"],
            input=scripts,
            cwd=work,
            env=env,
            capture_output=True,
            text=True,
        )
        try:
            assert done.returncode == 0 and '"python": "3.' in done.stdout, done

            def inside(text, last="", wait=True):
                words = ["bash", "-c", f'. "{activate}"\nferry_inside "$1" {last}', "bash", text]
                if not wait:
                    return subprocess.Popen(words, cwd=work, env=env, stdin=subprocess.DEVNULL)
                return subprocess.run(
                    words, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
                )

            yield work, inside
        finally:
            docker("rm", "-f", "ferry-" + folder.name)


def test_files_that_root_wrote_in_the_container_belong_to_the_workdirs_owner():
    with workdir(65534) as (work, inside):
        done = inside("mkdir -p outputs/deep && echo model >outputs/deep/model && id -u")
        assert done.stdout == "0\n", done
        assert {one.stat().st_uid for one in work.rglob("*")} == {65534}
        assert inside("exit 9").returncode == 9 and inside("kill -KILL $$").returncode == 137


def test_volumes_that_the_machine_has_mounted_are_seen_and_written_in_the_container():
    with workdir(65534) as (work, inside):
        volume = work.parent / "volume"
        assert inside(f"cat {volume}/kept && echo more >{volume}/written").stdout == "42\n"
        assert (volume / "written").read_text() == "more\n"


def test_when_whoever_watches_is_killed_nothing_goes_on_inside_and_the_files_are_the_owners():
    with workdir(65534) as (work, inside):
        shell = inside("(setsid sleep 888.5 &) ; echo half >model; exec sleep 889.5", wait=False)
        end = time.time() + 20
        while not (work / "model").exists() and time.time() < end:
            time.sleep(0.05)
        shell.kill()
        shell.wait()
        while (
            "88" in (left := docker("exec", "ferry-" + work.parent.name, "ps", "-o", "args").stdout)
            and time.time() < end
        ):
            time.sleep(0.1)
        assert "888.5" not in left and "889.5" not in left and "ferry-keeper" in left, left
        assert (work / "model").stat().st_uid == 65534


def test_a_login_user_that_docker_does_not_let_in_goes_by_sudo_and_secrets_with_it():
    """sudo is a stand-in that keeps only the variables it is told to keep; docker one that refuses everyone else."""
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        (pathlib.Path(name) / "sudo").write_text(
            """#!/bin/bash
[ "$1" = -n ] || exit 99
shift; keep=()
case $1 in --preserve-env=*)
  IFS=, read -ra names <<<"${1#*=}"
  for one in "${names[@]}"; do keep+=("$one=${!one}"); done
  shift ;;
esac
exec env -i PATH="$PATH" BY_SUDO=1 "${keep[@]}" "$@"
"""
        )
        (pathlib.Path(name) / "docker").write_text(
            f"#!/bin/sh\n[ -n \"$BY_SUDO\" ] || {{ echo 'permission denied while trying to connect' >&2; exit 1; }}\n"
            f"exec {STORE}/bin/docker \"$@\"\n"
        )
        for program in pathlib.Path(name).iterdir():
            program.chmod(0o755)
        with workdir(0, f"{name}:{PATH}") as (_, inside):
            assert inside("echo $TOKEN").stdout == "hush\n"


def test_background_services_of_setup_live_on_until_the_run_ends():
    with workdir(0) as (work, inside):
        done = inside("sleep 777.5 >/dev/null 2>&1 & echo started")
        assert done.stdout == "started\n" and done.returncode == 0, done
        assert "777.5" in inside("ps").stdout
        assert inside("true", "last").returncode == 0
        end = time.time() + 15
        while any(work.parent.name in one for one in containers("-a")) and time.time() < end:
            time.sleep(0.2)
        assert not any(work.parent.name in one for one in containers("-a"))


def skip(why):
    print(why)
    sys.exit(77)


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("needs root, for containers")
    for program in ("podman", "runc", "busybox", "/usr/sbin/sshd"):
        if not shutil.which(program):
            skip(
                f"{program} is not here, with which containers are made: "
                "apt-get install podman runc busybox-static openssh-server"
            )
    try:
        os.makedirs("/run/sshd", exist_ok=True)
        make_images()
        tried = docker("run", "--rm", "--network", "host", "tiny", "true")
        if tried.returncode != 0:
            skip("containers cannot be started here: " + " ".join(tried.stderr.split()))
        main(globals())
    finally:
        docker("rm", "-fa")
        shutil.rmtree(STORE, ignore_errors=True)
