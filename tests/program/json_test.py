#!/usr/bin/env python3
"""What every command answers with --json, whatever happens: nothing but JSON on standard output, as docs/schemas has
it."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("SKIP: jsonschema (python3-jsonschema) is not installed")
    sys.exit(77)

from lib import FERRY, Home, main

SCHEMAS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/schemas"
GOES_ON = ("run", "rehearse", "logs", "wait")
# Of each command the words with which it can do what it is asked for, in this order, with a kept run KEPT and one
# GOING. Some leave off: they have no answer for programs (completion), or are tried by themselves.
GOOD = {
    "ps": ["-a"],
    "show": ["KEPT"],
    "cost": ["--infra", "rehearsal"],
    "env": ["KEPT"],
    "plan": ["--gpus", "T4"],
    "gpus": ["T4"],
    "capacity": ["H100:8"],
    "capacity ls": [],
    "capacity buy": ["OFFER", "--price", "PRICE"],
    "check": [],
    "account": [],
    "quota": [],
    "policy": [],
    "images": [],
    "catalog": [],
    "catalog update": ["--region", "us-east-1"],
    "logs": ["KEPT"],
    "fetch": ["KEPT"],
    "ssh": ["KEPT"],
    "extend": ["GOING", "1h", "--yes"],
    "cancel": ["GOING"],
    "wait": ["GOING"],
    "down": ["KEPT"],
    "rehearsal start": [],
    "rehearsal status": [],
    "rehearsal env": [],
    "rehearsal fault": ["clear"],
    "help": ["ps"],
    "version": [],
    "orphans": [],
    "recover": [],
    "data push": ["FOLDER", "--store", "STORE"],
    "data ls": ["--store", "STORE"],
    "data rm": ["--yes", "sources", "--store", "STORE"],
    "store ls": ["--store", "STORE"],
    "store du": ["--store", "STORE"],
    "store gc": ["--store", "STORE"],
    "service": ["status"],
}
ELSEWHERE = (
    "run",
    "rehearse",
    "completion",
    "rehearsal",
    "quota request",
    "rehearsal stop",
    "rehearsal serve",
    "service install",
    "service uninstall",
    "service status",
    "store",
    "data",
    "store setup",
    "store rm",
    "interrupt",
)


def strict(schema):
    """Of every object that a schema describes, what it does not name is a mistake: the schemas allow what later
    versions add."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "type" in schema and schema["type"] == "object":
        out.setdefault("additionalProperties", False)
    return out


def load():
    """By the name that an answer has as its "schema"."""
    found = {}
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        name, version = path.stem.rsplit("-", 1)
        assert schema["title"] == f"{name}/{version}", path
        found[schema["title"]] = jsonschema.Draft202012Validator(strict(schema))
    return found


ALL = load()


def valid(answer):
    said = answer["schema"]
    best = jsonschema.exceptions.best_match(ALL[said].iter_errors(answer))
    assert best is None, f"{said}: {best.message} at {list(best.absolute_path)}\n{json.dumps(answer)[:3000]}"
    return answer


def answer_of(command, code, out, err):
    """The one object of `command`, or its result, once all of standard output was looked at."""
    lines = [valid(json.loads(line)) for line in out.splitlines()]
    assert lines, f"{command} said nothing; {err}"
    last = lines[-1]
    if command.split()[0] in GOES_ON:
        assert last["event"] == "result" and last["exit_code"] == code, (command, code, last)
        assert [one for one in lines if one["event"] == "result"] == [last], lines
        names = {one["run"] for one in lines} - {None}
        assert len(names) <= 1 or command.startswith("wait"), names
    else:
        assert len(lines) == 1, out
        assert last["schema"] == ("ferry.error/1" if code not in (0, 1) else f"ferry.{command.replace(' ', '.')}/1"), (
            command,
            code,
            last,
        )
        if code not in (0, 1):
            assert last["exit_code"] == code and last["error"]["message"] in err, (last, err)
    return last


def ask(home, command, *words, env=None):
    done = home.ferry(*command.split(), "--json", *words, env=env, timeout=120)
    answer = answer_of(command, done.returncode, done.out, done.err)
    return done.returncode, answer


def aws(home):
    return {key: value for key, value in json.loads(home.good("rehearsal", "env", "--json").out)["variables"].items()}


