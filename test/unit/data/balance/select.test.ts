import { describe, expect, it } from 'vitest'
import type { Backend } from '../../../../src/core/backend.ts'
import { Limits } from '../../../../src/data/balance/limits/limit.ts'
import { Outliers } from '../../../../src/data/balance/outliers/outlier.ts'
import { createOutlierState } from '../../../../src/data/balance/outliers/outlier-state.ts'
import { createPolicy } from '../../../../src/data/balance/policies/policies.ts'
import { type PickRequest, Selector, type SelectorOptions } from '../../../../src/data/balance/select.ts'
import {
  createLoadTable,
  inflightOf,
  type LoadTable,
  tableForWorker,
} from '../../../../src/data/balance/table.ts'
import { createRandom } from '../../../../src/lib/seeded-random.ts'

const WALL = Date.UTC(2026, 5, 1)

function backend(slot: number, more: Partial<Backend> = {}): Backend {
  const url = `http://127.0.0.1:${9000 + slot}`
  const state = { state: 'ready', reason: 'probed', readySince: WALL - 3_600_000 } as const
  return { id: `b${slot}`, slot, generation: 1, url, models: [], weight: 1, ...state, ...more }
}

function gateway(
  backends: readonly Backend[],
  { table = createLoadTable(32), ...options }: SelectorOptions & { table?: LoadTable } = {},
) {
  const clock = { nowMs: 1e6, now: () => clock.nowMs, wall: () => WALL + clock.nowMs - 1e6 }
  const context = { table, random: createRandom(3), now: clock.now }
  const outliers = new Outliers({ ...context, state: createOutlierState(32) }, { maxPercent: 100 })
  const selector = new Selector({ table, policy: createPolicy('p2c', context), outliers, clock }, options)
  let revision = 0
  const show = (all: readonly Backend[]) =>
    selector.update({ pool: 'p', revision: ++revision, backends: all })
  show(backends)
  const spread = (ask: PickRequest = {}, calls = 300) => {
    const picks = new Set<number>()
    for (let call = 0; call < calls; call++) {
      const chosen = selector.pick(ask)
      if (typeof chosen !== 'string') picks.add(chosen.slot)
    }
    return [...picks].sort((a, b) => a - b)
  }
  const fail = (slot: number) => {
    for (let call = 0; call < 5; call++) outliers.observe(slot, 1, 'error')
  }
  return { selector, table, outliers, clock, show, spread, fail }
}

