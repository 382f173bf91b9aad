import numpy as np
import pytest

from ovd_platform.embed.crops import CONTEXT
from ovd_platform.learn.pair_crops import object_box, object_crop


class _Boxes:
    """Answers with fixed boxes."""

    def __init__(self, boxes, objectness):
        self._answer = np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(objectness, np.float32)

    def image_boxes(self, pixels_chw, scales=None):
        return self._answer


PICTURE = np.zeros((1, 100, 120), np.float32)


def test_the_central_object_wins_over_a_surer_one_at_the_edge():
    central, edge = (50, 40, 70, 60), (2, 2, 22, 22)
    np.testing.assert_array_equal(object_box(PICTURE, _Boxes([edge, central], [0.9, 0.5])), central)


@pytest.mark.parametrize(
    ("boxes", "objectness"),
    [([], []), ([(50, 40, 70, 60)], [0.05]), ([(0, 0, 118, 99)], [0.9])],
    ids=["none", "unsure", "the whole picture"],
)
def test_no_object_no_crop(boxes, objectness):
    assert object_box(PICTURE, _Boxes(boxes, objectness)) is None


def test_a_view_of_the_crop_covers_what_the_index_covers():
    picture = np.zeros((2, 100, 120), np.float32)
    picture[:, 45:55, 40:80] = 1
    cut = object_crop(picture, (40, 45, 80, 55), 0.9)
    assert cut.shape[1] == cut.shape[2] == int(np.ceil(CONTEXT * 40 / 0.9))
    ys, xs = np.nonzero(cut[0])
    assert abs(xs.mean() + 0.5 - cut.shape[2] / 2) <= 1
    assert abs(ys.mean() + 0.5 - cut.shape[1] / 2) <= 1
    assert len(xs) == 400


def test_beyond_the_picture_its_border_is_repeated():
    picture = np.linspace(0, 1, 50, dtype=np.float32)[None, None].repeat(50, 1)
    cut = object_crop(picture, (0, 20, 10, 30), 1.0)
    assert (cut[0, :, 0] == 0).all()
    assert cut.min() >= 0
    assert cut.max() < 0.5
