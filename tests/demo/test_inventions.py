import numpy as np

from ovd_platform.demo.inventions import CLASS_PREFIX, DESIGNS, invented
from ovd_platform.demo.scene import HELD_OUT_CLASS, SceneRecipe, render


def _shape(model):
    low, high = np.asarray(model.box_xyxy[:2]), np.asarray(model.box_xyxy[2:])
    return [np.round((part.corners_n2 - low) / (high - low), 6) for part in model.parts]


def test_examples_of_a_design_share_their_shape_and_differ_in_size():
    one, other = (invented(17, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.class_name == other.class_name == f"{CLASS_PREFIX}017"
    assert one.box_xyxy != other.box_xyxy
    for first, second in zip(_shape(one), _shape(other), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_designs_differ_and_none_has_a_curved_roof():
    models = [invented(design, np.random.default_rng(0)) for design in range(DESIGNS)]
    shapes = {tuple(np.concatenate(_shape(model)).ravel().tolist()) for model in models}
    assert len(shapes) > 0.95 * DESIGNS
    assert all(part.round_m == 0 for model in models for part in model.parts)
    assert all(3 < max(model.box_xyxy[2:]) < 20 for model in models)


def test_they_stand_in_a_scene_only_when_asked_for():
    names = {
        count: [one.class_name for one in render(SceneRecipe(3, 3, "pan-1x12", 700, theme="country", inventions=count)).truth]
        for count in (0, 12)
    }
    assert sum(name.startswith(CLASS_PREFIX) for name in names[12]) >= 6
    assert not any(name.startswith(CLASS_PREFIX) for name in names[0])
    assert HELD_OUT_CLASS not in names[12]
