"""What can go wrong at the border, by what the person at the terminal must do. Refusals inside machines are values, not exceptions."""


class BackstopError(Exception):
    """Something a person must act on; the message says what happened, where, and what to do. `exit_code` is the command's."""

    exit_code = 1


class CheckFailed(BackstopError):
    """A check found a difference or damage. Look at the place named; do not trust results that come after it."""

    exit_code = 1


class UsageProblem(BackstopError):
    """The command cannot do what was asked with these arguments or this directory. Correct them and call again."""

    exit_code = 2


class ConfigurationProblem(BackstopError):
    """A setting is missing or wrong. Correct the setting named."""

    exit_code = 3


class Unreachable(BackstopError):
    """A service did not answer: broker or ClickHouse. Start it, or correct its address."""

    exit_code = 4


class Interrupted(BackstopError):
    """Ctrl-C. The message says what is left behind; without anything to say, a plain KeyboardInterrupt ends the command as well."""

    exit_code = 130


class Fenced(BackstopError):
    """A newer owner has taken this transactional id. Drop the state; start again only if the shard is still assigned."""


class CommitUnknown(BackstopError):
    """The commit got no answer. Drop the state, fence by a new writer, read the journal: it alone knows."""


class ImpossibleState(BackstopError):
    """The machine reached a state that its rules exclude. The shard stops; keep its journal and inputs and report the step named."""
