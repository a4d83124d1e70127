"""Makes a release: version, changelog, tests, archives, a tag. Started by ./release.

Nothing leaves this machine. Until the last step, the commit and its tag, a failure leaves the
repository as it was.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from datetime import UTC, datetime
from pathlib import Path
from tarfile import TarFile
from zipfile import ZipFile

from packaging.metadata import Metadata
from packaging.version import InvalidVersion, Version

REPOSITORY = Path(__file__).parents[1]
VERSION_FILE = Path("src/headway/__init__.py")
CHANGELOG = Path("CHANGELOG.md")
EPOCH = "SOURCE_DATE_EPOCH"
VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
UNRELEASED = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


class NotReleased(Exception):
    """Why there is no release; the text says what to do."""


def run(*command: str | Path, cwd: Path = REPOSITORY) -> None:
    subprocess.run(command, cwd=cwd, check=True)


def output(*command: str | Path) -> str:
    outcome = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return outcome.stdout.strip()


def parse_version(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        raise NotReleased(f"{text} is not a version; write it like 1.2.0") from None
    if str(version) != text:
        raise NotReleased(f"write the version {text} as {version}")
    return version


def with_version(source: str, version: Version) -> str:
    """The text of the version file, saying VERSION, which must not be older than what it said."""
    found = VERSION_LINE.search(source)
    if found is None:
        raise NotReleased(f"{VERSION_FILE} has no line __version__ = ...")
    if version < Version(found[1]):
        raise NotReleased(f"{version} is older than {found[1]}, which {VERSION_FILE} says")
    return VERSION_LINE.sub(f'__version__ = "{version}"', source)


def with_release(changelog: str, version: Version, day: str) -> tuple[str, str]:
    """The changelog with what was unreleased under VERSION, and those changes alone."""
    found = UNRELEASED.search(changelog)
    changes = found[1].strip() if found else ""
    if found is None or not changes:
        raise NotReleased(f"{CHANGELOG} has nothing under [Unreleased]: say what changed")
    section = f"## [Unreleased]\n\n## [{version}] - {day}\n\n{changes}\n"
    rest = changelog[found.end() :]
    return changelog[: found.start()] + section + ("\n" + rest if rest else ""), changes


def refuse_unless_clean(tag: str) -> None:
    if changed := output("git", "status", "--porcelain"):
        raise NotReleased(f"the working tree has changes: commit or remove them\n{changed}")
    if output("git", "tag", "--list", tag):
        raise NotReleased(f"there is a tag {tag} already: choose the next version")


def build_once(directory: Path) -> list[Path]:
    """Source archive and wheel, the wheel built from the archive, in DIRECTORY."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory)]
    # Without SOURCE_DATE_EPOCH the backend gives every file the same fixed time.
    environment = {name: value for name, value in os.environ.items() if name != EPOCH}
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)
    return sorted(directory.iterdir())


def build(directory: Path) -> list[Path]:
    """As ``build_once``, but built twice: raises NotReleased if the two are not the same bytes."""
    archives = build_once(directory)
    with tempfile.TemporaryDirectory() as second:
        for ours, again in zip(archives, build_once(Path(second)), strict=True):
            if digest(ours) != digest(again):
                raise NotReleased(f"{ours.name} was built twice and differs")
    return archives


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def verify_wheel(wheel: Path, version: str) -> None:
    """Raises NotReleased unless the wheel holds our packages, the marker, the licence, no more."""
    information = f"headway-{version}.dist-info"
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        verify_metadata(archive.read(f"{information}/METADATA"), version)
    strangers = {name.partition("/")[0] for name in names} - {
        "headway",
        "dojobber",
        "reworker",
        "cadasta",
        information,
    }
    if strangers:
        raise NotReleased(f"{wheel.name} holds what is not ours: {', '.join(sorted(strangers))}")
    wanted = {
        "headway/__init__.py",
        "headway/py.typed",
        "headway/toolbox/result_tables.sql",
        "dojobber/__init__.py",
        "reworker/worker.py",
        "cadasta/workertoolbox/conf.py",
    }
    if "cadasta/__init__.py" in names:
        raise NotReleased(f"{wheel.name} takes the namespace cadasta for itself: it is shared")
    if missing := (wanted | {f"{information}/licenses/LICENSE"}) - names:
        raise NotReleased(f"{wheel.name} lacks {', '.join(sorted(missing))}")


