"""What a config does to the process."""

from __future__ import annotations

import logging
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from bus_monai.bundle.process import prepare_process
from bus_monai.errors import UserError
from tests.user_errors import raises_user_error


def test_a_program_keeps_its_way_of_telling_errors() -> None:
    hook = sys.excepthook
    prepare_process()
    assert sys.excepthook is hook
    assert not logging.getLogger("ignite.engine.engine").isEnabledFor(logging.ERROR)


def test_user_errors_end_the_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ModuleType("__main__")
    command.__spec__ = ModuleSpec("monai.bundle.__main__", None)
    monkeypatch.setitem(sys.modules, "__main__", command)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    prepare_process()
    sys.excepthook(UserError, UserError("this."), None)
    assert capsys.readouterr().err.splitlines()[-1] == "bus_monai: this."


def test_processes_are_joined_under_torchrun_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with raises_user_error("torchrun"):
        prepare_process(distributed=True)
