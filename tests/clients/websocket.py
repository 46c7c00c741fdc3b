"""Prints what a WebSocket of skep sends, a message to a line, then how it was closed: `websocket.py URL TOKEN [MESSAGES]`.

With a number of messages it goes away after so many.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url, token, messages=None):
    headers = {"Authorization": f"Bearer {token}"}
    left = None if messages is None else int(messages)
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        try:
            while left != 0:
                print(await socket.recv(), flush=True)
                left = None if left is None else left - 1
        except ConnectionClosed as closed:
            frame = closed.rcvd
            print(json.dumps({"closed": frame and frame.code, "reason": frame and frame.reason}), flush=True)


asyncio.run(main(*sys.argv[1:]))
