/** Leases, fencing, tombstones, drain and self-preservation of the registry, on a clock the test owns. */
import { describe, expect, test } from 'vitest'
import type {
  LeaseGrant,
  Registration,
  RegistrationRefusal,
} from '../../../../src/control/registry/registration.ts'
import { Registry } from '../../../../src/control/registry/registry.ts'
import type { PoolView } from '../../../../src/core/backend.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const POOL = 'ranker'
const SECOND = 1_000
const URL = 'http://10.0.0.1:8000'

function setUp(options: { startGraceMs?: number; probed?: boolean } = {}) {
  const clock = new FakeClock()
  const inflight = new Map<number, number>()
  const registry = new Registry({
    clock,
    log: silentLog,
    inflight: (slot) => inflight.get(slot) ?? 0,
    startGraceMs: options.startGraceMs ?? 0,
  })
  registry.declare([{ name: POOL, probed: options.probed ?? false }])
  const states = () => Object.fromEntries(backends().map((backend) => [backend.id, backend.state]))
  const backends = () => registry.view(POOL)?.backends ?? []
  const put = (id: string, given: Partial<Registration> = {}) =>
    registry.register(POOL, id, { url: URL, ...given })
  return { clock, inflight, registry, states, backends, put }
}

function granted(answer: LeaseGrant | RegistrationRefusal): LeaseGrant {
  if ('refused' in answer) throw new Error(`refused: ${answer.message}`)
  return answer
}

describe('a lease', () => {
  test.each([
    ['default', undefined, 15_000],
    ['too short', 1, 3_000],
    ['too long', 3_600_000, 600_000],
    ['as asked', 9_000, 9_000],
  ])('%s is granted within its bounds, to be renewed after a third', (_name, ttlMs, wanted) => {
    const { put } = setUp()
    const grant = granted(put('a', ttlMs === undefined ? {} : { ttlMs }))
    expect(grant).toMatchObject({ created: true, ttlMs: wanted, renewAfterMs: wanted / 3 })
  })

  test('that is renewed keeps its backend ready', () => {
    const { clock, put, registry, states } = setUp()
    const { generation } = granted(put('a'))
    for (let i = 0; i < 20; i++) {
      clock.advance(5 * SECOND)
      expect(registry.renew(POOL, 'a', { generation })).toMatchObject({ generation, state: 'ready' })
    }
    expect(states()).toEqual({ a: 'ready' })
  })

  test('that is missed makes its backend suspect at the TTL and gone after one more', () => {
    const { clock, put, states } = setUp()
    put('a')
    clock.advance(14_999)
    expect(states()).toEqual({ a: 'ready' })
    clock.advance(1)
    expect(states()).toEqual({ a: 'suspect' })
    clock.advance(14_999)
    expect(states()).toEqual({ a: 'suspect' })
    clock.advance(1)
    expect(states()).toEqual({})
  })

  test('that was missed is good again when renewed in its grace', () => {
    const { clock, put, registry, states } = setUp()
    const { generation } = granted(put('a'))
    clock.advance(20 * SECOND)
    expect(registry.renew(POOL, 'a', { generation })).toMatchObject({ state: 'ready' })
    expect(states()).toEqual({ a: 'ready' })
  })

  test('that has expired cannot be renewed: register again', () => {
    const { clock, put, registry } = setUp()
    const { generation } = granted(put('a'))
    clock.advance(30 * SECOND)
    expect(registry.renew(POOL, 'a', { generation })).toMatchObject({ refused: 'unknownBackend' })
  })

  test('does not notice that the wall clock is set', () => {
    const { clock, put, registry, states } = setUp()
    const { generation } = granted(put('a'))
    clock.setWall(5)
    expect(registry.renew(POOL, 'a', { generation })).toMatchObject({ generation })
    clock.advance(14 * SECOND)
    expect(states()).toEqual({ a: 'ready' })
    expect(put('a')).toMatchObject({ created: false, generation: generation + 1 })
  })

  test('is not removed within the grace after the start', () => {
    const { clock, put, states } = setUp({ startGraceMs: 15 * SECOND })
    put('a', { ttlMs: 3_000 })
    clock.advance(14 * SECOND)
    expect(states()).toEqual({ a: 'suspect' })
    clock.advance(2 * SECOND)
    expect(states()).toEqual({})
  })

  test('is not missed in time in which the process was stopped', () => {
    const { clock, put, states } = setUp()
    put('a')
    clock.advance(5 * SECOND)
    clock.stall(60 * SECOND)
    expect(states()).toEqual({ a: 'ready' })
    clock.advance(12 * SECOND)
    expect(states()).toEqual({ a: 'suspect' })
  })
})

