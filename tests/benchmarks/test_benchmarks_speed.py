"""The benchmarks of speed: their arithmetic, and the document they print."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as command
from benchmarks import performance
from benchmarks.speed import growth, importing, memory
from benchmarks.speed.bare import ROWS_PER_BATCH, Bare, batched
from benchmarks.speed.machine import cpu_fields
from benchmarks.speed.subject import Subject
from benchmarks.speed.timing import Asked, Timings, entry, interleaved, rounded, slope
from benchmarks.speed.today import read_with_sae_lens
from saetask import UserError
from saetask.models.forward import MAX_LENGTH_RATIO
from saetask.models.hooks import read_hook
from saetask.saes.encoding import input_hook
from tests.helpers.probe_choices import use_fit_items, use_settings

RATIOS = {
    "read": ("limit", "today"),
    "harvest": ("limit", "today"),
    "dictionary": ("limit",),
    "train": ("today",),
    "detect": ("limit", "today"),
    "rank": ("limit", "today"),
    "generate": ("limit", "today"),
}


@pytest.fixture(scope="module")
def subject(tiny_model, make_tiny_hf_model, make_tiny_sae) -> Subject:
    return Subject(tiny_model, make_tiny_hf_model(), make_tiny_sae(prepend_bos=True))


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def either_subject(request, make_tiny_bridge, make_tiny_hf_model, make_tiny_sae) -> Subject:
    """In the types that `load_model` takes on processors of either kind."""
    bridge = make_tiny_bridge(make_tiny_hf_model().to(request.param))
    return Subject(bridge, make_tiny_hf_model().to(request.param), make_tiny_sae(prepend_bos=True))


@pytest.fixture(scope="module")
def document(subject, few_choices, tmp_path_factory) -> dict:
    """What all benchmarks print, of a tiny model and of little work."""
    out = tmp_path_factory.mktemp("speed") / "speed.json"
    with pytest.MonkeyPatch.context() as patch:
        use_fit_items(patch, 36)
        use_settings(patch, note_samples=4)
        patch.setenv("SAETASK_CACHE", str(tmp_path_factory.mktemp("cache")))
        # New processes would spend half a minute on importing torch.
        patch.setitem(importing.COMMANDS, "torch", ["-c", "pass"])
        patch.setattr(growth, "peaks_in_a_process", lambda what, sizes: [100.0, 120.0])
        given_flags = ["--all", "--quick", "--rounds", "2", "--out", str(out)]
        assert command.main(given_flags, lambda: subject) == 0
    return json.loads(out.read_text())


class Clock:
    """A clock that goes on only when work is done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def way(self, name: str, *seconds: float, units: int = 1):
        """Returns a way that takes so many seconds in each round, the warm-up first."""

        def work(number: int) -> int:
            self.done.append(name)
            self.now += seconds[number]
            return units

        return work

    def __call__(self) -> float:
        return self.now


def test_ways_take_turns_and_the_warm_up_does_not_count() -> None:
    clock = Clock()
    ways = {"a": clock.way("a", 100, 1, 3), "b": clock.way("b", 100, 8, 6, units=2)}
    timings = interleaved(ways, 2, "token", clock)
    assert clock.done == ["a", "b"] * 3
    assert timings.seconds == {"a": [1, 3], "b": [4, 3]}


def test_figures_are_medians_of_the_rounds_own_ratios() -> None:
    timings = Timings("token", {"saetask": [1, 2, 10], "limit": [1, 1, 5], "today": [3, 8, 20]})
    assert timings.median("saetask") == 2
    assert timings.times_as_fast("saetask", "limit") == 0.5
    assert timings.times_as_fast("saetask", "today") == 3
    found = entry(timings, [Asked("speed", 0.5, lowest=0.85)], work={"tokens": 3})
    assert found["tokens_per_s"] == 0.5
    assert (found["ratio_to_limit"], found["ratio_to_today"]) == (0.5, 3)
    assert found["timings"]["seconds"]["today"] == {"median": 8, "rounds": [3, 8, 20]}


def test_a_way_that_did_nothing_is_no_measurement() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="'a' did no token"):
        interleaved({"a": clock.way("a", 1, 1, units=0)}, 1, "token", clock)
    with pytest.raises(ValueError, match="at least one"):
        interleaved({"a": clock.way("a", 1)}, 0, "token", clock)


@pytest.mark.parametrize(
    ("asked", "words", "met"),
    [
        (Asked("speed", 0.85, lowest=0.85), "at least 0.85", True),
        (Asked("speed", 0.849, lowest=0.85), "at least 0.85", False),
        (Asked("time", 1.26, highest=1.25), "at most 1.25", False),
        (Asked("slope", 1.1, 0.9, 1.1), "0.9 to 1.1", True),
        (Asked("slope", 0.89, 0.9, 1.1), "0.9 to 1.1", False),
        (Asked("loss", float("nan"), highest=1), "at most 1", False),
    ],
)
def test_a_figure_is_held_against_its_bounds(asked: Asked, words: str, met: bool) -> None:
    document = asked.document()
    assert (document["asked"], document["met"]) == (words, met)


