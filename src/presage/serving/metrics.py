"""What a server counts, in Prometheus' text format (version 0.0.4): enough of it that no client library is needed."""

from bisect import bisect_left
from collections import Counter
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts of observed values up to each of `bounds`, their number and sum."""

    def __init__(self, *bounds: float) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None

    def lines(self, name: str) -> list[str]:
        labels = [*map(str, self.bounds), "+Inf"]
        buckets = [f'{name}_bucket{{le="{le}"}} {n}' for le, n in zip(labels, accumulate(self.counts), strict=True)]
        return [*buckets, f"{name}_sum {self.sum}", f"{name}_count {self.count}"]


class Metrics:
    """Of one server. Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        """By kind: message, deadline, order, internal; and refused: connections turned away."""
        self.sessions = 0
        self.seconds = Histogram(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
        """Of an answered request, from its arrival to its answer."""
        self.batches = Histogram(1, 2, 4, 8, 16, 32, 64)
        """Requests that went through the model at a time."""

    def text(self) -> str:
        errors = [f'presage_errors_total{{kind="{kind}"}} {n}' for kind, n in sorted(self.errors.items())]
        families = {
            "presage_requests_total": (
                "counter",
                "answered requests",
                [f"presage_requests_total {self.seconds.count}"],
            ),
            "presage_errors_total": ("counter", "refused requests and connections", errors),
            "presage_open_sessions": (
                "gauge",
                "connections with an episode",
                [f"presage_open_sessions {self.sessions}"],
            ),
            "presage_request_seconds": (
                "histogram",
                "arrival to answer",
                self.seconds.lines("presage_request_seconds"),
            ),
            "presage_batch_size": ("histogram", "requests computed together", self.batches.lines("presage_batch_size")),
        }
        lines = []
        for name, (kind, text, values) in families.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *values]
        return "\n".join(lines) + "\n"
