"""How long a client may take (RFC 5321, 4.5.3.2): pure arithmetic on the loop's clock, in seconds.

    a command      smtpd_timeout, whole: one octet now and then buys no time
    a piece        smtpd_timeout
    all content    smtpd_timeout + octets / smtpd_min_data_rate

Time in which the client waits for us is not its own. `due` never moves backwards.
"""

__all__ = ["Patience"]


class Patience:
    """The deadline of one session; every `now` is the loop's time."""

    __slots__ = ("_content_since", "_min_data_rate", "_octets", "_since", "_timeout")

    def __init__(self, now: float, timeout: float, min_data_rate: int) -> None:
        self._timeout = timeout
        self._min_data_rate = min_data_rate
        self._since = now
        self._content_since: float | None = None
        self._octets = 0

    @property
    def due(self) -> float:
        """When patience ends."""
        if self._content_since is None:
            return self._since + self._timeout
        latest = self._content_since + self._octets / self._min_data_rate
        return min(self._since, latest) + self._timeout

    def await_command(self, now: float) -> None:
        """The client is to send a command."""
        self._since = now
        self._content_since = None

    def await_content(self, now: float) -> None:
        """The client is to send a message."""
        self._since = self._content_since = now
        self._octets = 0

    def received(self, octets: int, now: float) -> None:
        """Something came; only content earns time by that."""
        if self._content_since is not None:
            self._since = now
            self._octets += octets

    def excuse(self, seconds: float) -> None:
        """We made the client wait."""
        self._since += seconds
        if self._content_since is not None:
            self._content_since += seconds