describe('selection', () => {
  it('spreads calls over ready backends and no others', () => {
    const { spread } = gateway([
      backend(1),
      backend(2, { state: 'draining' }),
      backend(3, { state: 'suspect' }),
      backend(4, { state: 'unhealthy' }),
      backend(5, { state: 'warming' }),
      backend(6),
    ])
    expect(spread()).toEqual([1, 6])
  })

  it.each([
    [['suspect', 'warming', 'unhealthy', 'draining'], [1]],
    [['draining', 'warming', 'unhealthy'], [2]],
    [
      ['draining', 'unhealthy', 'unhealthy'],
      [2, 3],
    ],
    [['draining', 'draining'], []],
  ] as const)('of %j uses %j', (states, wanted) => {
    const { spread } = gateway(states.map((state, at) => backend(at + 1, { state })))
    expect(spread()).toEqual(wanted)
  })

  it('tells why nobody takes the call', () => {
    const limited = [backend(1, { models: [{ name: 'iris' }], concurrency: 1 })]
    expect(gateway([]).selector.pick({})).toBe('none')
    expect(gateway([backend(1, { state: 'draining' })]).selector.pick({})).toBe('none')
    const { selector } = gateway(limited)
    expect(selector.pick({ model: 'digits' })).toBe('unserved')
    expect(selector.pick({ model: 'iris', exclude: [1] })).toBe('excluded')
    selector.begin(1)
    expect(selector.pick({ model: 'iris' })).toBe('saturated')
  })

  it('sends a call only where its model and version are offered', () => {
    const { spread } = gateway([
      backend(1, { models: [{ name: 'iris', version: '1' }] }),
      backend(2, { models: [{ name: 'iris', version: '2' }, { name: 'digits' }] }),
      backend(3),
    ])
    expect(spread({ model: 'iris' })).toEqual([1, 2, 3])
    expect(spread({ model: 'iris', version: '2' })).toEqual([2, 3])
    expect(spread({ model: 'digits', version: '7' })).toEqual([2, 3])
    expect(spread({ model: 'other' })).toEqual([3])
  })

  it('passes over backends at their limit, and those tried already', () => {
    const { selector, spread } = gateway([backend(1, { concurrency: 2 }), backend(2), backend(3)])
    selector.begin(1)
    selector.begin(1)
    expect(spread({ exclude: [2] })).toEqual([3])
  })

  it('passes over an ejected backend, and gives it one trial call when its time is over', () => {
    const { selector, spread, fail, clock } = gateway([1, 2, 3].map((slot) => backend(slot)))
    fail(2)
    expect(spread()).toEqual([1, 3])
    for (let tick = 0; tick < 400; tick++) {
      clock.nowMs += 100
      selector.tick(0)
    }
    expect(selector.pick({ isExtra: true })).not.toHaveProperty('slot', 2)
    expect(selector.pick({})).toHaveProperty('slot', 2)
    const incarnation = selector.begin(2)
    expect(spread()).toEqual([1, 3])
    selector.end(2, incarnation, { ms: 5, ending: 'ok' })
    expect(selector.pick({})).toHaveProperty('slot', 2)
  })

  it('spares nobody in a panic, when most are ejected', () => {
    const { selector, spread, fail } = gateway([1, 2, 3, 4, 5].map((slot) => backend(slot)))
    for (const slot of [1, 2]) fail(slot)
    expect([selector.isPanic(), spread()]).toEqual([false, [3, 4, 5]])
    fail(3)
    expect([selector.isPanic(), spread()]).toEqual([true, [1, 2, 3, 4, 5]])
  })

  it('keeps counting right when a slot passes to another backend', () => {
    const { selector, table, show } = gateway([backend(1), backend(2)])
    const old = selector.begin(1)
    show([backend(1, { id: 'new' }), backend(2)])
    expect(inflightOf(table, 1)).toBe(0)
    const fresh = selector.begin(1)
    selector.end(1, old, { ms: 5, ending: 'ok' })
    expect(inflightOf(table, 1)).toBe(1)
    selector.cancel(1, fresh, 5)
    expect(inflightOf(table, 1)).toBe(0)
  })

  it('counts out the calls of a backend that has left the view', () => {
    const { selector, table, show } = gateway([backend(1), backend(2)])
    const incarnation = selector.begin(1)
    show([backend(2)])
    expect(inflightOf(table, 1)).toBe(1)
    selector.end(1, incarnation, { ms: 5, ending: 'ok' })
    expect(inflightOf(table, 1)).toBe(0)
    show([backend(1), backend(2)])
    expect(inflightOf(table, 1)).toBe(0)
  })

  it('ignores a view that is older than the one it has', () => {
    const { selector, spread } = gateway([backend(1), backend(2)])
    selector.update({ pool: 'p', revision: 1, backends: [backend(9)] })
    expect(spread()).toEqual([1, 2])
  })

  it('leaves a backend alone that asked for it, unless there is no other', () => {
    const { selector, spread, clock, show } = gateway([backend(1), backend(2)])
    selector.pause(1, 3_000)
    expect(spread()).toEqual([2])
    show([backend(1)])
    expect(spread()).toEqual([1])
    show([backend(1), backend(2)])
    clock.nowMs += 3_100
    selector.tick(0)
    expect(spread()).toEqual([1, 2])
  })

  it('leaves a backend alone that asked another worker for it, and begins again when that one does', () => {
    const shared = createLoadTable(32, 2)
    const [one, other] = [0, 1].map((worker) =>
      gateway([backend(1), backend(2)], { table: tableForWorker(shared, worker) }),
    ) as [ReturnType<typeof gateway>, ReturnType<typeof gateway>]
    expect(other.spread()).toEqual([1, 2])
    one.selector.pause(1, 3_000)
    expect(other.spread()).toEqual([2])
    expect(other.selector.status(1)).toMatchObject({ state: 'paused' })
    one.clock.nowMs += 3_100
    one.selector.tick(0)
    expect(other.spread()).toEqual([1, 2])
  })

  it('gives up a place that another worker has taken since it was picked', () => {
    const shared = createLoadTable(32, 2)
    const [one, other] = [0, 1].map((worker) =>
      gateway([backend(1, { concurrency: 1 })], { table: tableForWorker(shared, worker) }),
    ) as [ReturnType<typeof gateway>, ReturnType<typeof gateway>]
    expect([one, other].map(({ selector }) => selector.pick({}))).toMatchObject([{ slot: 1 }, { slot: 1 }])
    const taken = one.selector.begin(1)
    expect([taken === 0, other.selector.begin(1)]).toEqual([false, 0])
    expect([inflightOf(shared, 1), other.selector.pick({})]).toEqual([1, 'saturated'])
  })

  it('gives no calls to a backend of weight 0', () => {
    expect(gateway([backend(1, { weight: 0 }), backend(2)]).spread()).toEqual([2])
  })

  it('gives a backend on slow start little, but at least one call in two seconds', () => {
    const { selector, clock, table, show } = gateway([backend(1), backend(2)])
    table.inflight[1] = table.inflight[2] = 4
    show([backend(1), backend(2), backend(3, { readySince: WALL })])
    let picks = 0
    for (let call = 0; call < 500; call++) {
      clock.nowMs += 10
      if (call % 10 === 0) selector.tick(0)
      // It stays busy, so by load alone it would never be chosen.
      table.inflight[3] = 4
      const chosen = selector.pick({})
      if (typeof chosen === 'string') throw new Error(chosen)
      const incarnation = selector.begin(chosen.slot)
      if (chosen.slot === 3) picks++
      selector.end(chosen.slot, incarnation, { ms: 1, ending: 'ok' })
    }
    expect(picks).toBeGreaterThanOrEqual(2)
    expect(picks).toBeLessThanOrEqual(4)
  })

  it('does not put the whole pool on slow start when the gateway starts', () => {
    const { table } = gateway([backend(1), backend(2)])
    expect([table.share[1], table.share[2]]).toEqual([1, 1])
  })
})

