#!/usr/bin/env python3
"""Machines where the person's account wants them: own subnets, private addresses, jump hosts, own keys, reservations,
roles."""
import getpass
import json
import os
import shutil
import subprocess
import sys

from lib import Home, main
from aws_test import aws_env

try:
    import boto3
except ImportError:
    print("SKIP: boto3 is not installed")
    sys.exit(77)


def client(home, service, region="us-east-1"):
    env = home.env
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=env["AWS_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def make_profile(iam, name):
    """An instance profile with a role of the same name, which EC2 may take and which may do nothing."""
    trust = {
        "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def is_recent_aws():
    said = subprocess.run(["aws", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[0].split("/")[1].split(".")[:2]) >= (2, 13) or said.startswith(
        "aws-cli/1."
    )


def own_network(ec2, zones="b"):
    """A VPC with a private subnet in each zone; its addresses are of this computer, so that they can be reached."""
    vpc = ec2.create_vpc(CidrBlock="127.80.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"127.80.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate(zones)
    ]
    return vpc, subnets


def the_machine(ec2):
    found = [
        one
        for page in ec2.describe_instances()["Reservations"]
        for one in page["Instances"]
        if one["State"]["Name"] == "running"
    ]
    assert len(found) == 1, found
    return found[0]


def groups(ec2):
    return [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"]


def make_key(path, *more):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", str(path), *more], check=True)
    return path.with_name(path.name + ".pub").read_text()


def test_a_run_in_an_own_subnet_is_reached_at_its_private_address():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        vpc, (subnet,) = own_network(ec2)
        home.file("task.yaml", f"run: mkdir outputs; echo trained > outputs/model\naws:\n  subnet_id: {subnet}\n")
        done = home.good("run", "task.yaml", "--keep", "--infra", "aws")
        machine = the_machine(ec2)
        assert machine["SubnetId"] == subnet and "PublicIpAddress" not in machine, machine
        assert machine["PrivateIpAddress"].startswith("127.80.0."), machine
        (group,) = groups(ec2)
        assert group["VpcId"] == vpc, group
        assert (home.home_of(home.newest()) / "outputs/model").read_text() == "trained\n"
        assert home.good("ssh", home.newest()["run"], "--", "echo", "hello").out == "hello\n"
        home.good("down", "--all")
        assert not groups(ec2) and not ec2.describe_key_pairs()["KeyPairs"]
        home.nothing_left()


def test_a_private_machine_is_opened_to_its_network_only():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        vpc, (subnet,) = own_network(ec2)
        home.good("run", "--keep", "--infra", "aws", "--subnet", subnet, "--private", "--", "true")
        (rule,) = groups(ec2)[0]["IpPermissions"]
        assert [one["CidrIp"] for one in rule["IpRanges"]] == ["127.80.0.0/16"], rule
        home.good("down", "--all")
        home.good(
            "run",
            "--keep",
            "--infra",
            "aws",
            "--subnet",
            subnet,
            "--private",
            "--ssh-from",
            "10.9.8.7/32",
            "--",
            "true",
        )
        (rule,) = groups(ec2)[0]["IpPermissions"]
        assert [one["CidrIp"] for one in rule["IpRanges"]] == ["10.9.8.7/32"] and rule["FromPort"] == rule[
            "ToPort"
        ] == 22, rule
        home.good("down", "--all")
        home.nothing_left()


def test_the_next_subnet_is_tried_when_the_first_ones_zone_has_no_room():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        _, (first, second) = own_network(ec2, "ac")
        home.good("rehearsal", "fault", "capacity", "zone=us-east-1a")
        done = home.good(
            "run", "--keep", "--infra", "aws", "--subnet", first, "--subnet", second, "-t", "m5.large", "--", "true"
        )
        assert "us-east-1a: no capacity" in done.err, done.err
        assert the_machine(ec2)["SubnetId"] == second
        home.good("down", "--all")
        home.nothing_left()


def test_without_a_default_vpc_an_own_subnet_is_enough_and_a_wrong_one_is_told():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        _, (subnet,) = own_network(ec2)
        home.good("rehearsal", "fault", "no-default-vpc")
        home.good("run", "--infra", "aws", "--subnet", subnet, "--", "true")
        done = home.ferry("run", "--infra", "aws", "--subnet", "subnet-0123456789abcdef0", "--", "true")
        assert done.returncode == 125 and "no subnet subnet-0123456789abcdef0 in us-east-1" in done.err, done.err
        done = home.ferry("run", "--infra", "aws", "--subnet", "mine", "--", "true")
        assert done.returncode == 2 and "'mine' is not a subnet" in done.err, done.err
        home.file("task.yaml", f"run: 'true'\naws:\n  subnet_id:\n    eu-west-1: {subnet}\n")
        done = home.ferry("plan", "task.yaml", "--infra", "aws")
        assert done.returncode == 125 and "no subnet is named for a region" in done.err, done.err
        home.nothing_left()


def test_a_default_subnet_without_public_addresses_is_told_and_asked_for_one():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        for one in ec2.describe_subnets()["Subnets"]:
            ec2.modify_subnet_attribute(SubnetId=one["SubnetId"], MapPublicIpOnLaunch={"Value": False})
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert (
            done.returncode == 125 and "has no public address" in done.err and "public_address: true" in done.err
        ), done.err
        home.file("task.yaml", "run: 'true'\naws: {public_address: true}\n")
        home.good("run", "task.yaml", "--infra", "aws")
        home.nothing_left()


def test_the_persons_settings_hold_for_every_task_and_flags_win():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        _, (first, second) = own_network(ec2, "bc")
        config = home.root / "config/ferry/config.yaml"
        config.parent.mkdir(parents=True)
        home.env["XDG_CONFIG_HOME"] = str(home.root / "config")
        config.write_text(f"aws:\n  subnet_id: {first}\n")
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        assert the_machine(ec2)["SubnetId"] == first
        home.good("down", "--all")
        home.good("run", "--keep", "--infra", "aws", "--subnet", second, "--", "true")
        assert the_machine(ec2)["SubnetId"] == second
        done = home.good("check")
        assert f"{first} in us-east-1b (private)" in done.out, done.out
        config.write_text("aws:\n  subnet_id: subnet-0123456789abcdef0\n  ssh_proxy: ssm\n")
        done = home.ferry("check")
        assert (
            done.returncode == 1
            and "no subnet subnet-0123456789abcdef0" in done.out
            and "session-manager-plugin" in done.out
        ), done.out
        config.write_text("aws:\n  subnet: x\n")
        done = home.ferry("run", "--infra", "aws", "--", "true")
        assert (
            done.returncode == 125 and "config.yaml:2:3: unknown field 'subnet'" in done.err and "subnet_id" in done.err
        ), done.err
        home.good("down", "--all")


def jump_host(home):
    """A real sshd on this computer, known to ssh's config as `bastion`; its log is the proof that it was used."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:" + os.environ["PATH"])
    folder = home.root / "bastion"
    folder.mkdir(mode=0o700)
    make_key(folder / "host")
    (folder / "authorized").write_text(make_key(folder / "mine"))
    port = 20000 + os.getpid() % 20000
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile {folder}/pid\nLogLevel VERBOSE\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # compiled into root's sshd; only a service's script makes it
    server = subprocess.Popen([sshd, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")])
    (home.root / "ssh_config").write_text(
        f"Host bastion\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {folder}/mine\n"
        " IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n"
    )
    programs = home.root / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {home.root}/ssh_config "$@"\n')
    (programs / "ssh").chmod(0o755)
    home.env["PATH"] = f"{programs}:{home.env['PATH']}"
    home.wait_for(
        "the jump host", lambda: (folder / "log").exists() and "listening" in (folder / "log").read_text(), 20
    )
    return server, folder


def test_a_jump_host_leads_to_a_private_machine():
    if os.getuid() != 0:
        return  # sshd lets others in as themselves only, and nobody has no shell
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        _, (subnet,) = own_network(ec2)
        server, folder = jump_host(home)
        try:
            home.good(
                "run",
                "--keep",
                "--infra",
                "aws",
                "--subnet",
                subnet,
                "--private",
                "--ssh-proxy",
                "bastion",
                "--",
                "sh",
                "-c",
                "mkdir outputs; echo far > outputs/a",
            )
            run = home.newest()
            assert (home.home_of(run) / "outputs/a").read_text() == "far\n"
            passed = (folder / "log").read_text().count("Accepted publickey")
            assert passed == 1, f"one connection through the jump host, not {passed}"
            assert home.good("ssh", run["run"], "--", "echo", "hello").out == "hello\n"
            assert (folder / "log").read_text().count("Accepted publickey") == 2
            home.good("down", "--all")
            # A jump host that does not know us: at once, with the cure, and nothing is left.
            (folder / "authorized").write_text("")
            done = home.ferry(
                "run", "--infra", "aws", "--subnet", subnet, "--private", "--ssh-proxy", "bastion", "--", "true"
            )
            assert (
                done.returncode == 125
                and "the jump host does not let us through" in done.err
                and "ssh bastion" in done.err
            ), done.err
            # Any command will do.
            nc = (
                "python3 "
                + str(
                    home.file(
                        "connect.py",
                        "import os, socket, sys, threading\n"
                        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
                        "def up():\n    while b := os.read(0, 65536): s.sendall(b)\n    s.shutdown(1)\n"
                        "threading.Thread(target=up, daemon=True).start()\n"
                        "while b := s.recv(65536): os.write(1, b)\n",
                    )
                )
                + " %h %p"
            )
            home.good("run", "--infra", "aws", "--subnet", subnet, "--private", "--ssh-proxy", nc, "--", "true")
            home.nothing_left()
        finally:
            server.terminate()
            server.wait()


def test_own_keys_are_used_and_a_lost_half_is_told_before_anything_is_rented():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        folder = home.root / ".ssh"
        folder.mkdir(mode=0o700)
        ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=make_key(folder / "mine").encode())
        home.good("run", "--keep", "--infra", "aws", "--key-name", "mine", "--", "true")
        assert the_machine(ec2)["KeyName"] == "mine"
        home.good("ssh", home.newest()["run"], "--", "true")
        home.good("down", "--all")
        assert [one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"]] == [
            "mine"
        ], "the person's own key pair must stay"
        other = home.root / "other"
        make_key(other)
        done = home.ferry("run", "--infra", "aws", "--key-name", "mine", "--key-file", str(other), "--", "true")
        assert done.returncode == 125 and "is not the private half of the key pair mine" in done.err, done.err
        (folder / "mine").unlink()
        done = home.ferry("run", "--infra", "aws", "--key-name", "mine", "--", "true")
        assert (
            done.returncode == 125
            and "the private half of the key pair mine is not on this computer" in done.err
            and "--key-file" in done.err
        )
        done = home.ferry("run", "--infra", "aws", "--key-name", "yours", "--", "true")
        assert done.returncode == 125 and 'no key pair "yours" in us-east-1' in done.err, done.err
        other.chmod(0o644)
        done = home.ferry("run", "--infra", "aws", "--key-file", str(other), "--", "true")
        assert done.returncode == 125 and "chmod 600" in done.err, done.err
        other.chmod(0o600)
        home.good("run", "--infra", "aws", "--key-file", str(other), "--", "true")
        assert len(home.cloud()["instances"]) == 2, home.cloud()
        home.nothing_left()


def test_a_run_whose_private_key_was_lost_is_entered_with_a_new_one_and_its_outputs_come_home():
    with Home() as home:
        aws_env(home)
        home.good(
            "run",
            "-d",
            "--infra",
            "aws",
            "--",
            "bash",
            "-c",
            "mkdir outputs; echo up; while [ ! -e ~/go ]; do sleep 0.1; done; echo model > outputs/model",
        )
        run = home.newest()
        folder = home.root / "data/ferry/runs" / run["run"]
        home.wait_for("the training", lambda: home.good("logs", run["run"]).out == "up\n")
        before = (folder / "id_ed25519").read_text()
        (folder / "id_ed25519").unlink()
        done = home.good("ssh", run["run"], "--", "touch ~/go")
        assert "private key" in done.err and "has a new key" in done.err, done.err
        assert (folder / "id_ed25519").read_text() != before
        home.wait_for("the end", lambda: home.newest()["phase"] == "released")
        assert (
            home.newest()["outcome"] == "succeeded" and (home.home_of(run) / "outputs/model").read_text() == "model\n"
        )
        # Where EC2 may not be asked: what is lost, and what can be done.
        home.good("run", "--keep", "--infra", "aws", "--", "true")
        run = home.newest()["run"]
        (home.root / "data/ferry/runs" / run / "id_ed25519").unlink()
        home.good("rehearsal", "fault", "permission", "action=ec2-instance-connect:SendSSHPublicKey")
        done = home.ferry("ssh", run, "--", "true")
        assert (
            done.returncode == 125
            and "its private key is lost" in done.err
            and "SendSSHPublicKey" in done.err
            and "--no-fetch" in done.err
        ), done.err
        home.good("down", run)
        home.nothing_left()


def test_a_laptop_that_moved_to_another_network_is_let_in_again_and_nobody_else_is():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        open_to = lambda: [one["CidrIp"] for rule in groups(ec2)[0]["IpPermissions"] for one in rule["IpRanges"]]
        waiting = lambda name: (
            f"mkdir outputs; echo up; while [ ! -e ~/{name} ]; do sleep 0.1; done; echo {name} > outputs/model"
        )
        home.good("run", "-d", "--infra", "aws", "--", "bash", "-c", waiting("go"))
        run = home.newest()
        home.wait_for("the training", lambda: home.good("logs", run["run"]).out == "up\n")
        assert open_to() == ["127.0.0.1/32"], open_to()
        # What is connected stays so; what breaks is opened again from the new address.
        home.good("rehearsal", "fault", "caller", "address=203.0.113.9")
        subprocess.run(
            ["pkill", "-f", f"ControlMaster=no.*HostKeyAlias={run['run']}|HostKeyAlias={run['run']}.*ControlMaster=no"],
            check=True,
        )
        home.wait_for("the new rule", lambda: open_to() == ["203.0.113.9/32"])
        home.good("ssh", run["run"], "--", "touch ~/go")
        home.wait_for("the end", lambda: home.newest()["phase"] == "released")
        assert home.newest()["outcome"] == "succeeded" and (home.home_of(run) / "outputs/model").read_text() == "go\n"
        assert not groups(ec2)
        # The same for a fetch by hand, after somebody else changed the rules.
        home.good("run", "-d", "--infra", "aws", "--", "bash", "-c", waiting("on"))
        run = home.newest()
        home.wait_for("the output", lambda: home.good("logs", run["run"]).out == "up\n")
        home.good("rehearsal", "fault", "caller", "address=203.0.113.10")
        done = home.good("fetch", run["run"])
        assert open_to() == ["203.0.113.10/32"] and "has moved" in done.err, (open_to(), done.err)
        home.good("ssh", run["run"], "--", "touch ~/on")
        home.wait_for("the end", lambda: home.newest()["phase"] == "released")
        assert (home.home_of(run) / "outputs/model").read_text() == "on\n"
        home.nothing_left()


def test_a_placement_group_a_role_and_a_security_group_are_passed_on_and_missing_ones_told():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        ec2.create_placement_group(GroupName="together", Strategy="cluster")
        done = home.ferry("run", "--infra", "aws", "--instance-profile", "trainer", "--", "true")
        assert done.returncode == 125 and "trainer" in done.err and not home.alive(), done.err
        make_profile(client(home, "iam"), "trainer")
        own = ec2.create_security_group(GroupName="mine", Description="mine")["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=own, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.0/8"
        )
        home.good(
            "run",
            "--keep",
            "--infra",
            "aws",
            "-t",
            "m5.large",
            "--placement-group",
            "together",
            "--instance-profile",
            "trainer",
            "--security-group",
            own,
            "--",
            "true",
        )
        machine = the_machine(ec2)
        assert machine["Placement"]["GroupName"] == "together" and machine["IamInstanceProfile"]["Arn"].endswith(
            "/trainer"
        ), machine
        assert [one["GroupId"] for one in machine["SecurityGroups"]] == [own], machine
        home.good("down", "--all")
        assert [one["GroupId"] for one in groups(ec2)] == [own], "the person's own group must stay"
        done = home.ferry("run", "--infra", "aws", "-t", "m5.large", "--placement-group", "nowhere", "--", "true")
        assert done.returncode == 125 and "InvalidPlacementGroup.Unknown" in done.err, done.err
        home.good("rehearsal", "fault", "permission", "action=iam:PassRole")
        done = home.ferry("run", "--infra", "aws", "--instance-profile", "trainer", "--", "true")
        assert done.returncode == 125 and "UnauthorizedOperation" in done.err and "ferry policy" in done.err, done.err
        home.nothing_left()


def test_reserved_capacity_is_used_and_told_when_it_is_not_there():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        reserve = lambda **more: ec2.create_capacity_reservation(
            InstancePlatform="Linux/UNIX", InstanceCount=1, **more
        )["CapacityReservation"]["CapacityReservationId"]
        mine = reserve(InstanceType="m5.large", AvailabilityZone="us-east-1c", InstanceMatchCriteria="targeted")
        home.good("run", "--keep", "--infra", "aws", "--capacity-reservation", mine, "--", "true")
        machine = the_machine(ec2)
        assert (machine["InstanceType"], machine["Placement"]["AvailabilityZone"]) == (
            "m5.large",
            "us-east-1c",
        ), machine
        assert machine["CapacityReservationId"] == mine, machine
        done = home.ferry("run", "--infra", "aws", "--capacity-reservation", mine, "--", "true")
        assert done.returncode == 75 and "all in use" in done.err, done.err
        done = home.ferry("run", "--infra", "aws", "-t", "g5.xlarge", "--capacity-reservation", mine, "--", "true")
        assert done.returncode in (75, 125) and (
            "is for m5.large in us-east-1c" in done.err or "all in use" in done.err
        ), done.err
        done = home.ferry("run", "--infra", "aws", "--capacity-reservation", "cr-0123456789abcdef0", "--", "true")
        assert done.returncode == 125 and "cr-0123456789abcdef0" in done.err and "NotFound" in done.err, done.err
        home.good("down", "--all")
        home.nothing_left()


def test_a_capacity_block_is_used_up_to_half_an_hour_before_its_end():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        if not hasattr(ec2, "describe_capacity_block_offerings"):
            print("not tried: this boto3 is older than capacity blocks")
            return
        offer = ec2.describe_capacity_block_offerings(
            InstanceType="p4d.24xlarge", InstanceCount=1, CapacityDurationHours=24
        )["CapacityBlockOfferings"][0]
        block = ec2.purchase_capacity_block(
            CapacityBlockOfferingId=offer["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
        )["CapacityReservation"]["CapacityReservationId"]
        done = home.good(
            "run",
            "--keep",
            "--json",
            "--max-duration",
            "3d",
            "--infra",
            "aws",
            "--capacity-reservation",
            block,
            "--",
            "true",
        )
        machine = the_machine(ec2)
        assert machine["InstanceLifecycle"] == "capacity-block" and machine["CapacityReservationId"] == block, machine
        assert "paid already" in done.out + done.err
        home.good("down", "--all")
        home.nothing_left()


def session_plugin(home, version):
    """A stand-in for AWS's session-manager-plugin, which no package registry has: it takes what the real one takes and
    carries the bytes to the instance's sshd by itself (the real one carries them in a web socket)."""
    programs = home.root / "bin"
    programs.mkdir(exist_ok=True)
    plugin = programs / "session-manager-plugin"
    plugin.write_text(
        f"""#!/usr/bin/env python3
import json, os, socket, sys, threading
if sys.argv[1:] == ["--version"]:
    print("{version}")
    sys.exit()
answer, region, operation, profile, request, endpoint = sys.argv[1:]
hidden = answer == "AWS_SSM_START_SESSION_RESPONSE"
answer, request = json.loads(os.environ[answer] if hidden else answer), json.loads(request)
assert answer["SessionId"] and answer["TokenValue"] and answer["StreamUrl"].startswith("ws"), answer
assert operation == "StartSession" and region == "us-east-1" and endpoint.startswith("http"), sys.argv
assert request["DocumentName"] == "AWS-StartSSHSession" and request["Target"].startswith("i-"), request
with open("{home.root}/sessions", "a") as log:
    print(json.dumps([request, region, operation, profile, endpoint, hidden, sorted(answer)]), file=log)
machine = open("{home.root}/address").read().strip()
# Amazon's agent stands on the machine itself: no security group sees it.
s = socket.create_connection((machine, int(request["Parameters"]["portNumber"][0])), source_address=(machine, 0))
def up():
    while b := os.read(0, 65536): s.sendall(b)
    s.shutdown(1)
threading.Thread(target=up, daemon=True).start()
while b := s.recv(65536): os.write(1, b)
"""
    )
    plugin.chmod(0o755)
    home.env["PATH"] = f"{programs}:{home.env['PATH']}"


def test_systems_manager_leads_to_a_machine_that_nothing_may_come_in_to():
    with Home() as home:
        aws_env(home)
        ec2 = client(home, "ec2")
        _, (subnet,) = own_network(ec2)
        make_profile(client(home, "iam"), "ssm")
        order = (
            "run",
            "--keep",
            "--infra",
            "aws",
            "--subnet",
            subnet,
            "--private",
            "--ssh-proxy",
            "ssm",
            "--instance-profile",
            "ssm",
        )
        done = home.ferry(*order, "--", "true")
        assert (
            done.returncode == 125
            and "session-manager-plugin, which is not on this computer" in done.err
            and not home.alive()
        ), done.err
        session_plugin(home, "1.2.553.0")
        (home.root / "address").write_text("127.80.0.10")
        done = home.start(*order, "--", "sh", "-c", "mkdir outputs; echo deep > outputs/a")
        machine = home.wait_for(
            "the machine",
            lambda: [one for page in ec2.describe_instances()["Reservations"] for one in page["Instances"]],
        )[0]
        (home.root / "address").write_text(machine["PrivateIpAddress"])
        out, err = done.communicate(timeout=120)
        assert done.returncode == 0, err.decode()
        run = home.newest()
        assert (home.home_of(run) / "outputs/a").read_text() == "deep\n"
        assert groups(ec2)[0]["IpPermissions"] == [], groups(ec2)
        given = lambda: json.loads((home.root / "sessions").read_text().splitlines()[-1])
        ours = given()
        assert ours[0]["Target"] == machine["InstanceId"] and ours[5], ours
        if shutil.which("aws"):  # the plugin must be given what the aws CLI gives it
            theirs = subprocess.run(
                [
                    "aws",
                    "ssm",
                    "start-session",
                    "--target",
                    machine["InstanceId"],
                    "--document-name",
                    "AWS-StartSSHSession",
                    "--parameters",
                    f"portNumber={ours[0]['Parameters']['portNumber'][0]}",
                    "--region",
                    "us-east-1",
                    "--endpoint-url",
                    home.env["AWS_ENDPOINT_URL"],
                ],
                env=home.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
            )
            but_the_variable = lambda what: what[:5] + what[6:]  # which older CLIs (Debian 12's) do not know
            assert theirs.stdout.startswith(b"SSH-2.0"), theirs
            # What the plugin is given has changed with the CLI's versions: a recent one is the measure.
            if is_recent_aws():
                assert but_the_variable(given()) == but_the_variable(ours), (given(), ours)
        session_plugin(home, "1.2.497.0")
        assert home.good("ssh", run["run"], "--", "echo", "hello").out == "hello\n"
        assert not given()[5], "an old plugin knows no variable"
        home.good("rehearsal", "fault", "permission", "action=ssm:StartSession")
        done = home.ferry("ssh", run["run"], "--", "true")
        assert done.returncode != 0 and "ssm:StartSession" in done.err, done.err
        home.good("rehearsal", "fault", "clear")
        home.good("down", "--all")
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
