#!/usr/bin/env python3
"""--infra aws, against an endpoint on this computer: offers one after the other, what is said before money is spent."""
import json
import socket
import socketserver
import threading

from lib import Home, main


def aws_env(home):
    """Points AWS clients at the rehearsal cloud, as `eval "$(ferry rehearsal env)"` does."""
    lines = home.good("rehearsal", "env").out.splitlines()
    pairs = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    home.env.update({key: value.strip("'\"") for key, value in pairs.items()})


def rented(home):
    return [one for one in home.cloud()["instances"]]


def test_a_launch_goes_through_the_zones_until_one_has_room():
    with Home() as home:
        aws_env(home)
        for zone in "abcdf":
            home.good("rehearsal", "fault", "capacity", f"zone=us-east-1{zone}")
        done = home.good("run", "--infra", "aws", "-t", "m5.large", "--", "true")
        instances = home.newest()["instances"]
        live = [one for one in instances if one["id"]]
        assert len(live) == 1 and live[0]["zone"] == "us-east-1e", instances
        # One zone has room, so the type is not shunned for a while.
        plan = json.loads(home.good("plan", "-t", "m5.large", "--json").out)
        assert "capacity" not in plan["offers"][0]["reason"], plan["offers"][0]
        home.nothing_left()


def test_without_room_anywhere_the_next_types_are_tried_within_twice_the_price():
    with Home() as home:
        aws_env(home)
        for name in ("g5.xlarge", "g5.4xlarge"):
            home.good("rehearsal", "fault", "capacity", f"type={name}")
        done = home.good("run", "--infra", "aws", "--gpus", "A10G", "--", "true")
        assert "g5.xlarge us-east-1: no capacity (InsufficientInstanceCapacity) → us-east-1a" in done.err, done.err
        assert "→ g5.2xlarge us-east-1 $1.212/h" in done.err, done.err
        run = home.newest()
        assert [one["type"] for one in run["instances"] if one["id"]] == ["g5.2xlarge"]
        # What had no room is remembered for a while.
        plan = json.loads(home.good("plan", "--gpus", "A10G", "--json").out)
        assert plan["offers"][0]["instance_type"] == "g5.2xlarge", plan["offers"][:2]
        home.good("rehearsal", "fault", "capacity")
        done = home.ferry("run", "--infra", "aws", "--gpus", "A10G", "--", "true")
        assert (
            done.returncode == 75 and "g5.8xlarge" not in done.err and "no machine could be rented" in done.err
        ), done.err
        home.nothing_left()


