/**
 * node:http and node:https, asked for by name. An import would take some 50 ms of every start: it reads every export of the
 * module, and for `WebSocket` and its like Node then loads a whole HTTP client of its own.
 */
import type * as Http from 'node:http'
import type * as Https from 'node:https'

export const http: typeof Http = process.getBuiltinModule('node:http')

/** Loaded when it is first asked for, TLS with it. */
export function https(): typeof Https {
  return process.getBuiltinModule('node:https')
}
