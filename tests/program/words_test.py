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
        for wrong, right in (("--gpu", "--gpus"), ("--spto", "--spot"), ("--max-duratoin=2h", "--max-duration")):
            done = home.ferry("run", wrong, "--", "true")
            assert done.returncode == 2 and f"try:  {right} " in done.err, done.err


def test_what_is_wrong_about_a_flag_is_told_before_anything_is_done():
    with Home() as home:
        for words, said in ((["--ssh-from", "0.0.0.0/0"], "--ssh-from: '0.0.0.0/0' lets anybody knock"),
                            (["--ssh-from", "300.1.1.1/24"], "--ssh-from: '300.1.1.1/24' is not an IPv4"),
                            (["-e", "1X=2"], "--env: '1X' cannot be a variable's name"),
                            (["--secret", "NOPE"], "export NOPE=")):
            done = home.ferry("run", *words, "--", "true")
            assert done.returncode == 125 and said in done.err, done.err


def test_what_would_fail_on_a_rented_machine_is_told_before_renting():
    with Home() as home:
        for environment, said in (("uv", "environment: uv has nothing to be made from"), ("conda", "has no conda-lock.yml, no environment.yml"),
                                  ("{kind: conda, file: env.yml}", "does not exist: env.yml")):
            home.file("task.yaml", f"run: echo hi\nresources: {{infra: rehearsal}}\nenvironment: {environment}\n")
            done = home.ferry("run", "task.yaml")
            assert done.returncode == 125 and said in done.err and not home.runs("--all"), done.err
        home.file("big.yaml", "# " + "x" * 8_000_000)
        done = home.ferry("plan", "big.yaml")
        assert done.returncode == 125 and "big.yaml:1:1: the file is too large" in done.err and "may have 1 MiB" in done.err, done.err


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
