"""Getting friends to the sofa: a film night as a graph of jobs.

Type one of:

    python examples/movie_night.py -v              as a program of its own
    python examples/movie_night.py --no-act -v     only look, do nothing
    headway run examples/movie_night.py            recorded, with all that Headway offers
    headway run examples/movie_night.py --set movie=Metropolis

Nobody is really invited. What the evening is like (the batteries, the oven, the crowded couch)
is simulated in ``Evening``, in memory, so that the example runs the same every time.
"""

import argparse
import sys
from collections import Counter
from typing import Any, ClassVar

from headway import DoJobber, DummyJob, Job

FRIENDS = "Ada, Grace, Linus"
PICTURES = ("svg", "png", "dot", "mermaid", "txt")
FILMS = ("Metropolis", "Playtime", "Solaris")


class Evening:
    """The world that the jobs look at and change; it takes its time to follow."""

    # How often one has to act before the world is as wanted. Not named: once.
    EFFORTS = {"TurnOnTV": 4, "SitOnCouch": 4, "PopcornBowl": 6, "Pizza": 3, "Popcorn": 3}

    def __init__(self) -> None:
        self.efforts: Counter[str] = Counter()
        self.film = ""

    def act(self, name: str) -> None:
        self.efforts[name] += 1

    def is_so(self, name: str) -> bool:
        return self.efforts[name] >= self.EFFORTS.get(name, 1)


evening = Evening()


class Chore(Job):
    """What every job of the evening has in common: look, act, look again."""

    # Failing once is nothing unusual, and there is nothing real to wait for.
    TRIES = 10
    RETRY_DELAY = 0.0
    TROUBLE = "Not done yet."  # what there is to say while it is not so

    def Check(self, **inputs: Any) -> None:
        if not evening.is_so(type(self).__name__):
            raise RuntimeError(self.TROUBLE)

    def Run(self, **inputs: Any) -> None:
        evening.act(type(self).__name__)


class FindTVRemote(Chore):
    TROUBLE = "It is not on the table."


class TurnOnTV(Chore):
    DEPS = (FindTVRemote,)
    TROUBLE = "Remote batteries are dead."


class Invite(Chore):
    """One friend's invitation. ``plan`` derives a job from it for each friend."""

    FRIEND = ""

    def Check(self, **inputs: Any) -> None:
        if not evening.is_so(type(self).__name__):
            raise RuntimeError(f"{self.FRIEND} has not heard of it.")


class InviteFriends(DummyJob):
    """Everybody is invited; whom that means, ``plan`` fills in."""

    DEPS: ClassVar[Any] = ()


class FriendsArrive(Chore):
    DEPS = (InviteFriends,)
    TROUBLE = "The bell has not rung."


class SitOnCouch(Chore):
    DEPS = (FriendsArrive,)
    TROUBLE = "No space on couch."


class PopcornBowl(Chore):
    TROUBLE = "Dishwasher cycle not done yet."


class Popcorn(Chore):
    DEPS = (PopcornBowl,)
    RETRY_DELAY = 0.05  # seconds; longer would burn it
    TROUBLE = "Still popping..."


class Pizza(Chore):
    DEPS = (InviteFriends,)  # how many are we?
    TROUBLE = "Giordano's did not arrive yet."


class Snacks(DummyJob):
    DEPS = (Popcorn, Pizza)


class ChooseMovie(Job):
    TRIES = 1  # asking again does not make a film appear

    def Check(self, movie: str = FILMS[0], **inputs: Any) -> str:
        if movie not in FILMS:
            raise LookupError(f"There is no {movie} on the shelf, only {', '.join(FILMS)}.")
        if evening.film != movie:
            raise RuntimeError(f"{movie} is still on the shelf.")
        return movie

    def Run(self, movie: str = FILMS[0], **inputs: Any) -> None:
        if movie in FILMS:
            evening.film = movie


class WatchMovie(Chore):
    DEPS = (TurnOnTV, SitOnCouch, Snacks, ChooseMovie)
    TROUBLE = "The film has not been seen."

    def Cleanup(self) -> None:
        evening.efforts.clear()  # the guests go, the dishes are done: all as it was before
        evening.film = ""


def plan(movie: str = FILMS[0], friends: str = FRIENDS) -> type[Job]:
    """The evening as a graph, with an invitation for each of the friends (``a, b, c``)."""
    InviteFriends.DEPS = [
        type(f"Invite {friend.strip()}", (Invite,), {"FRIEND": friend.strip()})
        for friend in friends.split(",")
    ]
    return WatchMovie


def main() -> int:
    parser = argparse.ArgumentParser(description="Invite friends over to watch a film.")
    parser.add_argument("--movie", default=FILMS[0], help=f"one of {', '.join(FILMS)}")
    parser.add_argument("--friends", default=FRIENDS, help="who is invited, with commas between")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of every phase")
    parser.add_argument("-d", "--debug", action="store_true", help="and of every traceback")
    parser.add_argument("-n", "--no-act", action="store_true", help="check, but do nothing")
    parser.add_argument("--graph", metavar="FILE", help="draw how it went: .svg, .png, .dot ...")
    args = parser.parse_args()
    fmt = (args.graph or "none.svg").rpartition(".")[2]
    if fmt not in PICTURES:
        parser.error(f"--graph draws .{', .'.join(PICTURES)}, not .{fmt}")

    dojob = DoJobber()
    dojob.configure(
        plan(args.movie, args.friends),
        no_act=args.no_act,
        verbose=args.verbose,
        debug=args.debug,
    )
    dojob.set_args(**vars(args))
    dojob.checknrun()
    if args.graph:
        with open(args.graph, "wb") as picture:
            dojob.write_graph(picture, fmt=fmt)
    for name, error in dojob.nodeexceptions.items():
        print(f"{name}: {error}")
    return 0 if dojob.success() else 1


if __name__ == "__main__":
    sys.exit(main())
