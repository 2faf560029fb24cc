#!/usr/bin/env python3
"""The command line: mistakes, help, completion."""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time

from lib import FERRY, Home, main


def test_mistakes_exit_with_2_and_name_the_cure():
    with Home() as home:
        done = home.ferry("rnu")
        assert done.returncode == 2 and "'rnu'" in done.err and "ferry run" in done.err, done.err
        done = home.ferry("run", "--no-such-option")
        assert done.returncode == 2 and "--no-such-option" in done.err and "ferry run --help" in done.err, done.err
        for wrong, right in (("--gpu", "--gpus"), ("--spto", "--spot"), ("--max-duratoin=2h", "--max-duration")):
            done = home.ferry("run", wrong, "--", "true")
            assert done.returncode == 2 and f"try:  {right} " in done.err, done.err


def test_what_is_wrong_about_a_flag_is_told_before_anything_is_done():
    with Home() as home:
        for words, said in (
            (["--ssh-from", "0.0.0.0/0"], "--ssh-from: '0.0.0.0/0' lets anybody knock"),
            (["--ssh-from", "300.1.1.1/24"], "--ssh-from: '300.1.1.1/24' is not an IPv4"),
            (["-e", "1X=2"], "--env: '1X' cannot be a variable's name"),
            (["--secret", "NOPE"], "export NOPE="),
        ):
            done = home.ferry("run", *words, "--", "true")
            assert done.returncode == (125 if words[-1] == "NOPE" else 2) and said in done.err, done.err


def test_what_would_fail_on_a_rented_machine_is_told_before_renting():
    with Home() as home:
        for environment, said in (
            ("uv", "environment: uv has nothing to be made from"),
            ("conda", "has no conda-lock.yml, no environment.yml"),
            ("{kind: conda, file: env.yml}", "does not exist: env.yml"),
        ):
            home.file("task.yaml", f"run: echo hi\nresources: {{infra: rehearsal}}\nenvironment: {environment}\n")
            done = home.ferry("run", "task.yaml")
            assert done.returncode == 125 and said in done.err and not home.runs("--all"), done.err
        home.file("big.yaml", "# " + "x" * 8_000_000)
        done = home.ferry("plan", "big.yaml")
        assert (
            done.returncode == 125
            and "big.yaml:1:1: the file is too large" in done.err
            and "may have 1 MiB" in done.err
        ), done.err


def test_help_is_there_for_every_command():
    with Home() as home:
        commands = [
            line.split()[0]
            for line in home.good("--help").out.split("Subcommands:")[1].splitlines()
            if line.startswith("  ")
        ]
        assert {"run", "plan", "ps", "logs", "fetch", "ssh", "cancel", "down", "rehearsal", "completion"} <= set(
            commands
        )
        for command in commands:
            assert "Usage:" in home.good(command, "--help").out


def test_options_that_repeat_do_not_swallow_the_task():
    with Home() as home:
        home.file("task.yaml", "run: 'true'\nresources: {infra: rehearsal}\n")
        done = home.good("plan", "-e", "A=1", "-o", "x", "task.yaml")
        assert "t3.medium" in done.out, done.out


def test_a_secret_is_never_a_word_of_the_command_line():
    with Home() as home:
        done = home.ferry("run", "--secret", "TOKEN=abc", "--", "true")
        assert done.returncode == 2 and "abc" not in done.err and "--secret NAME" in done.err, done.err


