"""What a broker says of topics: identity, partitions, replicas and settings; and how the topics of a deployment are asked for.

A topic's name may be given to another log after it was deleted; its id never is. aiokafka asks for metadata without ids (up to version 5 of the
request), so version 10 stands here in its words; a broker that does not know it gives no ids, and then nothing is concluded from them.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from streams.bus.contract import topic_id_text

NO_UUID: Final = bytes(16)  # what a broker says for a topic that has no id


class TopicId(AbstractType):  # type: ignore[misc]  # aiokafka is untyped
    """A UUID as Kafka's own tools print it; "" where there is none."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        """Its 16 bytes."""
        return base64.urlsafe_b64decode(f"{value}==") if value else NO_UUID

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        """From its 16 bytes."""
        raw = data.read(len(NO_UUID))
        return "" if raw == NO_UUID else topic_id_text(raw)


_TEXT = CompactString("utf-8")
_NUMBERS = CompactArray(Int32)
_TAGS = ("tags", TaggedFields)


class MetadataResponse10(Response):  # type: ignore[misc]
    """https://kafka.apache.org/protocol#The_Messages_Metadata."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("topic_id", TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _NUMBERS),
                        ("isr", _NUMBERS),
                        ("offline_replicas", _NUMBERS),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        ("cluster_authorized_operations", Int32),
        _TAGS,
    )


class MetadataRequest10(RequestStruct):  # type: ignore[misc]
    """The same link. No topics named: all that we may see."""

    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", TopicId), ("topic", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class AllTopics(Request[MetadataRequest10]):  # type: ignore[misc]
    """Every topic; none is created by the asking."""

    API_KEY: ClassVar[int] = 3

    def build(self, request_struct_class: type[MetadataRequest10]) -> MetadataRequest10:
        """The request."""
        return request_struct_class(None, False, False, False, {})


@dataclass(frozen=True, slots=True)
class TopicOnBroker:
    """A topic as it is. `topic_id`: None where the broker gives none. `replicas`: of the partition that has fewest."""

    name: str
    topic_id: str | None
    partitions: int
    replicas: int


async def describe(admin: Any) -> list[TopicOnBroker]:
    """Every topic that this user may see, by a started admin client."""
    try:
        entries = (await admin._send_request(AllTopics())).to_object()["topics"]
    except (NotImplementedError, IncompatibleBrokerVersion):  # what aiokafka raises where the broker is too old for the only version
        entries = await admin.describe_topics()
    return [
        TopicOnBroker(
            entry["topic"],
            entry.get("topic_id") or None,
            len(entry["partitions"]),
            min((len(partition["replicas"]) for partition in entry["partitions"]), default=0),
        )
        for entry in entries
    ]


async def settings_of(admin: Any, names: Iterable[str]) -> dict[str, dict[str, str] | None]:
    """The settings of these topics as they are in force, by topic; None where this user may not see them."""
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found: dict[str, dict[str, str] | None] = {}
    for answer in answers:
        for code, _, _, name, entries in answer.resources:
            found[name] = None if code else {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return found