describe('proof of life', () => {
  test('keeps a suspect for one more TTL, at most two, and never makes it ready', () => {
    const { clock, put, registry, states } = setUp()
    put('a', { ttlMs: 10_000 })
    clock.advance(19 * SECOND)
    registry.proofOfLife(POOL, 'a')
    clock.advance(9 * SECOND)
    expect(states()).toEqual({ a: 'suspect' })
    registry.proofOfLife(POOL, 'a')
    clock.advance(2 * SECOND)
    expect(states()).toEqual({})
  })
})

describe('epochs and generations', () => {
  test('the same epoch is the same generation, with what it says taken over', () => {
    const { put, backends } = setUp()
    const first = granted(put('a', { epoch: 7 }))
    const again = granted(put('a', { epoch: 7, weight: 3 }))
    expect(again).toMatchObject({ created: false, generation: first.generation })
    expect(backends()).toMatchObject([{ weight: 3, generation: first.generation }])
  })

  test('an older epoch is refused, while the lease lives and while its tombstone does', () => {
    const { clock, put } = setUp()
    put('a', { epoch: 7 })
    expect(put('a', { epoch: 6 })).toMatchObject({ refused: 'conflict' })
    clock.advance(30 * SECOND)
    expect(put('a', { epoch: 6 })).toMatchObject({ refused: 'conflict' })
    clock.advance(299 * SECOND)
    expect(put('a', { epoch: 6 })).toMatchObject({ refused: 'conflict' })
    clock.advance(2 * SECOND)
    expect(put('a', { epoch: 6 })).toMatchObject({ created: true })
  })

  test('the same epoch comes back after it expired, but not after it was removed', () => {
    const { clock, put, registry } = setUp()
    put('a', { epoch: 7 })
    clock.advance(30 * SECOND)
    expect(put('a', { epoch: 7 })).toMatchObject({ created: true })
    registry.remove(POOL, 'a')
    expect(put('a', { epoch: 7 })).toMatchObject({ refused: 'conflict' })
    expect(put('a', { epoch: 8 })).toHaveProperty('generation')
  })

  test('a newer epoch has a new generation and slot, and the old process is fenced off', () => {
    const { put, registry, backends, inflight } = setUp()
    const old = granted(put('a', { epoch: 7 }))
    const oldSlot = backends()[0]?.slot ?? -1
    inflight.set(oldSlot, 2)
    const next = granted(put('a', { epoch: 8 }))
    expect(next.generation).toBeGreaterThan(old.generation)
    expect(backends().map(({ state, generation }) => [state, generation])).toEqual([
      ['ready', next.generation],
      ['draining', old.generation],
    ])
    expect(backends()[0]?.slot).not.toBe(oldSlot)
    expect(registry.renew(POOL, 'a', { generation: old.generation })).toMatchObject({ refused: 'fenced' })
    expect(registry.remove(POOL, 'a', { generation: old.generation })).toMatchObject({ refused: 'fenced' })
  })

  test('the generation grows over expiry and over a restart of the registry', () => {
    const { clock, put } = setUp()
    const first = granted(put('a'))
    clock.advance(400 * SECOND)
    expect(granted(put('a')).generation).toBeGreaterThan(first.generation)
    const later = new Registry({ clock, log: silentLog, inflight: () => 0 })
    later.declare([{ name: POOL }])
    expect(granted(later.register(POOL, 'a', { url: URL })).generation).toBeGreaterThan(first.generation)
  })

  test('another URL under the same epoch is refused', () => {
    const { put } = setUp()
    put('a', { epoch: 7 })
    expect(put('a', { epoch: 7, url: 'http://10.0.0.2:8000' })).toMatchObject({ refused: 'conflict' })
  })
})

