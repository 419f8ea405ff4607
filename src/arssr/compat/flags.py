"""What the two reference command lines have in common."""

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from arssr.cli.console import complain, show_log
from arssr.cli.session import wait_briefly
from arssr.errors import ArSSRError

if TYPE_CHECKING:
    from arssr.networks import ModelConfig


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    """An empty command line whose help shows the defaults."""
    return argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def add_network_flags(to: argparse.ArgumentParser, short: bool) -> None:
    """The flags that say what a network is made of; `short` adds -encoder, -depth and -width."""

    def names(long: str, alias: str) -> list[str]:
        return [long, alias] if short else [long]

    group = to.add_argument_group("network")
    group.add_argument(
        *names("-encoder_name", "-encoder"),
        type=encoder,
        default="RDN",
        dest="encoder_name",
        help="RDN, ResCNN, SRResNet or light",
    )
    group.add_argument(
        *names("-decoder_depth", "-depth"),
        type=even_int,
        default=8,
        dest="decoder_depth",
        help="linear layers of the decoder, an even number",
    )
    group.add_argument(
        *names("-decoder_width", "-width"),
        type=positive_int,
        default=256,
        dest="decoder_width",
        help="neurons in each of its hidden layers",
    )
    group.add_argument(
        "-feature_dim", type=positive_int, default=128, help="channels of the feature map"
    )


def network_config(args: argparse.Namespace) -> "ModelConfig":
    """The paper's network of these sizes."""
    from arssr.networks import ModelConfig
    from arssr.weights.registry import encoder_name

    return ModelConfig(
        flavour="paper",
        encoder=encoder_name(args.encoder_name),
        feature_dim=args.feature_dim,
        decoder_depth=args.decoder_depth,
        decoder_width=args.decoder_width,
    )


def encoder(text: str) -> str:
    """For argparse: an encoder in any spelling, left as it is spelt (results are named so)."""
    from arssr.weights.registry import encoder_name

    try:
        encoder_name(text)
    except ArSSRError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def even_int(text: str) -> int:
    """For argparse: an even number of at least 2."""
    number = positive_int(text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"{text} is not even")
    return number


def positive_int(text: str) -> int:
    """For argparse: a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def positive_float(text: str) -> float:
    """For argparse: a finite number above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number above 0")
    return number


def guarded(job: Callable[[], int]) -> int:
    """The exit code of `job`; what the user can mend becomes one sentence and exit code 1."""
    wait_briefly()
    show_log()
    try:
        return job()
    except ArSSRError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