def verify_source(archive: Path, version: str) -> None:
    """Raises NotReleased unless the source archive can be tested by whoever unpacks it."""
    root = f"headway-{version}"
    with TarFile.open(archive) as files:
        names = set(files.getnames())
        information = files.extractfile(f"{root}/PKG-INFO")
        verify_metadata(information.read() if information else b"", version)
    wanted = ("LICENSE", "README.md", "check", "constraints.txt", "tests/conftest.py")
    if missing := {f"{root}/{name}" for name in wanted} - names:
        raise NotReleased(f"{archive.name} lacks {', '.join(sorted(missing))}")


def verify_metadata(text: bytes, version: str) -> None:
    """Raises an ExceptionGroup unless an index would take TEXT as a package's metadata."""
    metadata = Metadata.from_email(text, validate=True)
    if str(metadata.version) != version or not metadata.description:
        raise NotReleased(f"the metadata say version {metadata.version} or lack the README")


def verify_installed(wheel: Path, version: str) -> None:
    """Installs the wheel where nothing else is, and asks it for its version."""
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        binaries = Path(place) / "bin"
        constraints = REPOSITORY / "constraints.txt"
        run(binaries / "python", "-m", "pip", "install", "-qq", "-c", constraints, wheel)
        run(binaries / "python", "-m", "pip", "check")
        run(binaries / "python", "-c", "import headway, dojobber, reworker.worker", cwd=Path(place))
        if version not in output(binaries / "headway", "--version"):
            raise NotReleased(f"the installed `headway --version` does not say {version}")


def make(version: Version) -> list[Path]:
    """The archives of VERSION, built from the working tree and verified, in dist/."""
    distribution = REPOSITORY / "dist"
    shutil.rmtree(distribution, ignore_errors=True)
    source, wheel = sorted(build(distribution), key=lambda file: file.suffix)
    verify_source(source, str(version))
    verify_wheel(wheel, str(version))
    verify_installed(wheel, str(version))
    return [source, wheel]


def release(version: Version) -> None:
    tag = f"v{version}"
    refuse_unless_clean(tag)
    day = datetime.now(UTC).date().isoformat()
    changelog, changes = with_release((REPOSITORY / CHANGELOG).read_text(), version, day)
    source = with_version((REPOSITORY / VERSION_FILE).read_text(), version)
    try:
        (REPOSITORY / CHANGELOG).write_text(changelog)
        (REPOSITORY / VERSION_FILE).write_text(source)
        run("./check", "--services")
        archives = make(version)
    except BaseException:
        run("git", "checkout", "--quiet", "--", CHANGELOG, VERSION_FILE)
        raise
    run("git", "commit", "--quiet", "--signoff", "--all", "--message", f"Release {version}")
    author = output("git", "log", "-1", "--format=%an <%ae>")
    message = f"Headway {version}\n\n{changes}\n\nSigned-off-by: {author}\n"
    run("git", "tag", "--annotate", "--cleanup=verbatim", "--message", message, tag)
    print(f"\nHeadway {version} is tagged as {tag} and lies in dist/:")
    for archive in archives:
        print(f"  {digest(archive)}  {archive.name}")
    print(f"Nothing was pushed. To publish: git push origin HEAD {tag}, then upload dist/*.")


def main() -> int:
    try:
        release(parse_version(sys.argv[1]))
    except NotReleased as reason:
        print(f"./release: {reason}", file=sys.stderr)
    except subprocess.CalledProcessError as failure:
        command = " ".join(str(part) for part in failure.cmd)
        print(f"./release: not released, as this failed: {command}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
