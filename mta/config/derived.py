"""Values that follow from others where nobody sets them, and that no constant could be.

    local_recipient_maps    this host's users and the tables of alias_maps, as in Postfix: where a
                            row of local delivers what is for mydestination

An empty list is a value, too: whoever writes it takes mail for everybody.
"""

from typing import Final

import msgspec

from mta.config.parameters import Parameters
from mta.config.table import Row
from mta.config.whole import Whole

__all__ = ["LISTED", "derived", "listing_row", "local_row"]

LISTED: Final = "local_recipient_maps"
_USERS: Final = "unix:passwd.byname"


def derived(whole: Whole) -> Parameters:
    """The parameters of main.yml with these values filled in; they must be sound."""
    parameters = whole.parameters
    row = listing_row(whole)
    if row is None:
        return parameters
    aliases = whole.view(row).parameters.alias_maps
    return msgspec.structs.replace(parameters, local_recipient_maps=(_USERS, *aliases))


def local_row(whole: Whole) -> Row | None:
    """The row of local that mail for mydestination goes to, if there is any."""
    parameters = whole.parameters
    row = whole.table.rows.get(parameters.local_transport.partition(":")[0])
    if row is None or row.service.daemon != "local" or not parameters.mydestination:
        return None
    return row


def listing_row(whole: Whole) -> Row | None:
    """The same, where its users and aliases are the default of local_recipient_maps."""
    return None if LISTED in whole.main else local_row(whole)
