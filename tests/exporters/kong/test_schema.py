"""Kong's verdicts: what its own schema engine said of these configurations, the checker says too."""

from __future__ import annotations

from typing import Any

import pytest

from vallum.exporters.kong.schema import find_faults

REDIS = {"host": "redis.example", "port": 6379}


def document(name: str = "rate-limiting", **config: Any) -> dict[str, Any]:
    route = {"name": "predict", "paths": ["~/predict$"], "plugins": [{"name": name, "config": config}]}
    return {"_format_version": "3.0", "services": [{"name": "model", "url": "http://model:8000", "routes": [route]}]}


@pytest.mark.parametrize(
    "config",
    [
        {"minute": 10, "hour": 100, "policy": "redis", "redis": REDIS, "fault_tolerant": False, "sync_rate": -1},
        {"minute": 10, "policy": "local"},
        {"second": 0.5},
        {"minute": 10, "limit_by": "header", "header_name": "x-team"},
    ],
    ids=["nested redis", "local", "a fraction", "by a header"],
)
def test_what_kong_takes_is_taken(config: dict[str, Any]) -> None:
    assert find_faults(document(**config)) == []


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"minute": 100, "hour": 10}, "the limit for hour cannot be lower than the limit for minute"),
        ({"minute": 10, "policy": "redis"}, "redis.host: required field missing"),
        ({"minute": 10, "policy": "redis", "redis": {"port": 6379}}, "redis.host: required field missing"),
        ({"minute": 10, "novelty": 1}, "novelty: unknown field"),
        ({"minute": 10, "policy": "cluster"}, "expected one of: local, redis"),
        ({}, "at least one of these fields must be non-empty"),
        ({"minute": 0}, "must be greater than 0"),
        ({"minute": "10"}, "expected a number"),
        ({"minute": True}, "expected a number"),
        ({"minute": 10, "limit_by": "tenant"}, "expected one of"),
        ({"minute": 10, "limit_by": "header"}, "header_name: required field missing"),
        ({"minute": 10, "limit_by": "path"}, "path: required field missing"),
        ({"minute": 10, "sync_rate": 1}, "can only be used with the redis policy"),
        ({"minute": 10, "redis": {"host": "r", "port": 70_000}}, "between 0 and 65535"),
        ({"minute": 10, "policy": "redis", "redis_host": "redis.example"}, "redis_host: unknown field"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_kong_refuses_is_refused_and_so_is_its_deprecated_layout(config: dict[str, Any], fault: str) -> None:
    assert any(fault in one for one in find_faults(document(**config))), find_faults(document(**config))


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"limits": {}}, "limits: length must be at least 1"),
        ({}, "limits: required field missing"),
        ({"limits": {"tokens": {}}}, "at least one of these fields"),
        ({"limits": {"tokens": {"minute": 9, "day": 3}}}, "cannot be lower"),
        ({"limits": {"tokens": {"fortnight": 9}}}, "unknown field"),
        ({"limits": {"tokens": 9}}, "expected a record"),
        ({"limits": {"tokens": {"minute": 9}}, "limit_by": "service"}, "expected one of"),
    ],
)
def test_limits_of_what_a_service_counts_are_held(config: dict[str, Any], fault: str) -> None:
    assert any(fault in one for one in find_faults(document("response-ratelimiting", **config)))
    assert find_faults(document("response-ratelimiting", limits={"tokens": {"minute": 9}})) == []


@pytest.mark.parametrize(
    ("name", "config", "fault"),
    [
        ("nonesuch", {}, "plugin 'nonesuch' not enabled"),
        ("acl", {"allow": ["a"], "deny": ["b"]}, "exactly one of"),
        ("acl", {}, "exactly one of"),
        ("ip-restriction", {}, "at least one of"),
        ("ip-restriction", {"deny": ["10.0.0.0/33"]}, "invalid ip or cidr"),
        ("key-auth", {"key_names": []}, "length must be at least 1"),
        ("key-auth", {"key_names": ["x key"]}, "is not written as it should be"),
        ("jwt", {"claims_to_verify": ["aud"]}, "expected one of: exp, nbf"),
        ("request-size-limiting", {"allowed_payload_size": 1.5}, "expected an integer"),
        ("request-size-limiting", {"size_unit": "gigabytes"}, "expected one of"),
        ("request-termination", {"status_code": 600}, "between 100 and 599"),
        ("request-termination", {"message": "a", "body": "b"}, "message cannot be used"),
        ("request-transformer", {"add": {"headers": ["no-value"]}}, "is not written as it should be"),
        ("response-transformer", {"remove": {"fields": ["a"]}}, "unknown field"),
    ],
)
def test_other_plugins_are_held(name: str, config: dict[str, Any], fault: str) -> None:
    assert any(fault in one for one in find_faults(document(name, **config))), find_faults(document(name, **config))


def service(**changes: Any) -> dict[str, Any]:
    return {"_format_version": "3.0", "services": [{"name": "model", "url": "http://model:8000", **changes}]}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"services": []}, "_format_version: required field missing"),
        ({"_format_version": "4.0"}, "expected one of"),
        ({"_format_version": "3.0", "_info": {}}, "_info: unknown field"),
        ([], "expected a record"),
        (service(url="redis://model"), "no http or https address"),
        (service(url=8000), "no http or https address"),
        (service(name="a b"), "is not written as it should be"),
        (service(read_timeout=0), "between 1 and"),
        (service(plugins=[{"name": "key-auth"}, {"name": "key-auth"}]), "is there twice"),
        (service(plugins=["key-auth"]), "expected a record"),
        (service(routes=[{"name": "r"}]), "must set one of"),
        (service(routes=[{"name": "r", "paths": ["predict"]}]), "should start with"),
        (service(routes=[{"name": "r", "paths": ["~(?i)/predict$"]}]), "should start with"),
        (service(routes=[{"name": "r", "paths": ["/a//b"]}]), "empty segments"),
        (service(routes=[{"name": "r", "paths": ["~/("]}]), "invalid regex"),
        (service(routes=[{"name": "r", "paths": ["/a"], "protocols": ["ftp"]}]), "expected one of"),
        (service(routes=[{"name": "r", "paths": ["/a"]}, {"name": "r", "paths": ["/b"]}]), "uniqueness violation"),
        (service(routes="r"), "expected a list"),
    ],
)
def test_the_file_around_the_plugins_is_held(given: Any, fault: str) -> None:
    assert any(fault in one for one in find_faults(given)), find_faults(given)


def test_a_plugin_may_say_nothing_of_its_config() -> None:
    assert find_faults(service(plugins=[{"name": "key-auth"}])) == []
