/**
 * Follows a session, or all of them with `*`, and prints a line of JSON for each event and each change of the
 * connection: `node follow.ts BASE TOKEN SESSION [AFTER]`. Ends when the stream does.
 */

import { client } from "../src/api/client.ts";
import { sessionChanges, sessionEvents } from "../src/api/stream.ts";

declare const process: { argv: string[]; stdout: { write(text: string): void } };

const [, , base = "", token = "", session = "", after] = process.argv;
const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
const options = {
  token,
  onConnection: (connection: unknown) => say({ connection }),
  pauses: { first: 20, longest: 200 },
};

const health = await client(base, token).GET("/api/v1/daemon");
say({ version: health.data?.version, refused: health.error?.error.code });
const stream =
  session === "*"
    ? sessionChanges(base, options)
    : sessionEvents(base, session, { ...options, ...(after === undefined ? {} : { after: Number(after) }) });
try {
  for await (const change of stream) say(change);
} catch (error) {
  say({ threw: String(error) });
}