def test_bash_completes_commands_and_options():
    with Home() as home:
        script = (
            f'source <("{FERRY}" completion bash); COMP_WORDS=(ferry run --det); COMP_CWORD=2; _ferry; '
            'echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", script], env=home.env, capture_output=True, text=True)
        assert done.stdout.strip() == "--detach", done


def test_folders_may_be_called_anything():
    for data, temporary in (("it's a \"p%h\" folder", "t" * 100), ("100% #mine", "a b")):
        with Home() as home:
            (home.root / temporary).mkdir()
            (home.root / data).mkdir()
            home.env.update(XDG_DATA_HOME=str(home.root / data), TMPDIR=str(home.root / temporary))
            home.good("run", "--keep", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo far > outputs/a")
            run = home.newest()["run"]
            assert (home.work / "runs" / run / "outputs/a").read_text() == "far\n"
            assert home.good("ssh", run, "--", "echo", "hello").out == "hello\n"
            home.good("down", "--all")
            assert not list((home.root / temporary).iterdir()), "something was left among the temporary files"


def on_a_terminal(home, *args):
    """What a person's terminal is sent; the exit code."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [FERRY, *args],
        cwd=home.work,
        env={**home.env, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 65536):
            sent += part
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    return sent, done.wait(timeout=60)


def test_a_training_cannot_steer_the_terminal_that_shows_it():
    evil = [
        b"\x1b]0;title\x07",
        b"\x1b]52;c;ZXZpbA==\x1b\\",
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1b[?1049h",
        b"\x1b[?1000h",
        b"\x1b[?25l",
        b"\x1bP$q\x1b\\",
        b"\x1b_x\x1b\\",
        b"\x1b[2J",
        b"\x1bc",
        b"\x9b6n",
        b"\xc2\x9b6n",
        b"\xe2\x80\xae",
    ]
    fine = b"\x1b[31mred \r 50%|\xe2\x96\x88  |\x1b[K up\n"
    with Home() as home:
        home.file(
            "say.py",
            f"import os, time\nfor part in {evil + [fine]!r}:\n    os.write(1, part[:2])\n    time.sleep(0.02)\n"
            "    os.write(1, part[2:])\n",
        )
        sent, code = on_a_terminal(home, "run", "--infra", "rehearsal", "--", "python3", "say.py")
        assert code == 0, sent
        run = home.newest()
        for shown in (sent, on_a_terminal(home, "logs", run["run"])[0]):
            for part in evil:
                assert part not in shown, (part, shown)
            assert b"\x1b]" not in shown and b"\x1b[?" not in shown and b"\x1b[31mred" in shown, shown
            assert b"\x1b[31m" not in shown[shown.rindex(b"\x1b[0m") :], ("the colour stays", shown)
        # Files and pipes get every byte.
        said = b"".join(evil) + fine
        assert subprocess.run([FERRY, "logs", run["run"]], env=home.env, capture_output=True).stdout == said
        assert (home.home_of(run) / "train.log").read_bytes() == said


def test_unknown_runs_are_told():
    with Home() as home:
        for command in ("logs", "fetch", "cancel", "down", "ssh"):
            done = home.ferry(command, "nothing-xyz")
            assert done.returncode == 125 and "nothing-xyz" in done.err, (command, done.err)


def test_words_of_other_tools_do_what_they_mean_here_or_say_the_line():
    with Home() as home:
        home.good("run", "--infra", "rehearsal", "--keep", "-n", "ours", "--", "true")
        run = home.newest()["run"]
        done = home.good("ls")
        assert run in done.out and "'ls' is here: ferry ps" in done.err and "ferry ps" not in done.out, (
            done.out,
            done.err,
        )
        assert home.good("attach", run).returncode == 0
        for typed, line in (
            (["exec", "-it", run, "nvidia-smi"], f"ferry ssh {run} -- nvidia-smi"),
            (["cp", f"{run}:/x", "."], f"ferry fetch {run}"),
            (["python", "train.py"], "ferry run -- python train.py"),
            (["login"], "aws configure"),
        ):
            done = home.ferry(*typed)
            assert done.returncode == 2 and f"try:  {line}" in done.err, done.err
        done = home.ferry("blorb")
        assert (
            done.returncode == 2 and "try:  ferry --help" in done.err and "why:  ferry has run, " in done.err
        ), done.err
        (home.work / "train.py").write_text("print('trained')\n")
        for typed, answer in (
            (["train.py"], "ferry run train.py"),
            (["run", "--num-nodes", "2", "train.py"], "ferry run --gpus H100:8"),
            (["run", "--frobnicate"], "ferry run has no option --frobnicate"),
            (["info", "--frobnicate"], "ferry show has no option --frobnicate"),
            (["check", "train.py"], "ferry plan train.py"),
            (["plan", "train.py", "--", "--epochs", "3"], ""),
            (["run", "--infra", "rehearsal", "--", "--epochs", "3"], "begins none"),
        ):
            done = home.ferry(*typed)
            assert done.returncode == (2 if answer else 0) and answer in done.err, (typed, done.err)
        done = home.ferry(
            "docker", "run", "--rm", "-it", "--local", "--gpu", "T4:1", "--name", "boxed", "train.py", "--gpu", "3"
        )
        assert (
            "! --gpu is here: --gpus T4:1" in done.err
            and "-- python3 train.py --gpu 3" in done.err
            and "trained" in done.out
        ), (done.out, done.err)
        assert "--ferry" not in done.err and home.ferry("ssh", run, "echo", "here").out.strip() == "here"
        done = home.good("terminate", run)  # nobody is there to be asked
        assert "ferry down" in done.err and "nothing left running" in done.out, (done.out, done.err)
        home.nothing_left()


def answered(home, answer, *args, width=80):
    """What a person at a terminal so wide sees who answers each question with this; the exit code."""
    child, ours = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.chdir(home.work)
        os.execve(FERRY, [FERRY, *args], {**home.env, "TERM": "xterm"})
    os.write(ours, answer)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    return seen.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_word_that_ends_a_run_asks_at_a_terminal():
    with Home() as home:
        home.good("run", "--infra", "rehearsal", "-d", "-n", "ours", "--", "sleep", "600")
        run = home.newest()["run"]
        seen, code = answered(home, b"n\n", "kill", run)
        assert code == 1 and f"ferry cancel {run}? [y/N]" in seen and "nothing was done" in seen, seen
        assert home.runs() and home.newest()["outcome"] is None, home.newest()
        seen, code = answered(home, b"y\n", "kill", run)
        assert code == 0 and home.newest()["outcome"] == "cancelled", seen


def test_wait_exits_with_the_runs_own_code_and_show_tells_all_about_it():
    with Home() as home:
        home.good(
            "run",
            "--infra",
            "rehearsal",
            "-d",
            "-n",
            "good",
            "--",
            "sh",
            "-c",
            "sleep 1; mkdir outputs; echo 1 > outputs/a; seq 100",
        )
        home.good("run", "--infra", "rehearsal", "-d", "-n", "bad", "--", "sh", "-c", "sleep 1; exit 7")
        bad, good = home.good("ps", "-q", "--last", "2").out.split()
        assert good.startswith("good") and bad.startswith("bad"), (good, bad)
        done = home.ferry("wait", good, bad)
        assert done.returncode == 7 and f"{good} succeeded" in done.out and f"{bad} failed (exit 7)" in done.out, (
            done.out,
            done.err,
        )
        assert home.ferry("wait", good).returncode == 0 and home.ferry("wait", "nothing").returncode == 125
        assert home.good("ps", "-q").out == "" and home.good("ps", "-q", "-n", "1").out.split() == [bad]
        said = home.good("show", good).out
        for part in ("outcome   succeeded (exit 0)", "seq 100", "outputs/a  2 B", "outputs are home"):
            assert part in said, said
        told = json.loads(home.good("show", bad, "--json").out)
        assert told["exit_code"] == 7 and told["outcome"] == "failed" and told["command"].endswith("exit 7'"), told
        assert home.good("logs", good, "--tail", "2").out == "99\n100\n"
        assert home.good("logs", good, "-f", "-n", "1").out == "100\n"


def test_wait_hears_ctrl_c_and_the_run_goes_on():
    with Home() as home:
        home.good("run", "--infra", "rehearsal", "-d", "--", "sleep", "600")
        run = home.newest()["run"]
        waiting = home.start("wait", run)
        time.sleep(1)
        waiting.send_signal(signal.SIGINT)
        said = waiting.communicate(timeout=60)[1].decode()
        assert waiting.returncode == 130 and f"stopped waiting; {run} goes on" in said, said
        assert home.runs() and home.alive()


def test_a_task_may_come_from_standard_input_and_variables_from_a_file():
    with Home() as home:
        home.file(".env", "# mine\nexport A=1\nB='two words'\n\nC\nD=file\n")
        task = "resources: {infra: rehearsal}\nrun: echo [$A][$B][$C][$D]\n"
        done = subprocess.run(
            [FERRY, "run", "-", "--rm", "-it", "--timeout", "1h", "--env-file", ".env", "-e", "D=flag"],
            cwd=home.work,
            env={**home.env, "C": "3", "FERRY_YES": "1"},
            input=task,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 and "[1][two words][3][flag]" in done.stdout, (done.stdout, done.stderr)
        assert "! --rm: nothing to do here" in done.stderr and "! -it: nothing to do here" in done.stderr, done.stderr
        done = home.ferry("run", "--env-file", ".env", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "no value for the variable C" in done.err, done.err
        home.file("wrong.env", "fine=1\n1X=2\n")
        done = home.ferry("run", "--env-file", "wrong.env", "--", "true")
        assert done.returncode == 2 and "wrong.env:2: '1X' cannot be a variable's name" in done.err, done.err


def test_help_answers_about_commands_and_exit_codes():
    with Home() as home:
        assert "124" in home.good("help", "exit-codes").out and "Usage:" in home.good("help", "run").out
        assert "Subcommands:" in home.good("help").out and home.good("version").out.startswith("ferry ")
        done = home.ferry("help", "everything")
        assert done.returncode == 2 and "ferry help exit-codes" in done.err, done.err


def test_a_script_a_notebook_or_a_command_without_dashes_is_run_and_the_whole_line_is_said():
    with Home() as home:
        home.file("model.py", "import sys\nprint('model', sys.argv[1:])\n")
        done = home.good("run", "model.py", "--epochs", "3", "--infra", "rehearsal")
        assert (
            done.out == "model ['--epochs', '3']\n"
            and "ferry run --infra rehearsal -- python3 model.py --epochs 3" in done.err
        ), done
        # The only script of a folder without a task file, and a program's name.
        done = home.good("run", "--infra", "rehearsal")
        assert done.out == "model []\n" and "no task file: model.py is run" in done.err, done
        done = home.good("plan", "python", "model.py", "--region", "x")
        assert "ferry plan -- python model.py --region x" in done.err, done.err
        home.file("train.ipynb", json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        done = home.ferry("run", "--infra", "rehearsal", "nothing.ipynb")
        assert done.returncode == 2 and "no such task file" in done.err, done.err
        done = home.good("plan", "train.ipynb")
        assert "comes home as outputs/train.ipynb" in done.err, done.err


if __name__ == "__main__":
    main(globals())
