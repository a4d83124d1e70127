"""The worker ``webapp``: which version a server runs."""

from typing import Any

from machines import Dead, Server, version_file
from steps import HostWorker, StepFailed

from reworker.worker import runner


class WebappWorker(HostWorker):
    dynamic = ("version",)

    def has_version(self, host: str, given: dict[str, Any]) -> str:
        return f"version {version_file(given['version']).stem} is there"

    def deploy(self, host: str, given: dict[str, Any]) -> str:
        """The version runs there, on trial."""
        return run(Server(host), given["version"])

    def is_deployed(self, host: str, given: dict[str, Any]) -> str:
        server = Server(host)
        if not server.answers(given["version"]):
            running = server.running()
            raise StepFailed(f"version {running.version} runs" if running else "nothing runs")
        return f"version {given['version']} runs"

    def keep(self, host: str, given: dict[str, Any]) -> str:
        """It has proved itself, and is what is to run there from now on."""
        Server(host).kept = given["version"]
        return f"version {given['version']} is kept"

    def is_kept(self, host: str, given: dict[str, Any]) -> str:
        kept = Server(host).kept
        if kept != given["version"]:
            raise StepFailed(f"version {kept} is kept" if kept else "no version is kept")
        return f"version {kept} is kept"

    def run_what_is_kept(self, host: str, given: dict[str, Any]) -> str:
        """After a good release that runs already; after a bad one, the version before."""
        server = Server(host)
        return run(server, server.kept)

    steps = {
        "HasVersion": has_version,
        "Deploy": deploy,
        "IsDeployed": is_deployed,
        "Keep": keep,
        "IsKept": is_kept,
        "RunWhatIsKept": run_what_is_kept,
    }


def run(server: Server, version: str) -> str:
    try:
        server.run(version)
    except Dead as error:
        raise StepFailed(str(error)) from error
    return f"version {version} runs"


if __name__ == "__main__":
    runner(WebappWorker)
