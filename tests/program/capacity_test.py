#!/usr/bin/env python3
"""ferry capacity: capacity blocks are searched and priced, what is reserved is listed, and a run waits for a block that
begins later."""
import json
import time

from aws_test import aws_env
from lib import Home, main
from words_test import answered


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
        later = json.loads(
            home.good("capacity", "A100:8", "--machines", "2", "--hours", "24", "--from", "2030-01-05", "--json").out
        )
        assert {one["start"] for one in later["offers"]} == {"2030-01-05T00:00:00Z"} and {
            one["machines"] for one in later["offers"]
        } == {2}, later
        shown = home.good("capacity", "H100:8", "--days", "2").out
        assert (
            first["id"] not in shown and "$/GPU-h" in shown and "ferry capacity buy OFFER" in shown
        ), shown  # (each search has offers of its own)
        for words, code, said in (
            (["T4"], 125, "sells no capacity blocks of g4dn"),
            (["H100:8", "--hours", "30"], 2, "1 to 14 days"),
            (["H100:8", "--from", "soon"], 2, "is no time"),
            (["H100:8", "--days", "20"], 2, "1 to 14 days"),
            (["nothing"], 2, ""),
            ([], 2, "gpu"),
        ):
            done = home.ferry("capacity", *words)
            assert done.returncode == code and said in done.err, (words, done.returncode, done.err)
        assert json.loads(home.good("capacity", "ls", "--json").out)["reservations"] == []
        home.good("rehearsal", "fault", "permission", "action=ec2:DescribeCapacityBlockOfferings")
        done = home.ferry("capacity", "H100:8")
        assert done.returncode == 125 and "DescribeCapacityBlockOfferings" in done.err, done.err


def offer(home, *words):
    return json.loads(home.good("capacity", "H100:8", *words, "--json").out)["offers"][0]


def reserved(home):
    return json.loads(home.good("capacity", "ls", "--json").out)


def test_a_block_is_bought_once_and_only_by_its_price():
    with Home() as home:
        aws_env(home)
        first = offer(home, "--days", "1")
        words = ("capacity", "buy", first["id"])
        for more, said in (
            ((), "nobody is here to type the price"),
            (("--price", str(first["fee_usd"] + 0.01)), "is not its price"),
            (("--price", "0"), "is not its price"),
        ):
            done = home.ferry(*words, *more, env={"FERRY_YES": "1"})
            assert done.returncode == 2 and said in done.err, (more, done.returncode, done.err)
        assert home.ferry(*words, "--yes").returncode == 2
        assert reserved(home)["reservations"] == []
        shown = home.good(*words, "--price", f"{first['fee_usd']:.2f}").out
        assert (
            "p5.48xlarge" in shown
            and "gives nothing back" in shown
            and f"${first['fee_usd']:.2f}" in shown
            and first["start"] in shown
        ), shown
        (row,) = reserved(home)["reservations"]
        assert (row["kind"], row["fee_usd"], row["machines"]) == ("block", first["fee_usd"], 1), row
        again = json.loads(home.good(*words, "--price", "1", "--json").out)
        assert again["was_bought_before"] and again["reservation"] == row["id"], again
        assert len(reserved(home)["reservations"]) == 1
        cost = json.loads(home.good("cost", "--json").out)
        assert (
            cost["capacity_blocks_usd"] == first["fee_usd"] and cost["capacity_blocks"][0]["reservation"] == row["id"]
        ), cost
        assert row["id"] in home.good("cost").out
        (block,) = [
            one for one in json.loads(home.good("account", "--json").out)["charges"] if one["kind"] == "capacity block"
        ]
        assert block["id"] == row["id"] and block["usd_month"] == 0, block
        gone = offer(home)
        home.good(
            "rehearsal",
            "fault",
            "error",
            "action=PurchaseCapacityBlock",
            "code=InvalidCapacityBlockOfferingIdNotFound",
            "status=400",
            "count=1",
        )
        done = home.ferry("capacity", "buy", gone["id"], "--price", str(gone["fee_usd"]))
        assert done.returncode == 125 and "not bought" in done.err, done.err
        done = home.ferry("capacity", "buy", "cb-0123456789abcdef0", "--price", "1")
        assert done.returncode == 125 and "was shown here in the last day" in done.err, done.err
        policy = home.good("policy").out
        assert "PurchaseCapacityBlock" not in policy and "PurchaseCapacityBlock" not in home.good("policy", "--all").out
        assert "PurchaseCapacityBlock" in home.good("policy", "--buy").out


