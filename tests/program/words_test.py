#!/usr/bin/env python3
"""The command line: mistakes, help, completion."""
import subprocess

from lib import FERRY, Home, main


def test_mistakes_exit_with_2_and_name_the_cure():
    with Home() as home:
        done = home.ferry("rnu")
        assert done.returncode == 2 and "'rnu'" in done.err and "ferry run" in done.err, done.err
        done = home.ferry("run", "--no-such-option")
        assert done.returncode == 2 and "--no-such-option" in done.err and "ferry run --help" in done.err, done.err


def test_help_is_there_for_every_command():
    with Home() as home:
        commands = [line.split()[0] for line in home.good("--help").out.split("Subcommands:")[1].splitlines() if line.startswith("  ")]
        assert {"run", "plan", "ps", "logs", "fetch", "ssh", "cancel", "down", "rehearsal", "completion"} <= set(commands)
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
        assert done.returncode == 125 and "abc" not in done.err and "--secret NAME" in done.err, done.err


def test_bash_completes_commands_and_options():
    with Home() as home:
        script = f'source <("{FERRY}" completion bash); COMP_WORDS=(ferry run --det); COMP_CWORD=2; _ferry; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", script], env=home.env, capture_output=True, text=True)
        assert done.stdout.strip() == "--detach", done


def test_unknown_runs_are_told():
    with Home() as home:
        for command in ("logs", "fetch", "cancel", "down", "ssh"):
            done = home.ferry(command, "nothing-xyz")
            assert done.returncode == 125 and "nothing-xyz" in done.err, (command, done.err)


if __name__ == "__main__":
    main(globals())
