/** The envelope: what was put in comes out, and nothing else ever does. */
import { readFileSync } from 'node:fs'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/core/key.ts'
import { ageMs, decode, encode, lifeMs, remainingMs } from '../../src/data/cache/entry.ts'
import { ReadyHead } from '../../src/data/exchange/ready-head.ts'
import { anEntry, digests, entries } from '../support/entries.ts'

describe('the envelope', () => {
  it('gives back every entry as it was', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const found = decode(encode(entry), entry.digest)
        expect(found && { ...found, body: new Uint8Array(found.body) }).toMatchObject({
          ...entry,
          ...(entry.frame ? { frame: expect.anything() } : {}),
        })
        if (entry.frame) expect(Buffer.compare(found?.frame as Uint8Array, entry.frame)).toBe(0)
        expect(found && 'frame' in found).toBe('frame' in entry)
      }),
    )
  })

  it('I6: a flipped bit is a miss, whichever it is', () => {
    fc.assert(
      fc.property(entries, fc.nat(), (entry, at) => {
        const bytes = encode(entry)
        const bit = at % (bytes.length * 8)
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
        expect(decode(bytes, entry.digest)).toBeUndefined()
      }),
      { numRuns: 500 },
    )
    const entry = anEntry('every bit')
    const whole = encode(entry)
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(decode(bytes, entry.digest)).toBeUndefined()
    }
  })

  it('I6: truncated, extended, foreign and random bytes are a miss', () => {
    fc.assert(
      fc.property(
        entries,
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        digests,
        (entry, cut, junk, other) => {
          const bytes = encode(entry)
          expect(decode(bytes.subarray(0, cut % bytes.length), entry.digest)).toBeUndefined()
          expect(decode(Buffer.concat([bytes, junk]), entry.digest)).toBeUndefined()
          expect(decode(junk, entry.digest)).toBeUndefined()
          if (other !== entry.digest) expect(decode(bytes, other)).toBeUndefined()
        },
      ),
    )
  })

  it('gives nothing that cannot be written as an answer: fields that are none, framing, statuses', async () => {
    const wild = fc.array(
      fc.string({ unit: fc.constantFrom('a', '\r', '\n', ' ', ':', '€', '\0', 'é', '\t') }),
      { maxLength: 4 },
    )
    await fc.assert(
      fc.asyncProperty(wild, fc.integer({ min: 0, max: 999 }), async (headers, status) => {
        const entry = anEntry('w', { headers: [...headers, ...headers], status })
        const found = decode(encode(entry), entry.digest)
        if (!found) return
        const { headers: fields, body } = found
        const head = new ReadyHead(
          { reply: { status, headers: fields, body }, createdAt: 0, ttlMs: 1 },
          'memory',
        ).at(0, '')
        expect(
          head
            .toString('latin1')
            .split('\r\n')
            .slice(1, 1 + fields.length / 2)
            .every((line) => /^[!-~]+: ?[^\r\n\0]*$/.test(line)),
        ).toBe(true)
        for (let i = 0; i < fields.length; i += 2) {
          validateHeaderName(fields[i] as string)
          validateHeaderValue(fields[i] as string, fields[i + 1] as string)
        }
        expect(status >= 200 && status < 600).toBe(true)
      }),
      { numRuns: 1_000 },
    )
    const headers: [string, string][] = [
      ['Content-Type', 'text/€'],
      ['Content-Type', 'a\r\nSet-Cookie: b=c'],
      ['Content Type', 'a'],
      ['', 'a'],
      ['Transfer-Encoding', 'chunked'],
      ['content-length', '3'],
      ['connection', 'close'],
    ]
    for (const pair of headers) {
      for (const place of [{ headers: pair }, { trailers: pair }]) {
        const entry = anEntry('h', place)
        expect(decode(encode(entry), entry.digest)).toBeUndefined()
      }
    }
  })

  it('reads what earlier releases have written, and writes the same where nothing follows the body', () => {
    const recorded = new URL('../golden/redis-of-bcf3897.json', import.meta.url)
    const values = Object.entries(JSON.parse(readFileSync(recorded, 'utf8')) as Record<string, string>)
    const found = values.flatMap(([key, value]) => {
      const name = /^ig1:\{(.*)\}$/.exec(key)?.[1]
      if (name === undefined) return []
      const bytes = Buffer.from(value, 'base64')
      const entry = decode(bytes, Buffer.from(name, 'base64url').toString('latin1') as Digest)
      expect(entry && Buffer.compare(encode(entry), bytes)).toBe(0)
      return [Buffer.from(entry?.body ?? []).toString()]
    })
    expect(found).toEqual(['{"predictions":["1/1"]}', '{"predictions":["1/2"]}'])
  })

  it('keeps what follows the body, and takes a section of another length for none', () => {
    const trailers = ['grpc-status', '0', 'grpc-message', '']
    const entry = anEntry('t', { trailers })
    const bytes = encode(entry)
    expect(decode(bytes, entry.digest)?.trailers).toEqual(trailers)
    const at = bytes.length - 8
    for (const length of [0, 1, bytes.readUInt32LE(at) - 1, bytes.readUInt32LE(at) + 1, 0xffffffff]) {
      const wrong = Buffer.from(bytes)
      wrong.writeUInt32LE(length, at)
      wrong.writeUInt32LE(crc32(wrong.subarray(0, -4)), wrong.length - 4)
      expect(decode(wrong, entry.digest)).toBeUndefined()
    }
    const long = anEntry('l', { trailers: ['x', 'y'.repeat(65_536)] })
    expect(() => encode(long)).toThrow(/headers over/)
  })

  it('shows the body as a view and not as a copy', () => {
    const entry = anEntry('view')
    const bytes = encode(entry)
    expect(decode(bytes, entry.digest)?.body.buffer).toBe(bytes.buffer)
  })

  it('skips the tags that earlier releases kept with an entry, and a cost that is none', () => {
    fc.assert(
      fc.property(entries, fc.uint8Array({ maxLength: 90 }), fc.nat(8), (entry, tags, count) => {
        const bytes = encode(entry)
        const at = 100 + bytes.readUInt32LE(40)
        bytes[38] = count
        bytes.writeUInt32LE(tags.length, 44)
        const earlier = Buffer.concat([bytes.subarray(0, at), tags, bytes.subarray(at)])
        earlier.writeUInt32LE(crc32(earlier.subarray(0, -4)), earlier.length - 4)
        expect(decode(earlier, entry.digest)).toEqual(decode(encode(entry), entry.digest))
      }),
    )
    const { digest } = anEntry('cost')
    const bytes = encode(anEntry('cost'))
    for (const cost of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      bytes.writeDoubleLE(cost, 92)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
      expect(decode(bytes, digest)?.costMs).toBe(0)
    }
  })

  it('refuses 64 KiB of headers and times that are none', () => {
    expect(() => encode(anEntry('h', { headers: ['x', 'y'.repeat(65_536)] }))).toThrow(/headers over/)
    expect(() => encode(anEntry('n', { ttlMs: Number.NaN }))).toThrow(/times/)
    expect(() => encode(anEntry('c', { costMs: -1 }))).toThrow(/times/)
    expect(() => encode(anEntry('i', { swrMs: Number.POSITIVE_INFINITY }))).toThrow(/times/)
  })

  it('stays within its ttl however the wall clock jumps', () => {
    fc.assert(
      fc.property(entries, fc.double({ min: 0, max: 1e13, noNaN: true }), (entry, wall) => {
        expect(ageMs(entry, wall)).toBeGreaterThanOrEqual(0)
        expect(remainingMs(entry, wall)).toBeLessThanOrEqual(entry.ttlMs)
        expect(lifeMs(entry, wall)).toBeLessThanOrEqual(entry.ttlMs + Math.max(entry.swrMs, entry.sieMs))
      }),
    )
    const entry = anEntry('future', { createdAt: 5_000 })
    expect(ageMs(entry, 1_000)).toBe(0)
    expect(remainingMs(entry, 1_000)).toBe(entry.ttlMs)
  })
})
