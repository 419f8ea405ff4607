"""Whether images belong together."""

from itertools import combinations
from pathlib import Path

import pytest
from tests.viewing.heads import head, las_grid

from arssr.viewing.display import Window, canonical
from arssr.viewing.shown import doubts, show
from arssr.volume import Volume

DATA = Path(__file__).parents[3] / "shared/data"
ONE_PERSON = ["train/stroke_T1w", "train/stroke_T2w", "train/stroke_FLAIR"]
TWO_PERSONS = ["val/m2208_T2w", "train/stroke_T2w"]


def told(one: Volume, other: Volume) -> list[str]:
    frame, window = canonical(one).grid, Window.fit(one.data)
    images = [show(name, v, frame, window) for name, v in (("one", one), ("other", other))]
    return doubts(images, images[0])


def test_an_image_and_itself_are_of_one_person() -> None:
    assert told(head(las_grid()), head(las_grid(), blur=1)) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the development data are not here")
def test_contrasts_of_one_person_agree_and_persons_do_not() -> None:
    volumes = {name: Volume.read(DATA / f"{name}.nii.gz") for name in {*ONE_PERSON, *TWO_PERSONS}}
    for one, other in combinations(ONE_PERSON, 2):
        assert told(volumes[one], volumes[other]) == []
    flair, t1 = (
        Volume.read(DATA / f"clinical/openms-01_study1_{n}.nii.gz") for n in ("FLAIR", "T1W")
    )
    assert told(flair, t1) == [] == told(t1, flair)
    one, other = (volumes[name] for name in TWO_PERSONS)
    assert "are they of one person" in told(one, other)[0]
