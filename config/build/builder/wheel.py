"""A wheel of one package (the Wheel 1.0 format of PEP 427)."""

import base64
import hashlib
import json
import sysconfig
import zipfile
from pathlib import Path

DISTRIBUTION = "sipbridge_pjsip"


def write(
    directory: Path,
    files: tuple[Path, ...],
    licences: dict[str, Path],
    parts: dict[str, str],
    python: str,
    key: str,
) -> Path:
    """Write a wheel with `files` into `directory`; return its path.

    Args:
        directory: must exist.
        files: the modules of the package, all in one directory, whose name is the package's.
        licences: the licences of what the modules contain, by their names in the wheel.
        parts: the inputs of the build, which the wheel contains as build.json.
        python: the tag of the Pythons that can load the modules (PEP 425).
        key: the key of the build; it makes the version unique, so that pip replaces an older build.
    """
    version = f"{parts['pjsip']}+k{key[:12]}"
    tag = f"{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    info = f"{DISTRIBUTION}-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: {DISTRIBUTION.replace('_', '-')}\nVersion: {version}\n"
        "Summary: PJSIP's Python module, compiled for sipbridge\nLicense: GPL-2.0-or-later\n"
    )
    contents = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files} | {
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: sipbridge\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        f"{info}/build.json": json.dumps(parts, indent=2).encode(),
        **{f"{info}/licenses/{name}": path.read_bytes() for name, path in licences.items()},
    }
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in contents.items())
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = directory / f"{DISTRIBUTION}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name)  # with a fixed time, so that equal builds make equal files
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
