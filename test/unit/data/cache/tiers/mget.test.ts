import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../../src/core/key.ts'
import { createMget } from '../../../../../src/data/cache/tiers/mget.ts'

it('is what a client would write, whatever stands before the name', () => {
  const digests = fc.array(fc.string().map(digestOf), { maxLength: 5 })
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), digests, (prefix, all) => {
      const name = (base64url: string) => `${prefix}{${base64url}}`
      const keys = all.map((digest: Digest) => name(Buffer.from(digest, 'latin1').toString('base64url')))
      const parts = ['MGET', ...keys].map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`)
      expect(createMget(name)(all).toString()).toBe(
        Buffer.from(`*${parts.length}\r\n${parts.join('')}`).toString(),
      )
    }),
  )
})