def test_at_a_terminal_the_price_is_typed_back():
    with Home() as home:
        aws_env(home)
        one = offer(home)
        for typed, code in ((b"y\n", 2), (b"\n", 125), (f"{one['fee_usd'] - 1:.2f}\n".encode(), 2)):
            seen, got = answered(home, typed, "capacity", "buy", one["id"])
            assert (
                got == code and f"To buy {one['id']}, type its price" in seen and not reserved(home)["reservations"]
            ), (typed, got, seen)
        seen, got = answered(home, f"{one['fee_usd']:.2f}\n".encode(), "capacity", "buy", one["id"])
        (row,) = reserved(home)["reservations"]
        assert got == 0 and row["id"] in seen, seen


def test_what_was_bought_without_an_answer_is_found_by_its_tag():
    with Home() as home:
        aws_env(home)
        home.env["FERRY_PURCHASE_SETTLES"] = "20s"
        for fault in (
            ("drop",),
            ("error-after", "code=InternalError"),
            ("error-after", "code=RequestLimitExceeded", "status=503"),
        ):
            kind, *rest = fault
            home.good("rehearsal", "fault", kind, "action=PurchaseCapacityBlock", "count=1", *rest)
            home.good("rehearsal", "fault", "late-reservation", "ms=2000")
            before = len(reserved(home)["reservations"])
            one = offer(home)
            done = json.loads(home.good("capacity", "buy", one["id"], "--price", str(one["fee_usd"]), "--json").out)
            assert done["state"] == "bought" and not done["was_bought_before"], (fault, done)
            assert len(reserved(home)["reservations"]) == before + 1, fault


def test_a_ferry_that_is_killed_while_it_buys_leaves_what_the_next_command_knows():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "drop", "action=PurchaseCapacityBlock", "count=1")
        home.good("rehearsal", "fault", "late-reservation", "ms=600000")
        one = offer(home)
        buying = home.start("capacity", "buy", one["id"], "--price", str(one["fee_usd"]))
        home.wait_for("the call", lambda: json.loads(home.good("cost", "--json").out)["capacity_blocks"])
        done = home.ferry("capacity", "buy", one["id"], "--price", str(one["fee_usd"]))
        assert done.returncode == 125 and "another ferry of yours is buying" in done.err, done.err
        buying.kill()
        buying.wait()
        listed = reserved(home)
        assert [each["state"] for each in listed["unsettled"]] == ["unknown"] and not listed["reservations"], listed
        home.good("rehearsal", "fault", "late-reservation", "ms=0")
        seen = home.good("ps")
        assert "was bought, though no answer came" in seen.err, seen.err
        (row,) = reserved(home)["reservations"]
        assert row["fee_usd"] == one["fee_usd"] and reserved(home)["unsettled"] == [], row
        again = json.loads(home.good("capacity", "buy", one["id"], "--price", str(one["fee_usd"]), "--json").out)
        assert again["was_bought_before"] and again["reservation"] == row["id"], again


def test_a_fee_that_breaks_a_limit_of_ones_own_is_refused_before_aws_is_told():
    with Home() as home:
        aws_env(home)
        one = offer(home)
        (home.root / ".config/ferry").mkdir(parents=True, exist_ok=True)
        (home.root / ".config/ferry/config.yaml").write_text(f"limits:\n  usd_per_month: {one['fee_usd'] - 1}\n")
        done = home.ferry("capacity", "buy", one["id"], "--price", str(one["fee_usd"]), "--json")
        error = json.loads(done.out)["error"]
        assert done.returncode == 125 and error["kind"] == "limit" and error["code"] == "usd_per_month", error
        assert reserved(home)["reservations"] == []


def test_a_run_waits_until_its_block_begins_and_ends_before_it_is_over():
    with Home() as home:
        try:
            import boto3
        except ImportError:
            print("not tried: boto3 is not installed")
            return
        aws_env(home)
        ec2 = boto3.client(
            "ec2",
            endpoint_url=home.env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=home.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=home.env["AWS_SECRET_ACCESS_KEY"],
        )
        if not hasattr(ec2, "describe_capacity_block_offerings"):
            print("not tried: this boto3 is older than capacity blocks")
            return
        begins = int(time.time()) + 12
        offer = ec2.describe_capacity_block_offerings(
            InstanceType="p4d.24xlarge", InstanceCount=1, CapacityDurationHours=24, StartDateRange=begins
        )["CapacityBlockOfferings"][0]
        bought = ec2.purchase_capacity_block(
            CapacityBlockOfferingId=offer["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
        )["CapacityReservation"]
        block = bought["CapacityReservationId"]
        (row,) = json.loads(home.good("capacity", "ls", "--json").out)["reservations"]
        assert (row["id"], row["kind"], row["state"], row["instance_type"]) == (
            block,
            "block",
            "scheduled",
            "p4d.24xlarge",
        ), row
        words = ("run", "--infra", "aws", "--max-duration", "3d", "--capacity-reservation", block)
        done = home.ferry(*words, "--", "true")
        assert (
            done.returncode == 75
            and f"the capacity block {block} begins" in done.err
            and "ferry run --wait" in done.err
        ), done.err
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