def test_no_credentials_and_wrong_ones_are_told_with_the_next_step():
    with Home() as home:
        done = home.ferry("run", "--infra", "aws", "--region", "us-east-1", "--", "true")
        assert (
            done.returncode == 125 and "no AWS credentials found" in done.err and "aws configure" in done.err
        ), done.err
        done = home.ferry("check", "--region", "us-east-1")
        assert done.returncode == 1 and "✗ credentials" in done.out and "aws sso login" in done.out, done.out
        aws_env(home)
        done = home.ferry("run", "--infra", "aws", "--", "true", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
        assert done.returncode == 125 and "SignatureDoesNotMatch" in done.err or "AuthFailure" in done.err, done.err
        assert not rented(home)


def test_an_expired_single_sign_on_is_told_with_the_command_to_sign_in():
    with Home() as home:
        config = home.root / ".aws/config"
        config.parent.mkdir()
        config.write_text(
            "[profile ml]\nsso_start_url=https://example.awsapps.com/start\nsso_region=us-east-1\n"
            "sso_account_id=123456789012\n"
            "sso_role_name=ml\nregion=us-east-1\n"
        )
        done = home.ferry("run", "--infra", "aws", "--", "true", env={"AWS_PROFILE": "ml"})
        assert done.returncode == 125 and "aws sso login --profile ml" in done.err, done.err


def test_check_tells_the_account_and_finds_what_was_left_behind():
    with Home() as home:
        aws_env(home)
        done = home.good("check")
        assert (
            "account 123456789012" in done.out and "default VPC" in done.out and "orphans       none" in done.out
        ), done.out
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        assert home.ferry("check").returncode == 0
        ledger = home.root / "data/ferry/ledger.db"
        for name in (ledger, ledger.with_name("ledger.db-wal"), ledger.with_name("ledger.db-shm")):
            name.unlink(missing_ok=True)
        done = home.ferry("check")
        assert done.returncode == 1 and rented(home)[0]["id"] in done.out, done.out


def test_what_a_run_cost_is_added_up():
    with Home() as home:
        aws_env(home)
        home.good("run", "--infra", "aws", "--", "true")
        report = json.loads(home.good("cost", "--json").out)
        total = report["total"]
        assert total["seconds"] == 60 and abs(total["machine_usd"] - 0.0416 / 60) < 1e-6, report
        assert total["disk_usd"] > 0 and total["address_usd"] > 0
        assert "nothing was rented" in home.good("cost", "--infra", "rehearsal").out
        assert home.ferry("cost", "--since", "tomorrow").returncode == 2


def test_a_budget_cuts_the_time():
    with Home() as home:
        plan = json.loads(
            home.good("plan", "-t", "g4dn.12xlarge", "--budget", "7.8", "--region", "us-east-1", "--json").out
        )
        # Two hours, less what it takes to start and to bring the outputs home.
        assert 4800 < plan["max_duration_s"] < 5600 and 7.7 < plan["at_most_usd"] <= 7.8, plan
        assert plan["until_power_off_s"] * plan["offers"][0]["hourly_usd"] / 3600 < plan["at_most_usd"], plan
        done = home.ferry("plan", "-t", "g4dn.12xlarge", "--budget", "0.01", "--region", "us-east-1")
        assert done.returncode == 125 and "does not pay for a minute" in done.err, done.err


def test_the_most_that_was_said_is_never_less_than_what_it_cost():
    with Home() as home:
        aws_env(home)
        home.file(
            "task.yaml",
            "resources: {infra: aws, instance_type: m5.large, disk_tier: ultra, disk_size: 200}\nmax_duration: 3s\n"
            "run: 'true'\n",
        )
        plan = json.loads(home.good("plan", "task.yaml", "--json").out)
        done = home.good("run", "task.yaml", "--json")
        events = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
        said = next(one["data"]["at_most_usd"] for one in events if "at_most_usd" in one.get("data", {}))
        total = json.loads(home.good("cost", "--json").out)["total"]
        assert 0 < total["total_usd"] < said == plan["at_most_usd"], (total, said, plan["at_most_usd"])
        # 20,000 IOPS are dearer than the machine.
        assert total["disk_usd"] > total["machine_usd"] * 10, total


def relay(to):
    """A tunnel's end: passes every byte on to a port of this computer. Gives its own port."""

    class Pass(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", to)) as far:
                there = threading.Thread(target=pump, args=(self.request, far), daemon=True)
                there.start()
                pump(far, self.request)

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server.server_address[1]


def test_only_ferrys_own_cloud_rents_without_the_question_whatever_else_is_on_loopback():
    with Home() as home:
        aws_env(home)
        own = home.env["AWS_ENDPOINT_URL"]
        tunnel = f"http://127.0.0.1:{relay(int(own.rsplit(':', 1)[1]))}"
        for endpoint in (tunnel, own.replace("127.0.0.1", "localhost")):
            done = home.ferry("run", "--infra", "aws", "--", "true", env={"AWS_ENDPOINT_URL": endpoint})
            assert done.returncode == 125 and "nobody is here to say yes" in done.err and "--yes" in done.err, done.err
            assert not rented(home), endpoint
        home.good("run", "--yes", "--infra", "aws", "--", "true", env={"AWS_ENDPOINT_URL": tunnel})
        home.good("run", "--infra", "aws", "--", "true")
        # Where EC2 itself is elsewhere, the others do not vouch for it.
        done = home.ferry("run", "--infra", "aws", "--", "true", env={"AWS_ENDPOINT_URL_EC2": tunnel})
        assert done.returncode == 125 and len(rented(home)) == 2, done.err
        home.nothing_left()


def test_imports_that_nothing_provides_are_told_before_anything_is_rented():
    with Home() as home:
        home.file(
            "train.py", "import json, wandb\nfrom helper import x\ntry:\n import apex\nexcept ImportError: pass\n"
        )
        home.file("helper.py", "import sklearn.svm, mystery\nx = 1\n")
        home.file("requirements.txt", "scikit-learn\n")
        done = home.ferry("run", "--infra", "aws", "--region", "us-east-1", "--", "python3", "train.py")
        assert "train.py:1: nothing in the workdir provides wandb" in done.err, done.err
        assert "helper.py:1: nothing in the workdir provides mystery" in done.err, done.err
        assert "sklearn" not in done.err and "apex" not in done.err, done.err


def test_a_clock_ten_minutes_off_is_corrected_by_the_servers():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "clock", "ms=600000")
        home.good("run", "--infra", "aws", "--", "true")
        assert len(rented(home)) == 1
        home.nothing_left()


def test_a_session_that_expires_while_it_runs_is_told_or_renewed():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "expired-token", "count=1")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        # These keys cannot be renewed; nothing may be left all the same.
        assert done.returncode == 0 or "expired" in done.err.lower(), done.err
        home.good("rehearsal", "fault", "clear")
        home.good("ps")
        home.nothing_left()


