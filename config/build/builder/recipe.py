"""The inputs of a build, and the key of the cache that is made from them."""

# ruff: noqa: S603  (the tools of this machine, found as its user would)
import hashlib
import json
import platform
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

from . import srtp
from .progress import StepFailed
from .source import Source

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "sipbridge" / "sip" / "native"
SOURCES = tuple(sorted(NATIVE.glob("*.cpp")))
INPUTS = (NATIVE / "config_site.h", NATIVE / "pjsua2.i", *sorted(NATIVE.glob("*.hpp")), *SOURCES)
PATCHES = tuple(sorted((NATIVE / "patches").glob("*.patch")))
CODE = tuple(HERE / name for name in ("recipe.py", "patches.py", "compiling.py", "srtp.py", "wheel.py"))
LIBRARIES = ("openssl", "libsrtp2", "samplerate", "uuid")  # pkg-config's names

CONFIGURE = (
    "--enable-epoll",
    "--enable-libsamplerate",
    "--with-external-srtp",
    "--disable-sound",
    "--disable-video",
    "--disable-v4l2",
    "--disable-sdl",
    "--disable-ffmpeg",
    "--disable-libyuv",
    "--disable-libwebrtc",
    "--disable-upnp",
    "--disable-lyra",
    "--disable-silk",
    "--disable-opus",
    "--disable-speex-codec",
    "--disable-speex-aec",
    "--disable-gsm-codec",
    "--disable-ilbc-codec",
    "--disable-g7221-codec",
    "--disable-l16-codec",
    "--disable-opencore-amr",
    "--disable-bcg729",
)
STABLE_TAG, STABLE_VERSION = "cp311", "0x030b0000"  # the oldest Python that sipbridge supports
SWIG = ("-c++", "-python", "-threads", "-w312,402,473")


@dataclass(frozen=True, slots=True)
class Flavour:
    """The flags of a kind of build: of PJSIP's libraries, our C++, SWIG's wrapper and the linker.

    `portable` is a build for Python's stable ABI, with a libsrtp of its own.
    """

    name: str
    pjsip: str
    native: tuple[str, ...]
    wrapper: tuple[str, ...]
    link: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    portable: bool = False

    @property
    def module(self) -> str:
        """Return the file name of the compiled module."""
        return f"_pjsua2{'.abi3.so' if self.portable else sysconfig.get_config_var('EXT_SUFFIX')}"

    @property
    def python_tag(self) -> str:
        """Return the tag of the Pythons that can load the module (PEP 425)."""
        this = f"cp{sys.version_info[0]}{sys.version_info[1]}"
        return f"{STABLE_TAG}-abi3" if self.portable else f"{this}-{this}{sys.abiflags}"

    def environ(self) -> dict[str, str]:
        """Return the environment variables of a program that loads the module."""
        if not self.preload:
            return {}
        paths = [_first_line("gcc", f"-print-file-name={name}") for name in self.preload]
        return {"LD_PRELOAD": ":".join(paths), **_SANITIZER_OPTIONS}


# Leaks are not detected here, since Python and its libraries free much memory only by exiting. The soak test does.
_SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}

# SWIG's wrapper has six megabytes of source, but handles no audio: -O1 compiles it in a fraction of the time of -O3.
RELEASE = Flavour(
    "release",
    pjsip="-O2 -fPIC -fno-semantic-interposition -DNDEBUG",
    native=("-O2", "-std=c++17", "-Wall", "-fPIC", "-fno-semantic-interposition"),
    wrapper=("-O1", "-std=c++17", "-w", "-fPIC"),
    # No other library replaces its functions, so calls within the module need no indirection.
    link=("-Wl,-Bsymbolic",),
)
# One module for Python 3.11 and all newer ones, as releases have it (docs/releasing.md). It needs SWIG 4.2 or newer.
PORTABLE = replace(
    RELEASE, name="portable", wrapper=(*RELEASE.wrapper, f"-DPy_LIMITED_API={STABLE_VERSION}"), portable=True
)
# PJSIP casts pointers between its structs and calls functions through other types. So alignment and vptr are not
# checked; memory, overflows, shifts and bounds are.
_CHECKS = "-fsanitize=address,undefined -fno-sanitize=alignment,vptr -fno-omit-frame-pointer -g1"
SANITIZED = Flavour(
    "sanitized",
    pjsip=f"-O1 -fPIC -DNDEBUG {_CHECKS}",
    native=("-O1", "-std=c++17", "-Wall", "-fPIC", *_CHECKS.split()),
    wrapper=("-O0", "-std=c++17", "-w", "-fPIC"),
    link=("-fsanitize=address,undefined",),
    preload=("libasan.so", "libubsan.so"),
)


def ingredients(source: Source, flavour: Flavour) -> dict[str, str]:
    """Return all inputs of a wheel, by name.

    Raises:
        StepFailed: a tool or a library of the build is missing.
    """
    return {
        "pjsip": source.version,
        "source": source.sha256,
        "flavour": flavour.name,
        **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*INPUTS, *PATCHES, *CODE)},
        "python": f"{sys.version_info[0]}.{sys.version_info[1]} {flavour.module}",
        "platform": f"{sysconfig.get_platform()} {' '.join(platform.libc_ver())}",
        "compiler": _first_line("g++", "--version"),
        "swig": _first_line("swig", "-version"),
        **{name: _first_line("pkg-config", "--modversion", name) for name in LIBRARIES},
        **({"libsrtp2": srtp.VERSION} if flavour.portable else {}),
    }


def without_paths(scratch: Path) -> str:
    """Return the compiler's option that keeps the directory of a build out of the result."""
    return f"-ffile-prefix-map={scratch}=."


def key_of(parts: dict[str, str]) -> str:
    """Return the key, which is equal for builds with equal inputs."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _first_line(*argv: str) -> str:
    try:
        printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepFailed(
            f"`{' '.join(argv)}` failed, and the build needs it; `make setup` installs missing packages"
        ) from error
    return printed.strip().partition("\n")[0]
