"""Lists of components (CycloneDX), run by the tools' Python: the environment of an installed release, and more.

    sbom.py PYTHON PJSIP_WHEEL OUTPUT [PACKAGES]

PYTHON is the interpreter of an environment with the release. PACKAGES is a file with the packages of the image, a name
and a version per line; without it, the list is of the wheels.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
PJSIP_PACKAGE = "sipbridge-pjsip"
SCHEMA = SchemaVersion.V1_6

Component = dict[str, Any]


def main(python: str, wheel: str, output: str, packages: str = "") -> None:
    """Write the list. Exits with an error if the schema does not allow it."""
    bom = environment(python)
    (module,) = [each for each in bom["components"] if each["name"].replace("_", "-") == PJSIP_PACKAGE]
    contents = native_components(Path(wheel))
    if packages:
        system = dict(line.split() for line in Path(packages).read_text().splitlines())
        module["version"] = system.pop(PJSIP_PACKAGE)
        bom["components"] += [debian_component(name, version) for name, version in system.items()]
        # The module of the image uses the libraries of those packages.
        contents = contents[:1]
    bom["components"] += contents
    dependencies = {each["ref"]: each for each in bom["dependencies"]}
    dependencies[module["bom-ref"]]["dependsOn"] = sorted(each["bom-ref"] for each in contents)
    # It is not in the package's own requirements, because no index has it.
    root = dependencies[bom["metadata"]["component"]["bom-ref"]]
    root["dependsOn"] = sorted({*root.get("dependsOn", ()), module["bom-ref"]})
    text = json.dumps(bom, indent=2, sort_keys=True) + "\n"
    if problem := JsonStrictValidator(SCHEMA).validate_str(text):
        sys.exit(f"the list of components is not valid: {problem}")
    Path(output).write_text(text)


def environment(python: str) -> dict[str, Any]:
    """Return the list of the packages in an environment, with their licences and what each requires."""
    options = ["--output-reproducible", "--sv", SCHEMA.to_version(), "--pyproject", str(PYPROJECT)]
    run = [sys.executable, "-m", "cyclonedx_py", "environment", *options, python]
    printed = subprocess.run(run, stdout=subprocess.PIPE, check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})  # noqa: S603
    bom: dict[str, Any] = json.loads(printed.stdout)
    # The files of this machine that the wheels were installed from say nothing to others.
    for component in bom["components"]:
        component["externalReferences"] = [
            each for each in component.get("externalReferences", ()) if not each["url"].startswith("file:")
        ]
    return bom


def native_components(wheel: Path) -> list[Component]:
    """Return PJSIP, then the libraries in its wheel, then those of the system that it uses."""
    with zipfile.ZipFile(wheel) as archive:
        parts = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist() if name.endswith(".json")}
    build = json.loads(parts["build.json"])
    bundled = [
        each for each in json.loads(parts["auditwheel.cdx.json"])["components"] if each["purl"].startswith("pkg:deb/")
    ]
    # The version is that of the headers, and the system has its own.
    from_system = [{"name": "sipbridge:provided-by", "value": "the system: libssl.so.3, libcrypto.so.3"}]
    source = [{"alg": "SHA-256", "content": build["source"]}]
    return [
        component("pjproject", build["pjsip"], "pkg:generic/pjproject@{}", licence="GPL-2.0-or-later", hashes=source),
        component("libsrtp", build["libsrtp2"], "pkg:generic/libsrtp@{}", licence="BSD-3-Clause"),
        *(component(each["name"], each["version"], each["purl"]) for each in bundled),
        component("openssl", build["openssl"], "pkg:generic/openssl@{}", licence="Apache-2.0", properties=from_system),
    ]


def debian_component(name: str, version: str) -> Component:
    """Return a package of Debian."""
    return component(name, version, f"pkg:deb/debian/{name}@{{}}?distro=bookworm")


def component(name: str, version: str, purl: str, *, licence: str = "", **more: Any) -> Component:  # noqa: ANN401
    """Return a component; `{}` in the package URL stands for its version."""
    url = purl.replace("{}", version.replace(":", "%3A").replace("+", "%2B"))
    licences = [{"license": {"id": licence}}] if licence else []
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        **({"licenses": licences} if licences else {}),
        **more,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
