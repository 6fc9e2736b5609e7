"""What is said of a worker's sink: metrics, a line in the log when ClickHouse goes and comes back, and its part of readiness."""

import time

from streams.errors import CheckFailed, Unreachable
from streams.observe.health import Health
from streams.observe.logs import logger
from streams.observe.metrics import Metrics

log = logger(__name__)
NAME = "sink"


class SinkObserver:
    """Told by the sink's pipeline, in the worker's event loop."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._is_away = True
        self._lag: int | None = None
        health.tell(NAME, "starting")

    def on_waiting(self, problem: Unreachable, pause_s: float) -> None:
        """ClickHouse does not answer; it is asked again after the pause."""
        if not self._is_away or self._lag is None:
            log.warning("sink_waits", reason=str(problem), pause_s=pause_s)
        self._is_away = True
        self._metrics.set("sink_connected", 0)
        self._health.tell(NAME, "waiting for ClickHouse", self._lag)

    def on_retry(self, topic: str, problem: Unreachable, pause_s: float) -> None:
        """A block did not get an answer."""
        self._metrics.add("sink_retries", topic=topic)
        self.on_waiting(problem, pause_s)

    def on_block(self, topic: str, rows: int, skipped: int) -> None:
        """A block is in ClickHouse."""
        self._metrics.add("sink_rows", rows, topic=topic)
        self._metrics.add("sink_blocks", topic=topic)
        if skipped:
            self._metrics.add("undecodable_records", skipped, topic=topic)
            log.warning("sink_skipped", topic=topic, records=skipped)
        if self._is_away:
            self.on_connected()

    def on_connected(self) -> None:
        """ClickHouse answers."""
        log.info("sink_connected")
        self._is_away = False
        self._metrics.set("sink_connected", 1)
        self._health.tell(NAME, "running", self._lag)

    def on_refused(self, problem: CheckFailed) -> None:
        """Nothing more is inserted until somebody has acted."""
        log.error("sink_ended", reason=str(problem))
        self._is_away = True
        self._metrics.set("sink_connected", 0)
        self._health.tell(NAME, "ended: ClickHouse or the log refuses it", self._lag)

    def on_survey(self, waiting: dict[str, int], oldest_ms: dict[str, int]) -> None:
        """Offsets not inserted, and the oldest timestamp among the records that wait."""
        now_s = time.time()
        for topic, records in waiting.items():
            self._metrics.set("sink_lag_records", records, topic=topic)
            behind_s = now_s - oldest_ms[topic] / 1000 if topic in oldest_ms else 0.0
            self._metrics.set("sink_lag_seconds", max(behind_s, 0.0), topic=topic)
        self._lag = sum(waiting.values())
        self._health.tell(NAME, "waiting for ClickHouse" if self._is_away else "running", self._lag)
