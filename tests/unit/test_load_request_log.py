"""The log over a restart of the controller: windows are known at once, history counts nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.load.history import History
from reconciler.load.log_rotation import LogRotation
from reconciler.load.request_log import LAG_SECONDS, RequestLog
from reconciler.model.load import LoadSample
from reconciler.ports import Unavailable
from tests.support.access_log import line

_START = 1_000_000.0


class Controller:
    """What the meter does with the log, second by second, on a clock of its own; with its record of samples."""

    def __init__(self, directory: Path, recorded: dict[float, LoadSample]) -> None:
        self.path = directory / "access.log"
        self.state_file = directory / "state.json"
        self.recorded = recorded
        self.requests = RequestLog(self.path, self.state_file, None)
        self.history = History(self.requests.recorded_until)

    def second(self, now: float) -> None:
        self.requests.configure({"web": 20}, now)
        for traffic in self.requests.look(now):
            self.history.add(traffic)
        for sample in self.history.close_intervals(now, {"web": True}):
            assert sample.at not in self.recorded
            self.recorded[sample.at] = sample
            self.requests.keep_position(sample.at)

    def set_clock(self, now: float) -> None:
        self.history.begin_anew(now)
        self.requests.begin_anew(now, self.history.recorded_until)

    def rps(self) -> float | None:
        served = self.requests.window("web", 20)
        return served.rps if served else None

    def asked(self) -> int | None:
        traffic = self.requests.recent.of_app("web") if self.requests.recent else None
        return traffic.requests if traffic else None


def serve(path: Path, second: float, count: int = 50) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line(second + number / count) for number in range(count)))


@pytest.mark.parametrize("away_seconds", [1, 15, 90])
def test_a_restart_of_the_controller_loses_no_request_and_counts_none_twice(tmp_path: Path, away_seconds: int) -> None:
    recorded: dict[float, LoadSample] = {}
    controller = Controller(tmp_path, recorded)
    for second in range(200):
        serve(controller.path, _START + second)
        if second == 100:
            controller.requests.close()
            controller = Controller(tmp_path, recorded)
        if second < 100 or second >= 100 + away_seconds:
            controller.second(_START + second + 1)
        if second == 100 + away_seconds:
            assert controller.rps() == pytest.approx(50)
            asked = controller.asked()
            assert asked is not None
            assert 100 * 50 <= asked <= (100 + away_seconds + 1) * 50
    controller.second(_START + 203)
    controller.requests.close()
    assert [recorded[_START + end].status_2xx for end in range(10, 201, 10)] == [500] * 20


@pytest.mark.parametrize("step_seconds", [-3600, -15, 3600])
def test_a_clock_that_was_set_makes_no_app_idle_and_counts_no_request_twice(tmp_path: Path, step_seconds: int) -> None:
    """The seconds that a clock skips had no request in them; those that it repeats had them already."""
    controller = Controller(tmp_path, {})
    for second in range(40):
        serve(controller.path, _START + second)
        controller.second(_START + second + 1)
    after = _START + 40 + step_seconds
    controller.recorded.clear()
    controller.set_clock(after)
    known = []
    for second in range(30):
        serve(controller.path, after + second)
        controller.second(after + second + 1)
        known.append(controller.rps())
        if second == 20:
            controller.requests.close()
            controller = Controller(tmp_path, controller.recorded)
    controller.requests.close()
    assert known[:4] == [None] * 4
    assert known[8:] == [pytest.approx(50)] * 22
    assert {sample.status_2xx for sample in controller.recorded.values()} == {500}
    assert min(controller.recorded) > after + 10


def test_requests_are_unknown_after_a_first_start_until_enough_was_seen(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {})
    known = []
    for second in range(15):
        serve(controller.path, _START + second)
        controller.second(_START + second + 1)
        known.append(controller.rps())
    controller.requests.close()
    assert known[:4] == [None] * 4
    assert known[-1] == pytest.approx(50)


def test_requests_are_unknown_without_an_access_log(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {})
    for second in range(30):
        controller.second(_START + second)
    assert not controller.requests.is_known
    assert controller.rps() is None


def test_the_window_of_requests_ends_where_the_access_log_is_complete(tmp_path: Path) -> None:
    """nginx keeps lines for up to a second: the newest second must not look like a drop in load."""
    controller = Controller(tmp_path, {})
    for second in range(30):
        if second < 29:  # the last one is still in nginx's buffer
            serve(controller.path, _START + second)
        controller.second(_START + second + LAG_SECONDS)
    assert controller.rps() == pytest.approx(50)
    controller.requests.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"offsets": {"x": "y"}}', '{"offsets": [], "at": 1}'])
def test_reading_the_access_log_starts_over_where_the_state_file_is_broken(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state.json").write_text(text)
    serve(tmp_path / "access.log", _START)
    controller = Controller(tmp_path, {})
    controller.second(_START + 13)
    controller.requests.close()
    assert controller.recorded[_START + 10].status_2xx == 50
    assert "reading starts over" in caplog.text


def test_a_log_that_was_replaced_while_nobody_read_it_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    controller = Controller(tmp_path, {})
    for second in range(150):
        serve(controller.path, _START + second)
        controller.second(_START + second + 1)
    controller.requests.close()
    controller.path.unlink()
    serve(controller.path, _START + 160)
    controller = Controller(tmp_path, controller.recorded)
    controller.second(_START + 161)
    controller.requests.close()
    assert caplog.text.count("was replaced while nobody read it") == 1


def test_an_access_log_in_another_format_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text('127.0.0.1 - - [12/Nov/2025] "GET / HTTP/1.1" 200 5\n')
    controller = Controller(tmp_path, {})
    controller.second(_START)
    assert "not in the format" in controller.requests.notices()[0]
    controller.second(_START + 120)
    controller.requests.close()
    assert controller.requests.notices() == ()


def test_a_position_in_the_access_log_that_cannot_be_kept_is_told_of(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {})
    controller.second(_START)
    controller.state_file.unlink()
    controller.state_file.mkdir()
    controller.requests.keep_position(_START)
    controller.requests.close()
    assert "can't be kept" in controller.requests.notices()[0]


class Nginx:
    """Opens its log when told to, unless it is down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.up = True
        self.asked = 0

    def reopen(self) -> None:
        self.asked += 1
        if not self.up:
            raise Unavailable("nginx is not running; start it")
        self.path.touch()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.load.log_rotation._AGAIN_AFTER_SECONDS", 0.0)


