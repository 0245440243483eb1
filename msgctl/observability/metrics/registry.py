"""The registry of this process, and how it is written for Prometheus."""

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series of birth times beside each counter tells no one anything
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render() -> bytes:
    """Everything measured, in Prometheus's text format."""
    return generate_latest(REGISTRY)
