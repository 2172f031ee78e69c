import { expect, it } from 'vitest'
import type { WarmProgress } from '../../../../src/control/warm/progress.ts'
import { Warmer, type WarmerParts } from '../../../../src/control/warm/warmer.ts'
import { type Digest, digestOf } from '../../../../src/core/key.ts'
import type { WarmRequest, WarmResult } from '../../../../src/core/warm.ts'
import { systemClock } from '../../../../src/lib/clock.ts'

/** Two workers with a sample each, of which one call is in both. `ask`: what comes of a call. */
function warmerOver(ask: (name: string, times: number) => WarmResult) {
  const workers: readonly Record<string, { weight: number; costMs: number }>[] = [
    { a: { weight: 1, costMs: 10 }, b: { weight: 5, costMs: 10 } },
    { b: { weight: 5, costMs: 10 }, c: { weight: 2, costMs: 100 } },
  ]
  const names = new Map<Digest, string>(['a', 'b', 'c'].map((name) => [digestOf(name), name]))
  const present = new Set<string>()
  const asked: string[] = []
  const request = (name: string): WarmRequest => ({
    method: 'POST',
    path: `/${name}`,
    query: '',
    host: '',
    headers: [],
    principal: '',
    body: new Uint8Array(0),
  })
  const parts: WarmerParts = {
    sampled: async () =>
      workers.map((calls, worker) => ({
        worker,
        calls: Object.entries(calls).map(([name, of]) => ({ id: digestOf(name), model: 'm', ...of })),
      })),
    sampledRequests: async (_, __, ids) => ids.map((id) => request(names.get(id) ?? '')),
    find: async ({ path }) => {
      const name = path.slice(1)
      if (present.has(name)) return { isPresent: true }
      return {
        isPresent: false,
        ask: async () => {
          asked.push(name)
          const result = ask(name, asked.filter((other) => other === name).length)
          if ('outcome' in result && result.outcome === 'stored') present.add(name)
          return result
        },
      }
    },
    poolsOf: () => ['v1'],
    pressure: () => ({ ready: 1, queued: 0, inflight: 0, limit: undefined, latencyMs: undefined }),
    counted: () => {},
    clock: systemClock,
  }
  return { warmer: new Warmer(parts), asked, present }
}

const spec = { route: 'r', pool: 'v1', source: 'sample', rate: 10_000 } as const
const running = () => new AbortController().signal

async function last(progress: AsyncIterable<WarmProgress>): Promise<WarmProgress> {
  let newest: WarmProgress | undefined
  for await (const each of progress) newest = each
  if (!newest) throw new Error('no progress')
  return newest
}

it('asks in the order of what misses cost, and each call once', async () => {
  const { warmer, asked } = warmerOver(() => ({ outcome: 'stored' }))
  const progress = await last(warmer.warm(spec, running()))
  // 2 × 100 ms, (5 + 5) × 10 ms, 1 × 10 ms.
  expect(asked).toEqual(['c', 'b', 'a'])
  expect(progress).toMatchObject({ done: 3, total: 3, asked: 3, stored: 3, weight: 13, warm: 13 })
})

it('tells how much of what is asked most a pool has', async () => {
  const { warmer, present } = warmerOver(() => ({ outcome: 'stored' }))
  present.add('b')
  const coverage = await warmer.coverage({ route: 'r', pool: 'v1' })
  expect(coverage).toEqual({ calls: 3, present: 1, weight: 13, presentWeight: 10, skipped: {} })
})

it('tries again what may pass, and not what will not', async () => {
  const { warmer, asked } = warmerOver((name, times) => {
    if (name === 'a') return { outcome: 'refused', reason: 'status 400' }
    if (name === 'b') return { outcome: 'failed', reason: 'overloaded', isPassing: true }
    return times < 3 ? { outcome: 'failed', reason: 'noBackend', isPassing: true } : { outcome: 'stored' }
  })
  const progress = await last(warmer.warm(spec, running()))
  expect(asked.toSorted()).toEqual(['a', 'b', 'b', 'b', 'c', 'c', 'c'])
  expect(progress).toMatchObject({ stored: 1, refused: 1, failed: 1, failures: { overloaded: 1 } })
})

it('ends when it is aborted, or when nobody reads on', async () => {
  const { warmer, asked } = warmerOver(() => ({ outcome: 'stored' }))
  const stop = new AbortController()
  stop.abort()
  expect(await last(warmer.warm(spec, stop.signal))).toMatchObject({ asked: 0 })
  for await (const _ of warmer.warm({ ...spec, rate: 0.01 }, running())) break
  const { length } = asked
  expect(length).toBeLessThan(3)
})
