"""An agent on the Python SDK, which knows nothing of skep.

It echoes, counts its prompts, asks before a prompt that begins with `ask `, and waits for a cancel upon `wait`.
"""

import asyncio
import uuid

from acp import Agent, InitializeResponse, NewSessionResponse, PromptResponse, run_agent
from acp.helpers import start_tool_call, text_block, update_agent_message
from acp.schema import Implementation, PermissionOption, ToolCallUpdate


class Session:
    def __init__(self):
        self.prompts = 0
        self.cancelled = asyncio.Event()


class Peer(Agent):
    def on_connect(self, conn):
        self.client = conn
        self.sessions = {}

    async def initialize(self, protocol_version, **_):
        info = Implementation(name="python-sdk-agent", version="1.0.0")
        return InitializeResponse(protocol_version=1, agent_info=info)

    async def new_session(self, cwd, **_):
        session_id = uuid.uuid4().hex
        self.sessions[session_id] = Session()
        return NewSessionResponse(session_id=session_id)

    async def prompt(self, prompt, session_id, **_):
        session = self.sessions[session_id]
        session.prompts += 1
        session.cancelled.clear()
        text = "".join(getattr(block, "text", "") for block in prompt)
        if text.startswith("ask "):
            return await self.ask(session_id, text.removeprefix("ask "))
        if text == "wait":
            await self.say(session_id, "waiting")
            await session.cancelled.wait()
            return PromptResponse(stop_reason="cancelled")
        await self.say(session_id, f"{text}, prompt {session.prompts}")
        return PromptResponse(stop_reason="end_turn")

    async def ask(self, session_id, deed):
        call = start_tool_call("deed", deed, kind="execute", status="pending")
        await self.client.session_update(session_id=session_id, update=call)
        options = [
            PermissionOption(option_id="a", name="Do it", kind="allow_once"),
            PermissionOption(option_id="b", name="Do not", kind="reject_once"),
        ]
        answer = await self.client.request_permission(
            session_id=session_id, tool_call=ToolCallUpdate(tool_call_id="deed", title=deed), options=options
        )
        if answer.outcome.outcome == "cancelled":
            return PromptResponse(stop_reason="cancelled")
        said = "allowed" if answer.outcome.option_id == "a" else "denied"
        await self.say(session_id, f"{said} {deed}")
        return PromptResponse(stop_reason="end_turn")

    async def say(self, session_id, text):
        await self.client.session_update(session_id=session_id, update=update_agent_message(text_block(text)))

    async def cancel(self, session_id, **_):
        self.sessions[session_id].cancelled.set()


asyncio.run(run_agent(Peer()))
