"""The parts of the native layer that include nothing of PJSIP, with AddressSanitizer and UBSan (`*_test.cpp`)."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.native.pure import NATIVE, pure_sources

HERE = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer", "-pthread"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_GLIBCXX_ASSERTIONS"),
)
FRAMEWORK = HERE / "main.cpp"  # doctest itself, which is not tested here and takes ten seconds with FLAGS
FRAMEWORK_FLAGS = ("-std=c++17", "-O0")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    sources = [*pure_sources(), *sorted(HERE.glob("*.cpp"))]

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.parent.name}-{source.stem}.o"
        flags = FRAMEWORK_FLAGS if source == FRAMEWORK else FLAGS
        _run("g++", *flags, f"-I{NATIVE}", "-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(2) as threads:
        objects = list(threads.map(compile_one, sources))
    built = folder / "native-tests"
    _run("g++", *FLAGS, *objects, "-o", built)
    return built


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603 (our own)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", sorted(path.name for path in HERE.glob("*_test.cpp")))
def test_the_native_layer_passes_its_own_tests(program: Path, source: str) -> None:
    said = _run(program, "--no-skipped-summary", f"--source-file=*{source}")
    assert " 0 passed" not in said.splitlines()[-3], said


def test_the_code_that_reads_messages_and_packets_includes_nothing_of_pjsip() -> None:
    readers = {
        "framing",
        "unreadable",
        "sdp",
        "sdes",
        "dtmf_event",
        "dtmf_presses",
        "rtp_origin",
        "audio_queue",
        "received_audio",
        "relayed_rtp",
    }
    assert readers <= {source.stem for source in pure_sources()}
