"""What may have been meant by a name that there is not."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: what may have been meant, and what there is."""
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    there_is = f"there is {', '.join(names)}"
    return f"did you mean {close[0]}? ({there_is})" if close else there_is
