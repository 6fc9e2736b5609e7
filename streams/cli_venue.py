"""`backstop venue`: its arguments; what it does stands in `streams/commands/venue.py`."""
# ruff: noqa: PLC0415 - a command imports its body when it runs: help and errors of usage need no Kafka client

from typing import Annotated

import typer

from streams.cli_options import Bootstrap, Config, Deployment, Json, settings_of


def venue(
    *,
    scenario: Annotated[str, typer.Option(help="What happens at the exchange: a name, or a .toml or .json file of your own.")] = "calm",
    accounts: Annotated[int | None, typer.Option(min=1, help="Accounts; left out, the scenario's own number.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that the scenario draws.")] = 1,
    rate: Annotated[float, typer.Option(min=0.001, max=1000, help="Event times of the script a second.")] = 1.0,
    deployment: Deployment = None,
    bootstrap_servers: Bootstrap = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Play an exchange on Kafka, stamped with the time of day: publish a scenario and answer instructions, until SIGTERM."""
    from streams.commands.venue import VenueOptions, run_venue

    settings = settings_of(config, kafka={"bootstrap_servers": bootstrap_servers}, engine={"deployment": deployment})
    return run_venue(settings, VenueOptions(scenario, accounts, seed, rate), as_json=as_json)
