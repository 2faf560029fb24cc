#!/usr/bin/env python3
"""A machine that the cloud replaces by itself: ferry's own calls for it (of cloud_test, expected beside FERRY) through
a proxy in front of the rehearsal cloud. Each is held against AWS's service models, botocore's signer and what `ferry
policy --recover` allows. Usage: stand_in.py FERRY"""
import json
import pathlib
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
try:
    from proxy import Proxy, pass_on, rehearsal_env
    from whole_run import hold_against
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)
from lib import FERRY, Home


def main():
    tests = pathlib.Path(FERRY).resolve().parent / "cloud_test"
    if not tests.exists():
        print("SKIP: cloud_test is not beside ferry")
        sys.exit(77)
    with Home() as home:
        home.env["FERRY_REHEARSAL_BOOT_MS"] = "5000"  # it is asked about while it boots
        env = rehearsal_env(home)
        upstream = urllib.parse.urlparse(env["AWS_ENDPOINT_URL"]).netloc
        calls = []

        def answer(request):
            got = pass_on(upstream, request)
            calls.append((request, got))
            return got

        proxy = Proxy(env["AWS_SECRET_ACCESS_KEY"], answer)
        ran = subprocess.run(
            [tests, "--gtest_filter=StandInOverTheCloudOfTheEnvironment.*"],
            capture_output=True,
            text=True,
            timeout=300,
            env={**home.env, **env, "AWS_ENDPOINT_URL": proxy.url, "FERRY_TEST_CLOUD": "1"},
        )
        assert ran.returncode == 0 and "SKIPPED" not in ran.stdout, ran.stdout + ran.stderr
        assert not proxy.complaints, "\n".join(sorted(set(proxy.complaints)))
        document = json.loads(home.good("policy", "--recover", "--owner", "test").out)
        needed = hold_against(calls, document)
        allowed = {
            action for one in document["Statement"] if one["Sid"].startswith("Recover") for action in one["Action"]
        }
        idle = allowed - needed - {"iam:CreateServiceLinkedRole"}  # that only the first group of an account needs
        assert not idle, f"the policy allows what nothing needs: {idle}"
        print(f"{len(calls)} calls of {len(proxy.actions)} actions, no complaint")


if __name__ == "__main__":
    main()
