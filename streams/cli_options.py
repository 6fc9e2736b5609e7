"""Options that several commands share, and what they come to: settings, the run to look at, the range of a log."""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no Kafka client, no compiler, no ClickHouse

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class SourceName(StrEnum):
    """Where a run stands that is looked at."""

    DIRECTORY = "directory"
    KAFKA = "kafka"


Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings; flags, environment and .env go before it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Directory = Annotated[Path, typer.Option("--dir", help="Directory of the run.")]
Force = Annotated[bool, typer.Option("--force", help="Give up a finished run that stands in --dir; an unfinished one makes room by itself.")]
Bootstrap = Annotated[str | None, typer.Option("--bootstrap-servers", "-b", help="Brokers: host:port, comma separated.")]
Deployment = Annotated[str | None, typer.Option("--deployment", help="Prefix of every topic and transactional id.")]
Shards = Annotated[int | None, typer.Option("--shards", min=1, help="Accounts shards; fixed for the life of a deployment.")]
SourceBus = Annotated[SourceName, typer.Option("--bus", help="directory: a recording (--dir). kafka: the topics of --deployment as they are now.")]
_RANGE = (
    "a place in the log: beginning, end, an offset, s@<ms>, an ISO time; of one topic or partition: marks=..., account-events/3=... (repeatable)."
)
From = Annotated[list[str] | None, typer.Option("--from", help=f"Begin at {_RANGE}")]
To = Annotated[list[str] | None, typer.Option("--to", help=f"End before {_RANGE}")]
Partitions = Annotated[int | None, typer.Option("--account-partitions", min=1, help="Partitions of the account-keyed topics.")]


def settings_of(config: Path | None, **flags: dict[str, Any]) -> Any:
    """The settings of this process with these flags."""
    from streams.settings import load_settings

    return load_settings(config=config, flags=flags)


def source_of(bus: SourceName, directory: Path, *, deployment: str | None, bootstrap: str | None, config: Path | None) -> Any:
    """The run that --bus, --dir and --deployment name."""
    from streams.commands.check import Source

    if bus is SourceName.DIRECTORY:
        return Source(directory)
    return Source(directory, settings_of(config, kafka={"bootstrap_servers": bootstrap}, engine={"deployment": deployment}))


def ends_of(start: list[str] | None, stop: list[str] | None) -> tuple[Any, Any]:
    """The range that --from and --to name."""
    from streams.bus.ranges import BEGINNING, END, parse_ends

    return parse_ends(start or (), BEGINNING, "--from"), parse_ends(stop or (), END, "--to")
