/**
 * Lazy access to node:http and node:https. An import would add some 50 ms to every start: it evaluates every export of
 * the module, and for `WebSocket` and others Node then loads a whole HTTP client.
 */
import type * as Http from 'node:http'
import type * as Https from 'node:https'

export const http: typeof Http = process.getBuiltinModule('node:http')

/** Loaded on first use, together with TLS. */
export function https(): typeof Https {
  return process.getBuiltinModule('node:https')
}
