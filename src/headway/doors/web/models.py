"""What the API is sent and answers, as its OpenAPI document tells it.

What is sent is strict: a field that nobody knows is an error, not ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from headway.releases.fields import nearest
from headway.tracking.states import TaskState

WHY_CHARACTERS = 1_000
Name = Annotated[str, Field(max_length=200)]
Why = Annotated[str, Field(max_length=WHY_CHARACTERS, description="Kept with the run.")]
Moment = Annotated[str | None, Field(description="ISO 8601, UTC.")]


class Sent(BaseModel):
    """What is sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest(cls, value: Any) -> Any:
        """Raises: ValidationError that says which fields there are."""
        known = [one.alias or name for name, one in cls.model_fields.items()]
        unknown = [name for name in value if name not in known] if isinstance(value, dict) else []
        if unknown:
            raise ValidationError.from_exception_data(
                cls.__name__, [_unknown(name, known) for name in unknown[:20]]
            )
        return value


def _unknown(name: str, known: list[str]) -> InitErrorDetails:
    near = nearest(name, known)
    hint = f"Did you mean {near}?" if near else f"There is {', '.join(known)}"
    error = PydanticCustomError("unknown_field", "is not known here. {hint}", {"hint": hint})
    return InitErrorDetails(type=error, loc=(name[:80],), input=None)


class Reason(Sent):
    why: Why = ""


class Retry(Sent):
    job: Annotated[
        Name | None, Field(description="One that is done anew, with all that needs it.")
    ] = None
    why: Why = ""


class Approval(Sent):
    job: Annotated[
        Name | None, Field(description="The gate; it may be left out where only one waits.")
    ] = None
    decision: Annotated[
        Literal["approve", "reject"],
        Field(description="reject: the gate fails, and with it the release stops."),
    ] = "approve"
    why: Why = ""


class Settlement(Sent):
    job: Annotated[Name, Field(description="The job in doubt.")]
    how: Annotated[
        Literal["done", "again", "failed"],
        Field(description="Its Run did what it should; it did not, run it again; it failed."),
    ]
    why: Why = ""


class Order(Sent):
    """A deployment that is asked for."""

    inputs: Annotated[
        dict[str, Any],
        Field(description="By name. A secret is said where it is: env:NAME or file:PATH."),
    ] = {}
    version: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="Of the playbook; else the newest.")
    ] = None


class Told(BaseModel):
    """What is answered."""


class ProblemDocument(Told):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong, and what to do.")]
    errors: Annotated[
        list[dict[str, Any]] | None,
        Field(description="Each with detail, and where it is: a JSON pointer, or in and name."),
    ] = None


class Health(Told):
    status: Literal["ok"]
    version: Annotated[str, Field(description="Headway's.")]
    authentication: Annotated[
        Literal["tokens", "none"],
        Field(description="none: there is no token yet, and only this machine is listened to."),
    ]
    detail: str
    core: Annotated[
        Literal["alive", "none"], Field(description="Whether a core is there that drives releases.")
    ]


class Run(Told):
    run: str
    target: str
    root: str
    group: str
    state: str
    paused: Annotated[bool, Field(description="Whether it was asked to start nothing new for now.")]
    began_at: Moment
    ended_at: Moment
    jobs: Annotated[int, Field(description="How many.")]
    lap: Annotated[int, Field(description="1, and 1 more for each retry.")]
    who: Annotated[str, Field(description="Who began it.")]
    source: Annotated[str, Field(description="The address it was asked from.")]
    inputs: Annotated[dict[str, Any], Field(description="Of secrets, only where they are.")]
    locks: list[str]
    owner: Annotated[str | None, Field(description="The process that works on it.")]


class RunPage(Told):
    runs: list[Run]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]


class Failure(Told):
    type: str
    message: str
    trace: str | None = None
    looks_broken: bool | None = None


class Try(Told):
    try_: Annotated[int, Field(alias="try")]
    ending: str | None
    began_at: Moment
    ended_at: Moment
    phase: str
    executed: Annotated[bool, Field(description="Whether its Run was entered.")]
    failure: Failure | None
    reason: Annotated[Failure | None, Field(description="What its Check said.")]
    lap: int


class Job(Told):
    key: int
    job: Annotated[str, Field(description="Its name, one of its own in the run.")]
    state: str
    needs: list[str]
    tries: int
    failure: Failure | None
    began_at: Moment
    ended_at: Moment


class JobWithHistory(Job):
    history: list[Try]


class JobPage(Told):
    jobs: list[Job]
    next: Annotated[int | None, Field(description="after= of the next page.")]


class Change(Told):
    at: Moment
    what: str
    who: str
    why: str


class Lock(Told):
    tag: str
    run: Annotated[str | None, Field(description="null: one that you may not see.")]
    ticket: int
    at: Moment


class HeldLock(Lock):
    holds: Annotated[bool, Field(description="The smallest ticket of a tag has the lock.")]


class RunInFull(Run):
    counts: Annotated[dict[str, int], Field(description="How many jobs stand where.")]
    changes: Annotated[
        list[Change], Field(description="When and by whom it was begun, taken up, ended.")
    ]
    waits_for: Annotated[
        list[Lock], Field(description="Who is ahead of it for a lock, 20 at most.")
    ]
    record: Annotated[
        dict[str, Any] | None,
        Field(description="A release's state as the original release engine told it."),
    ]


class Event(Told):
    model_config = ConfigDict(extra="allow")

    seq: int
    event: str
    at: Moment


