"""`saetask discover`: from a log to a folder, and one line for a log that is none."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from saetask.cli.discovery import _default_folder
from saetask.cli.main import main
from saetask.discovery import asking
from tests.helpers.words import NOUNS, make_word_sae

N = 400
QUESTION = "Look at the {} and the {} by the {} of {} men."


def rows(n: int = N, failing: str = "ship") -> list[dict]:
    """Rows of a log; prompts with one noun are mostly answered wrongly, the others mostly not."""
    generator = np.random.default_rng(0)
    made = []
    for number in range(n):
        nouns = generator.choice(NOUNS, 3, replace=False)
        text = QUESTION.format(*nouns, number)
        wrong = generator.random() < (0.9 if failing in nouns else 0.1)
        chat = [{"role": "user", "content": text}]
        answer = {"output": "no" if wrong else "yes", "correct": int(not wrong), "target": "yes"}
        made.append({"id": f"i{number}", "messages": chat, **answer})
    return made


@pytest.fixture(scope="module")
def word_sae_folder(tiny_model, tiny_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saes") / "words"
    make_word_sae(tiny_model, tiny_tokenizer).save_model(folder)
    return folder


@pytest.fixture
def discover(capsys, tmp_path, tiny_model_folder, word_sae_folder):
    """Returns a function that runs `discover` on a log and returns code, stdout and stderr."""

    def run(log, *flags):
        capsys.readouterr()
        chosen = ["--model", tiny_model_folder, "--sae", word_sae_folder, "--allow-sae-mismatch"]
        out = ["--out", tmp_path / "found", "--n-permuted", 3]
        code = main([str(word) for word in ("discover", log, *chosen, *out, *flags)])
        return code, *capsys.readouterr()

    return run


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def test_what_was_planted_is_printed_and_written(discover, tmp_path):
    code, out, err = discover(write(tmp_path / "log.jsonl", rows()))
    assert code == 0, err
    assert "the log has no groups" in err
    assert "1 discovery confirmed" in out and "The model answers wrongly on" in out
    assert "A random dictionary:" in out and "Permuted outcomes (3 times)" in out
    folder = tmp_path / "found"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found = [d for d in summary["discoveries"] if d["confirmed"]]
    assert [d["concept"] for d in found] == [f"feature:{NOUNS.index('ship')}"]
    assert summary["n_items"] == N and summary["mended"] == []
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<sae-discovery" in page and "ship" in page


def test_prompts_without_room_for_a_note_are_left_out(discover, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "MAX_NEW_TOKENS", 200)  # of the 256 that the model can read
    code, out, err = discover(write(tmp_path / "log.jsonl", rows()), "--mend", "--json")
    assert code == 0, err
    assert json.loads(out)["mended"] == []


def test_mending_is_tried_on_what_was_confirmed(discover, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "MAX_NEW_TOKENS", 4)
    code, out, err = discover(write(tmp_path / "log.jsonl", rows()), "--mend", "--json")
    assert code == 0, err
    (mended,) = json.loads(out)["mended"]
    assert [arm["arm"] for arm in mended["arms"]] == [
        *("original", "mended", "placebo", "generic", "other-concept")
    ]
    assert mended["mended"] is False  # a random model makes nothing of a note


@pytest.mark.parametrize(
    ("made", "flags", "said"),
    [
        ([], (), "is empty"),
        ([{**row, "correct": 1} for row in rows(20)], (), "right"),
        ([{**row, "correct": 0} for row in rows(20)], (), "wrong"),
        ([{k: v for k, v in row.items() if k != "messages"} for row in rows(20)], (), "prompt"),
        ([*rows(20), rows(1)[0]], (), "occurs twice"),
        (rows(6), (), "items"),
        (rows(20), ("--limit", "0"), "--limit"),
        (rows(20), ("--format", "jsonll"), "Did you mean 'jsonl'"),
        (rows(40), ("--by", "disagreement"), "answer"),
        (rows(40), ("--by", "disagreement", "--vary", "wording"), "give --samples 5"),
        (rows(40), ("--seed", "-1"), "0 or more"),
        (rows(40), ("--n-permuted", "-1"), "0 or more"),
        ([{**row, "target": None} for row in rows(40)], ("--mend",), "no right answers"),
        (rows(40), ("--annotators", "self-explain"), "give --mend as well"),
        (rows(40), ("--mend", "--annotators", "self-explan"), "Did you mean 'self-explain'"),
        (rows(40), ("--mend", "--annotator-option", "model=x"), "name them with --annotators"),
    ],
)
def test_a_log_that_tells_nothing_is_refused_in_one_line(discover, tmp_path, made, flags, said):
    code, out, err = discover(write(tmp_path / "log.jsonl", made), *flags)
    lines = [line for line in err.splitlines() if "%|" not in line]
    assert (code, out) == (2, "")
    assert len(lines) == 1 and lines[0].startswith("saetask: "), err
    assert said in lines[0]
    assert not (tmp_path / "found" / "summary.json").exists()


def test_a_folder_that_holds_something_else_is_not_written_to(discover, tmp_path):
    folder = tmp_path / "found"
    folder.mkdir()
    (folder / "summary.json").write_text("{}\n", encoding="utf-8")
    code, _, err = discover(write(tmp_path / "log.jsonl", rows()))
    assert code == 2 and "holds other files" in err
    assert [path.name for path in folder.iterdir()] == ["summary.json"]
    assert (folder / "summary.json").read_text(encoding="utf-8") == "{}\n"


def test_a_discovery_in_another_log_is_not_replaced(discover, tmp_path):
    assert discover(write(tmp_path / "log.jsonl", rows()))[0] == 0
    code, _, err = discover(write(tmp_path / "other.jsonl", rows()))
    assert code == 2 and "holds a discovery in" in err and "log.jsonl" in err
    assert discover(tmp_path / "log.jsonl")[0] == 0


def test_a_folder_inside_a_file_is_refused_before_anything_is_read(discover, tmp_path):
    file = write(tmp_path / "log.jsonl", rows())
    code, _, err = discover(file, "--out", file / "found")
    assert code == 2 and "is a file" in err


def test_what_is_found_with_other_flags_gets_a_folder_of_its_own():
    def folder(**flags):
        return _default_folder(Namespace(log="logs/a.b.jsonl.gz", **flags))

    named = [folder(), folder(q=0.1), folder(q=0.2), folder(limit=5), folder(prompt_field="text")]
    assert len(set(named)) == len(named) and named[0] == Path("runs/discover-a.b")
    assert folder(mend=True, json=True) == folder()  # these add to what is found


def test_a_discovery_is_no_log(discover, tmp_path):
    (tmp_path / "discoveries.jsonl").touch()
    code, out, err = discover(tmp_path)
    assert code == 2 and "is a discovery; `saetask explore --discovery" in err and out == ""
