import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Backend, BackendState } from '../../src/core/backend.ts'
import { type Dropped, type QueueEntry, WaitQueue } from '../../src/data/balance/limits/queue.ts'
import { Outliers } from '../../src/data/balance/outliers/outlier.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createPolicy, policyNames } from '../../src/data/balance/policies/policies.ts'
import type { AttemptOutcome } from '../../src/data/balance/policies/policy.ts'
import { Selector } from '../../src/data/balance/select.ts'
import { createLoadTable, inflightOf } from '../../src/data/balance/table.ts'
import { createRandom } from '../../src/lib/seeded-random.ts'

const SLOTS = 12
const states: readonly BackendState[] = [
  'ready',
  'ready',
  'ready',
  'suspect',
  'unhealthy',
  'draining',
  'warming',
]
const endings: readonly AttemptOutcome[] = ['ok', 'ok', 'error', 'timeout', 'overloaded']

const backends = fc.uniqueArray(
  fc.record({
    slot: fc.integer({ min: 0, max: SLOTS - 1 }),
    state: fc.constantFrom(...states),
    generation: fc.integer({ min: 1, max: 3 }),
    weight: fc.constantFrom(0, 0.5, 1, 5),
    concurrency: fc.constantFrom(undefined, 1, 3),
  }),
  { selector: ({ slot }) => slot, maxLength: SLOTS },
)

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('call' as const), extra: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      which: fc.nat(50),
      ending: fc.constantFrom(...endings),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('view' as const), backends }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
  },
)

type Spec = typeof backends extends fc.Arbitrary<infer T> ? T : never

function viewOf(revision: number, specs: Spec) {
  const all = specs.map(({ concurrency, ...spec }): Backend => {
    const known = { id: `b${spec.slot}`, url: 'http://127.0.0.1:1', models: [], reason: '', readySince: 0 }
    return { ...known, ...spec, ...(concurrency !== undefined && { concurrency }) }
  })
  return { pool: 'p', revision, backends: all }
}

describe('selection under any sequence of views, calls and endings', () => {
  it.each(policyNames)(
    'P1, P2: %s: never a draining backend, never over a limit, every call counted out',
    (name) => {
      fc.assert(
        fc.property(backends, fc.array(step, { maxLength: 120 }), fc.integer(), (first, steps, seed) => {
          const clock = { nowMs: 1e6, now: () => clock.nowMs, wall: () => clock.nowMs }
          const table = createLoadTable(SLOTS)
          const context = { table, random: createRandom(seed), now: clock.now }
          const outliers = new Outliers({ ...context, state: createOutlierState(SLOTS) })
          const selector = new Selector({ table, policy: createPolicy(name, context), outliers, clock })
          let view = viewOf(1, first)
          selector.update(view)
          const running: { slot: number; incarnation: number }[] = []
          for (const next of steps) {
            clock.nowMs += 1
            if (next.kind === 'view') selector.update((view = viewOf(view.revision + 1, next.backends)))
            else if (next.kind === 'time') {
              clock.nowMs += next.ms
              selector.tick(0)
            } else if (next.kind === 'call') {
              const chosen = selector.pick({ isExtra: next.extra })
              if (typeof chosen === 'string') continue
              const known = view.backends.find(({ slot }) => slot === chosen.slot)
              expect(known).toBe(chosen)
              expect(chosen.state).not.toBe('draining')
              if (chosen.concurrency !== undefined)
                expect(inflightOf(table, chosen.slot)).toBeLessThan(chosen.concurrency)
              if (view.backends.some(({ state }) => state === 'ready')) expect(chosen.state).toBe('ready')
              running.push({ slot: chosen.slot, incarnation: selector.begin(chosen.slot) })
            } else {
              const [call] = running.splice(next.which % Math.max(1, running.length), 1)
              if (call) selector.end(call.slot, call.incarnation, { ms: 5, ending: next.ending })
            }
            const ready = view.backends.filter(({ state }) => state === 'ready')
            if (ready.length > 0) expect(selector.routable()).toBeGreaterThan(0)
          }
          for (const call of running) selector.cancel(call.slot, call.incarnation, 5)
          for (let slot = 0; slot < SLOTS; slot++) expect(inflightOf(table, slot)).toBe(0)
        }),
        { numRuns: 60 },
      )
    },
  )
})

describe('the waiting queue under any sequence', () => {
  const move = fc.oneof(
    fc.record({
      kind: fc.constant('enter' as const),
      due: fc.option(fc.integer({ min: 1, max: 400 })),
      priority: fc.nat(2),
    }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('leave' as const), which: fc.nat(40) }),
  )

  it('gives each call back once: taken, dropped or refused, and never late', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(move, fc.integer({ min: 0, max: 60 })), { maxLength: 200 }), (moves) => {
        const fate = new Map<number, string>()
        const settle = (call: number, what: string) => {
          expect(fate.has(call)).toBe(false)
          fate.set(call, what)
        }
        const queue = new WaitQueue<number>((call, why: Dropped) => settle(call, why), {
          maxDepth: 20,
          maxWaitMs: 300,
        })
        const due = new Map<number, number>()
        const waiting: QueueEntry<number>[] = []
        let now = 0
        let calls = 0
        for (const [next, ms] of moves) {
          now += ms
          if (next.kind === 'enter') {
            const call = calls++
            const deadline = next.due === null ? undefined : now + next.due
            due.set(call, deadline ?? now + 300)
            const capacity = { meanServiceMs: 10, medianServiceMs: 5, limits: 2 }
            const entry = queue.enter(call, { deadline, priority: next.priority }, { now, capacity })
            if ('refused' in entry) settle(call, entry.refused)
            else waiting.push(entry.entry)
          } else if (next.kind === 'take') {
            const call = queue.take(now, 5)
            if (call === undefined) continue
            expect(due.get(call)).toBeGreaterThanOrEqual(now)
            settle(call, 'taken')
          } else {
            const [place] = waiting.splice(next.which % Math.max(1, waiting.length), 1)
            if (place && queue.remove(place)) settle(place.item, 'left')
          }
          expect(queue.depth).toBeLessThanOrEqual(20)
        }
        queue.clear('shed')
        expect(fate.size).toBe(calls)
        expect(queue.depth).toBe(0)
      }),
      { numRuns: 200 },
    )
  })
})