@pytest.mark.usefixtures("no_pause")
def test_a_large_access_log_is_rotated_and_the_one_before_goes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    nginx = Nginx(path)
    rotation = LogRotation(path, 1000, nginx.reopen)
    for content in (b"first", b"second"):
        path.write_bytes(content * 1000)
        assert rotation.keep_bounded() == ""
        assert path.read_bytes() == b""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["access.log", "access.log.1"]
    assert path.with_name("access.log.1").read_bytes().startswith(b"second")


@pytest.mark.usefixtures("no_pause")
def test_a_small_access_log_or_none_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    nginx = Nginx(path)
    rotation = LogRotation(path, 1000, nginx.reopen)
    assert rotation.keep_bounded() == ""
    path.write_bytes(b"x" * 1000)
    assert rotation.keep_bounded() == ""
    assert nginx.asked == 0


@pytest.mark.usefixtures("no_pause")
def test_a_rotation_of_the_access_log_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    nginx = Nginx(path)
    nginx.up = False
    path.write_bytes(b"x" * 2000)
    assert "nginx is not running; start it" in LogRotation(path, 1000, nginx.reopen).keep_bounded()
    nginx.up = True
    assert LogRotation(path, 1000, nginx.reopen).keep_bounded() == ""
    assert path.exists()


def test_an_nginx_that_is_down_is_not_asked_to_reopen_its_log_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    nginx = Nginx(path)
    nginx.up = False
    path.write_bytes(b"x" * 2000)
    rotation = LogRotation(path, 1000, nginx.reopen)
    for _ in range(10):
        rotation.keep_bounded()
    assert nginx.asked == 1
