"""How alarms are shown: events and beginnings counted and logged, what lasts as gauges that end when it ends, what repeats as one line."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from streams.domain.alarms import ALARMS, Alarm, Kind, Lasting, Severity
from streams.observe.logs import logger
from streams.observe.metrics import Metrics

log = logger(__name__)

REPEAT_S: Final = 60.0  # what is raised again of the same case within so long is counted, and not logged
CASES_KEPT: Final = 10_000  # beyond so many, cases are forgotten, and a line may come early
MACHINE, ENGINE = "machine", "engine"  # who says that something lasts: each speaks for all that it knows
_Case = tuple[str, int, Alarm, tuple[Any, ...]]


class AlarmBoard:
    """Alarms of all shards of a process."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._logged: dict[_Case, tuple[float, int]] = {}  # when last, and how often since
        self._lasting: dict[tuple[str, int, str], dict[tuple[Alarm, str], Lasting]] = {}

    def known(self, task: str) -> None:
        """A counter that begins with its first event has no increase that anybody could see."""
        for alarm in Alarm:
            self._count(task, alarm, 0)

    def raised(self, task: str, shard: int, alarm: Alarm, facts: dict[str, Any]) -> None:
        """Count it, and log it unless the same case has been logged just now."""
        self._count(task, alarm, 1)
        about, now = ALARMS[alarm], self._clock()
        case = task, shard, alarm, tuple(facts.get(name) for name in about.facts)
        at, times = self._logged.get(case, (now - REPEAT_S, 0))
        if now - at < REPEAT_S:
            self._logged[case] = at, times + 1
            return
        if len(self._logged) >= CASES_KEPT:
            self._logged.clear()
        self._logged[case] = now, 0
        say = log.info if about.severity is Severity.INFO else log.warning
        repeated = {"not_logged": times} if times else {}
        say("alarm_raised", **{**facts, **repeated, "alarm": alarm, "severity": about.severity, "task": task, "shard": shard})

    def _count(self, task: str, alarm: Alarm, times: int) -> None:
        about = ALARMS[alarm]
        self._metrics.add("alarms", times, task=task, alarm=alarm, severity=about.severity, kind=about.kind)

    def lasts(self, task: str, shard: int, source: str, now: Iterable[Lasting]) -> None:
        """All that lasts now of what the source knows of the shard; what it named before and names no longer is over."""
        key = task, shard, source
        before, self._lasting[key] = self._lasting.get(key, {}), {(each.alarm, each.of): each for each in now}
        labels: dict[str, Any] = {"task": task, "shard": shard}
        for name, each in self._lasting[key].items():
            self._show(labels, each)
            if name not in before:
                log.warning("alarm_lasts", alarm=each.alarm, of=each.of, count=each.count, since_us=each.since_us, **labels)
        for name in before.keys() - self._lasting[key].keys():
            self._forget(labels, before[name])
            log.info("alarm_over", alarm=name[0], of=name[1], **labels)

    def left(self, task: str, shard: int) -> None:
        """The shard does not run here any more: what lasts is the next owner's to say."""
        for source in (MACHINE, ENGINE):
            for each in self._lasting.pop((task, shard, source), {}).values():
                self._forget({"task": task, "shard": shard}, each)

    def _show(self, labels: dict[str, Any], each: Lasting) -> None:
        about = ALARMS[each.alarm]
        assert about.kind is Kind.STATE, f"{each.alarm} happens, it does not last"
        self._metrics.set("lasting_alarms", each.count, **labels, alarm=each.alarm, severity=about.severity, of=each.of)
        if each.since_us is not None:
            self._metrics.set("lasting_alarm_timestamp_seconds", each.since_us / 1e6, **labels, alarm=each.alarm, of=each.of)

    def _forget(self, labels: dict[str, Any], each: Lasting) -> None:
        self._metrics.forget("lasting_alarms", **labels, alarm=each.alarm, severity=ALARMS[each.alarm].severity, of=each.of)
        self._metrics.forget("lasting_alarm_timestamp_seconds", **labels, alarm=each.alarm, of=each.of)
