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
const reason = (isUpgrade: boolean, ...headers: string[]) => {
  const call = { method: 'GET', target, headers, body: new Uint8Array(0), isUpgrade }
  return bypassReason(call, matched, parseDirectives(headers))
}

it('a wish for a protocol that is not spoken here is ignored, one for a WebSocket is not', () => {
  expect(reason(false, 'Accept', '*/*')).toBe(undefined)
  expect(reason(true, 'Accept', '*/*')).toBe('upgrade')
})
