/** What of a head keeps a call out of the cache. */
import { expect, it } from 'vitest'
import { parseDirectives } from '../../../../src/data/cache/directives.ts'
import { bypassReason } from '../../../../src/data/decision/bypass.ts'
import type { Matched } from '../../../../src/data/route/routes.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { CACHE } from '../../../support/door.ts'

const target = { verb: 'opaque', prediction: true } as unknown as Matched['target']
const route = {
  name: 'r',
  match: {},
  protocols: [opaque],
  pool: 'p',
  timeout: 1000,
  pure: true,
  cache: CACHE,
} as Matched['route']
const matched: Matched = { route, protocol: opaque, target }
const reason = (...headers: string[]) =>
  bypassReason({ method: 'GET', target, headers, body: new Uint8Array(0) }, matched, parseDirectives(headers))

it('a wish for a protocol that is not spoken here is ignored, one for a WebSocket is not', () => {
  expect(reason('Connection', 'Upgrade, HTTP2-Settings', 'Upgrade', 'h2c', 'HTTP2-Settings', 'AA')).toBe(
    undefined,
  )
  expect(reason('Connection', 'Upgrade', 'Upgrade', 'TLS/1.3, foo/2')).toBe(undefined)
  expect(reason('Connection', 'Upgrade', 'Upgrade', 'h2c, WebSocket')).toBe('upgrade')
})
