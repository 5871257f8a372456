"""The benchmark on the real machine, with tiny shapes and budgets: every figure stands beside the limit that it meets."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from textmill.benchmark import bench, decoding, pages, training
from textmill.benchmark.allowance import REFERENCE, Allowance
from textmill.benchmark.measurement import Case, Group, Measurement, Missing, measure
from textmill.benchmark.table import as_json, table
from textmill.corpus.settings import CorpusSettings
from textmill.machine import speed
from textmill.machine.limits import Limits
from textmill.models.count import count
from textmill.models.decoder import DecoderConfig
from textmill.native.library import NoKernels, library

from ..commands import Starter

CPU = torch.device("cpu")
SHAPE = DecoderConfig(
    vocabulary_size=96, context_length=decoding.PROMPT + decoding.READ, layers=2, width=64, heads=4, key_value_heads=2,
    head_dim=16, feed_forward_width=128,
)  # fmt: skip
LIMITS = Limits({"float32": 1e12, "int8": 4e12}, 1e10)


def named(group: Group) -> list[Case | Missing]:
    """What a group makes, which bears the names that it promised."""
    cases = list(group.make())
    assert tuple(case.name for case in cases) == group.names and all(case.part == group.part for case in cases)
    return cases


class SlowMachine:
    """A clock that only work moves on: everything takes `times` as long as on the machine that is reckoned from."""

    def __init__(self, times: float):
        self.now, self.times = 0.0, times

    def clock(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[], object]:
        return lambda: setattr(self, "now", self.now + seconds * self.times)

    def groups(self) -> Iterator[Group]:
        """As many as the benchmark's, of like lengths: limits first, a large model for several cases, text without a limit."""
        flops, bandwidth = REFERENCE / self.times, 2e10 / self.times

        def look(rate: float) -> Callable[[], float]:
            return lambda: self.work(0.37 / self.times)() or rate  # which takes as long on every machine

        def group(name: str, setup: float, *cases: Case) -> Group:
            def make() -> Iterator[Case]:
                self.work(setup)()
                yield from cases

            return Group("part", tuple(case.name for case in cases), setup, make)

        for name, rate in (("float32 products", flops), ("int8 products", 4 * flops), ("memory", bandwidth)):
            case = Case("limits", name, "", look(rate), rated=True)
            yield Group("limits", (name,), 0.0, lambda case=case: iter([case]))
        for size in (0.3, 0.6, 1.8):
            case = Case("part", f"step {size}", "", self.work(2 * size), operations=size * REFERENCE)
            yield group(case.name, size, case)
        for reader, setup in (("torch", 2.0), ("float32", 1.0), ("int8", 1.5), ("int4", 2.0)):
            runs = {f"{reader} row": 0.03, f"{reader} rows": 0.1, f"{reader} prompt": 1.0}
            cases = [Case("part", name, "", self.work(run), operations=run * REFERENCE / 2) for name, run in runs.items()]
            yield group(reader, setup, *cases)
        for name, setup, seconds in (("cleaning", 0.5, 0.1), ("tokenising", 1.5, 0.2)):
            yield group(name, setup, Case("part", name, "", self.work(seconds), usual=seconds))


@pytest.mark.parametrize("times", [0.1, 1.0, 3.0, 10.0, 30.0, 100.0])
@pytest.mark.parametrize("seconds", [20.0, 110.0])
def test_it_ends_in_time_on_any_machine_and_names_what_was_left_out(times: float, seconds: float) -> None:
    machine = SlowMachine(times)
    names = [name for group in machine.groups() for name in group.names]
    found = list(bench.measured(machine.groups(), Allowance(seconds, len(names), machine.clock), {}))
    assert machine.now <= seconds
    assert [one.name for one in found] == names
    left_out = [one for one in found if isinstance(one, Missing)]
    assert all("it would take some" in one.why for one in left_out)
    if times <= 1 and seconds == 110:
        assert not left_out and all(len(one.rates) >= 3 for one in found if isinstance(one, Measurement))


def test_work_that_is_slower_than_its_limits_foretold_is_left_out_after_one_run() -> None:
    machine, runs = SlowMachine(1.0), []
    stuck = Case("part", "stuck", "", lambda: runs.append(machine.work(9.0)()), operations=1e9)
    found = measure(stuck, Allowance(12.0, 1, machine.clock), LIMITS)
    assert isinstance(found, Missing) and "some 18 s" in found.why and len(runs) == 1


def test_what_takes_longer_is_the_limit() -> None:
    bound = LIMITS.binding(operations=1e12, bytes=1e9)
    assert bound is not None and (bound.name, bound.seconds) == ("float32 products", 1.0)
    bound = LIMITS.binding(operations=1e12, format="int8", bytes=1e10)
    assert bound is not None and (bound.name, bound.seconds) == ("memory", 1.0)
    assert LIMITS.binding(operations=1e12, format="bfloat16") is None


