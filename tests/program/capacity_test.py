#!/usr/bin/env python3
"""ferry capacity: capacity blocks are searched and priced, what is reserved is listed, and a run waits for a block that begins later."""
import json
import time

from aws_test import aws_env
from lib import Home, main


def test_offers_are_searched_and_priced_and_nothing_is_bought():
    with Home() as home:
        aws_env(home)
        found = json.loads(home.good("capacity", "H100:8", "--days", "2", "--json").out)
        assert found["types"] == ["p5.48xlarge"] and found["hours"] == 48 and found["regions"] == ["us-east-1"], found
        first, *_ = found["offers"]
        assert first["gpus"] == 8 and first["machines"] == 1 and first["zone"].startswith("us-east-1"), first
        assert abs(first["per_gpu_hour_usd"] * 8 * 48 - first["fee_usd"]) < 0.01, first
        rates = [one["per_gpu_hour_usd"] for one in found["offers"]]
        assert rates == sorted(rates), rates
        later = json.loads(home.good("capacity", "A100:8", "--machines", "2", "--hours", "24", "--from", "2030-01-05", "--json").out)
        assert {one["start"] for one in later["offers"]} == {"2030-01-05T00:00:00Z"} and {one["machines"] for one in later["offers"]} == {2}, later
        shown = home.good("capacity", "H100:8", "--days", "2").out
        assert first["id"] not in shown and "$/GPU-h" in shown and "ferry buys none" in shown, shown  # (each search has offers of its own)
        for words, code, said in ((["T4"], 125, "sells no capacity blocks of g4dn"), (["H100:8", "--hours", "30"], 2, "1 to 14 days"), (["H100:8", "--from", "soon"], 2, "is no time"),
                                  (["H100:8", "--days", "20"], 2, "1 to 14 days"), (["nothing"], 2, ""), ([], 2, "gpu")):
            done = home.ferry("capacity", *words)
            assert done.returncode == code and said in done.err, (words, done.returncode, done.err)
        assert json.loads(home.good("capacity", "ls", "--json").out)["reservations"] == []
        home.good("rehearsal", "fault", "permission", "action=ec2:DescribeCapacityBlockOfferings")
        done = home.ferry("capacity", "H100:8")
        assert done.returncode == 125 and "DescribeCapacityBlockOfferings" in done.err, done.err


def test_a_run_waits_until_its_block_begins_and_ends_before_it_is_over():
    with Home() as home:
        try:
            import boto3
        except ImportError:
            print("not tried: boto3 is not installed")
            return
        aws_env(home)
        ec2 = boto3.client("ec2", endpoint_url=home.env["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id=home.env["AWS_ACCESS_KEY_ID"],
                           aws_secret_access_key=home.env["AWS_SECRET_ACCESS_KEY"])
        if not hasattr(ec2, "describe_capacity_block_offerings"):
            print("not tried: this boto3 is older than capacity blocks")
            return
        begins = int(time.time()) + 12
        offer = ec2.describe_capacity_block_offerings(InstanceType="p4d.24xlarge", InstanceCount=1, CapacityDurationHours=24, StartDateRange=begins)["CapacityBlockOfferings"][0]
        bought = ec2.purchase_capacity_block(CapacityBlockOfferingId=offer["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX")["CapacityReservation"]
        block = bought["CapacityReservationId"]
        row, = json.loads(home.good("capacity", "ls", "--json").out)["reservations"]
        assert (row["id"], row["kind"], row["state"], row["instance_type"]) == (block, "block", "scheduled", "p4d.24xlarge"), row
        words = ("run", "--infra", "aws", "--max-duration", "3d", "--capacity-reservation", block)
        done = home.ferry(*words, "--", "true")
        assert done.returncode == 75 and f"the capacity block {block} begins" in done.err and "ferry run --wait" in done.err, done.err
        waiting = home.good(*words, "--wait", "10m", "--json", "--", "sh", "-c", "echo $FERRY_DEADLINE; date +%s")
        assert time.time() >= begins
        said = [json.loads(line) for line in waiting.out.splitlines()]
        assert said[-1]["outcome"] == "succeeded", waiting.err
        deadline, now = (int(float(line)) for line in home.good("logs", said[-1]["run"]).out.split())
        end = begins + 24 * 3600
        assert now >= begins and deadline <= end - 35 * 60 and deadline > end - 90 * 60, (deadline, end)
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
