"""What smtpd tells and grants every client, from its row's parameters."""

from mta.config.parameters import Parameters
from mta.proto.smtp.server import Limits

__all__ = ["greeting", "limits"]


def greeting(parameters: Parameters) -> str:
    """The text of the 220 that opens a session."""
    return parameters.smtpd_banner.replace("$myhostname", parameters.myhostname)


def limits(parameters: Parameters) -> Limits:
    """What one session may cost."""
    return Limits(
        command_line=parameters.line_length_limit,
        content_line=parameters.smtpd_content_line_limit,
        message_size=parameters.message_size_limit,
        recipients=parameters.smtpd_recipient_limit,
        errors=parameters.smtpd_hard_error_limit,
    )
