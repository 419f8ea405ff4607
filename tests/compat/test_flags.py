"""Every flag of the reference program is taken, with its default."""

from pathlib import Path

import pytest

from arssr.compat import test as test_command
from arssr.compat import train as train_command

TRAIN = {
    "-encoder_name": ("RDN", "SRResnet"),
    "-decoder_depth": (8, "6"),
    "-decoder_width": (256, "64"),
    "-feature_dim": (128, "32"),
    "-hr_data_train": (Path("data/hr_train"), "a"),
    "-hr_data_val": (Path("data/hr_val"), "b"),
    "-lr": (1e-4, "0.001"),
    "-lr_decay_epoch": (200, "10"),
    "-epoch": (2500, "20"),
    "-summary_epoch": (200, "5"),
    "-bs": (15, "3"),
    "-ss": (8000, "100"),
    "-gpu": (0, "1"),
}
TEST = {
    "-input_path": (Path("test/input"), "in"),
    "-output_path": (Path("test/output"), "out"),
    "-encoder_name": ("RDN", "ResCNN"),
    "-decoder_depth": (8, "6"),
    "-decoder_width": (256, "64"),
    "-feature_dim": (128, "32"),
    "-pre_trained_model": (None, "w.pkl"),
    "-scale": (2.0, "3.2"),
    "-is_gpu": (1, "0"),
    "-gpu": (0, "1"),
}


@pytest.mark.parametrize(
    ("command", "flags"), [(train_command, TRAIN), (test_command, TEST)], ids=["train", "test"]
)
def test_flags_and_defaults(command, flags: dict[str, tuple[object, str]]) -> None:  # type: ignore[no-untyped-def]
    parser = command._parser()
    defaults = vars(parser.parse_args([]))
    assert defaults == {flag.lstrip("-"): default for flag, (default, _) in flags.items()}
    given = [word for flag, (_, value) in flags.items() for word in (flag, value)]
    values = vars(parser.parse_args(given))
    assert {name: str(value) for name, value in values.items()} == {
        flag.lstrip("-"): value for flag, (_, value) in flags.items()
    }


def test_short_names_of_the_reference_test_program() -> None:
    args = test_command._parser().parse_args(["-encoder", "ResCNN", "-depth", "4", "-width", "32"])
    assert (args.encoder_name, args.decoder_depth, args.decoder_width) == ("ResCNN", 4, 32)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-scale", "0"],
        ["-scale", "nan"],
        ["-scale", "inf"],
        ["-encoder", "UNet"],
        ["-depth", "7"],
        ["-width", "0"],
        ["-is_gpu", "2"],
        ["--scale", "2"],
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        test_command.main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
