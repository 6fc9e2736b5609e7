"""Nobody's lots are promised twice: what a shard offers to a wave is free of what other waves and instructions still hold of the position.

Worked out from the streams alone: offers from adl-candidates, what became of them from adl-decisions, what was executed from fills and results,
each counted when the shard's own step records say it had taken them.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from streams.bus.contract import TopicPartition
from streams.domain.events import AnswerKind, WaveStatus
from tests.simulation.decoding import row_of
from tests.simulation.ordering import decoded, said_by
from tests.simulation.world import World

Position = tuple[int, int, int]


class _Held:
    """What is held of each position of a shard."""

    def __init__(self) -> None:
        self.by_wave: dict[int, dict[Position, int]] = defaultdict(dict)
        self.over: dict[int, None] = {}  # waves given up while the shard had yet to answer, in one step with its answer perhaps
        self.by_instruction: dict[int, dict[Position, int]] = defaultdict(dict)
        self.ended: dict[int, None] = {}  # results may come before the decision
        self._lots: dict[Position, int] = {}  # of positions that were offered
        self._done: dict[tuple[int, Position], int] = defaultdict(int)  # lots filled by instruction, also before the decision is heard
        self._newest: dict[int, int] = {}  # account_seq of fills, by account: what is delivered twice counts once
        self.changes: dict[Position, list[int]] = defaultdict(list)  # by the fills of this step

    def of(self, position: Position, *, besides: int) -> int:
        """Lots held of the position by others than this wave."""
        waves = sum(held.get(position, 0) for wave, held in self.by_wave.items() if wave != besides)
        return waves + sum(held.get(position, 0) for held in self.by_instruction.values())

    def hear(self, stream: str, row: dict[str, Any]) -> None:
        """The shard has taken a row."""
        match stream:
            case "adl-decisions":
                self.decided(row)
            case "fills":
                self.filled(row)
            case "instruction-results":
                self.ended[row["instruction_id"]] = None
                self.by_instruction.pop(row["instruction_id"], None)

    def decided(self, row: dict[str, Any]) -> None:
        """A wave is over: what it allocated is its instructions' now."""
        offered = self.by_wave.get(row["wave_id"], {})
        for part in row["rows"]:
            position = (part["account"], row["instrument"], part["position_side"])
            if position in offered and part["instruction_id"] not in self.ended:
                done = self._done.get((part["instruction_id"], position), 0)
                there = abs(self._lots.get(position, 0)) - self.of(position, besides=row["wave_id"])  # less, if its owner closed some meanwhile
                self.by_instruction[part["instruction_id"]][position] = max(0, min(part["lots"] - done, there))
        if row["status"] in (WaveStatus.ALLOCATED, WaveStatus.CLOSED) and row["chunk"] == row["chunks"] - 1:
            self.by_wave.pop(row["wave_id"], None)
            self.over[row["wave_id"]] = None

    def filled(self, row: dict[str, Any]) -> None:
        """Lots leave by fill, and nobody holds more than there is: a position that shrinks under its owner's hands takes holds along."""
        if row["account_seq"] <= self._newest.get(row["account"], 0):
            return
        self._newest[row["account"]] = row["account_seq"]
        position = (row["account"], row["instrument"], row["position_side"])
        self.changes[position].append(row["lots"])
        self._done[row["instruction_id"] or 0, position] += abs(row["lots"])
        held = self.by_instruction.get(row["instruction_id"] or 0, {})
        if position in held:
            held[position] = max(0, held[position] - abs(row["lots"]))
        if position in self._lots:
            self._lots[position] += row["lots"]
            self._trim(position)

    def _trim(self, position: Position) -> None:
        excess = self.of(position, besides=0) - abs(self._lots[position])
        for holds in (*self.by_wave.values(), *self.by_instruction.values()):
            if excess > 0 and position in holds:
                gone = min(excess, holds[position])
                holds[position] -= gone
                excess -= gone

    def offered(self, wave: int, position: Position, offer: dict[str, Any]) -> None:
        """An offer of this step. Which of the step's fills came before it is not known here: the smallest position they allow counts."""
        lots, after = [offer["lots"]], 0
        for change in reversed(self.changes[position]):
            after += change
            lots.append(offer["lots"] + after)
        self._lots[position] = min(lots, key=abs)
        if wave not in self.over:
            self.by_wave[wave][position] = offer["offered_lots"]
        self._trim(position)


def check_promises(world: World) -> Iterator[str]:
    """For every shard, step by step."""
    instruments = _instruments(world)
    for name, shard in world.shards.items():
        if shard.spec.task == "accounts":
            yield from _shard(world, name, instruments)


def _instruments(world: World) -> dict[int, int]:
    """Instrument of each wave."""
    where = TopicPartition("adl-rounds", 0)
    told = _rows(world, where, 0, world.broker.logs[where].stable)
    return {row["wave_id"]: row["instrument"] for stream, row in told if stream == "adl-probes"}


def _shard(world: World, name: str, instruments: dict[int, int]) -> Iterator[str]:
    """What a step took counts before what it offers: a hold is never thought longer than it was."""
    held, candidates = _Held(), _candidates(world, name)
    for step in world.journals.steps[name]:
        held.changes.clear()
        for topic in ("adl-rounds", "account-events"):  # of one step: what leaves less held
            for part in (part for part in step["slices"] if part["topic"] == topic):
                for stream, row in _rows(world, TopicPartition(part["topic"], part["partition"]), part["from"], part["to"]):
                    held.hear(stream, row)
        offers = [
            (row["wave_id"], (offer["account"], instruments.get(row["wave_id"], 0), offer["position_side"]), offer)
            for row in candidates.get(step["step"], ())
            if row["kind"] == AnswerKind.ANSWER
            for offer in row["rows"]
        ]
        for wave, position, offer in offers:
            others = held.of(position, besides=wave)
            if others + offer["offered_lots"] > abs(offer["lots"]):
                yield (
                    f"promises: {name} step {step['step']} offers {offer['offered_lots']} of {abs(offer['lots'])} lots of {position} "
                    f"to wave {wave}, but others hold {others}"
                )
        for wave, position, offer in offers:
            held.offered(wave, position, offer)


def _candidates(world: World, name: str) -> dict[int, list[dict[str, Any]]]:
    """What the shard offered, by step."""
    where = TopicPartition("adl-candidates", 0)
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    log = world.broker.logs[where]
    for _, record in log.committed(0, log.stable):
        writer, step = said_by(record)
        if writer == name:
            found[step].append(row_of(where.topic, record.value))
    return found


def _rows(world: World, where: TopicPartition, start: int, stop: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for offset, record in world.broker.logs[where].committed(start, stop):
        told = decoded(world, where, offset, record)
        if told is not None:
            yield told
