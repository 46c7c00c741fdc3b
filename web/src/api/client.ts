/** The API's requests, typed by its own description: `client(base).GET("/api/v1/sessions/{id}", …)`. */

import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./schema";

/** A client of the server at `base`; a browser's session cookie needs no token. */
export function client(base: string, token?: string): Client<paths> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return createClient<paths>({ baseUrl: base, headers });
}
