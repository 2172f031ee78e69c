import { afterEach, describe, expect, it, vi } from 'vitest'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import type { FakeTier } from '../../../support/fake-tier.ts'
import {
  createWorld,
  json,
  predictions,
  type TestGateway,
  WAYS,
  type World,
} from '../../../support/pipeline.ts'

const BODY = '{"instances": [[1, 2]]}'

function setup(cache = {}): { world: World; one: TestGateway; reads: { count: number } } {
  const world = createWorld({ memory: false, cache: { rows: 'never', ...cache } })
  const reads = { count: 0 }
  const { read } = tfserving
  // Listened in on: that a body is not read shows nowhere else.
  vi.spyOn(tfserving, 'read').mockImplementation((...args) => {
    reads.count++
    return read(...args)
  })
  return { world, one: world.gateways[0] as TestGateway, reads }
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe.each(WAYS)('a byte-identical repeat whose answer lies in a shared tier, by the %s', (way) => {
  it('is found there without being read', async () => {
    const { world, one, reads } = setup()
    await world.run(one.ask(BODY, { way }))
    await world.pass(100)
    const before = reads.count
    const again = await world.run(one.ask(BODY, { way }))
    expect(again.outcome).toMatchObject({ kind: 'hit', tier: 'shared' })
    expect(again.predictions).toEqual([[1, 2]])
    expect(reads.count).toBe(before)
    expect(world.asked).toHaveLength(1)
  })

  it('is read where no-store left nothing behind', async () => {
    const { world, one, reads } = setup()
    await world.run(one.ask(BODY, { headers: ['cache-control', 'no-store'], way }))
    await world.pass(100)
    const before = reads.count
    expect((await world.run(one.ask(BODY, { way }))).outcome).toMatchObject({ kind: 'miss' })
    expect(reads.count).toBe(before + 1)
  })

  it('is not found after a purge, nor after the tier has lost it, and the tier is asked once', async () => {
    const { world, one } = setup()
    await world.run(one.ask(BODY, { way }))
    await world.pass(100)
    await world.run(one.epochs.purge(['all']))
    expect((await world.run(one.ask(BODY, { way }))).outcome).toMatchObject({ kind: 'miss' })
    await world.pass(100)
    world.tier?.kept.clear()
    const lookups = vi.spyOn(world.tier as FakeTier, 'getMany')
    expect((await world.run(one.ask(BODY, { way }))).outcome).toMatchObject({ kind: 'miss' })
    expect(lookups).toHaveBeenCalledTimes(1)
    expect(world.asked).toHaveLength(3)
  })

  it('falls back on what is too old when the backends fail', async () => {
    const { world, one } = setup({ ttl: 1000, staleIfError: 60_000 })
    await world.run(one.ask(BODY, { way }))
    await world.pass(2000)
    world.script = () => json('{"error": "down"}', [], 503)
    const stale = await world.run(one.ask(BODY, { way }))
    expect(stale.outcome).toMatchObject({ kind: 'stale' })
    expect(stale.predictions).toEqual([[1, 2]])
    world.script = ({ instances }) => predictions(instances)
    expect((await world.run(one.ask(BODY, { way }))).outcome).toMatchObject({ kind: 'miss' })
  })
})
