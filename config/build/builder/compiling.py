"""The compilation of the package `sipbridge_pjsip` from a source tree of PJSIP, and the checks of the result."""

# ruff: noqa: S603, S607  (the tools of this machine, found as its user would)
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from . import patches, recipe
from .progress import Progress, StepFailed
from .recipe import Flavour

PACKAGE = "sipbridge_pjsip"
DETECTED = {
    "pjlib/include/pj/compat/os_auto.h": {
        "epoll": r"^#\s*define PJ_IOQUEUE_IMP\s+PJ_IOQUEUE_IMP_EPOLL",
        "OpenSSL": r"^#\s*define PJ_SSL_SOCK_IMP\s+PJ_SSL_SOCK_IMP_OPENSSL",
    },
    "pjmedia/build/os-auto.mak": {
        "the system's libsrtp": r"-DPJMEDIA_EXTERNAL_SRTP=2",
        "libsamplerate": r"^AC_PJMEDIA_RESAMPLE=libsamplerate",
    },
}
OBJECTS = {path.name: f"{path.stem}.o" for path in recipe.SOURCES}
LINKED = ("libssl", "libsrtp2", "libsamplerate")
PROOF = """
import ctypes
from sipbridge_pjsip import _pjsua2, pjsua2
pjlib = ctypes.PyDLL(_pjsua2.__file__)
pjlib.pj_ioqueue_name.restype = ctypes.c_char_p
samples = (ctypes.c_int16 * 256).in_dll(pjlib, "pjmedia_ulaw2linear_tab")
codes = (ctypes.c_uint8 * 16384).in_dll(pjlib, "pjmedia_linear2ulaw_tab")
kept = sum(codes[samples[code] >> 2 & 0x3FFF] == code for code in range(256))
print(pjlib.pj_ioqueue_name().decode(), pjsua2.builtMaxLegs(), kept)
"""


def compile_package(
    progress: Progress, tree: Path, work: Path, flavour: Flavour, own_srtp: Path | None = None
) -> tuple[Path, ...]:
    """Build the unpacked source; return the modules of the package, all in one directory below `work`.

    `own_srtp` has a libsrtp that becomes part of the module, instead of the system's.

    Raises:
        StepFailed: a step failed, or the compiled module is not as configured.
    """
    for path in recipe.INPUTS:
        shutil.copy(path, work)
    package = make_package(work)
    _prepare(tree, work)
    progress.together(lambda: _configure(progress, tree, flavour, own_srtp), lambda: _generate(progress, tree, work))
    # The wrapper is one long compilation that needs only the headers, so it runs beside that of the libraries.
    # `make dep` is not needed, because nothing here is built twice.
    make = ["nice", "-n3", "make", f"-j{len(os.sched_getaffinity(0))}", "lib"]
    progress.together(
        lambda: progress.run("PJSIP: compile the libraries", make, cwd=tree, note=_compiled),
        lambda: _compile_wrapper(progress, tree, work, flavour),
    )
    _link(progress, tree, work, flavour)
    _prove(work, flavour)
    return tuple(package / name for name in ("__init__.py", "pjsua2.py", flavour.module))


def make_package(work: Path) -> Path:
    """Make the directory of the package, with its `__init__.py`; return it."""
    package = work / PACKAGE
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text('"""PJSIP, compiled for sipbridge: the module `pjsua2`."""\n')
    return package


def _prepare(tree: Path, work: Path) -> None:
    shutil.copy(work / "config_site.h", tree / "pjlib/include/pj/config_site.h")
    # Debian's tarball does not have this one driver, but the makefile still lists it.
    if not (tree / "pjmedia/src/pjmedia-audiodev/bdimad_dev.c").exists():
        makefile = tree / "pjmedia/build/Makefile"
        makefile.write_text(makefile.read_text().replace("bdimad_dev.o", ""))
    for patch in recipe.PATCHES:
        patches.apply(patch, tree)


