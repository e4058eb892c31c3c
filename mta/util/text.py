"""Text from strangers, fit for a line of a log or a terminal."""

__all__ = ["visible"]


def visible(text: str) -> str:
    """The text with what does not print escaped, as in Python's own literals."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
