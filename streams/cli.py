"""The command `backstop`: arguments, exit codes, and one clear line for whatever goes wrong. What commands do stands in `streams/commands`.

Exit codes are those of `streams/errors.py`; docs/command-line.md has the table.
"""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no Kafka client, no compiler, no ClickHouse

import os
import sys
import traceback
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, TyperException

from streams import __version__
from streams.cli_dashboards import dashboards_app
from streams.cli_dlq import dlq_app
from streams.cli_flags import Checked
from streams.cli_migrate import migrate_app
from streams.cli_options import (
    Bootstrap,
    Config,
    Deployment,
    Directory,
    Force,
    From,
    Json,
    Partitions,
    Shards,
    SourceBus,
    SourceName,
    To,
    ends_of,
    settings_of,
    source_of,
)
from streams.cli_venue import venue
from streams.commands.console import complain
from streams.errors import BackstopError, Interrupted, UsageProblem
from streams.observe.logs import configure_logs

DEBUG = "BACKSTOP_DEBUG"  # "1": a traceback after an internal error

app = typer.Typer(
    name="backstop",
    help="Liquidation, insurance-fund and auto-deleveraging engine beside a derivatives exchange.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
topics_app = typer.Typer(help="Create or check the topics of a deployment.", rich_markup_mode=None)
app.add_typer(topics_app, name="topics")
app.add_typer(dashboards_app, name="dashboards")
app.add_typer(dlq_app, name="dlq")
app.add_typer(migrate_app, name="migrate")
schemas_app = typer.Typer(help="The schema files: locked versions and their compatibility.", rich_markup_mode=None)
app.add_typer(schemas_app, name="schemas")
app.command(cls=Checked)(venue)


class BusName(StrEnum):
    """Which log carries a demo."""

    MEMORY = "memory"
    KAFKA = "kafka"


class Roles(StrEnum):
    """What a worker process does."""

    ENGINE = "engine"
    VIEWS = "views"
    SINK = "sink"
    ALL = "all"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"backstop {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")] = False,
) -> None:
    """Without a command, print the help."""
    if context.invoked_subcommand is None and not version:
        typer.echo(context.get_help())


@app.command(cls=Checked)
def demo(
    *,
    scenario: Annotated[str, typer.Option(help="What happens at the exchange: a name, or a .toml or .json file of your own.")] = "oct-10-2025",
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts; left out, the scenario's own number.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that the scenario draws.")] = 1,
    shards: Annotated[int, typer.Option(min=1, help="Accounts shards.")] = 2,
    directory: Directory = Path("run/demo"),
    force: Force = False,
    bus: Annotated[BusName, typer.Option(help="memory: all in this process. kafka: through a broker and a worker process.")] = BusName.MEMORY,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Run a scenario through the whole pipeline and leave its log, snapshots, tables and report in a directory."""
    from streams.commands.demo import DemoOptions, run_demo

    settings = settings_of(config, kafka={"bootstrap_servers": bootstrap_servers}, engine={"shards": shards})
    options = DemoOptions(scenario=scenario, accounts=accounts, seed=seed, shards=shards, directory=directory, force=force, bus=bus.value)
    return run_demo(options, settings, as_json=as_json)


@app.command(cls=Checked)
def replay(
    *,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    start: From = None,
    stop: To = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Parameters from the start, e.g. pool.1.adl_start_value=0: says what changes. Repeatable.")
    ] = None,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Run the machines again over a recorded log and compare every output and state, byte for byte; or with other parameters."""
    from streams.commands.check import run_replay
    from streams.commands.sides import run_what_if
    from streams.engine.whatif import parse_setting

    ends = ends_of(start, stop)
    wanted = [parse_setting(text) for text in settings or ()]
    source = source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config)
    return run_what_if(source, *ends, wanted, as_json=as_json) if wanted else run_replay(source, *ends, as_json=as_json)


@app.command(cls=Checked)
def verify(
    *,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Check a run: its files, inputs, chain of steps, outputs and states. Names the first difference and its class."""
    from streams.commands.check import run_verify

    return run_verify(source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config), as_json=as_json)


@app.command(cls=Checked)
def reconcile(
    *,
    directory: Directory = Path("run/demo"),
    bus: SourceBus = SourceName.DIRECTORY,
    start: From = None,
    stop: To = None,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Prove that the tables in ClickHouse hold every record of the log once and as it is, and nothing else."""
    from streams.commands.reconcile import run_reconcile

    ends = ends_of(start, stop)
    return run_reconcile(source_of(bus, directory, deployment=deployment, bootstrap=bootstrap_servers, config=config), *ends, as_json=as_json)


@app.command()
def record(
    *,
    directory: Directory,
    force: Force = False,
    topics: Annotated[list[str] | None, typer.Option("--topic", "-t", help="A topic to copy; left out, all of them. Repeatable.")] = None,
    start: From = None,
    stop: To = None,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Copy a range of a deployment's topics into a directory, closed by a MANIFEST."""
    from streams.commands.record import run_record

    ends = ends_of(start, stop)
    settings = settings_of(config, kafka={"bootstrap_servers": bootstrap_servers}, engine={"deployment": deployment})
    return run_record(settings, directory, topics or (), *ends, force=force, as_json=as_json)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Directory of a run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Directory of another.")],
    *,
    as_json: Json = False,
) -> int:
    """Show the first difference between two runs, event by event, field by field."""
    from streams.commands.check import Source
    from streams.commands.sides import run_compare

    return run_compare(Source(a), Source(b), as_json=as_json)


@app.command()
def doctor(*, deployment: Deployment = None, bootstrap_servers: Bootstrap = None, config: Config = None, as_json: Json = False) -> int:
    """Print every setting with its origin, secrets masked, and whether the broker and ClickHouse answer."""
    from streams.commands.doctor import run_doctor

    flags = {"kafka": {"bootstrap_servers": bootstrap_servers}, "engine": {"deployment": deployment}}
    return run_doctor(settings_of(config, **flags), config=config, flags=flags, as_json=as_json)


@app.command()
def report(*, directory: Directory = Path("run/demo"), config: Config = None, as_json: Json = False) -> int:
    """Write the page of a run, report.html in its directory: one file, no script, nothing fetched."""
    from streams.commands.report import run_report

    return run_report(directory, settings_of(config).display.units, as_json=as_json)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the tables of the run.", metavar="SQL")],
    *,
    directory: Directory = Path("run/demo"),
    as_json: Json = False,
) -> int:
    """Ask the tables of a run, in SQL."""
    from streams.commands.query import run_query

    return run_query(directory, sql, as_json=as_json)


