/** Discovered backends in the registry, beside those of the settings and those that register. */
import { describe, expect, it } from 'vitest'
import type { FoundBackend } from '../../../../src/control/registry/registration.ts'
import { Registry } from '../../../../src/control/registry/registry.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const POOL = 'main'
const at = (host: string, more: Partial<FoundBackend> = {}) => ({ url: `http://${host}:80`, ...more })

function setUp() {
  const clock = new FakeClock()
  const inflight = new Map<number, number>()
  const registry = new Registry({
    clock,
    log: silentLog,
    inflight: (slot) => inflight.get(slot) ?? 0,
    startGraceMs: 0,
  })
  const declare = (...hosts: string[]) =>
    registry.declare([
      { name: POOL, probed: false, backends: hosts.map((host) => ({ ...at(host), id: `fixed-${host}` })) },
    ])
  declare()
  const backends = () => registry.status(POOL)?.backends ?? []
  const states = () =>
    backends().map(({ url = '', state, source }) => `${new URL(url).hostname} ${source} ${state}`)
  return { clock, inflight, registry, declare, backends, states }
}

describe('a discovered backend', () => {
  it('is ready once known, and drains before it goes', () => {
    const { clock, inflight, registry, states, backends } = setUp()
    registry.discovered(POOL, [at('one'), at('two')])
    expect(states()).toEqual(['one discovered ready', 'two discovered ready'])
    inflight.set(backends()[1]?.slot as number, 3)
    registry.discovered(POOL, [at('one')])
    clock.advance(5000)
    expect(states()).toEqual(['one discovered ready', 'two discovered draining'])
    inflight.clear()
    clock.advance(1000)
    expect(states()).toEqual(['one discovered ready'])
  })

  it('is there at once when the whole of a full pool is replaced', () => {
    const { clock, registry, backends } = setUp()
    const many = (name: string) => Array.from({ length: 1023 }, (_, i) => at(`${name}-${i}`))
    const ready = (name: string) =>
      backends().filter(({ url = '', state }) => state === 'ready' && url.includes(name)).length
    registry.discovered(POOL, many('old'))
    expect(ready('old')).toBe(1023)
    registry.discovered(POOL, many('new'))
    expect([ready('old'), ready('new')]).toEqual([0, 1023])
    // Once more within the minute that slots rest: who finds no room is taken in when there is, without another list.
    registry.discovered(POOL, many('newest'))
    expect(ready('newest')).toBeLessThan(10)
    clock.advance(61_000)
    expect(ready('newest')).toBe(1023)
    registry.close()
  })

  it('stays the same while its source says the same', () => {
    const { registry, backends } = setUp()
    registry.discovered(POOL, [at('one', { weight: 2, instance: 'x' })])
    const [before] = backends()
    registry.discovered(POOL, [at('one', { weight: 3, instance: 'x' })])
    expect(backends()).toEqual([{ ...before, weight: 3 }])
  })

  it('is another one when another process has its address', () => {
    const { registry, backends } = setUp()
    registry.discovered(POOL, [at('one', { instance: 'x' })])
    const [before] = backends()
    registry.discovered(POOL, [at('one', { instance: 'y' })])
    const ready = backends().filter(({ state }) => state === 'ready')
    expect(ready).toHaveLength(1)
    expect(ready[0]?.generation).toBeGreaterThan(before?.generation as number)
    expect(ready[0]?.slot).not.toBe(before?.slot)
  })

  it('keeps the weight an operator gave it until its source says something new', () => {
    const { registry, backends, clock } = setUp()
    registry.discovered(POOL, [at('one')])
    registry.patch(POOL, backends()[0]?.id as string, { weight: 7 })
    clock.advance(5000)
    expect(backends()[0]?.weight).toBe(7)
  })

  it('can be drained, but is taken out where it is named', () => {
    const { registry, backends, states } = setUp()
    registry.discovered(POOL, [at('one')])
    const id = backends()[0]?.id as string
    expect(registry.remove(POOL, id)).toMatchObject({ refused: 'conflict' })
    registry.patch(POOL, id, { state: 'draining' })
    registry.discovered(POOL, [at('one')])
    expect(states()).toEqual(['one discovered draining'])
  })
})

describe('an address that is discovered and', () => {
  it('registered belongs to the registration, and to the sources again after it', () => {
    const { clock, registry, states } = setUp()
    registry.discovered(POOL, [at('one')])
    registry.register(POOL, 'pod-1', { ...at('one'), epoch: 5, ttlMs: 3000 })
    clock.advance(1000)
    expect(states()).toEqual(['one registered ready'])
    registry.discovered(POOL, [at('one')])
    expect(states()).toEqual(['one registered ready'])
    registry.remove(POOL, 'pod-1', { drainMs: 0 })
    expect(states().filter((state) => state.includes('discovered'))).toEqual([])
    clock.advance(1000)
    expect(states()).toEqual(['one discovered ready'])
  })

  it('registered under the very id it was given is taken over', () => {
    const { clock, registry, states, backends } = setUp()
    registry.discovered(POOL, [at('one')])
    const id = backends()[0]?.id as string
    expect(registry.register(POOL, id, { ...at('one'), epoch: 5 })).not.toHaveProperty('refused')
    clock.advance(1000)
    expect(states()).toEqual(['one registered ready'])
  })

  it('in the settings belongs to the settings', () => {
    const { clock, registry, declare, states } = setUp()
    registry.discovered(POOL, [at('one')])
    declare('one')
    clock.advance(1000)
    expect(states()).toEqual(['one static ready'])
    declare()
    clock.advance(1000)
    expect(states()).toEqual(['one discovered ready'])
  })
})

it('what is found for a pool that is not there is left alone', () => {
  const { registry } = setUp()
  registry.discovered('elsewhere', [at('one')])
  expect(registry.view('elsewhere')).toBeUndefined()
})

it('a pool that is retired takes its discovered backends with it', () => {
  const { clock, registry } = setUp()
  registry.discovered(POOL, [at('one')])
  registry.declare([])
  clock.advance(1000)
  expect(registry.view(POOL)).toBeUndefined()
})
