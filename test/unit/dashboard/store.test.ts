/** What the page makes of the events. */
import { expect, it } from 'vitest'
import { readEvents } from '../../../src/dashboard/event-stream.ts'
import { hitRatioOf } from '../../../src/dashboard/shown.ts'
import { backendsOf } from '../../../src/dashboard/states.ts'
import { Store } from '../../../src/dashboard/store.ts'

const stats = (at: number) => ({
  at,
  seconds: 1,
  calls: { perSecond: 1, cache: {}, refusedPerSecond: 0, errorsPerSecond: 0, latencyMs: {} },
  rows: { hit: 0, join: 0, miss: 0, dup: 0 },
  queued: 0,
  flights: 0,
  routes: [],
  attempts: [],
})
const model = (hit: number) => ({ model: 'm', calls: { hit }, rows: { hit: 0, join: 0, miss: 0, dup: 0 } })

it('a total grows by what was added in the last second, and one that is not told again does not', () => {
  const store = new Store()
  store.take('stats', stats(1000))
  store.take('model', model(100))
  expect(store.perSecond('model m hit')).toBe(0)
  store.take('stats', stats(61_000))
  store.take('model', model(130))
  expect(store.perSecond('model m hit')).toBe(30)
  store.take('stats', stats(62_000))
  expect(store.perSecond('model m hit')).toBe(0)
})

it('another connection begins with everything again, and leaves a gap in the plots', () => {
  const store = new Store()
  store.take('caller', { name: 'ops', scopes: ['read'] })
  store.take('stats', stats(1000))
  store.take('model', model(1))
  store.take('log', { level: 'warn', time: 't', event: 'tier.open' })
  store.take('caller', { name: 'ops', scopes: ['read'] })
  expect(store.models.size).toBe(0)
  expect(store.lines).toEqual([])
  expect(store.history.map((moment) => moment.stats?.at)).toEqual([1000, undefined])
  expect(store.allows('purge')).toBe(false)
})

it('a backend is as its traffic says, unless the registry knows better', () => {
  const store = new Store()
  const backend = {
    id: 'a',
    slot: 3,
    models: [],
    weight: 1,
    state: 'ready',
    reason: 'well',
    inflight: 0,
    labels: {},
  }
  const effective = { state: 'ejected', reason: 'it failed' }
  store.take('pool', { pool: 'p', backends: [backend] })
  store.take('backend-traffic', { pool: 'p', slot: 3, inflight: 4, share: 0, effective })
  expect(backendsOf(store, 'p')).toMatchObject([{ state: 'ejected', reason: 'it failed', inflight: 4 }])
  store.take('pool', { pool: 'p', backends: [{ ...backend, state: 'draining', reason: 'asked to' }] })
  expect(backendsOf(store, 'p')).toMatchObject([{ state: 'draining', reason: 'asked to' }])
  store.take('gone', { event: 'traffic', name: 'p' })
  expect(store.pools.size).toBe(0)
})

it('events are read however they are cut', async () => {
  const text = 'retry: 2000\n\nevent: a\ndata: {"x":"é"}\n\n: beat\n\nid: 4\nevent: b\ndata: 2\n\n'
  const bytes = new TextEncoder().encode(text)
  const heard: unknown[] = []
  const cut = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  })
  await readEvents(cut, { event: (kind, data) => heard.push([kind, data]), alive() {} })
  expect(heard).toEqual([
    ['a', { x: 'é' }],
    ['b', 2],
  ])
})

it('the hit ratio counts what needed no backend, and not what was refused', () => {
  expect(hitRatioOf({ hit: 2, collapsed: 1, miss: 1, none: 9 })).toBe(0.75)
  expect(hitRatioOf({ none: 1 })).toBeUndefined()
})
