"""One or three numbers after an option: `--scale 2`, `--scale 1 1 5`, `--scale 1x1x5`."""

import re
from collections.abc import Sequence

import typer

# Options that take up to three numbers; click itself only knows a fixed count.
TRIPLES = ("--scale", "--spacing", "--shape", "--size")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def join_triples(arguments: Sequence[str]) -> list[str]:
    """The command line with the numbers after such an option joined into one word.

    >>> join_triples(["scan.nii", "--scale", "1", "1", "5", "-o", "out.nii"])
    ['scan.nii', '--scale', '1,1,5', '-o', 'out.nii']
    """
    joined: list[str] = []
    taken = 3  # numbers taken since the last such option
    for word in arguments:
        if taken < 3 and _NUMBER.fullmatch(word):
            if taken:
                joined[-1] += f",{word}"
            else:
                joined.append(word)
            taken += 1
        else:
            joined.append(word)
            taken = 0 if word in TRIPLES else 3
    return joined


def numbers(option: str, text: str, counts: Sequence[int] = (1, 3)) -> list[float]:
    """So many numbers, separated by commas, blanks or an x; else a usage error."""
    words = re.split(r"[,\sx×]+", text.strip())
    if len(words) not in counts or not all(_NUMBER.fullmatch(word) for word in words):
        many = "one number or three" if tuple(counts) == (1, 3) else "one to three numbers"
        raise typer.BadParameter(f"{option} takes {many}, not {text!r}")
    return [float(word) for word in words]


def whole_numbers(option: str, text: str) -> list[int]:
    """Three whole numbers (one stands for all)."""
    values = numbers(option, text)
    if not all(value.is_integer() for value in values):
        raise typer.BadParameter(f"{option} takes whole numbers, not {text!r}")
    return [int(value) for value in values * (3 if len(values) == 1 else 1)]


def number_or_word(option: str, text: str, words: Sequence[str]) -> float | str:
    """One number, or one of the words as itself; else a usage error."""
    if text in words:
        return text
    if not _NUMBER.fullmatch(text):
        raise typer.BadParameter(f"{option} takes a number, {' or '.join(words)}, not {text!r}")
    return float(text)


def number_of_bytes(option: str, text: str) -> float:
    """A number and B, KB, MB, GB, TB or KiB, MiB, GiB, TiB, in bytes; else a usage error.

    >>> number_of_bytes("--memory", "1.5GB"), number_of_bytes("--memory", "2 kib")
    (1500000000.0, 2048.0)
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([KMGT]?)(I?)B", text.strip().upper())
    if not found or (found[3] and not found[2]) or not float(found[1]):
        raise typer.BadParameter(f"{option} takes an amount such as 4GB or 500MiB, not {text!r}")
    return float(found[1]) * (1024.0 if found[3] else 1000.0) ** " KMGT".index(found[2] or " ")


def three_or_one(values: list[float]) -> float | list[float]:
    """A single number as itself."""
    return values[0] if len(values) == 1 else values
