/**
 * A stream that is kept open: connected again with growing pauses until it is complete, refused for good, or not
 * wanted any more. It owns the connection and its state, and knows nothing of cursors or of what the events mean.
 */

import type { components } from "./schema";
import { type Message, Parser } from "./sse.ts";

/** What the server says of a request that it refuses. */
export type ApiError = components["schemas"]["ApiError"];

/** How the connection is, for whoever shows it. */
export type Connection =
  | { state: "connecting" }
  | { state: "open" }
  /** Lost; tried again after so many milliseconds. */
  | { state: "waiting"; attempt: number; delay: number; why: string }
  | { state: "ended"; why: "complete" | "aborted" | "refused"; error?: ApiError };

export interface ConnectionOptions {
  /** A bearer token; a browser's session cookie needs none. */
  token?: string;
  /** Ends the stream. */
  signal?: AbortSignal;
  /** Told of every change of the connection. */
  onConnection?: (connection: Connection) => void;
  /** Silence after which the server is given up, in milliseconds; its heartbeats come every 15 s. */
  silence?: number;
  /** The first and the longest pause between attempts, in milliseconds. */
  pauses?: { first: number; longest: number };
  /** From 0 to 1; spreads the attempts of many clients. */
  random?: () => number;
}

/** The server refused for a reason that trying again does not change. */
export class Refused extends Error {
  readonly status: number;
  readonly error: ApiError;

  constructor(status: number, error: ApiError) {
    super(`${error.code}: ${error.message}`);
    this.name = "Refused";
    this.status = status;
    this.error = error;
  }
}

/** What a try asks for; read anew for each, for the cursor moves. */
export type Ask = () => string;

/** Whether a refusal was dealt with, and the next try may follow at once. */
export type Mend = (refusal: Refused) => boolean;

/** The next pause: doubled from the first to the longest, and between half and all of that. */
export function pause(attempt: number, pauses: { first: number; longest: number }, random: number): number {
  const whole = Math.min(pauses.longest, pauses.first * 2 ** Math.min(attempt, 30));
  return Math.round(whole / 2 + (whole / 2) * random);
}

/**
 * Every message of a stream, over as many connections as it takes. Throws {@link Refused}; returns when the server
 * says that the stream is complete, or upon `signal`.
 */
export async function* messages(ask: Ask, mend: Mend, options: ConnectionOptions): AsyncGenerator<Message> {
  const { signal, onConnection = () => {}, random = Math.random } = options;
  const pauses = options.pauses ?? { first: 250, longest: 30_000 };
  let attempt = 0;
  while (!signal?.aborted) {
    onConnection({ state: "connecting" });
    let why: string;
    try {
      for await (const message of once(ask(), options)) {
        if (message.event === "end" && ending(message) === "complete") {
          onConnection({ state: "ended", why: "complete" });
          return;
        }
        attempt = 0;
        yield message;
      }
      why = "the stream ended";
    } catch (error) {
      if (signal?.aborted) break;
      if (error instanceof Refused) {
        if (mend(error)) continue;
        if (!passes(error.status)) {
          onConnection({ state: "ended", why: "refused", error: error.error });
          throw error;
        }
      }
      why = error instanceof Error ? error.message : String(error);
    }
    const delay = pause(attempt, pauses, random());
    attempt += 1;
    onConnection({ state: "waiting", attempt, delay, why });
    await sleep(delay, signal);
  }
  onConnection({ state: "ended", why: "aborted" });
}

/** One connection, to its end. */
async function* once(url: string, options: ConnectionOptions): AsyncGenerator<Message> {
  const silence = options.silence ?? 45_000;
  const broken = new AbortController();
  const abort = () => broken.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted) abort();
  // Only while we wait for the server: who reads may take its time.
  const patiently = async <T>(wanted: Promise<T>): Promise<T> => {
    const silent = setTimeout(() => broken.abort(new Error("the server is silent")), silence);
    try {
      return await wanted;
    } finally {
      clearTimeout(silent);
    }
  };
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (options.token !== undefined) headers["authorization"] = `Bearer ${options.token}`;
    const response = await patiently(fetch(url, { headers, signal: broken.signal, cache: "no-store" }));
    if (!response.ok || !response.body) throw new Refused(response.status, await refusal(response));
    options.onConnection?.({ state: "open" });
    const [reader, parser, decoder] = [response.body.getReader(), new Parser(), new TextDecoder()];
    for (;;) {
      const part = await patiently(reader.read());
      if (part.done) return;
      yield* parser.push(decoder.decode(part.value, { stream: true }));
    }
  } finally {
    options.signal?.removeEventListener("abort", abort);
    // Whoever stops reading, closes.
    broken.abort();
  }
}

/** Whether a refusal may pass: the daemon starts, stops, or has too much to do. */
function passes(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const body = (await response.json()) as components["schemas"]["ErrorBody"];
    if (typeof body.error?.code === "string") return body.error;
  } catch {
    // Something between us and skep answered.
  }
  return { code: "unknown", message: `the server answered with status ${response.status}` };
}

function ending(message: Message): unknown {
  return (JSON.parse(message.data) as { reason?: unknown }).reason;
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