def test_rates_of_several_runs_stand_beside_what_the_limit_allows() -> None:
    pause = Case("text", "sleeping", "naps/s", lambda: time.sleep(0.01), amount=2.0, operations=1e9)
    found = measure(pause, Allowance(2.0, 6), LIMITS)
    assert isinstance(found, Measurement)
    assert len(found.rates) >= 1 and all(0 < rate <= 200 for rate in found.rates)
    assert found.limit == "float32 products" and found.limit_rate == pytest.approx(2 / 1e-3)
    assert found.share == pytest.approx(found.median / 2000)


def test_a_training_step_counts_the_models_own_operations() -> None:
    case = training.step("tiny", SHAPE, 2, CPU)
    assert case.amount == 2 * SHAPE.context_length
    assert case.operations == count(SHAPE).needed_training_flops * case.amount
    case.run()


def test_decoding_is_measured_for_torch_and_each_format_of_the_kernels() -> None:
    groups = decoding.groups(CPU, SHAPE)
    found = [case for group in groups for case in named(group)]
    assert len(found) == 12
    for one in found:
        if isinstance(one, Case):
            one.run()
    try:
        library()
    except NoKernels:
        assert all(isinstance(one, Missing) for one in found[3:])
        return
    cases = {one.name: one for one in found if isinstance(one, Case)}
    weights = count(SHAPE).decode_bytes(1.0)
    full, eight, four = (cases[f"kernels {format}, 1 row"].bytes for format in ("float32", "int8", "int4"))
    state = cases["torch float32, 1 row"].bytes - 4 * weights
    assert full == pytest.approx(4 * weights + state) and state > 0
    assert 1 <= (eight - state) / weights < 1.2 and 0.5 <= (four - state) / weights < 0.8
    assert cases["kernels int8, 16 rows"].bytes - 16 * state == pytest.approx(eight - state)  # read once for all rows


def test_a_shape_too_large_for_the_memory_is_named_not_begun() -> None:
    vast = DecoderConfig(**{**vars(SHAPE), "vocabulary_size": 2**40})
    found = [case for group in decoding.groups(CPU, vast) for case in named(group)]
    assert found and all(isinstance(one, Missing) and "GB of memory" in one.why for one in found)


def test_drawn_pages_are_always_the_same_and_become_prose() -> None:
    first, again = pages.Writer().page(3), pages.Writer().page(3)
    assert first == again and first.text != pages.Writer(1).page(3).text
    prose = first.read(CorpusSettings(source="bench"))
    assert hasattr(prose, "text") and 2000 < len(prose.text) < len(first.text)
    assert not any(mark in prose.text for mark in ("{{", "[[", "<ref", "'''", "{|", "Category:", "<!--"))


def test_the_table_marks_what_was_measured_beside_others() -> None:
    quiet = Measurement("training", "3m", "tokens/s", (900.0, 1000.0, 1234.5), "float32 products", 2000.0, crowded=False)
    busy = Measurement("text", "cleaning", "pages/s", (1.0, 2.0, 3.0), None, None, crowded=True)
    shown = table([quiet, busy, Missing("text", "tokenising", "no text")])
    assert "1,000 tokens/s  900 – 1,234" in shown and "50% of float32 products" in shown
    assert "*" not in table([quiet]) and "* other programs" in shown and "not measured: no text" in shown
    entry = as_json([quiet])[0]
    assert (entry["median"], entry["runs"], entry["share"], entry["crowded"]) == (1000.0, 3, 0.5, False)


def test_as_many_are_measured_as_were_expected(textmill: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("XDG_STATE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):  # what is found here is no machine's
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(speed, "_array_bytes", lambda device: 1 << 20)  # else gigabytes, where the caches are large
    monkeypatch.setattr("psutil.Process.create_time", lambda process: time.time())  # as if it were a process of its own
    result = textmill("bench", "--only", "text", "--seconds", 5, "--json")
    said = json.loads(result.out)
    assert result.code == 0 and said["version"] == bench.VERSION and said["complete"]
    assert len(said["measurements"]) == bench.expected(("text",), bench.best_device())
    assert {one["part"] for one in said["measurements"]} == {"limits", "text"}
    assert all("not_measured" in one or 0 < one["minimum"] <= one["median"] <= one["maximum"] for one in said["measurements"])
    assert bench.expected(bench.PARTS, CPU) == 3 + len(training.SIZES) + 12 + 2


def test_an_unknown_part_is_refused(textmill: Callable) -> None:
    result = textmill("bench", "--only", "trainin")
    assert result.code == 2 and "no part 'trainin'" in result.err and "training" in result.err


def test_ctrl_c_leaves_with_what_was_measured(tmp_path: Path, starter: Starter) -> None:
    left = starter.leave(tmp_path, "bench", "--seconds", "60")
    left.first_line()
    assert left.end(signal.SIGINT) == 128 + signal.SIGINT
    assert "measurements in" in left.output.read_text() and "Traceback" not in left.errors.read_text()