def commands(home):
    """Of the program's own option table."""
    text = home.good("completion", "fish").out
    top = re.findall(r"__fish_use_subcommand -a (\S+)", text)
    below = {
        "catalog": ["update"],
        "quota": ["request"],
        "capacity": ["ls", "buy"],
        "rehearsal": ["start", "status", "stop", "env", "fault", "serve"],
        "service": ["install", "uninstall", "status"],
        "store": ["setup", "ls", "du", "rm", "gc"],
        "data": ["push", "ls", "rm"],
    }
    script = home.good("completion", "bash").out
    for name, children in below.items():
        words = re.search(rf"^    {name}\) words=\"(.*)\";;", script, re.MULTILINE)[1].split()
        assert sorted(children) == sorted(word for word in words if not word.startswith("--")), words
    return top + [f"{name} {child}" for name, children in below.items() for child in children]


def test_every_command_answers_and_its_mistakes_too():
    with Home() as home:
        home.good(
            "run",
            "--keep",
            "-n",
            "kept",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            ("mkdir outputs; printf 'a\\377\\n'; echo b >outputs/b"),
        )
        kept = home.runs()[0]["run"]
        home.good("run", "-d", "-n", "going", "--infra", "rehearsal", "--", "sleep", "1000")
        going = home.runs()[0]["run"]
        (home.work / "sources").mkdir()
        (home.work / "sources/a").write_text("a")
        names = {"KEPT": kept, "GOING": going, "STORE": str(home.root / "store"), "FOLDER": "sources"}
        env = aws(home)
        assert set(commands(home)) - {"help"} == (set(GOOD) | set(ELSEWHERE)) - {"help", "version"}
        for command, words in GOOD.items():
            words = [names.get(word, word) for word in words]
            code, answer = ask(
                home,
                command,
                *words,
                env=env
                if command
                in ("check", "account", "quota", "images", "catalog update", "capacity", "capacity ls", "capacity buy")
                else None,
            )
            if command == "capacity":
                names |= {"OFFER": answer["offers"][0]["id"], "PRICE": str(answer["offers"][0]["fee_usd"])}
            assert code == (143 if command == "wait" else 0) or command == "check", (command, code, answer)
        outlook = ask(home, "plan", "--spot", "--gpus", "T4", "--infra", "rehearsal")[1]["spot_outlook"]
        assert outlook["offers"] and outlook["scores"], outlook
        assert ask(home, "wait", kept, going)[1]["run"] == going
        for compact in (home.good("--agent", "ps", "-a").out, home.good("ps", "-a", env={"CLAUDECODE": "1"}).out):
            assert [line.split("\t")[0] for line in compact.splitlines()] == ["RUN", going, kept], compact
        assert valid(json.loads(home.good("help", "exit-codes", "--json").out))["of_runs"][0]["code"] == "0"
        for command in [*GOOD, *ELSEWHERE]:
            if command == "completion":
                continue
            code, answer = ask(home, command, "--no-such-flag")
            assert code == 2 and answer["error"]["kind"] == "bad_input" and answer["error"]["code"] == "usage", (
                command,
                answer,
            )
        for words in (["frobnicate"], ["exec", "x"], []):
            done = home.ferry(*words, "--json")
            assert done.returncode == 2 and valid(json.loads(done.out))["exit_code"] == 2, done.out
        code, answer = ask(home, "quota request", "L-DB2E81BA", "100000", env=env)
        assert code == 0 and answer["vcpus"] == 100000, answer
        many = [
            json.loads(
                home.good(
                    "run", "-d", "--json", "-n", "many", "-l", "of=json", "--infra", "rehearsal", "--", "sleep", "1000"
                ).out.splitlines()[-1]
            )["run"]
            for _ in range(2)
        ]
        done = home.ferry("cancel", "--json", "--yes", *many)
        assert (
            done.returncode == 0
            and [one["outcome"] for one in valid(json.loads(done.out))["runs"]] == ["cancelled"] * 2
        ), done.out
        done = home.ferry("down", "--json", "--yes", *many, "nobody")
        assert done.returncode == 125 and valid(json.loads(done.out))["error"]["kind"] == "not_found", done.out
        done = home.ferry("down", "--json", "--yes", *many)
        assert done.returncode == 0 and [one["run"] for one in valid(json.loads(done.out))["runs"]] == many, done.out
        assert ask(home, "down", "--all")[1]["nothing_left"] is True
        assert ask(home, "rehearsal stop")[0] == 0


def test_what_agents_read_is_what_the_program_says_of_itself():
    with Home() as home:
        for what, file in (("llms", "llms.txt"), ("agents", "AGENTS.md")):
            assert (
                home.good("generate", what).out == (SCHEMAS.parent.parent / file).read_text()
            ), f"{file} is stale: build/ferry generate {what} >{file}"


