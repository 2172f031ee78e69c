/** A write is told to the tiers until they have heard of it: what they have from before it is what other gateways give. */
import { expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { createInvalidation } from '../../../../src/data/http-cache/invalidation.ts'
import type { Matched } from '../../../../src/data/route/routes.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { CACHE } from '../../../support/pipeline.ts'

const call = { method: 'POST', path: '/a', query: '', host: 'h', headers: [] } as unknown as Call
const matched = {
  route: { cache: CACHE, protocols: [opaque] },
  protocol: opaque,
  target: { verb: 'opaque', prediction: false },
} as unknown as Matched

it('what a tier could not be told is told again, and no longer than it is of use', async () => {
  const clock = new FakeClock()
  let told = 0
  let isAway = true
  const invalidate = createInvalidation({
    keyer: {
      revision: 0,
      seed: ({ method }) => ({ digest: digestOf(method), shared: true, writable: true }),
    },
    route: () => matched,
    written: async () => {
      told++
      return !isAway
    },
    clock,
    random: () => 0.5,
    log: silentLog,
  })
  const reply = { status: 200, headers: [], body: new Uint8Array(0) }
  const outcome = { kind: 'bypass', reason: 'POST', status: 200 } as const
  await invalidate(call, { reply, outcome })
  // One for each method under which answers are kept.
  expect(told).toBe(2)
  await eventually(() => {
    clock.advance(1_000)
    expect(told).toBeGreaterThan(4)
  })
  isAway = false
  const before = told
  await eventually(() => {
    clock.advance(60_000)
    expect(told).toBe(before + 2)
  })
  for (let i = 0; i < 20; i++) {
    clock.advance(600_000)
    await Promise.resolve()
  }
  expect(told).toBe(before + 2)
})