def test_an_ended_session_is_not_taken_for_a_wrong_clock():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "expired-token")
        done = home.ferry("check")
        assert done.returncode == 1 and "✗ credentials" in done.out and "✓ credentials" not in done.out, done.out
        assert "session has ended" in done.out and "aws sso login" in done.out and "clock" not in done.out, done.out
        # STS may still take what EC2 no longer does.
        home.good("rehearsal", "fault", "clear")
        home.good("rehearsal", "fault", "error", "action=Describe*", "code=RequestExpired", "status=400")
        done = home.ferry("check")
        assert done.returncode == 1 and "✗ credentials" in done.out and "✓ credentials" not in done.out, done.out
        assert "aws sso login" in done.out and "clock" not in done.out, done.out


def test_a_session_that_ended_during_the_training_leads_to_signing_in_and_down():
    with Home() as home:
        aws_env(home)
        ferry = home.start("run", "--infra", "aws", "--", "sh", "-c", "echo up; sleep 4")
        run = home.wait_for(
            "the training", lambda: (found := home.runs()) and found[0]["phase"] == "training" and found[0]["run"]
        )
        home.wait_for("a sign of it", lambda: home.good("logs", run).out == "up\n")
        home.good("rehearsal", "fault", "error", "action=*Instances", "code=RequestExpired", "status=400")
        out, err = (text.decode() for text in ferry.communicate(timeout=120))
        assert ferry.returncode in (0, 125), err
        if ferry.returncode == 125:  # it had not been released before the session ended
            assert (
                "session has ended" in err
                and "aws sso login" in err
                and f"ferry down {run}" in err
                and "clock" not in err
            ), err
        home.good("rehearsal", "fault", "clear")
        home.good("down", run)
        home.nothing_left()


def test_errors_and_lost_answers_in_a_row_still_give_one_machine():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "error", "action=RunInstances", "code=InternalError", "status=500", "count=1")
        home.good("rehearsal", "fault", "drop", "action=RunInstances", "count=1")
        home.good("rehearsal", "fault", "throttle", "action=Describe*", "count=2")
        home.good("rehearsal", "fault", "drop", "action=CreateSecurityGroup", "count=1")
        home.good("rehearsal", "fault", "drop", "action=ImportKeyPair", "count=1")
        home.good("run", "--infra", "aws", "--", "true", env={"AWS_MAX_ATTEMPTS": "5"})
        assert len(rented(home)) == 1, rented(home)
        home.nothing_left()


def test_no_quota_is_told_before_anything_is_made_with_the_command_that_asks_for_more():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "quota", "bucket=g", "limit=0")
        done = home.ferry("run", "--infra", "aws", "--gpus", "A10G", "--", "true")
        assert done.returncode == 125, done.err
        assert 'may run 0 vCPUs of "G and VT" on-demand in us-east-1; g5.xlarge needs 4' in done.err, done.err
        assert "ferry quota request L-DB2E81BA 4" in done.err, done.err
        assert not rented(home) and home.good("quota").out.count("L-DB2E81BA") == 1
        assert "vCPUs asked for" in home.good("quota", "request", "L-DB2E81BA", "8").out


def test_no_default_vpc_is_told_with_the_command_that_makes_one():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "no-default-vpc")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert (
            done.returncode == 125 and "no default VPC in us-east-1" in done.err and "create-default-vpc" in done.err
        ), done.err
        assert "create-default-vpc" in home.ferry("check").out
        home.nothing_left()


def test_a_missing_permission_stops_at_once_and_check_says_what_it_breaks():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "permission", "action=ec2:RunInstances")
        done = home.ferry("run", "--infra", "aws", "--gpus", "A10G", "--", "true")
        assert done.returncode == 125 and "may not call ec2:RunInstances" in done.err, done.err
        assert "→" not in done.err, "another offer cannot cure a missing permission"
        done = home.ferry("check")
        assert (
            done.returncode == 1 and "ec2:RunInstances ✗" in done.out and "nothing can be rented" in done.out
        ), done.out
        home.nothing_left()


def test_a_task_is_rehearsed_first_and_nothing_is_rented_when_that_fails():
    with Home() as home:
        home.file("task.yaml", "resources: {infra: aws/us-east-1, accelerators: T4, use_spot: true}\nrun: sh job.sh\n")
        home.file("job.sh", "exit 3\n")
        assert home.ferry("rehearse", "task.yaml").returncode == 3
        done = home.ferry("run", "--rehearse", "task.yaml")
        assert done.returncode == 3 and "nothing was rented" in done.err, done.err
        home.file("job.sh", "echo fine\n")
        done = home.ferry("run", "--rehearse", "task.yaml")
        assert done.returncode == 125 and "fine" in done.out and "no AWS credentials" in done.err, done.err
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
