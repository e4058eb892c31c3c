"""Where a message came in, read from the queue file that came with the request.

The law: the file is gossip, even though qmgr sends it. What does not parse is a temporary failure;
only head and envelope are read, and no more of them than a queue file may have.
"""

import os

from mta.delivery.content import ContentReader
from mta.proto.envelope import Origin
from mta.proto.status import temporary
from mta.queue.errors import QueueFileCorrupt
from mta.queue.format import Body, decode_envelope, decode_head

__all__ = ["origin_of"]


def origin_of(queue_id: str, content: ContentReader) -> Origin:
    """The client that handed the message in; MailError 451 4.3.0 when the file does not tell."""
    try:
        body = decode_head(queue_id, os.pread(content.descriptor, Body.HEAD_SIZE, 0))
        encoded = os.pread(content.descriptor, body.envelope_length, Body.HEAD_SIZE)
        return decode_envelope(queue_id, encoded).origin
    except (QueueFileCorrupt, OSError) as error:
        temporary("4.3.0", "queue file read error", str(error))
