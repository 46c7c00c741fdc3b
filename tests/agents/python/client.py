"""A client on the Python SDK, which knows nothing of skep: `client.py allow|deny PROMPT COMMAND...`.

It starts the agent, has one session with it, gives the same answer to every permission that it is asked for, and
prints every update as JSON, and why the agent stopped.
"""

import asyncio
import os
import sys

from acp import Client, spawn_agent_process
from acp.helpers import text_block
from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse


class Peer(Client):
    def __init__(self, wanted):
        self.wanted = wanted

    async def request_permission(self, session_id, tool_call, options, **_):
        for option in options:
            if option.kind == self.wanted:
                outcome = AllowedOutcome(outcome="selected", option_id=option.option_id)
                return RequestPermissionResponse(outcome=outcome)
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))

    async def session_update(self, session_id, update, **_):
        print(update.model_dump_json(), flush=True)


async def main(answer, prompt, *command):
    peer = Peer("allow_once" if answer == "allow" else "reject_once")
    async with spawn_agent_process(peer, *command, env=os.environ, cwd=os.getcwd()) as (agent, process):
        await agent.initialize(protocol_version=1)
        session = await agent.new_session(cwd=os.getcwd(), mcp_servers=[])
        ended = await agent.prompt(session_id=session.session_id, prompt=[text_block(prompt)])
        print(f"stopped: {ended.stop_reason}")


asyncio.run(main(*sys.argv[1:]))
