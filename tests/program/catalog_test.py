#!/usr/bin/env python3
"""Types and images that the catalog does not know: EC2 is asked, and what it answers is kept and said."""
import json

from aws_test import aws_env
from lib import Home, main


def test_a_type_that_the_catalog_lacks_is_asked_of_ec2():
    with Home() as home:
        aws_env(home)
        done = home.good("plan", "--region", "us-east-1", "-t", "m8g.large", "--json")
        assert (
            "m8g.large is not in ferry's catalog; EC2 says: 2 vCPU, 8 GiB, arm64, in us-east-1; its price is unknown"
            in done.err
        ), done.err
        best = json.loads(done.out)["offers"][0]
        assert (best["instance_type"], best["vcpus"], best["memory_mib"], best["hourly_usd"]) == (
            "m8g.large",
            2,
            8192,
            None,
        ), best
        assert best["zone"] and len(best["last_seen"]) == 10, best
        offline = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
        assert (
            "is not in ferry's catalog"
            not in home.good("plan", "--region", "us-east-1", "-t", "m8g.large", env=offline).err
        )
        done = home.ferry("plan", "--region", "us-east-1", "-t", "m8g.large", "--budget", "5")
        assert done.returncode == 125 and "leave out budget, which cannot be kept without a price" in done.err, done.err
        done = home.ferry("plan", "--region", "us-east-1", "-t", "x9.large")
        assert done.returncode == 2 and "why:  EC2 does not know it in us-east-1" in done.err, done.err
        home.good("rehearsal", "fault", "permission", "action=ec2:DescribeInstanceTypes")
        for env in ({}, offline):
            done = home.ferry("plan", "--region", "us-east-1", "-t", "r8g.large", env=env)
            assert (
                done.returncode == 2 and "the catalog does not list it, and EC2 could not be asked: " in done.err
            ), done.err


def test_a_rehearsal_asks_its_own_cloud_and_trains_on_what_it_has():
    with Home() as home:
        done = home.good("run", "--infra", "rehearsal", "-t", "m7a.large", "--", "echo", "trained")
        assert "EC2 says: 2 vCPU, 8 GiB, x86_64" in done.err and "trained" in done.out, done.err
        assert home.newest()["instances"][0]["type"] == "m7a.large"
        assert (
            "no AWS credentials" in home.ferry("plan", "-t", "m7a.large").err
        ), "what a rehearsal said is not taken for AWS's word"


def test_images_say_until_when_they_are_supported():
    with Home() as home:
        aws_env(home)
        listed = json.loads(home.good("images", "--json").out)["images"]
        gpu = [one for one in listed if (one["kind"], one["arch"]) == ("gpu", "x86_64")][0]
        assert gpu["supported"] and gpu["supported_until"] == "2028-01-17", gpu
        assert {one["kind"] for one in listed} == {"gpu", "pytorch", "neuron", "cpu"}, listed
        assert "2028-01-17" in home.good("images").out
        assert json.loads(home.good("plan", "--gpus", "T4", "--json").out)["image"] is None
        assert "images" in home.good("catalog", "update").err
        shown = home.good("plan", "--gpus", "T4").out
        assert f"boots {gpu['name']} ({gpu['id']}; " in shown and "supported until 2028-01-17" in shown, shown
        assert "images" in home.ferry("check").out and "supported until 2028-01-17" in home.ferry("check").out
        done = home.good("run", "--gpus", "T4", "--image", "pytorch-2.4", "--infra", "aws", "--yes", "--", "true")
        assert (
            done.err.count(
                "AWS stopped supporting this image on 2026-08-30: Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.4"
            )
            == 1
        ), done.err


if __name__ == "__main__":
    main(globals())
