"""`backstop dlq`: the arguments of its commands; what they do stands in `streams/commands/dlq.py`."""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no Kafka client, no compiler, no ClickHouse

from pathlib import Path
from typing import Annotated

import typer

from streams.cli_flags import Checked
from streams.cli_options import Bootstrap, Config, Deployment, Directory, Json, SourceBus, SourceName, source_of

dlq_app = typer.Typer(help="Records that could not be applied: look at them, correct them, or let them go.", rich_markup_mode=None)
Place = Annotated[str, typer.Argument(metavar="PLACE", help="Where the record stands: <topic>/<partition>/<offset>, as `dlq list` prints it.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show accounts and raw bytes; without it accounts are hashed.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait for the shard that takes it, with --bus kafka.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")]


@dlq_app.command("list", cls=Checked)
def dlq_list(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are dealt with.")] = False,
    reveal: Reveal = False,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the open dead letters: place, time, reason, account."""
    from streams.commands.dlq import run_list

    source = source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config)
    return run_list(source, everything=everything, reveal=reveal, as_json=as_json)


@dlq_app.command("show", cls=Checked)
def dlq_show(
    place: Place,
    *,
    reveal: Reveal = False,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Show one dead letter, its payload decoded as far as it goes."""
    from streams.commands.dlq import run_show

    source = source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config)
    return run_show(source, place, reveal=reveal, as_json=as_json)


@dlq_app.command("correct", cls=Checked)
def dlq_correct(
    place: Place,
    *,
    reason: Reason,
    changes: Annotated[list[str] | None, typer.Option("--set", help="A field as it should have been: <field>=<value>. Repeatable.")] = None,
    record: Annotated[str | None, typer.Option("--record", help="The whole record as JSON, or @<file>; needed where it cannot be read.")] = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Write the record as it should have been to `corrections`; it is applied once, and heals its account."""
    from streams.commands.dlq import run_correct

    source = source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config)
    return run_correct(source, place, changes=changes or (), record_text=record, reason=reason, wait_s=wait, dry_run=dry_run, as_json=as_json)


@dlq_app.command("drop", cls=Checked)
def dlq_drop(
    place: Place,
    *,
    reason: Reason,
    account_seq: Annotated[int | None, typer.Option(min=1, help="The record's sequence number, if known: it then counts as heard.")] = None,
    wait: Wait = 30,
    dry_run: DryRun = False,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Let a dead letter go: it stays unapplied, and its account is trusted again; alarmed."""
    from streams.commands.dlq import run_drop

    source = source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config)
    return run_drop(source, place, account_seq=account_seq, reason=reason, wait_s=wait, dry_run=dry_run, as_json=as_json)
