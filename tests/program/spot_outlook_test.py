#!/usr/bin/env python3
"""ferry plan --spot: what may be expected of spot machines."""
import http.server
import json
import threading

from aws_test import aws_env
from lib import Home, main

ADVISOR = {
    "ranges": [{"index": 0, "label": "<5%"}, {"index": 3, "label": "15-20%"}],
    "spot_advisor": {"us-east-1": {"Linux": {"g4dn.xlarge": {"s": 60, "r": 3}, "g4dn.2xlarge": {"s": 60, "r": 0}}}},
}


class Advisor:
    """AWS's public file, on this computer."""

    def __enter__(self):
        advisor = self
        self.asked, self.status = 0, 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                advisor.asked += 1
                text = json.dumps(ADVISOR).encode()
                self.send_response(advisor.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *ignored):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/spot-advisor-data.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *ignored):
        self.server.shutdown()
        self.server.server_close()


def outlook(home, *words):
    return json.loads(home.good("plan", "--spot", "--gpus", "T4", "--duration", "10h", *words, "--json").out)[
        "spot_outlook"
    ]


def test_the_market_of_a_rehearsal_is_the_history_and_no_call_is_made_without_spot():
    with Home() as home:
        assert (
            json.loads(home.good("plan", "--gpus", "T4", "--infra", "rehearsal", "--json").out)["spot_outlook"] is None
        )
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "market", "seed=7", "step_ms=3600000")
        told = outlook(home, "--infra", "rehearsal")
        best = told["offers"][0]
        assert [zone["zone"] for zone in best["zones"]] == [f"us-east-1{letter}" for letter in "abcdef"], best
        for zone in best["zones"]:
            assert 100 < zone["changes"] <= 7 * 24, zone  # a price an hour, for a week
            assert zone["least_usd"] < zone["median_usd"] < zone["most_usd"] and len(zone["line_usd"]) == 24, zone
            assert zone["now_usd"] == zone["line_usd"][-1], zone
        assert best["hourly_usd"] == min(zone["now_usd"] for zone in best["zones"])
        assert (
            told["scored_types"] == ["g4dn.2xlarge", "g4dn.4xlarge", "g4dn.xlarge"] and len(told["scores"]) == 6
        ), told
        assert best["interruption_band"] is None and best["expected"]["interruptions"] is None, best
        shown = home.good("plan", "--spot", "--gpus", "T4", "--infra", "rehearsal")
        assert (
            "is not known (ferry catalog update asks)" in shown.out
            and "if there are no interruptions, on-demand $" in shown.out
        ), shown.out


def test_what_the_advisor_says_is_kept_and_counted_with():
    with Home() as home, Advisor() as advisor:
        aws_env(home)
        home.good("catalog", "update", env={"FERRY_SPOT_ADVISOR_URL": advisor.url})
        assert advisor.asked == 1
        told = outlook(home)
        first, second = (
            next(one for one in told["offers"] if one["instance_type"] == name)
            for name in ("g4dn.xlarge", "g4dn.2xlarge")
        )
        assert first["interruption_band"]["label"] == "15-20%" and second["interruption_band"]["label"] == "<5%", told
        # 20 of a hundred in 730 hours, for ten hours and a start of five minutes.
        assert 0.0030 < first["expected"]["interruptions"] < 0.0032, first
        assert (
            10 < first["expected"]["machine_s"] / 3600 < 10.1 and first["expected"]["usd"] < first["on_demand_usd"]
        ), first
        shown = home.good("plan", "--spot", "--gpus", "T4", "--duration", "10h").out
        assert (
            f"15-20% of such machines were taken back in a month (AWS's Spot Advisor of {told['advisor_date']})"
            in shown
        ), shown
        assert "(0.0031 interruptions expected), on-demand $" in shown, shown
        # What was kept stays where the file cannot be had.
        advisor.status = 403
        done = home.good("catalog", "update", env={"FERRY_SPOT_ADVISOR_URL": advisor.url})
        assert "how often spot machines are taken back" in done.err and "answers 403" in done.err, done.err
        assert outlook(home)["offers"][0]["interruption_band"], "it is gone"


def test_what_may_not_be_asked_fails_no_plan():
    with Home() as home:
        aws_env(home)
        home.good("rehearsal", "fault", "permission", "action=ec2:GetSpotPlacementScores")
        told = outlook(home)
        (line,) = told["problems"]
        assert line.startswith("placement score: ") and "`ferry policy` prints what is needed" in line, line
        assert told["offers"][0]["zones"], told
        home.good("rehearsal", "fault", "permission", "action=ec2:DescribeSpotPriceHistory")
        told = outlook(home)
        assert len(told["problems"]) == 2 and not told["offers"][0]["zones"] and told["offers"][0]["expected"], told
        one = json.loads(home.good("plan", "--spot", "-t", "g5.xlarge", "--json").out)["spot_outlook"]
        assert any("fewer than three types always score low" in line for line in one["problems"]), one
    with Home() as home:  # without credentials
        told = outlook(home, "--region", "us-east-1")
        assert told["problems"] and "credentials" in told["problems"][0] and told["offers"][0]["expected"], told


main(globals())
