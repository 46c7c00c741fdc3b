/**
 * Streams of the API, without a gap and without a double: what a session did, and how all sessions are.
 *
 * A session's events are numbered from 1 without holes. Whoever reads them is given each once, over as many
 * connections as it takes; where the server cannot keep that, {@link Reset} says from where on they are right again.
 */

import { type ConnectionOptions, messages, type Refused } from "./connection.ts";
import type { components } from "./schema";

/** A session, as the API shows it. */
export type Session = components["schemas"]["SessionInfo"];

/** One event of a session. */
export interface SessionEvent {
  type: "event";
  /** Its number. */
  id: number;
  /** Its kind, such as `update` or `turn_ended`; `corrupt` for one that is damaged on disk. */
  kind: string;
  /** The journal's record. */
  record: unknown;
}

/** Events after this number, if they were shown, are not true any more; or, those up to it are not kept any more. */
export interface Reset {
  type: "reset";
  after: number;
  why: "cursor_invalid" | "cursor_expired";
}

export interface SessionStreamOptions extends ConnectionOptions {
  /** Events after this number. */
  after?: number;
  /** Instead of `after`: begin so many turns back. */
  tailTurns?: number;
}

/**
 * The events of one session until it is closed and all were shown. `base` is the server, such as
 * `http://127.0.0.1:7788`, with its base path.
 *
 * @throws Refused if the server does for good: no such session, no right to see it
 */
export async function* sessionEvents(
  base: string,
  session: string,
  options: SessionStreamOptions = {},
): AsyncGenerator<SessionEvent | Reset> {
  const path = `${base}/api/v1/sessions/${encodeURIComponent(session)}/events`;
  let cursor = options.after;
  let epoch: number | undefined;
  const resets: Reset[] = [];
  const ask = () => {
    const query = new URLSearchParams();
    if (cursor !== undefined) query.set("after", String(cursor));
    else if (options.tailTurns !== undefined) query.set("tail_turns", String(options.tailTurns));
    if (cursor !== undefined && epoch !== undefined) query.set("epoch", String(epoch));
    return `${path}?${query}`;
  };
  const mend = (refusal: Refused) => {
    const reset = resetOf(refusal);
    if (!reset || reset.after === cursor) return false;
    [cursor, epoch] = [reset.after, undefined];
    resets.push(reset);
    return true;
  };
  for await (const message of messages(ask, mend, options)) {
    yield* resets.splice(0);
    if (message.event === "epoch" && message.id === undefined) {
      epoch = (JSON.parse(message.data) as { epoch: number }).epoch;
    } else if (message.event === "error" && message.id === undefined) {
      // What it was about is met again, as a refusal, with the next try.
      continue;
    } else if (message.id !== undefined) {
      const id = Number(message.id);
      if (cursor !== undefined && id <= cursor) continue;
      cursor = id;
      yield { type: "event", id, kind: message.event, record: JSON.parse(message.data) as unknown };
    }
  }
}

/** What a cursor that the server cannot read from makes of it. */
function resetOf(refusal: Refused): Reset | undefined {
  const details = refusal.error.details as { resume_from?: unknown; first_seq?: unknown } | null | undefined;
  if (refusal.error.code === "cursor_invalid" && typeof details?.resume_from === "number") {
    return { type: "reset", after: details.resume_from, why: "cursor_invalid" };
  }
  if (refusal.error.code === "cursor_expired" && typeof details?.first_seq === "number") {
    return { type: "reset", after: details.first_seq - 1, why: "cursor_expired" };
  }
  return undefined;
}

/** How the open sessions are: all of them at the beginning and after each reconnect, then each that changed. */
export type SessionsChange =
  | { type: "snapshot"; sessions: Session[] }
  | { type: "session"; session: Session }
  | { type: "removed"; id: string };

/**
 * All open sessions, for as long as it is wanted.
 *
 * @throws Refused if the server does for good
 */
export async function* sessionChanges(base: string, options: ConnectionOptions = {}): AsyncGenerator<SessionsChange> {
  const ask = () => `${base}/api/v1/sessions`;
  for await (const message of messages(ask, () => false, options)) {
    if (message.event === "snapshot") {
      const list = JSON.parse(message.data) as components["schemas"]["SessionList"];
      yield { type: "snapshot", sessions: list.sessions };
    } else if (message.event === "session") {
      yield { type: "session", session: JSON.parse(message.data) as Session };
    } else if (message.event === "removed") {
      yield { type: "removed", id: (JSON.parse(message.data) as { id: string }).id };
    }
  }
}
