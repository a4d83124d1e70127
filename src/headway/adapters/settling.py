"""Why a settlement changes nothing: the same words on every bus."""

from headway.jobs.schedule import Ignored

SETTLED_BEFORE = Ignored("it was settled before")
VOID = Ignored("its connection or channel is gone: the broker delivers it again")
NEEDS_NONE = Ignored("what comes by direct reply needs no settling")
