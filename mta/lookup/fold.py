"""Keys without regard to case, as Postfix's tables of fixed strings fold them (dict_utf8.c)."""

__all__ = ["fold"]


def fold(key: str) -> str:
    """The key as tables of fixed strings hold it, and are asked for it (Unicode case folding)."""
    return key.casefold()
