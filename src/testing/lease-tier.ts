/** What the leases of every tier promise. Call it with a way to open the tier as two gateways do. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../core/key.ts'
import { type LeaseTier, sha1Of } from '../data/cache/tiers/lease-tier.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import { eventually } from './eventually.ts'

export function leaseTierContract(name: string, open: () => Promise<readonly [Tier, Tier]>): void {
  describe(`${name} keeps the contract of leases`, () => {
    let tiers: readonly [Tier, Tier]
    let [a, b]: LeaseTier[] = []
    const fresh = (): Digest => digestOf(randomBytes(16))
    const leasesOf = ({ leases }: Tier): LeaseTier => {
      if (!leases) throw new Error(`${name} has no leases`)
      return leases
    }

    beforeAll(async () => {
      tiers = await open()
      await eventually(() => Promise.all(tiers.map((tier) => tier.getMany([fresh()]))))
      ;[a, b] = tiers.map(leasesOf)
    })
    afterAll(() => Promise.all(tiers.map((tier) => tier.close())))

    it('grants an absent row to one of many who ask at once, and names the holder to the others', async () => {
      const want = { digest: fresh() }
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          Promise.resolve((n % 2 ? a : b)?.acquire([want], `token ${n}`, 60_000)),
        ),
      )
      const granted = answers.flatMap((answer, n) => (answer?.[0]?.kind === 'granted' ? `token ${n}` : []))
      expect(granted).toHaveLength(1)
      const held = answers.flatMap((answer) => (answer?.[0]?.kind === 'held' ? answer[0].by : []))
      expect(held).toEqual(Array.from({ length: 39 }, () => granted[0]))
      expect(await a?.acquire([want], granted[0] as string, 60_000)).toEqual([{ kind: 'granted' }])
    })

    it('answers many rows in their order: value, held, granted', async () => {
      const [value, held, absent] = [fresh(), fresh(), fresh()]
      await tiers[0].set(value, Buffer.from('V\r\n\0'), 60_000)
      await a?.acquire([{ digest: held }], 'first', 60_000)
      const wants = [held, value, absent].map((digest) => ({ digest }))
      const answers = await b?.acquire(wants, 'second', 60_000)
      expect(answers).toMatchObject([{ kind: 'held', by: 'first' }, { kind: 'value' }, { kind: 'granted' }])
      const found = answers?.[1]?.kind === 'value' ? answers[1].value : Buffer.alloc(0)
      expect(Buffer.from(found).toString('latin1')).toBe('V\r\n\0')
    })

    it('answers more rows than fit one round trip', async () => {
      const wants = Array.from({ length: 1_100 }, () => ({ digest: fresh() }))
      const first = await a?.acquire(wants, 'first', 60_000)
      expect(first?.every(({ kind }) => kind === 'granted')).toBe(true)
      const digests = wants.map(({ digest }) => digest)
      expect((await a?.renew(digests, 'first', 60_000))?.every(Boolean)).toBe(true)
      await a?.release(digests, 'first')
      expect((await b?.acquire(wants, 'second', 60_000))?.every(({ kind }) => kind === 'granted')).toBe(true)
    })

    it('gives a value filled under the lease to whoever asks next, and ends the lease', async () => {
      const digest = fresh()
      await a?.acquire([{ digest }], 'mine', 60_000)
      expect(await a?.fill(digest, 'mine', Buffer.from('V'), 60_000)).toBe(true)
      expect(await b?.acquire([{ digest }], 'other', 60_000)).toMatchObject([{ kind: 'value' }])
      const [stored] = await tiers[1].getMany([digest])
      expect(Buffer.from(stored as Uint8Array).toString()).toBe('V')
      expect(await a?.fill(digest, 'mine', Buffer.from('again'), 60_000)).toBe(false)
    })

    it('forgets a filled value after its ttl', async () => {
      const digest = fresh()
      await a?.acquire([{ digest }], 'mine', 60_000)
      await a?.fill(digest, 'mine', Buffer.from('brief'), 100)
      await eventually(async () => expect(await tiers[0].getMany([digest])).toEqual([undefined]))
    })

    it('rejects a late fill after a purge: the key is deleted with its lease', async () => {
      const digest = fresh()
      await a?.acquire([{ digest }], 'mine', 60_000)
      await tiers[1].delete(digest)
      expect(await a?.fill(digest, 'mine', Buffer.from('old'), 60_000)).toBe(false)
      expect(await tiers[0].getMany([digest])).toEqual([undefined])
      expect(await b?.acquire([{ digest }], 'next', 60_000)).toEqual([{ kind: 'granted' }])
      expect(await a?.fill(digest, 'mine', Buffer.from('old'), 60_000)).toBe(false)
    })

    it('grants the lease of a holder that renews no more to the next who asks', async () => {
      const digest = fresh()
      await a?.acquire([{ digest }], 'dies', 200)
      expect(await a?.renew([digest, fresh()], 'dies', 200)).toEqual([true, false])
      await eventually(async () =>
        expect(await b?.acquire([{ digest }], 'next', 60_000)).toEqual([{ kind: 'granted' }]),
      )
      expect(await a?.renew([digest], 'dies', 200)).toEqual([false])
      expect(await a?.fill(digest, 'dies', Buffer.from('late'), 60_000)).toBe(false)
    })

    it('ends a lease for its holder only', async () => {
      const digest = fresh()
      await a?.acquire([{ digest }], 'mine', 60_000)
      await b?.release([digest], 'other')
      expect(await b?.acquire([{ digest }], 'other', 60_000)).toEqual([{ kind: 'held', by: 'mine' }])
      await a?.release([digest], 'mine')
      expect(await b?.acquire([{ digest }], 'other', 60_000)).toEqual([{ kind: 'granted' }])
    })

    it('takes a value that the asker cannot use as absent, and only that value', async () => {
      const digest = fresh()
      const stale = Buffer.from('stale')
      await tiers[0].set(digest, stale, 60_000)
      const [seen] = (await b?.acquire([{ digest }], 'seer', 60_000)) ?? []
      if (seen?.kind !== 'value') throw new Error('the value was not found')
      const want = { digest, not: sha1Of(seen.stored ?? seen.value) }
      expect(await a?.acquire([want], 'mine', 60_000)).toEqual([{ kind: 'granted' }])
      expect(await b?.acquire([want], 'other', 60_000)).toEqual([{ kind: 'held', by: 'mine' }])
      await a?.fill(digest, 'mine', Buffer.from('new'), 60_000)
      expect(await b?.acquire([want], 'other', 60_000)).toMatchObject([{ kind: 'value' }])
    })

    it('gives nothing for no rows', async () => {
      expect(await a?.acquire([], 'mine', 1_000)).toEqual([])
      expect(await a?.renew([], 'mine', 1_000)).toEqual([])
      await a?.release([], 'mine')
    })
  })
}