@app.command(cls=Checked)
def worker(
    *,
    roles: Annotated[Roles, typer.Option(help="engine: shards. views: notifications. sink: ClickHouse. all: what is set up.")] = Roles.ALL,
    shards: Annotated[
        str, typer.Option("--shards", help="shared: as many as fall to this worker. all, or e.g. accounts/0,pools/0: these, whatever others do.")
    ] = "shared",
    standby: Annotated[
        bool, typer.Option("--standby", help="Follow the shards of other workers: they are verified, and taken over at once.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Take over shards that an older version of the rules has left.")] = False,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the Prometheus endpoint; 0: none.")] = 0,
    health_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of /healthz and /readyz; 0: none.")] = 0,
    bind: Annotated[str | None, typer.Option(help="Address of both, an IP address; left out, the loopback interface.")] = None,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> int:
    """Run the engine's shards, the views and the sink until SIGTERM or an error."""
    from streams.worker.run import WorkerOptions, run_worker

    flags = {"kafka": {"bootstrap_servers": bootstrap_servers}, "engine": {"deployment": deployment}, "observe": {"bind": bind}}
    settings = settings_of(config, **flags)
    options = WorkerOptions(roles.value, shards, standby, upgrade, metrics_port, health_port, log_level)
    return run_worker(settings, options)


def _topic_settings(config: Path | None, deployment: str | None, bootstrap: str | None, shards: int | None, partitions: int | None) -> Any:
    engine = {"deployment": deployment, "shards": shards, "account_partitions": partitions}
    return settings_of(config, kafka={"bootstrap_servers": bootstrap}, engine=engine)


@topics_app.command("create")
def topics_create(
    *,
    deployment: Deployment = None,
    shards: Shards = None,
    account_partitions: Partitions = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Create the topics that do not exist yet."""
    from streams.commands.topics import run_create

    return run_create(_topic_settings(config, deployment, bootstrap_servers, shards, account_partitions), as_json=as_json)


@topics_app.command("check")
def topics_check(
    *,
    deployment: Deployment = None,
    shards: Shards = None,
    account_partitions: Partitions = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Check that every topic exists with its partition count."""
    from streams.commands.topics import run_check

    return run_check(_topic_settings(config, deployment, bootstrap_servers, shards, account_partitions), as_json=as_json)


@topics_app.command("acls")
def topics_acls(*, deployment: Deployment = None, config: Config = None, as_json: Json = False) -> int:
    """Print the rights that each role needs on the broker."""
    from streams.commands.acls import run_acls

    return run_acls(settings_of(config, engine={"deployment": deployment}), as_json=as_json)


@schemas_app.command("check")
def schemas_check(
    *,
    write: Annotated[bool, typer.Option("--write", help="Lock the files as they are now; for a new version, and until the first release.")] = False,
    as_json: Json = False,
) -> int:
    """Check that every version of every schema can read every other, and that no locked file has changed."""
    from streams.commands.schemas import run_check

    return run_check(write=write, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Whatever goes wrong is one line on stderr."""
    configure_logs(level="WARNING" if os.environ.get(DEBUG) == "1" else "CRITICAL")  # what goes wrong is said once, by us; a worker logs in full
    try:
        code = typer.main.get_command(app)(arguments, prog_name="backstop", standalone_mode=False)
        sys.stdout.flush()
        if code == Interrupted.exit_code:
            complain("interrupted")
        return code or 0
    except BackstopError as problem:
        complain(str(problem))
        return problem.exit_code
    except TyperException as problem:
        complain(f"{problem.format_message().replace('Value error, ', '').rstrip('.')} (`{_help_of(problem)}` shows what is possible)")
        return UsageProblem.exit_code
    except (KeyboardInterrupt, Abort):
        complain("interrupted")
        return Interrupted.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; nothing may be written at exit either
        return 0
    except Exception as error:  # the edge of the program: one line instead of a traceback
        complain(f"internal error: {type(error).__name__}: {error}; please report this, with the output under {DEBUG}=1")
        if os.environ.get(DEBUG) == "1":
            traceback.print_exc()
        return 1


def _help_of(problem: TyperException) -> str:
    context = getattr(problem, "ctx", None)
    return f"{'backstop' if context is None else context.command_path} --help"


if __name__ == "__main__":
    sys.exit(main())
