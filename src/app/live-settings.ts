/**
 * The part of the settings that may change while calls run, in the data plane's form. A reload replaces it as a whole.
 */
import type { Settings } from '../config/schema.ts'
import { cidrList } from '../core/addresses.ts'
import type { ProxyTrust } from '../data/http/outgoing-fields.ts'
import { createRouter, type Live } from '../data/route/routes.ts'
import type { Parts } from './parts.ts'
import { routesOf } from './routes.ts'

export interface LiveSettings extends Live, ProxyTrust {
  /** The pool of each route, by the route's name. */
  readonly poolOf: ReadonlyMap<string, string>
}

/** @param isSecure the data port speaks TLS, which a reload does not change */
export function liveOf({ server, ...settings }: Settings, custom: Parts, isSecure: boolean): LiveSettings {
  const routes = routesOf({ server, ...settings }, custom)
  return {
    poolOf: new Map(routes.map(({ name, pool }) => [name, pool])),
    route: createRouter(routes),
    maxBodyBytes: server.limits.maxBodyBytes,
    trusted: cidrList(server.trustedProxies),
    scheme: isSecure ? 'https' : 'http',
  }
}