@given(
    exponent=st.floats(0, 3),
    unit=st.floats(1e-6, 1e3),
    sizes=st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True),
)
def test_the_slope_of_a_power_is_its_exponent(exponent, unit, sizes) -> None:
    found = slope(sizes, [unit * size**exponent for size in sizes])
    assert found == pytest.approx(exponent, abs=1e-4)


@given(st.floats(1e-9, 1e9))
def test_rounding_keeps_four_digits(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=5.1e-4)
    assert rounded(rounded(value)) == rounded(value)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=60))
def test_the_limit_has_every_row_and_hardly_any_padding(rows: list[list[int]]) -> None:
    batches = batched([[1, *row] for row in rows])
    assert sum(len(batch) for batch in batches) == len(rows)
    assert max(len(batch) for batch in batches) <= ROWS_PER_BATCH
    tokens = sum(len(row) + 1 for row in rows)
    assert tokens <= sum(batch.numel() for batch in batches) <= MAX_LENGTH_RATIO * tokens


def test_the_limit_computes_what_reading_needs(subject) -> None:
    tokens = torch.randint(10, 1000, (2, 7), generator=torch.Generator().manual_seed(0))
    bare = Bare(subject)
    expected = read_hook(subject.model, tokens, input_hook(subject.sae))
    torch.testing.assert_close(bare.activations(tokens), expected, atol=1e-4, rtol=1e-4)
    encoded = expected @ subject.sae.W_enc.detach()
    torch.testing.assert_close(bare.encoded(tokens), encoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bare.answered(tokens), encoded, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stop_at_layer", [None, 3])
def test_todays_way_gives_feature_activations_and_leaves_the_hook_point_usable(
    either_subject, stop_at_layer
) -> None:
    subject = either_subject
    tokens = torch.randint(10, 1000, (1, 7), generator=torch.Generator().manual_seed(0))
    before = read_hook(subject.model, tokens, input_hook(subject.sae))
    found = read_with_sae_lens(subject, tokens, stop_at_layer)
    expected = subject.sae.encode(before.float())
    atol = 1e-4 if subject.dtype == "float32" else 0.2  # sums are taken in another order
    torch.testing.assert_close(found.float(), expected, atol=atol, rtol=0.02)
    after = read_hook(subject.model, tokens, input_hook(subject.sae))
    torch.testing.assert_close(after, before)


def test_one_benchmark_prints_what_all_together_write(subject, capsys) -> None:
    assert command.main(["rank", "--quick", "--rounds", "1"], lambda: subject) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rounds"] == 1
    assert {"saetask", *RATIOS["rank"]} <= set(found["rank"]["timings"]["seconds"])
    assert found["rank"]["asked"] and found["rank"]["ratio_to_limit"] > 0


@pytest.mark.parametrize(
    "name", ["read", *(pytest.param(n, marks=pytest.mark.slow) for n in ("harvest", "generate"))]
)
def test_a_benchmark_runs_in_either_dtype(either_subject, name, capsys) -> None:
    assert command.main([name, "--quick", "--rounds", "1"], lambda: either_subject) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dtype"] == either_subject.dtype
    assert {"saetask", *RATIOS[name]} <= set(found[name]["timings"]["seconds"])


def test_a_benchmark_that_fails_is_told_and_leaves_the_others_figures(
    subject, monkeypatch, capsys, tmp_path: Path
) -> None:
    def fail(setting) -> dict:
        raise RuntimeError("no such\nluck")

    monkeypatch.setattr("benchmarks.speed.rank.measure", fail)
    nothing = {name: ["-c", "pass"] for name in importing.COMMANDS}
    monkeypatch.setattr(importing, "COMMANDS", nothing)
    out = tmp_path / "speed.json"
    flags = ["rank", "import", "--quick", "--rounds", "1", "--out", str(out)]
    assert command.main(flags, lambda: subject) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith("benchmarks: rank failed: RuntimeError: no such luck\n")
    found = json.loads(captured.out)
    assert found["import"]["seconds"] > 0 and "rank" not in found
    assert found["failed"] == {"rank": "RuntimeError: no such luck"}
    assert json.loads(out.read_text()) == found
    with pytest.raises(UserError, match="benchmark rank failed"):
        performance.read_document(out)


@pytest.mark.slow
def test_every_benchmark_is_in_the_document(document) -> None:
    assert list(document)[:5] == ["schema_version", "hardware", "versions", "rounds", "dtype"]
    assert list(document)[5:] == list(performance.BENCHMARKS)
    assert (document["rounds"], document["dtype"]) == (2, "float32")
    assert document["hardware"]["cores"] >= 1 and document["hardware"]["cpu"]
    assert {"python", "torch", "transformers", "transformer_lens", "sae_lens", "saetask"} == set(
        document["versions"]
    )


@pytest.mark.slow
def test_ratios_are_those_of_the_rounds(document) -> None:
    for name, others in RATIOS.items():
        found = document[name]
        seconds = found["timings"]["seconds"]
        assert {"saetask", *others} <= set(seconds)
        for other in others:
            rounds = zip(seconds["saetask"]["rounds"], seconds[other]["rounds"], strict=True)
            ratios = sorted(slow / fast for fast, slow in rounds)
            assert len(ratios) == 2
            assert found[f"ratio_to_{other}"] == pytest.approx(sum(ratios) / 2, rel=5e-3)
        rate = found[f"{found['timings']['unit']}s_per_s"]
        assert rate == pytest.approx(1 / seconds["saetask"]["median"], rel=1e-3)


@pytest.mark.slow
def test_what_was_asked_is_told_with_whether_it_is_met(document) -> None:
    for name in ("read", "harvest", "train", "detect", "rank", "generate", "growth"):
        assert document[name]["asked"]
        for figure in document[name]["asked"]:
            assert set(figure) == {"name", "ratio", "asked", "met"}
    *_, tokens, items = document["growth"]["asked"]
    assert (tokens["ratio"], tokens["met"]) == (items["ratio"], items["met"]) == (1.2, False)


@pytest.mark.slow
def test_both_ways_of_training_start_and_learn_alike(document) -> None:
    today, own = (document["train"]["loss_curves"][name] for name in ("today", "saetask"))
    assert [point["step"] for point in own] == [point["step"] for point in today] == [0, 2, 4]
    for ours, theirs in zip(own, today):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert own[-1]["loss"] < own[0]["loss"]


@pytest.mark.slow
def test_the_profile_of_reading_names_every_step(document) -> None:
    profile = document["read"]["profile"]
    assert list(profile) == ["tokenise", "forward", "encode", "gather", "pool", "write"]
    assert all(seconds > 0 for seconds in profile.values())


@pytest.mark.slow
def test_growth_is_over_what_was_really_done(document) -> None:
    found = document["growth"]
    for what, low, high in zip(found["sizes"], *zip(*found["sizes"].values())):
        seconds = [found["timings"][what]["seconds"][way]["median"] for way in ("once", "16 times")]
        expected = slope([low, high], [low * seconds[0], high * seconds[1]])
        (figure,) = (f for f in found["asked"] if f["name"] == f"slope of time over {what}")
        assert figure["ratio"] == pytest.approx(expected, abs=5e-3)
    assert found["sizes"]["items"] == [1, 16]


@pytest.mark.slow
def test_starting_is_told_in_seconds(document) -> None:
    found = document["import"]
    assert found["seconds"] > 0 and found["help_seconds"] > 0


def test_peaks_tell_what_a_piece_of_work_holds(monkeypatch, tmp_path: Path) -> None:
    def holding(folder: Path, most: int):
        return lambda mib: len(bytearray(mib * 2**20))

    monkeypatch.setattr(memory, "harvesting", holding)
    low, high = memory.peaks("tokens", [1, 300], tmp_path)
    assert 250 < high - low < 350


@pytest.mark.slow
def test_what_memory_is_measured_on_harvests(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "ROWS_PER_SHARD", 4)
    memory.harvesting(tmp_path, 64)(64)
    assert list(tmp_path.glob("*/activations-00000.safetensors"))


def test_the_command_names_what_it_does_not_know(capsys) -> None:
    for flags, line in (
        (["raed"], "Unknown benchmark 'raed'. Did you mean 'read'?"),
        ([], "Name benchmarks (read, "),
        (["read", "--rounds", "0"], "--rounds is 0; it must be 1 to 50."),
    ):
        assert command.main(flags, lambda: pytest.fail("loaded a model")) == 2
        captured = capsys.readouterr()
        assert not captured.out and captured.err.startswith(f"benchmarks: {line}")
        assert len(captured.err.splitlines()) == 1


def test_importing_needs_no_model_and_prints_one_document(monkeypatch, capsys) -> None:
    nothing = {name: ["-c", "pass"] for name in importing.COMMANDS}
    monkeypatch.setattr(importing, "COMMANDS", nothing)
    flags = ["import", "--rounds", "1"]
    assert command.main(flags, lambda: pytest.fail("loaded a model")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["import"]["seconds"] > 0 and found["dtype"] is None


def test_the_first_core_is_described() -> None:
    text = "model name\t: A: B\nflags\t\t: avx2 amx_tile\n\nmodel name\t: other\n"
    assert cpu_fields(text) == {"model name": "A: B", "flags": "avx2 amx_tile"}


@pytest.mark.slow
def test_the_page_takes_what_the_benchmarks_print(document, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / performance.MEASURED).write_text(json.dumps(document))
    assert performance.main([], tmp_path) == 0
    page = (tmp_path / performance.PAGE).read_text()
    for name in document["read"]["timings"]["seconds"]:
        assert f"| read | {name} | " in page
