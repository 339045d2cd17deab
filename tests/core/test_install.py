from __future__ import annotations

import pytest

from facecheck.core.install import extra_hint, full_install_hint


def test_the_hint_for_an_extra_is_right_in_a_checkout_too() -> None:
    assert extra_hint("--tensorboard", "tensorboard") == (
        "--tensorboard needs the extra tensorboard: pip install 'facecheck[tensorboard]' "
        "(from a checkout: pip install '.[tensorboard]')"
    )
    assert "needs the extras export and openvino" in extra_hint("this", "export", "openvino")
    assert "'.[export,openvino]'" in extra_hint("this", "export", "openvino")


def test_only_what_the_full_install_has_gets_its_hint() -> None:
    with pytest.raises(ModuleNotFoundError) as ours:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert full_install_hint(ours.value) == (
        "this needs torch, which is not installed; the full install has it: pip install "
        "facecheck (from a checkout: pip install .)"
    )
    for name in ("facecheck.nothing", "numpy", None):
        assert full_install_hint(ModuleNotFoundError("No module", name=name)) is None
