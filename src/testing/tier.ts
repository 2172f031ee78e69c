/** What every Tier promises, ours or a third party's. Call it in a test file with a way to open one. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../core/key.ts'
import type { Tier } from '../data/cache/tiers/tier.ts'
import { eventually } from './eventually.ts'

export function tierContract(name: string, open: () => Promise<Tier>): void {
  describe(`${name} keeps the Tier contract`, () => {
    let tier: Tier
    const fresh = (): Digest => digestOf(randomBytes(16))

    beforeAll(async () => {
      tier = await open()
      await eventually(() => tier.getMany([fresh()]))
    })
    afterAll(() => tier.close())

    it('answers undefined for a key it never saw', async () => {
      expect(await tier.getMany([fresh()])).toEqual([undefined])
    })

    it('gives nothing for no keys', async () => {
      expect(await tier.getMany([])).toEqual([])
    })

    it.each([[0], [1], [300], [65_536], [900_000]])(
      'gives back %i bytes as they were given',
      async (size) => {
        const digest = fresh()
        const value = randomBytes(size)
        if (size > 2) value.write('\r\n\0', 'latin1')
        await tier.set(digest, value, 60_000)
        // A large value may take longer than one read timeout on a busy machine.
        const [found] = await eventually(() => tier.getMany([digest]))
        expect(Buffer.compare(found as Uint8Array, value)).toBe(0)
      },
    )

    it('answers in the order of the keys, equal and absent ones included', async () => {
      const [a, b, absent] = [fresh(), fresh(), fresh()]
      await Promise.all([tier.set(a, Buffer.from('A'), 60_000), tier.set(b, Buffer.from('B'), 60_000)])
      const found = await tier.getMany([b, absent, a, b])
      expect(found.map((value) => value && Buffer.from(value).toString())).toEqual(['B', undefined, 'A', 'B'])
    })

    it('answers more keys than fit one round trip, each with its own value', async () => {
      const digests = Array.from({ length: 1_100 }, fresh)
      await Promise.all(digests.map((digest, n) => tier.set(digest, Buffer.from(`${n}`), 60_000)))
      const found = await eventually(() => tier.getMany(digests))
      expect(found.map((value) => value && Number(Buffer.from(value)))).toEqual(digests.map((_, n) => n))
    })

    it('replaces a value', async () => {
      const digest = fresh()
      await tier.set(digest, Buffer.from('old'), 60_000)
      await tier.set(digest, Buffer.from('new'), 60_000)
      expect(Buffer.from((await tier.getMany([digest]))[0] as Uint8Array).toString()).toBe('new')
    })

    it('forgets after the ttl', async () => {
      const digest = fresh()
      await tier.set(digest, Buffer.from('brief'), 300)
      await eventually(async () => expect(await tier.getMany([digest])).toEqual([undefined]))
    })

    it('deletes, and deleting what is absent is no error', async () => {
      const digest = fresh()
      await tier.set(digest, Buffer.from('x'), 60_000)
      await tier.delete(digest)
      await tier.delete(digest)
      expect(await tier.getMany([digest])).toEqual([undefined])
    })

    it('lets one of many claim a fact, and tells the others what it is', async () => {
      const fact = `token ${randomBytes(8).toString('hex')}`
      expect(await tier.facts([fact])).toEqual([undefined])
      const claimed = await Promise.all(['a', 'b', 'c'].map((value) => tier.claim(fact, value)))
      expect(new Set(claimed).size).toBe(1)
      expect(await tier.facts([fact, `${fact}!`])).toEqual([claimed[0], undefined])
      await tier.publish(fact, 'replaced')
      expect(await tier.claim(fact, 'd')).toBe('replaced')
    })

    it('takes a fact name of any length and characters', async () => {
      const fact = `model/${'ü \r\n'.repeat(100)}${randomBytes(4).toString('hex')}`
      await tier.publish(fact, 'wert ü')
      expect(await tier.facts([fact, `${fact}x`])).toEqual(['wert ü', undefined])
    })

    it('rejects every operation after close, and closing twice is no error', async () => {
      const closed = await open()
      await closed.close()
      await closed.close()
      await expect(closed.getMany([fresh()])).rejects.toThrow()
      await expect(closed.set(fresh(), Buffer.from('x'), 1_000)).rejects.toThrow()
      await expect(closed.facts(['x'])).rejects.toThrow()
    })
  })
}