def _configure(progress: Progress, tree: Path, flavour: Flavour, own_srtp: Path | None) -> None:
    compiler = f"{flavour.pjsip} {recipe.without_paths(tree.parent)}"
    flags = {"LDFLAGS": f"-L{own_srtp / 'lib'}"} if own_srtp else {}
    if own_srtp:
        compiler += f" -I{own_srtp / 'include'}"
    flags |= {"CFLAGS": compiler, "CXXFLAGS": compiler}
    log = progress.run("PJSIP: configure", ["./configure", *recipe.CONFIGURE], cwd=tree, env=flags)
    _check_detected(tree, log)


def _check_detected(tree: Path, log: Path) -> None:
    missing = [
        what
        for file, patterns in DETECTED.items()
        for what, pattern in patterns.items()
        if not re.search(pattern, (tree / file).read_text(), re.MULTILINE)
    ]
    if missing:
        raise StepFailed(f"PJSIP's configure did not find {', '.join(missing)}; its log is {log}")


def _generate(progress: Progress, tree: Path, work: Path) -> None:
    headers = [tree / part / "include" for part in ("pjlib", "pjlib-util", "pjnath", "pjmedia", "pjsip")]
    includes = [f"-I{path}" for path in (work, tree / "pjsip-apps/src", tree / "pjsip-apps/src/swig", *headers)]
    output = ["-outdir", str(work / PACKAGE), "-o", str(work / "pjsua2_wrap.cpp")]
    argv = ["swig", *recipe.SWIG, *includes, *output, str(work / "pjsua2.i")]
    progress.run("PJSIP: SWIG wrapper", argv)


def _compile_wrapper(progress: Progress, tree: Path, work: Path, flavour: Flavour) -> None:
    flags = [*_helper(tree, "cflags"), recipe.without_paths(tree.parent), f"-I{work}"]
    for source, target in OBJECTS.items():
        argv = ["g++", *flags, *flavour.native, "-c", str(work / source), "-o", str(work / target)]
        progress.run(f"PJSIP: compile {source}", argv)
    flags += [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    argv = ["g++", *flags, *flavour.wrapper, "-c", str(work / "pjsua2_wrap.cpp"), "-o", str(work / "wrapper.o")]
    progress.run("PJSIP: compile the wrapper", argv)


def _link(progress: Progress, tree: Path, work: Path, flavour: Flavour) -> None:
    libraries = [*_helper(tree, "ldflags"), *(f"-l{name}" for name in _helper(tree, "libs"))]
    objects = [str(work / name) for name in ("wrapper.o", *OBJECTS.values())]
    progress.run(
        "PJSIP: link",
        ["g++", "-shared", *flavour.link, "-o", str(work / PACKAGE / flavour.module), *objects, *libraries],
    )


def _helper(tree: Path, target: str) -> list[str]:
    # PJSIP's own makefile prints the flags of its Python module.
    directory = tree / "pjsip-apps/src/swig/python"
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    argv = ["make", "-s", "-f", "helper.mak", target]
    return subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()


def _prove(work: Path, flavour: Flavour) -> None:
    environ = {**os.environ, **flavour.environ()}
    run = subprocess.run(
        [sys.executable, "-c", PROOF], cwd=work, env=environ, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise StepFailed(f"the compiled module cannot be imported:\n{run.stderr.strip()}")
    ioqueue, legs, kept = run.stdout.split()
    limit = re.search(r"^#define PJSUA_MAX_CALLS\s+(\d+)", (work / "config_site.h").read_text(), re.MULTILINE)
    if not ioqueue.startswith("epoll") or limit is None or legs != limit[1]:
        raise StepFailed(f"the compiled module has the ioqueue {ioqueue} and {legs} calls, which is not as configured")
    if kept != "256":
        raise StepFailed(f"only {kept} of the 256 codes of mu-law pass through the compiled module unchanged")
    linked = subprocess.run(
        ["readelf", "-d", work / PACKAGE / flavour.module], capture_output=True, text=True, check=True
    ).stdout
    found = {name for name in LINKED if f"[{name}.so" in linked}
    expected = set(LINKED) - ({"libsrtp2"} if flavour.portable else set())
    if missing := expected - found:
        raise StepFailed(f"the compiled module does not use {', '.join(sorted(missing))}")
    if found > expected:
        raise StepFailed("the compiled module uses the system's libsrtp")


def _compiled(log: Path) -> str:
    return f"({log.read_bytes().count(b' -o output/')} files)"
