/** Answers the preflights of browsers: who asks is not known yet, and no backend is asked. */
import { header } from '../../core/call.ts'
import type { AuthLive } from '../auth/authenticator.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { endToEnd } from '../http/headers.ts'
import type { Matched } from '../route/routes.ts'
import { parseTarget } from '../route/target.ts'

/**
 * The route that a preflight asks about, if that has `cors`; undefined: it is no preflight, or the backend's to answer. It
 * names the method of the request that is to come, and has none of its credentials and fields.
 */
export function preflightRoute(exchange: HttpExchange, live: AuthLive): Matched | undefined {
  const { headers, target } = exchange
  const method = header(headers, 'access-control-request-method')
  if (exchange.method !== 'OPTIONS' || method === undefined || header(headers, 'origin') === undefined)
    return undefined
  const { path, host = exchange.host } = parseTarget(target)
  const arrived = endToEnd(headers, live.auth?.foreign(exchange))
  const matched = live.route({ method, path, host, headers: arrived, tenant: undefined })
  return matched?.route.cors ? matched : undefined
}
