"""The Faust application: agents of low rate that turn decisions into notifications. Money never rides on it; the engine runs beside it.

`backstop worker --roles views` runs it; `faust -A streams.app ...` works too. Delivery is at least once: after a crash a notification may come twice,
with the same source offset. Faust reads no environment variable of its own here: every value comes from `streams.settings`.
"""

from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from streams.commands.broker import kafka_bus
from streams.errors import CheckFailed
from streams.notify.announced import Announced
from streams.notify.messages import READS, Source, notifications_for
from streams.notify.names import Names
from streams.observe.logs import logger
from streams.observe.metrics import Metrics
from streams.settings import KafkaSettings, Settings, load_settings
from streams.wire.codec import codec
from streams.wire.records import new_record

log = logger(__name__)


class ReadCommittedThread(AIOKafkaConsumerThread):
    """Faust reads uncommitted records unless `processing_guarantee` is exactly_once, which loses and duplicates data (faust-streaming 0.15.3)."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        # The isolation level follows this one flag; it is up only while the consumer is built, so no other part of Faust's transactions wakes.
        self.consumer.in_transaction = True
        try:
            return super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = False


class ReadCommittedConsumer(Consumer):
    """Faust's consumer on a thread that reads committed records only."""

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommittedTransport(Transport):
    """Faust's Kafka transport with that consumer."""

    Consumer = ReadCommittedConsumer


class BackstopApp(faust.App):
    """A Faust app whose agents see committed records only (tests/kafka/test_faust_reads_committed.py holds it)."""

    def _new_transport(self) -> ReadCommittedTransport:
        return ReadCommittedTransport(self.conf.broker_consumer, self)

    announced: Announced

    async def on_stop(self) -> None:
        """Let go of what names are read with."""
        await self.announced.close()
        await super().on_stop()

    async def on_first_start(self) -> None:
        """Faust makes its data directory, but not the ones above it."""
        self.conf.datadir.parent.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()


def _credentials(kafka: KafkaSettings) -> Any:
    """The same connection as the engine's, in Faust's words."""
    context = kafka.ssl_context()
    if kafka.sasl_mechanism is not None:
        return SASLCredentials(username=kafka.sasl_username, password=kafka.password, ssl_context=context, mechanism=kafka.sasl_mechanism)
    return None if context is None else SSLCredentials(context)


def build_app(settings: Settings, *, metrics: Metrics | None = None) -> faust.App:
    """The app of one deployment, with its agents. Nothing is contacted before it starts."""
    deployment = settings.engine.deployment
    brokers = [f"aiokafka://{address}" for address in settings.kafka.bootstrap_servers.split(",")]
    app = BackstopApp(
        f"{deployment}-views",
        env_prefix="BACKSTOP_FAUST_NOT_READ",  # Faust's own variables (BROKER_URL, ...) never apply
        broker=brokers,
        broker_consumer=brokers,
        broker_producer=brokers,
        broker_credentials=_credentials(settings.kafka),
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        datadir=str(settings.engine.data_dir / "faust"),
        store="memory://",
        topic_allow_declare=False,  # topics are created by `backstop topics create`, never by the way
        topic_disable_leader=True,
        stream_wait_empty=False,  # a stop never waits for an event that will not be acknowledged
        web_enabled=settings.web.enabled,
        web_bind=settings.web.bind,
        web_port=settings.web.port,
        autodiscover=False,
    )
    app.announced = Announced(kafka_bus(settings), settings.display.units)
    for stream in READS:
        _notify_of(app, deployment=deployment, stream=stream, metrics=metrics or Metrics())
    return app


def _notify_of(app: BackstopApp, *, deployment: str, stream: str, metrics: Metrics) -> None:
    """Add the agent that reads one stream and writes the notifications that follow from it."""
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(f"{deployment}.{stream}", **raw)
    target = app.topic(f"{deployment}.notifications", **raw)

    async def notify(events: Any) -> None:
        """Write the notifications that follow from what has been decided."""
        async for event in events.events():
            message = event.message
            names = await app.announced.now()
            for row in _messages_of(stream, Source(stream, message.partition, message.offset), event.value, names, metrics):
                record = new_record("notifications", row)
                await target.send(key=record.key, value=record.value, partition=record.partition, timestamp=record.timestamp_ms / 1000)
                metrics.add("notifications", severity=row["severity"].name)

    app.agent(source, name=f"notify-{stream}")(notify)


def _messages_of(stream: str, source: Source, value: bytes | None, names: Names, metrics: Metrics) -> list[dict[str, Any]]:
    """Notifications that follow from one record. One that cannot be decoded is counted and logged, and the agent goes on."""
    try:
        if value is None:
            raise CheckFailed("the record has no value")
        return notifications_for(stream, codec(stream).decode_row(value), source, names)
    except CheckFailed as problem:
        metrics.add("undecodable_records", topic=stream)
        log.warning("record_undecodable", topic=stream, partition=source.partition, offset=source.offset, problem=str(problem))
        return []


def __getattr__(name: str) -> Any:
    """`app` for `faust -A streams.app`: built when first asked for, from the settings of that process."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = build_app(load_settings())
    return globals()["app"]
