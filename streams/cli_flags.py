"""Flags that some modes of a command do not read: given there, they are refused, for a flag that silently does nothing is taken for one that did.

One table for all commands; the command line's own way of saying that a value is wrong stands beside the value.
"""
# ruff: noqa: PLC0415 - scenarios are loaded only where a scenario is played

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from streams.errors import UsageProblem

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Idle:
    """`flags`, by parameter, do nothing in these commands where `is_idle` holds; `where` and `instead` say so to people."""

    commands: tuple[str, ...]
    flags: tuple[str, ...]
    is_idle: Callable[[Parameters], bool]
    where: str
    instead: str


def _bus_is(name: str) -> Callable[[Parameters], bool]:
    return lambda given: str(given["bus"]) == name


def _draws_nothing(given: Parameters) -> bool:
    from streams.venue.scenarios.registry import draws

    return not draws(given["scenario"])


OF_A_RUN = ("replay", "verify", "reconcile", "dlq list", "dlq show", "dlq correct", "dlq drop")
IDLE = (
    Idle(("demo",), ("bootstrap_servers",), _bus_is("memory"), "on the memory bus", "add --bus kafka"),
    Idle(OF_A_RUN, ("bootstrap_servers", "deployment", "config"), _bus_is("directory"), "on a recorded directory", "add --bus kafka"),
    Idle(OF_A_RUN, ("directory",), _bus_is("kafka"), "with --bus kafka", "name the deployment with --deployment"),
    Idle(("dlq correct", "dlq drop"), ("wait",), _bus_is("directory"), "on a recorded directory, whose shards are run on at once", "add --bus kafka"),
    Idle(("demo", "venue"), ("accounts", "seed"), _draws_nothing, "with an example or a file, which has its own accounts", "change the file"),
    Idle(
        ("worker",), ("shards", "standby", "upgrade"), lambda given: str(given["roles"]) in ("views", "sink"), "with roles that run no shards",
        "add --roles engine",
    ),
    Idle(
        ("worker",), ("bind",), lambda given: not given["metrics_port"] and not given["health_port"], "where nothing is served",
        "add --metrics-port or --health-port",
    ),
    Idle(
        ("migrate up", "migrate status", "migrate dry-run"), ("config",), lambda given: given["directory"] is not None,
        "on the embedded engine of --dir", "leave --dir out to reach the server of the settings",
    ),
)  # fmt: skip


class Checked(TyperCommand):
    """A command some of whose flags do nothing in some modes."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # the base names its own copy of the same class
        """Run it, unless a flag was given that would do nothing. Raises UsageProblem that names the flag."""
        refuse_idle(ctx)
        return super().invoke(ctx)


def refuse_idle(ctx: typer.Context) -> None:
    """Raises UsageProblem for the first flag on the command line that this call would not read."""
    command = ctx.command_path.partition(" ")[2]
    for idle in IDLE:
        if command not in idle.commands or not idle.is_idle(ctx.params):
            continue
        for parameter in ctx.command.params:
            source = ctx.get_parameter_source(str(parameter.name))
            if parameter.name in idle.flags and source is not None and source.name == "COMMANDLINE":
                raise UsageProblem(f"{parameter.opts[0]} has no effect {idle.where}: {idle.instead}, or leave {parameter.opts[0]} out")
