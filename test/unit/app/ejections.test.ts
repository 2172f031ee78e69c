import { beforeEach, expect, it } from 'vitest'
import { type BackendEvent, Ejections } from '../../../src/app/ejections.ts'
import type { Backend } from '../../../src/core/backend.ts'
import { silentLog } from '../../../src/core/log.ts'
import { Outliers } from '../../../src/data/balance/outliers/outlier.ts'
import { createOutlierState } from '../../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable } from '../../../src/data/balance/table.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const clock = new FakeClock()
const state = createOutlierState(8)
const context = { table: createLoadTable(8), state, random: () => 0.5, now: () => clock.now() }
const counted: unknown[] = []
let told: BackendEvent[] = []
let backends: Backend[] = []
let outliers: Outliers
let ejections: Ejections

beforeEach(() => {
  backends = [0, 1, 2].map((slot) => backend(slot, 1))
  outliers = new Outliers(context, { baseEjectionMs: 2_000 })
  outliers.members(Int32Array.from(backends, ({ slot }) => slot))
  for (const { slot } of backends) outliers.forget(slot)
  ejections = new Ejections({
    data: { outliers: state },
    registry: { views: () => [{ pool: 'main', revision: 1, backends }] },
    clock,
    log: silentLog,
    metrics: { count: (...call) => void counted.push(call) },
    publish: (event) => void told.push(event),
  })
  ejections.tick()
  told = []
  counted.length = 0
})

function backend(slot: number, generation: number): Backend {
  const common = {
    url: `http://127.0.0.1:${slot + 1}`,
    models: [],
    weight: 1,
    state: 'ready',
    reason: '',
  } as const
  return { ...common, id: `b${slot}`, slot, generation, readySince: 0 }
}

function fail(slot: number, times: number): void {
  for (let call = 0; call < times; call++) outliers.observe(slot, 10, 'error')
}

function pass(ms: number): void {
  clock.advance(ms)
  outliers.tick(clock.now())
  ejections.tick()
}

it('tells that a backend is ejected, and that it is back after its trial', () => {
  fail(1, 5)
  ejections.tick()
  ejections.tick()
  const reason = 'failed several times in a row'
  const ejected = { pool: 'main', id: 'b1', change: 'ejected', cause: 'consecutive', reason, forMs: 2_000 }
  expect(told).toEqual([{ ...ejected, at: expect.stringMatching(/^\d{4}-.*Z$/) }])
  expect(counted).toEqual([['infergate_backend_ejections_total', { pool: 'main', cause: 'consecutive' }, 1]])
  pass(2_500)
  expect(told).toHaveLength(1)
  for (let call = 0; call < 3; call++) {
    outliers.admit(1)
    outliers.observe(1, 10, 'ok')
  }
  pass(100)
  expect(told.slice(1)).toEqual([
    expect.objectContaining({
      pool: 'main',
      id: 'b1',
      change: 'returned',
      reason: 'its calls succeed again',
    }),
  ])
})

it('tells of an ejection that was over before anybody looked', () => {
  fail(1, 5)
  clock.advance(2_500)
  outliers.tick(clock.now())
  expect(outliers.isHalfOpen(1)).toBe(true)
  ejections.tick()
  expect(told).toMatchObject([{ id: 'b1', change: 'ejected', forMs: 0 }])
})

it('takes no successor in a slot for the one that was ejected there', () => {
  fail(1, 5)
  ejections.tick()
  backends = [0, 1, 2].map((slot) => backend(slot, slot === 1 ? 2 : 1))
  outliers.forget(1)
  ejections.tick()
  expect(told.map(({ change }) => change)).toEqual(['ejected'])
  fail(1, 5)
  ejections.tick()
  expect(told.map(({ change }) => change)).toEqual(['ejected', 'ejected'])
})