def test_a_run_ends_with_its_result_and_leaves_the_same_in_a_file():
    with Home() as home:
        home.file("train.sh", "mkdir outputs; echo 7 >outputs/model; echo loss=0.5; exit 3\n")
        code, result = ask(
            home, "run", "--infra", "rehearsal", "-e", "EPOCHS=2", "-e", "API_TOKEN=t0p", "--", "sh", "train.sh"
        )
        assert (
            code == 3 and result["outcome"] == "failed" and result["error"] is None and result["cost"]["spent_usd"] > 0
        ), result
        record = valid(json.loads((pathlib.Path(result["outputs"]["home"]) / "run.json").read_text()))
        for key in ("run", "infra", "outcome", "exit_code", "outputs", "cost"):
            assert record[key] == result[key], (key, record[key], result[key])
        assert record["envs"] == {"EPOCHS": "2", "API_TOKEN": None} and record["arguments"] == [
            "sh",
            "train.sh",
        ], record
        code, result = ask(home, "rehearse", "--", "true")
        assert code == 0 and result["outcome"] == "succeeded", result
        home.good("rehearsal", "fault", "capacity")
        code, result = ask(home, "run", "--infra", "rehearsal", "--", "true")
        assert (
            code == 75
            and result["outcome"] == "not_started"
            and result["error"]["kind"] == "no_capacity"
            and result["error"]["retryable"]
        ), result
        assert ask(home, "wait", result["run"])[0] == 75


def test_what_goes_wrong_before_anything_is_rented_is_the_result_too():
    with Home() as home:
        home.file("bad.yaml", "name: [x\n")
        home.file("wrong.yaml", "resorces: {}\nrun: true\n")
        for words, kind in (
            (["bad.yaml"], "bad_input"),
            (["wrong.yaml"], "bad_input"),
            (["nowhere.yaml"], "not_found"),
            ([], "bad_input"),
            (["--infra", "aws", "--", "true"], "denied"),
            (["--infra", "rehearsal", "--", "python3", "gone.py"], "bad_input"),
            (["--infra", "ssh/nobody.invalid", "--", "true"], None),
        ):
            code, result = ask(home, "run", *words)
            assert code in (2, 75, 125) and result["outcome"] == "not_started" and result["error"], result
            assert kind in (None, result["error"]["kind"]), result
        for command in ("quota", "catalog update", "quota request L-DB2E81BA 8"):
            done = home.ferry(*command.split(), "--json")
            assert done.returncode == 125 and valid(json.loads(done.out))["error"]["kind"] == "denied", done.out
        code, answer = ask(home, "check")
        assert code == 1 and answer["good"] is False, answer
        # Nobody has written the task yet.
        ferry = subprocess.Popen(
            [FERRY, "run", "-", "--json"],
            cwd=home.work,
            env=home.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        home.wait_for("that it catches signals", lambda: catches(ferry.pid, signal.SIGINT))
        ferry.send_signal(signal.SIGINT)
        out, err = ferry.communicate(timeout=60)
        result = answer_of("run", ferry.returncode, out.decode(), err.decode())
        assert ferry.returncode == 130 and result["error"]["kind"] == "cancelled", result


def catches(pid, number):
    caught = re.search(r"^SigCgt:\s+(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]
    return int(caught, 16) >> (number - 1) & 1


def test_a_cloud_that_was_killed_is_told_in_json():
    with Home() as home:
        home.good("run", "--keep", "-n", "kept", "--infra", "rehearsal", "--", "true")
        kept, env = home.runs()[0]["run"], aws(home)
        pid = home.cloud()["pid"]
        os.kill(pid, signal.SIGKILL)
        home.wait_for(
            "its end",
            lambda: not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path((f"/proc/{pid}/stat")).read_text(),
        )
        for command, words in (
            (("rehearsal status"), []),
            ("quota", []),
            ("run", ["--yes", "--infra", "aws", "--", "true"]),
        ):
            code, answer = ask(home, command, *words, env=env)
            assert code == (125 if command == "rehearsal status" else 75) and answer["error"], (command, code, answer)
        assert ask(home, "check", env=env)[0] == 1
        assert ask(home, "ps")[0] == 0 and ask(home, "show", kept)[0] == 0


def test_a_run_that_was_left_behind_is_not_told_in_the_events_of_another():
    with Home() as home:
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "slow-boot", "ms=60000")
        left = home.start("run", "--infra", "rehearsal", "-n", "left", "--", "true")
        home.wait_for("its machine", home.alive)
        left.kill()
        left.communicate()
        home.good("rehearsal", "fault", "clear")
        done = home.good("run", "--json", "-n", "next", "--infra", "rehearsal", "--", "true")
        result = answer_of("run", 0, done.out, done.err)
        assert result["run"].startswith(("next-")) and "left-" not in done.out and "left-" in done.err, (
            done.out,
            done.err,
        )
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
