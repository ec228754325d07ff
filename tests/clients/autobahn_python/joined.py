"""Sessions of Autobahn|Python for the programs beside this file, over either transport."""
import asyncio
import contextlib

from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import SubscribeOptions

SECONDS = 20  # for anything that should happen at once, on a busy machine


@contextlib.asynccontextmanager
async def joined(url, realm, serializer, authentication=None):
    """A session that has joined `realm`; it leaves when the block ends.

    `url` is ws://… or rs://…; `authentication` is Autobahn's: {"ticket": {"authid": …}}.
    Raises ApplicationError where the router refuses.
    """
    component = Component(
        transports=[transport(url, serializer)],
        realm=realm,
        authentication=authentication,
        is_fatal=lambda error: True,
    )
    session = asyncio.get_running_loop().create_future()

    @component.on_join
    def on_join(joined_session, details):
        joined_session.details = details
        session.set_result(joined_session)

    @component.on_leave
    def on_leave(_, details):
        if not session.done():  # the component itself only says that it gave up
            session.set_exception(ApplicationError(details.reason, details.message))

    over = component.start(loop=asyncio.get_running_loop())
    await asyncio.wait_for(
        asyncio.wait({session, over}, return_when=asyncio.FIRST_COMPLETED), SECONDS)
    if not session.done():
        over.result()
        raise AssertionError("the connection ended before the session was there")
    here = session.result()
    try:
        yield here
    finally:
        with contextlib.suppress(Exception):  # after the node's end there is nothing to leave
            here.leave()
            await asyncio.wait_for(over, SECONDS)


def transport(url, serializer):
    if url.startswith("rs://"):
        return {"type": "rawsocket", "url": url, "serializer": serializer, "max_retries": 0}
    return {"type": "websocket", "url": url, "serializers": [serializer], "max_retries": 0}


async def subscribed(session, topic, options=None):
    """Subscribes, and gives the subscription and a queue of (args, kwargs, details)."""
    events = asyncio.Queue()
    options = {"details": True, **(options or {})}

    def on_event(*args, details, **kwargs):
        events.put_nowait((list(args), kwargs, details))

    subscription = await session.subscribe(on_event, topic, SubscribeOptions(**options))
    return subscription, events


async def next_of(events):
    return await asyncio.wait_for(events.get(), SECONDS)


async def refused(error, awaitable):
    """Awaits what must be refused with `error`; gives the ApplicationError."""
    try:
        answer = await awaitable
    except ApplicationError as refusal:
        assert refusal.error == error, f"refused with {refusal.error}, not {error}: {refusal}"
        return refusal
    raise AssertionError(f"not refused with {error} but answered {answer!r}")
