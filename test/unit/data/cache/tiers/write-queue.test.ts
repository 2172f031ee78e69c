import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../../src/core/key.ts'
import { guardTier } from '../../../../../src/data/cache/tiers/guard.ts'
import { WriteQueue } from '../../../../../src/data/cache/tiers/write-queue.ts'
import { FakeTier } from '../../../../support/fake-tier.ts'

const write = (name: string, size = 10) => ({
  digest: digestOf(name),
  bytes: Buffer.alloc(size),
  ttlMs: 60_000,
})

function setup(options: { maxEntries?: number; maxBytes?: number }) {
  const tier = new FakeTier()
  return { tier, queue: new WriteQueue(guardTier(tier), options) }
}

describe('the write queue', () => {
  it('writes nothing in the turn it was asked in, and everything soon after', async () => {
    const { tier, queue } = setup({})
    for (let n = 0; n < 300; n++) queue.push(write(`${n}`))
    expect(tier.calls).toBe(0)
    await queue.idle()
    expect([tier.kept.size, queue.stored, queue.entries, queue.bytes]).toEqual([300, 300, 0, 0])
  })

  it('throws out the oldest beyond its bound in entries', async () => {
    const { tier, queue } = setup({ maxEntries: 3 })
    for (const name of ['a', 'b', 'c', 'd', 'e']) queue.push(write(name))
    expect([queue.entries, queue.dropped]).toEqual([3, 2])
    await queue.idle()
    expect([...tier.kept.keys()]).toEqual(['c', 'd', 'e'].map((name) => digestOf(name)))
  })

  it('throws out the oldest beyond its bound in bytes, and what is larger than all of it', () => {
    const { queue } = setup({ maxBytes: 100 })
    queue.push(write('a', 60))
    queue.push(write('b', 60))
    expect([queue.entries, queue.bytes, queue.dropped]).toEqual([1, 60, 1])
    queue.push(write('c', 101))
    expect([queue.entries, queue.bytes, queue.dropped]).toEqual([1, 60, 2])
  })

  it('keeps one write for a key, and none for a key that was forgotten', async () => {
    const { tier, queue } = setup({})
    queue.push(write('a', 1))
    queue.push(write('a', 2))
    queue.push(write('b'))
    queue.forget(digestOf('b'))
    expect([queue.entries, queue.bytes]).toEqual([1, 2])
    await queue.idle()
    expect([...tier.kept.values()].map(({ value }) => value.length)).toEqual([2])
  })

  it('counts what the tier did not take and goes on', async () => {
    const { tier, queue } = setup({})
    tier.fault = () => 'error'
    for (let n = 0; n < 100; n++) queue.push(write(`${n}`))
    await queue.idle()
    expect([queue.failed, queue.stored]).toEqual([100, 0])
  })
})
