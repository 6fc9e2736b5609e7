"""What the members of the workers' group tell each other, and the shards they are dealt."""

from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.kafka_connection import KafkaConfig
from streams.errors import UsageProblem
from streams.settings import EngineSettings, Settings
from streams.worker.engine import every_shard
from streams.worker.group import GroupOwnership, KeepingAssignor, shards_topic
from streams.worker.run import chosen_shards

TOPIC = shards_topic("prod")
SETTINGS = Settings(engine=EngineSettings(deployment="prod", shards=2, account_partitions=4))


def dealt(assignors: dict[str, KeepingAssignor]) -> dict[str, list[int]]:
    """One rebalance: everybody says what it runs, one deals, everybody hears its share."""
    metadata: dict[str, Any] = {member: assignor.metadata([TOPIC]) for member, assignor in assignors.items()}
    leader = next(iter(assignors.values()))
    for member, assignment in leader.assign(None, metadata).items():
        assignors[member].on_assignment(type(assignment).decode(assignment.encode()))
    return {member: assignor.running for member, assignor in assignors.items()}


def test_members_keep_what_they_run_when_others_join_and_leave() -> None:
    a, b, c = (KeepingAssignor(TOPIC, 4) for _ in range(3))
    assert dealt({"a": a}) == {"a": [0, 1, 2, 3]}
    assert dealt({"a": a, "b": b}) == {"a": [0, 1], "b": [2, 3]}
    assert dealt({"a": a, "b": b, "c": c}) == {"a": [0, 1], "b": [2], "c": [3]}
    assert dealt({"b": b, "c": c}) == {"b": [0, 2], "c": [1, 3]}


def test_a_member_that_says_something_unreadable_claims_nothing() -> None:
    a, b = KeepingAssignor(TOPIC, 2), KeepingAssignor(TOPIC, 2)
    metadata = a.metadata([TOPIC])
    metadata.user_data = b"\xff,x,,1"
    shares = b.assign(None, {"a": metadata, "b": b.metadata([TOPIC])})
    assert {member: share.assignment for member, share in shares.items()} == {"a": [(TOPIC, [1])], "b": [(TOPIC, [0])]}


async def test_partitions_are_the_accounts_shards_and_then_the_pools_task() -> None:
    group = GroupOwnership(KafkaConfig(bootstrap_servers="127.0.0.1:1", deployment="prod"), every_shard(SETTINGS), session_timeout_ms=1_000)
    assert (list(group.owned()), group.has_joined) == ([], False)
    await group.on_partitions_assigned([TopicPartition(TOPIC, 2), TopicPartition(TOPIC, 0)])
    assert [spec.name for spec in group.owned()] == ["accounts-0", "pools-0"]
    await group.on_partitions_revoked([TopicPartition(TOPIC, 2), TopicPartition(TOPIC, 0)])
    assert [spec.name for spec in group.owned()] == ["accounts-0", "pools-0"]  # until an assignment says otherwise
    await group.on_partitions_assigned([])
    assert (list(group.owned()), group.has_joined) == ([], True)


@pytest.mark.parametrize(
    ("text", "names"),
    [("shared", None), ("all", ["accounts-0", "accounts-1", "pools-0"]), ("pools/0, accounts/1", ["pools-0", "accounts-1"])],
)
def test_shards_are_shared_or_named(text: str, names: list[str] | None) -> None:
    chosen = chosen_shards(text, SETTINGS)
    assert (None if chosen is None else [spec.name for spec in chosen]) == names


def test_a_shard_that_the_deployment_does_not_have_is_refused() -> None:
    with pytest.raises(UsageProblem, match="accounts/0, accounts/1, pools/0"):
        chosen_shards("accounts/2", SETTINGS)
