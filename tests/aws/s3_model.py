"""AWS's own model of S3 (botocore's) as a judge of requests: is it an operation of S3's, and are all its queries and
headers known?"""
import re
import urllib.parse

import models

SIGNING = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}


def operation_of(method, path, query, headers):
    """The operation of AWS's model that fits best: of the same method and level, with all that its URI and its required
    members name."""
    headers = {name.lower() for name in headers}
    has_key = len(path.strip("/").split("/", 1)) > 1
    best = None
    for name in models.model("s3").operation_names:
        known = models.operation("s3", name)
        uri, _, flags = known.http["requestUri"].partition("?")
        if known.http["method"] != method or ("{Key+}" in uri) != has_key:
            continue
        wire = {
            one.serialization.get("name"): member
            for member, one in known.input_shape.members.items()
            if one.serialization.get("location") == "querystring"
        }
        flags = {one.split("=")[0] for one in flags.split("&") if one}
        must = {
            one.serialization["name"].lower()
            for member, one in known.input_shape.members.items()
            if member in known.input_shape.required_members and one.serialization.get("location") == "header"
        }
        needed = flags | {one for one, member in wire.items() if member in known.input_shape.required_members}
        if needed <= set(query) and must <= headers and (best is None or len(needed) > best[0]):
            best = (len(needed), known, flags | set(wire))
    return best and (best[1], best[2])


def check_model(method, url, headers):
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    found = operation_of(method, parts.path, query, headers)
    if not found:
        return [f"no operation of S3: {method} {url}"]
    known, names = found
    wire = [
        one.serialization.get("name", "").lower()
        for one in known.input_shape.members.values()
        if one.serialization.get("location") in ("header", "headers")
    ]
    unknown = [f"{known.name}: unknown query {one}" for one in query if one not in names]
    for name in headers:
        name = name.lower()
        if known.http_checksum and re.fullmatch("x-amz-checksum-(crc32|crc32c|crc64nvme|sha1|sha256)", name):
            continue
        if (
            name.startswith("x-amz-")
            and name not in SIGNING
            and name not in wire
            and not (name.startswith("x-amz-meta-") and "x-amz-meta-" in wire)
        ):
            unknown.append(f"{known.name}: unknown header {name}")
    return unknown
