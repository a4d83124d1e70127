"""Declares exchanges and queues, passively first, and says whom to ask where that is refused."""

import json
from shlex import quote
from typing import Any

from headway.adapters.rabbitmq.errands import ChannelClosed, Errand
from headway.errors import Conflict, HeadwayError, Refused, Rejected, Unavailable
from headway.ports.bus import Binding, Declared, Exchange, Queue, QueueKind

REFUSED, NOT_FOUND, LOCKED, PRECONDITION = 403, 404, 405, 406


def declare(part: Exchange | Queue, user: str, vhost: str) -> Errand[Declared]:
    """Raises: Refused with what an administrator types; Rejected; Conflict."""
    if isinstance(part, Exchange):
        created = yield from _make_exchange(part, user, vhost)
        return Declared(part.name, created)
    created = yield from _make_queue(part, user, vhost)
    unsure = []
    for binding in part.bindings:
        try:
            yield from _bind(part, binding, user, vhost)
        except Refused:
            if created:
                raise
            unsure.append(binding)
    return Declared(part.name, created, tuple(unsure))


def exists(queue: str, user: str) -> Errand[bool]:
    try:
        yield lambda channel, answer: channel.queue_declare(queue, passive=True, callback=answer)
    except ChannelClosed as closed:
        if closed.code in (NOT_FOUND, LOCKED):
            return closed.code == LOCKED
        raise refusal(closed, user, f"ask for queue {queue!r}") from closed
    return True


def delete(queue: str, user: str) -> Errand[None]:
    try:
        yield lambda channel, answer: channel.queue_delete(queue, callback=answer)
    except ChannelClosed as closed:
        if closed.code != NOT_FOUND:
            raise refusal(closed, user, f"delete queue {queue!r}") from closed


def refusal(closed: ChannelClosed, user: str, what: str) -> HeadwayError:
    """What a channel closed over it means for who wanted it."""
    if closed.code == REFUSED:
        return Refused(f"user {user!r} may not {what} ({closed.text})")
    if closed.code == NOT_FOUND:
        return Rejected(f"cannot {what}: {closed.text}")
    if closed.code == LOCKED:
        return Conflict(f"cannot {what}: it is another connection's own ({closed.text})")
    if closed.code == PRECONDITION:
        return Rejected(f"cannot {what}: {closed.text}")
    return Unavailable(f"cannot {what} now: {closed.code} {closed.text}")


def _make_exchange(part: Exchange, user: str, vhost: str) -> Errand[bool]:
    name = part.name
    try:
        yield lambda channel, answer: channel.exchange_declare(name, passive=True, callback=answer)
        return False
    except ChannelClosed as closed:
        if closed.code != NOT_FOUND:
            raise refusal(closed, user, f"ask for exchange {name!r}") from closed
    try:
        yield lambda channel, answer: channel.exchange_declare(
            name, "topic", durable=True, callback=answer
        )
    except ChannelClosed as closed:
        if closed.code == PRECONDITION:  # somebody made it meanwhile, in another way
            return False
        told = refusal(closed, user, f"declare exchange {name!r}")
        raise _with_commands(told, [exchange_command(name, vhost)]) from closed
    return True


def _make_queue(part: Queue, user: str, vhost: str) -> Errand[bool]:
    name = part.name
    if (yield from exists_for_use(name, user)):
        return False
    try:
        yield lambda channel, answer: channel.queue_declare(
            name,
            durable=part.durable,
            exclusive=part.exclusive,
            auto_delete=part.auto_delete,
            arguments=queue_arguments(part),
            callback=answer,
        )
    except ChannelClosed as closed:
        if closed.code == PRECONDITION and "inequivalent" in closed.text:
            return False  # somebody made it meanwhile, in another way
        told = refusal(closed, user, f"declare queue {name!r}")
        raise _with_commands(told, queue_commands(part, vhost)) from closed
    return True


def exists_for_use(name: str, user: str) -> Errand[bool]:
    """As ``exists``, but for another connection's own queue: Conflict."""
    try:
        yield lambda channel, answer: channel.queue_declare(name, passive=True, callback=answer)
    except ChannelClosed as closed:
        if closed.code == NOT_FOUND:
            return False
        raise refusal(closed, user, f"use queue {name!r}") from closed
    return True


def _bind(part: Queue, binding: Binding, user: str, vhost: str) -> Errand[None]:
    try:
        yield lambda channel, answer: channel.queue_bind(
            part.name, binding.exchange, binding.key, callback=answer
        )
    except ChannelClosed as closed:
        what = f"bind queue {part.name!r} to exchange {binding.exchange!r} by {binding.key!r}"
        told = refusal(closed, user, what)
        raise _with_commands(told, [binding_command(part.name, binding, vhost)]) from closed


def queue_arguments(part: Queue) -> dict[str, Any]:
    arguments = dict(part.arguments)
    # Only a queue that is durable and everybody's can be a quorum queue.
    if part.kind is QueueKind.QUORUM and part.durable and not (part.exclusive or part.auto_delete):
        arguments["x-queue-type"] = "quorum"
    return arguments


def _with_commands(told: HeadwayError, commands: list[str]) -> HeadwayError:
    if isinstance(told, Refused):
        return Refused(f"{told}; an administrator types: {'; '.join(commands)}")
    return told


def exchange_command(name: str, vhost: str) -> str:
    return _command(vhost, "exchange", name=name, type="topic", durable="true")


def queue_commands(part: Queue, vhost: str) -> list[str]:
    arguments = queue_arguments(part)
    optional = {"arguments": json.dumps(arguments)} if arguments else {}
    durable = "true" if part.durable else "false"
    made = _command(vhost, "queue", name=part.name, durable=durable, **optional)
    return [made, *(binding_command(part.name, binding, vhost) for binding in part.bindings)]


def binding_command(queue: str, binding: Binding, vhost: str) -> str:
    return _command(
        vhost, "binding", source=binding.exchange, destination=queue, routing_key=binding.key
    )


def _command(vhost: str, kind: str, **values: str) -> str:
    words = ["rabbitmqadmin", f"--vhost={vhost}", "declare", kind]
    return " ".join(quote(word) for word in words + [f"{k}={v}" for k, v in values.items()])
