"""Counts the open websockets of a process."""

from prometheus_client import Gauge

sockets_open = Gauge("websockets_open", "Open websockets", multiprocess_mode="livesum")