class EventPage(Told):
    events: list[Event]
    next: Annotated[int, Field(description="after= of the next page.")]
    over: Annotated[bool, Field(description="Whether the run is over and no event follows.")]


class Line(Told):
    id: int
    job: str | None
    try_: Annotated[int, Field(alias="try")]
    at: Moment
    stream: str
    text: str
    lost: Annotated[int | None, Field(description="So many lines were not kept here.")] = None


class LinePage(Told):
    lines: list[Line]
    next: Annotated[int, Field(description="after= of the next page.")]


class PlanDocument(Told):
    model_config = ConfigDict(extra="allow")

    names: list[str]
    needs: list[list[int]]


class Asked(Told):
    request: Annotated[int, Field(description="Its number.")]
    run: str
    verb: str


class RequestDocument(Asked):
    args: dict[str, Any]
    who: str
    at: Moment
    answer: Annotated[str | None, Field(description="null: nobody has answered yet.")]
    refused: bool


class Playbook(Told):
    playbook: Annotated[str, Field(description="Its id.")]
    group: str
    name: str
    version: Annotated[int, Field(description="The newest.")]
    who: Annotated[str, Field(description="Who typed that.")]
    at: Moment
    removed_at: Moment
    removed_by: str | None


class PlaybookPage(Told):
    playbooks: list[Playbook]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]


class Version(Told):
    version: int
    who: str
    at: Moment
    notation: Literal["YAML", "JSON"]


class VersionPage(Told):
    versions: list[Version]
    next: Annotated[int | None, Field(description="before= of the next page.")]


class VersionInFull(Version):
    text: Annotated[str, Field(description="Exactly as it was typed.")]


class Deployed(Told):
    run: str
    playbook: str
    version: int | None
    state: str


class LockPage(Told):
    locks: list[HeldLock]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]


class StepUnderWay(Told):
    run: Annotated[str | None, Field(description="null: one that you may not see.")]
    attempt: Annotated[str | None, Field(description="The id of its step message.")]
    command: str
    subcommand: str
    since_at: Moment


class Worker(Told):
    worker: Annotated[str, Field(description="The process, as it calls itself.")]
    state: Annotated[
        Literal["idle", "busy", "leaving", "lost"],
        Field(description="lost: not heard of for three of its intervals."),
    ]
    command: str
    queue: str
    bindings: Annotated[list[str], Field(description="The routing keys that lead there.")]
    class_: Annotated[str, Field(alias="class")]
    version: Annotated[str, Field(description="Its library's name and version.")]
    host: str
    pid: int
    since_at: Moment
    heard_at: Annotated[str | None, Field(description="When it was last heard of.")]
    interval_s: Annotated[int, Field(description="In how many seconds it says so again.")]
    concurrency: Annotated[int, Field(description="How many steps it can do at once.")]
    doing: list[StepUnderWay]


class WorkerPage(Told):
    workers: list[Worker]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]


class TaskResult(Told):
    status: Annotated[str, Field(description="Celery's word, or one of the task's own.")]
    value: Annotated[str | None, Field(description="JSON text; in a list always null.")]
    form: Annotated[str | None, Field(description="json, or why the value is not here.")]
    traceback: str | None
    done_at: Moment


class Task(Told):
    task: Annotated[str, Field(description="Its id.")]
    state: Annotated[TaskState, Field(description="unknown: nobody has heard of it.")]
    name: str | None
    queue: str | None
    args: str | None
    kwargs: str | None
    arguments: Annotated[
        str | None, Field(description="What args and kwargs are: json, repr, or why not whole.")
    ]
    retries: int
    parent: Annotated[str | None, Field(description="The task that sent it.")]
    root: Annotated[str | None, Field(description="The first of its family.")]
    group: Annotated[str | None, Field(description="Celery's.")]
    origin: Annotated[str | None, Field(description="The process that sent it.")]
    headers: Annotated[str | None, Field(description="JSON of those that are not Celery's own.")]
    worker: Annotated[str | None, Field(description="The last Celery worker that told of it.")]
    error: str | None
    finished_after_revoke: bool
    sent_at: Moment
    heard_of_at: Moment
    to_start_at: Moment
    expires_at: Moment
    received_at: Moment
    started_at: Moment
    retried_at: Moment
    revoked_at: Moment
    ended_at: Moment
    stored_at: Moment
    runtime_s: float | None
    told_result: Annotated[str | None, Field(description="As its worker's event has it.")]
    result: TaskResult | None


class TaskPage(Told):
    tasks: list[Task]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]


class Relative(Told):
    task: str
    name: str | None
    state: TaskState
    parent: str | None


class Family(Told):
    root: str
    state: Annotated[TaskState, Field(description="Of all of them together.")]
    counts: Annotated[dict[str, int], Field(description="How many members stand where.")]
    is_whole: Annotated[
        bool, Field(description="false: there are more, and state and counts are of the first.")
    ]
    members: Annotated[list[Relative], Field(description="In the order they were sent.")]
    next: Annotated[int | None, Field(description="after= of the next page.")]


class DeadLetter(Told):
    digest: str
    at: Moment
    kind: Literal["task", "event"]
    reason: str
    key: Annotated[str, Field(description="The routing key.")]
    headers: str
    body: Annotated[str, Field(description="Its beginning, escaped.")]
    body_bytes: int


class LetterPage(Told):
    letters: list[DeadLetter]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]