describe('learnt limits', () => {
  it('hold calls back where nothing was declared, and follow a declaration at once', () => {
    const clock = { nowMs: 1e6, now: () => clock.nowMs, wall: () => WALL }
    const table = createLoadTable(8)
    const context = { table, random: createRandom(1), now: clock.now }
    const limits = new Limits(context, { mode: 'gradient', initial: 2 })
    const selector = new Selector({ table, policy: createPolicy('p2c', context), limits, clock })
    selector.update({ pool: 'p', revision: 1, backends: [backend(1)] })
    const incarnations = [selector.begin(1), selector.begin(1)]
    expect(selector.pick({})).toBe('saturated')
    for (let call = 0; call < 200; call++) {
      clock.nowMs += 20
      selector.end(1, incarnations.shift() ?? 0, { ms: 10, ending: 'ok' })
      incarnations.push(selector.begin(1))
    }
    expect(table.limit[1]).toBeGreaterThan(2)
    selector.update({ pool: 'p', revision: 2, backends: [backend(1, { concurrency: 1 })] })
    expect(table.limit[1]).toBe(1)
  })
})

describe('zones', () => {
  const zones = { zone: { name: 'a' } }
  const mixed = (more: Partial<Backend> = {}) => [
    backend(1, { zone: 'a', ...more }),
    backend(2, { zone: 'a', ...more }),
    backend(3, { zone: 'b' }),
  ]

  it('are kept to while the own one is well', () => {
    expect(gateway(mixed(), zones).spread()).toEqual([1, 2])
  })

  it('do not matter where nothing is in the own one', () => {
    expect(gateway([backend(3, { zone: 'b' }), backend(4, { zone: 'c' })], zones).spread()).toEqual([3, 4])
  })

  it('are left when the own one is nearly full, and returned to with a margin', () => {
    const { selector, table, spread } = gateway(mixed({ concurrency: 10 }), zones)
    table.inflight.fill(9, 1, 3)
    selector.tick(0)
    expect(spread()).toContain(3)
    table.inflight.fill(7, 1, 3)
    selector.tick(0)
    expect(spread()).toContain(3)
    table.inflight.fill(5, 1, 3)
    selector.tick(0)
    expect(spread()).toEqual([1, 2])
  })

  it('are left at once when the own one is full', () => {
    const { selector } = gateway(mixed({ concurrency: 1 }), zones)
    for (const slot of [1, 2]) selector.begin(slot)
    expect(selector.pick({})).toHaveProperty('slot', 3)
  })

  it('are left when most of the own one is not ready', () => {
    const backends = [1, 2, 3].map((slot) =>
      backend(slot, { zone: 'a', state: slot === 1 ? 'ready' : 'unhealthy' }),
    )
    expect(gateway([...backends, backend(4, { zone: 'b' })], zones).spread()).toEqual([1, 4])
  })
})
