"""A page in headless Chromium, by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 180
CTRL, SHIFT = 2, 8
"""Modifiers of an event."""
CODES = {"Enter": 13, "Escape": 27, "Delete": 46}
"""Of keys that the browser itself answers to."""
BUTTONS = {"left": 1, "right": 2, "middle": 4}


class Browser:
    """One page, with a mouse; ``errors`` holds what its scripts failed with, and what its policy forbade."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs, self._to = os.pipe()
        self._from, back = os.pipe()
        options = "--headless=new --no-sandbox --disable-gpu --no-first-run --window-size=1200,900"
        # Chromium reads from 3 and writes to 4; over other numbers, since those may be taken
        command = f'exec "$0" {options} --remote-debugging-pipe "--user-data-dir=$1" 3<&{theirs} 4>&{back}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, program, str(profile)],
            pass_fds=(theirs, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(back)
        self._count, self._rest = itertools.count(1), bytearray()
        self._answers: dict[int, dict[str, Any]] = {}
        self.errors: list[str] = []
        self._session: str | None = None
        self._attach()

    def _attach(self) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def front(self) -> None:
        self._call("Page.bringToFront")

    def open(self, url: str) -> None:
        """Open an address, in front of other tabs."""
        self.front()
        self._call("Page.navigate", url=url)

    def read(self, script: str) -> Any:
        """Return the value of an expression."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Return the value of an expression as soon as it is true."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.read(script)):
            assert time.monotonic() < end, f"{script}: {self.read('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def mouse(self, *way: tuple[float, float], button: str = "left", shift: bool = False, clicks: int = 1) -> None:
        """Press at the first point, drag over the others, release at the last, quickly enough for a click."""
        events = [
            ("mouseMoved", way[0]),
            ("mousePressed", way[0]),
            *(("mouseMoved", at) for at in way[1:]),
            ("mouseReleased", way[-1]),
        ]
        more = {"button": button, "buttons": BUTTONS[button], "modifiers": SHIFT * shift, "clickCount": clicks}
        sent = [self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more) for kind, (x, y) in events]
        for number in sent:
            self._answer(number)

    def wheel(self, at: tuple[float, float], notches: int) -> None:
        """Turn the wheel, away from the hand where ``notches`` are above 0."""
        self._call("Input.dispatchMouseEvent", type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=-120 * notches)

    def key(self, keys: str, *, hold: bool = False) -> None:
        """Press a key, such as ``s``, ``?``, ``Escape`` or ``Ctrl+Shift+z``, and let it go where it is not held."""
        *held, key = keys.split("+") if len(keys) > 1 else [keys]
        modifiers = sum({"Ctrl": CTRL, "Shift": SHIFT}[one] for one in held)
        text = {"text": key} if len(key) == 1 and "Ctrl" not in held else {"text": "\r"} if key == "Enter" else {}
        more = {"key": key, "modifiers": modifiers, "windowsVirtualKeyCode": CODES.get(key, 0)}
        self._call("Input.dispatchKeyEvent", type="keyDown", **text, **more)
        if not hold:
            self.release(key)

    def release(self, key: str) -> None:
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Write into the element in focus."""
        self._call("Input.insertText", text=text)

    def press(self, selector: str) -> None:
        """Click in the middle of an element."""
        seen = "(one.scrollIntoView({ block: 'nearest' }), one.getBoundingClientRect())"
        middle = f"(one => (b => [b.x + b.width / 2, b.y + b.height / 2])({seen}))"
        self.mouse(tuple(self.read(f"{middle}(document.querySelector({json.dumps(selector)}))")))

    def resize(self, width: int, height: int = 900) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def tab(self) -> Browser:
        """Return another tab of this browser, which remembers the same."""
        other = copy.copy(self)
        other._session = None
        other._attach()
        return other

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        os.close(self._to)
        self._process.wait(30)
        os.close(self._from)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._answer(self._send(method, **params))

    def _send(self, method: str, **params: Any) -> int:
        number = next(self._count)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return number

    def _answer(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            message = self._receive()
            if "id" in message:
                self._answers[message["id"]] = message
            entry = message.get("params", {}).get("entry", {})
            refused = entry.get("level") == "error" and entry["source"] != "network"
            if message.get("method") == "Runtime.exceptionThrown" or refused:
                self.errors.append(str(message["params"]))
        answer = self._answers.pop(number)
        assert "error" not in answer, answer["error"]
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], PATIENCE_S)[0], "the browser does not answer"
            found = os.read(self._from, 1 << 20)
            assert found, "the browser has ended"
            self._rest += found
        line, _, rest = self._rest.partition(b"\0")
        self._rest[:] = rest  # in place: tabs share it
        return dict(json.loads(line))
