/**
 * Text of a `text/event-stream` to messages. Pure: the caller reads and hands over what came, cut anywhere.
 */

/** One message; `event` is `message` where the server names none. */
export interface Message {
  id: string | undefined;
  event: string;
  data: string;
}

/** A message that is longer is an error of the server's, in characters. */
const LONGEST = 32 * 1024 * 1024;

export class Parser {
  #rest = "";
  #fields: Message = none();
  #hasData = false;

  /** The messages that are complete with this text. */
  push(text: string): Message[] {
    const messages: Message[] = [];
    this.#rest += text;
    let from = 0;
    for (let end = this.#rest.indexOf("\n"); end !== -1; end = this.#rest.indexOf("\n", from)) {
      const line = this.#rest.slice(from, this.#rest[end - 1] === "\r" && end > from ? end - 1 : end);
      from = end + 1;
      const message = this.#take(line);
      if (message) messages.push(message);
    }
    this.#rest = this.#rest.slice(from);
    if (this.#rest.length + this.#fields.data.length > LONGEST) throw new Error("a message is too long");
    return messages;
  }

  #take(line: string): Message | undefined {
    if (line === "") {
      const [fields, complete] = [this.#fields, this.#hasData];
      [this.#fields, this.#hasData] = [none(), false];
      return complete ? fields : undefined;
    }
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") {
      this.#fields.data = this.#hasData ? `${this.#fields.data}\n${value}` : value;
      this.#hasData = true;
    } else if (name === "id") {
      this.#fields.id = value;
    } else if (name === "event") {
      this.#fields.event = value;
    }
    return undefined;
  }
}

function none(): Message {
  return { id: undefined, event: "message", data: "" };
}
