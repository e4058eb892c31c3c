"""All that the plugin uses of Supervisor 4.3, typed in one place: Supervisor has no types.

An upgrade of Supervisor is checked against this page.
"""

from typing import Any, Protocol

__all__ = ["Group", "GroupConfig", "Logger", "Options", "Poller", "SlotConfig", "Supervisord"]


class Logger(Protocol):
    """supervisor.loggers.Logger."""

    handlers: list[Any]

    def log(self, level: int, msg: str) -> None:
        """Write one line, at a number of LevelsByName."""


class Poller(Protocol):
    """supervisor.poller.PollPoller."""

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait for up to `timeout` seconds; the readable and the writable descriptors."""


class Options(Protocol):
    """supervisor.options.ServerOptions."""

    logger: Logger
    poller: Poller
    mood: int  # SupervisorStates
    nodaemon: bool
    user: str | None
    process_group_configs: list["GroupConfig"]

    def get_signal(self) -> int | None:
        """The next signal that arrived, called at the end of each turn of the loop."""

    def process_config(self, do_usage: bool) -> None:
        """Read the configuration file again; ValueError or configparser.Error if it is bad."""


class SlotConfig(Protocol):
    """supervisor.options.ProcessConfig: one process of a program."""

    name: str
    redirect_stderr: bool
    options: Any


class GroupConfig(Protocol):
    """supervisor.options.ProcessGroupConfig: one program."""

    name: str
    process_configs: list[SlotConfig]

    def after_setuid(self) -> None:
        """Give automatic log files their names."""


class Group(Protocol):
    """supervisor.process.ProcessGroup: the processes of one program."""

    config: GroupConfig
    processes: dict[str, Any]


class Supervisord(Protocol):
    """supervisor.supervisord.Supervisor."""

    options: Options
    process_groups: dict[str, Group]

    def add_process_group(self, config: GroupConfig) -> bool:
        """Add a program; its processes do not run yet."""

    def remove_process_group(self, name: str) -> bool:
        """Remove a program; False if one of its processes is not stopped."""
