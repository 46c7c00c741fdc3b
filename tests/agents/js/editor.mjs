// An editor on the official SDK, driven by lines of JSON on standard input, which tells what it sees by lines of JSON
// on standard output.
//
//   in:  {"id": N, "method": …, "params": …}   a request to the agent
//        {"notify": …, "params": …}            a notification to the agent
//        {"answer": OPTION}                    chooses an option of the oldest request for permission that is open
//   out: {"id": N, "result": …} or {"id": N, "error": …}, {"update": …, "session": …}, {"ask": …}, {"withdrawn": …}
//
// Arguments: the SDK's module, the agent's program and its arguments.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable, Writable } from "node:stream";

const [sdk, program, ...args] = process.argv.slice(2);
const acp = await import(sdk);
const agent = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const open = [];

const connection = acp
  .client({ name: "editor" })
  .onNotification(acp.methods.client.session.update, ({ params }) =>
    tell({ update: params.update, session: params.sessionId }),
  )
  .onRequest(acp.methods.client.session.requestPermission, ({ params, signal }) => {
    tell({ ask: params.toolCall.title, options: params.options.map((option) => option.optionId) });
    return new Promise((resolve, reject) => {
      const answer = (optionId) => resolve({ outcome: { outcome: "selected", optionId } });
      open.push(answer);
      signal.addEventListener("abort", () => {
        open.splice(open.indexOf(answer), 1);
        tell({ withdrawn: params.toolCall.title });
        reject(signal.reason);
      });
    });
  })
  .connect(acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout)));

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  if (wanted.answer !== undefined) {
    open.shift()(wanted.answer);
  } else if (wanted.notify !== undefined) {
    void connection.agent.notify(wanted.notify, wanted.params);
  } else {
    connection.agent.request(wanted.method, wanted.params).then(
      (result) => tell({ id: wanted.id, result }),
      ({ code, message, data }) => tell({ id: wanted.id, error: { code, message, data } }),
    );
  }
}
agent.stdin.end();