describe('a slot', () => {
  test('rests a minute before another backend gets it', () => {
    const { clock, put, registry, backends } = setUp()
    const slotOf = (id: string) => backends().find((backend) => backend.id === id)?.slot
    put('a', { ttlMs: 600_000 })
    const first = slotOf('a')
    registry.remove(POOL, 'a')
    clock.advance(SECOND)
    put('b', { ttlMs: 600_000 })
    expect(slotOf('b')).not.toBe(first)
    clock.advance(60 * SECOND)
    put('c', { ttlMs: 600_000 })
    expect(slotOf('c')).toBe(first)
  })

  test('is refused when 1,024 are taken, or as many more rest', () => {
    const { clock, put, registry } = setUp()
    for (let i = 0; i < 1024; i++) granted(put(`b${i}`, { ttlMs: 600_000 }))
    expect(put('one-more')).toMatchObject({ refused: 'full' })
    // Who is there already may come again.
    granted(put('b0', { ttlMs: 600_000, epoch: 2e12 }))
    for (let i = 1; i < 1024; i++) {
      registry.remove(POOL, `b${i}`)
      granted(put(`c${i}`, { ttlMs: 600_000 }))
    }
    registry.remove(POOL, 'c1')
    expect(put('one-more')).toMatchObject({ refused: 'full' })
    clock.advance(90 * SECOND)
    granted(put('one-more'))
    registry.close()
  })
})

describe('drain', () => {
  test('keeps a removed backend in the view until its last call ended', () => {
    const { clock, put, registry, states, inflight, backends } = setUp()
    put('a')
    const slot = backends()[0]?.slot ?? -1
    inflight.set(slot, 1)
    expect(registry.remove(POOL, 'a')).toMatchObject({ inflight: 1, drainMs: 30_000 })
    clock.advance(10 * SECOND)
    expect(states()).toEqual({ a: 'draining' })
    inflight.set(slot, 0)
    clock.advance(100)
    expect(states()).toEqual({})
  })

  test('ends at its deadline with calls still running', () => {
    const { clock, put, registry, states, inflight, backends } = setUp()
    put('a')
    inflight.set(backends()[0]?.slot ?? -1, 1)
    registry.remove(POOL, 'a', { drainMs: 2_000 })
    clock.advance(1_900)
    expect(states()).toEqual({ a: 'draining' })
    clock.advance(200)
    expect(states()).toEqual({})
  })

  test('asked for by PATCH keeps the backend listed, and can be ended', () => {
    const { clock, put, registry, states } = setUp()
    const { generation } = granted(put('a'))
    registry.patch(POOL, 'a', { state: 'draining' })
    clock.advance(10 * SECOND)
    expect(registry.renew(POOL, 'a', { generation })).toMatchObject({ state: 'draining' })
    expect(states()).toEqual({ a: 'draining' })
    registry.patch(POOL, 'a', { state: 'ready' })
    expect(states()).toEqual({ a: 'ready' })
  })
})

describe('self-preservation', () => {
  function pool(size: number) {
    const set = setUp()
    const generations = new Map<string, number>()
    for (let i = 0; i < size; i++) generations.set(`b${i}`, granted(set.put(`b${i}`)).generation)
    const pass = (ms: number, silent: readonly string[]) => {
      for (let t = 0; t < ms; t += 5 * SECOND) {
        set.clock.advance(5 * SECOND)
        for (const [id, generation] of generations) {
          if (!silent.includes(id)) set.registry.renew(POOL, id, { generation })
        }
      }
    }
    return { ...set, pass }
  }

  test.each([
    ['one of ten', 10, ['b0'], 9],
    ['one of one', 1, ['b0'], 0],
    ['three of twenty', 20, ['b0', 'b1', 'b2'], 17],
  ])('lets %s go', (_name, size, silent, left) => {
    const { pass, states } = pool(size)
    pass(40 * SECOND, silent)
    expect(Object.keys(states())).toHaveLength(left)
  })

  test('keeps two of ten that fall silent together, as suspects and with the reason', () => {
    const { pass, states, registry, backends } = pool(10)
    pass(120 * SECOND, ['b0', 'b1'])
    expect(states()).toMatchObject({ b0: 'suspect', b1: 'suspect', b2: 'ready' })
    expect(backends().find(({ id }) => id === 'b0')?.reason).toMatch(/too many of the pool/)
    expect(registry.status(POOL)?.preservation).toMatch(/nobody is removed/)
  })

  test('gives up after five minutes', () => {
    const { pass, states, registry } = pool(10)
    pass(330 * SECOND, ['b0', 'b1'])
    expect(Object.keys(states())).toHaveLength(8)
    expect(registry.status(POOL)).not.toHaveProperty('preservation')
  })
})

