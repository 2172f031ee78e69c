import { expect, it } from 'vitest'
import { digestOf } from '../../../../../src/core/key.ts'
import { createRendezvous } from '../../../../../src/data/cache/tiers/rendezvous.ts'

const servers = (count: number) => Array.from({ length: count }, (_, n) => ({ name: `10.0.0.${n}:11211` }))
const digests = Array.from({ length: 20_000 }, (_, n) => digestOf(`${n}`))

it.each([2, 3, 5, 16])('%i servers have equal shares, give or take a tenth', (count) => {
  const { first } = createRendezvous(servers(count))
  const shares = new Map<string, number>()
  for (const digest of digests) {
    const { name } = first(digest)
    shares.set(name, (shares.get(name) ?? 0) + 1)
  }
  expect(shares.size).toBe(count)
  for (const share of shares.values())
    expect(Math.abs((share * count) / digests.length - 1)).toBeLessThan(0.1)
})

it('a server more or less moves its own keys and no others, whatever the order', () => {
  const all = servers(5)
  const [lost] = all
  const five = createRendezvous(all)
  const four = createRendezvous(all.filter((server) => server !== lost).toReversed())
  for (const digest of digests) {
    const before = five.first(digest)
    if (before === lost) expect(four.first(digest)).toBe(five.ranked(digest, 2)[1])
    else expect(four.first(digest)).toBe(before)
  }
})

it('ranks every server once, the owner first', () => {
  const rendezvous = createRendezvous(servers(4))
  for (const digest of digests.slice(0, 200)) {
    const ranked = rendezvous.ranked(digest, 4)
    expect(new Set(ranked).size).toBe(4)
    expect(ranked[0]).toBe(rendezvous.first(digest))
    expect(rendezvous.ranked(digest, 3)).toEqual(ranked.slice(0, 3))
  }
  const [one] = servers(1)
  expect(createRendezvous([one as { name: string }]).first(digests[0] as string)).toBe(one)
})
