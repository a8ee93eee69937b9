import gc
import sys

# Python's default is a garbage collection after every 700 new objects: 360 times while a process
# starts, a tenth of the CPU of a start.
gc.set_threshold(10_000)

# redis-py imports OpenTelemetry where it is installed, for metrics that SNAP does not use: 3 MB in
# each process. The entry makes that fail, as if it was not installed. `tracing.start` removes it.
sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]