describe('health', () => {
  test('decides whether a backend may have calls, and an old verdict decides nothing', () => {
    const { put, registry, states } = setUp({ probed: true })
    const { generation } = granted(put('a'))
    expect(states()).toEqual({ a: 'warming' })
    registry.markHealthy(POOL, 'a', { generation: generation - 1, reason: 'old' })
    expect(states()).toEqual({ a: 'warming' })
    registry.markHealthy(POOL, 'a', { generation, reason: 'probe: 200' })
    expect(states()).toEqual({ a: 'ready' })
    registry.markUnhealthy(POOL, 'a', { generation, reason: 'probe: refused' })
    expect(states()).toEqual({ a: 'unhealthy' })
  })

  test('carries over to a registration that names no epoch, and not to one that does', () => {
    const { clock, put, registry, states, inflight, backends } = setUp({ probed: true })
    const { generation } = granted(put('a'))
    registry.markHealthy(POOL, 'a', { generation, reason: 'probe: 200' })
    clock.advance(SECOND)
    put('a')
    clock.advance(SECOND)
    expect(states()).toEqual({ a: 'ready' })
    inflight.set(backends()[0]?.slot ?? -1, 0)
    put('a', { epoch: clock.wall() + 1 })
    clock.advance(SECOND)
    expect(states()).toEqual({ a: 'warming' })
  })
})

describe('views', () => {
  test('grow by one revision a change, are frozen, and do not change without a reason', () => {
    const { clock, put, registry } = setUp()
    const seen: PoolView[] = []
    registry.follow((view) => seen.push(view))
    const { generation } = granted(put('a'))
    for (let i = 0; i < 5; i++) {
      clock.advance(5 * SECOND)
      registry.renew(POOL, 'a', { generation })
    }
    registry.patch(POOL, 'a', { weight: 2 })
    expect(seen.map((view) => view.backends.map((backend) => backend.weight))).toEqual([[], [1], [2]])
    const first = seen[0]?.revision ?? 0
    expect(seen.map((view) => view.revision)).toEqual([first, first + 1, first + 2])
    expect(Object.isFrozen(seen[1]) && Object.isFrozen(seen[1]?.backends[0])).toBe(true)
    expect(structuredClone(seen[2])).toEqual(seen[2])
  })

  test('reach every follower, also when one of them throws', () => {
    const { put, registry } = setUp()
    const seen: number[] = []
    registry.follow(() => {
      throw new Error('a follower that fails')
    })
    const leave = registry.follow((view) => seen.push(view.backends.length))
    put('a')
    leave()
    put('b')
    expect(seen).toEqual([0, 1])
  })
})

describe('settings', () => {
  const a = { url: 'http://127.0.0.1:8501', weight: 1 }
  const b = { url: 'http://[::1]:8502/v', weight: 1 }

  test('name backends without a lease, which follow the settings', () => {
    const { clock, registry, states, backends } = setUp()
    registry.declare([{ name: POOL, probed: false, backends: [a, b] }])
    clock.advance(3_600 * SECOND)
    expect(states()).toEqual({ '127.0.0.1:8501': 'ready', '::1:8502-v': 'ready' })
    const kept = backends()[0]
    registry.declare([{ name: POOL, probed: false, backends: [a] }])
    expect(states()).toMatchObject({ '::1:8502-v': 'draining' })
    clock.advance(SECOND)
    expect(backends()).toEqual([kept])
  })

  test('own their backends: nobody registers over one, renews or removes it', () => {
    const { registry, put } = setUp()
    registry.declare([{ name: POOL, backends: [{ ...a, id: 'a' }] }])
    expect(put('a')).toMatchObject({ refused: 'conflict' })
    expect(registry.renew(POOL, 'a', { generation: 1 })).toMatchObject({ refused: 'conflict' })
    expect(registry.remove(POOL, 'a')).toMatchObject({ refused: 'conflict' })
  })

  test('decide which pools there are', () => {
    const { clock, registry, put, states } = setUp()
    expect(registry.register('other', 'a', { url: URL })).toMatchObject({ refused: 'unknownPool' })
    put('a')
    registry.declare([])
    expect(put('b')).toMatchObject({ refused: 'unknownPool' })
    expect(states()).toEqual({ a: 'draining' })
    clock.advance(SECOND)
    expect(registry.view(POOL)).toBeUndefined()
  })
})

test('a closed registry leaves no timer behind', () => {
  const { clock, put, registry } = setUp()
  put('a')
  registry.close()
  expect(clock.pending).toBe(0)
})
