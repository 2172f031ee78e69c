/** The readers of what Redis and Memcached say. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemcachedReader, type MemcachedReply } from '../../../../src/data/cache/memcached-reader.ts'
import { nameOf, readRedirection, readSlots, slotOf } from '../../../../src/data/cache/redis-slots.ts'
import { command, type Reply, RespError, RespReader } from '../../../../src/data/cache/resp.ts'
import { Garbled } from '../../../../src/data/cache/wire.ts'

const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: 'small', maxDepth: 6, withCrossShrink: true },
    fc.stringMatching(/^[\x20-\x7e]{0,20}$/),
    fc.integer(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^[A-Z]{1,8} [a-z ]{0,20}$/).map((text) => new RespError(text)),
    fc.array(tie('reply'), { maxLength: 4 }),
  ),
}))

function written(value: Reply): Buffer {
  if (typeof value === 'string') return Buffer.from(`+${value}\r\n`)
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`)
  if (value === null) return Buffer.from('$-1\r\n')
  if (value instanceof RespError) return Buffer.from(`-${value.message}\r\n`)
  if (Buffer.isBuffer(value))
    return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(written)])
}

/** What a reader makes of bytes that come in pieces; throws what it throws. */
function read(bytes: Uint8Array, cuts: readonly number[] = [], maxBytes = 1000): Reply[] {
  const found: Reply[] = []
  const reader = new RespReader((each) => found.push(each), maxBytes)
  for (const piece of pieces(bytes, cuts)) reader.read(piece)
  return found
}

function pieces(bytes: Uint8Array, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => Buffer.from(bytes.slice(at[i], end)))
}

const cuts = fc.array(fc.nat(), { maxLength: 12 })

describe('RESP', () => {
  it('is read as it was written, in whatever pieces it comes', () => {
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 5 }), cuts, (replies, at) => {
        expect(read(Buffer.concat(replies.map(written)), at)).toEqual(replies)
      }),
    )
  })

  it('ends in Garbled or in answers, and in nothing else, whatever comes', () => {
    const changed = fc
      .tuple(reply, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([value, flips]) => {
        const bytes = written(value)
        for (const [at, byte] of flips) bytes[at % bytes.length] = byte
        return bytes
      })
    const rows = fc.constantFrom(
      '*1\r\n',
      '*30000000\r\n',
      '$99999999999\r\n',
      '*-2\r\n',
      ':1e9\r\n',
      '$-1\r\n',
      '\r\n',
      '%1\r\n',
    )
    const many = fc
      .tuple(rows, fc.integer({ min: 1, max: 20_000 }))
      .map(([text, n]) => Buffer.from(text.repeat(n)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), changed, many), cuts, (bytes, at) => {
        try {
          read(bytes, at)
        } catch (error) {
          expect(error).toBeInstanceOf(Garbled)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('lets go what is longer than wanted, and goes on behind it', () => {
    const long = Buffer.alloc(1001, 'x')
    fc.assert(
      fc.property(cuts, (at) => {
        const bytes = Buffer.concat([written([long, Buffer.from('short')]), written('OK')])
        expect(read(bytes, at)).toEqual([[null, Buffer.from('short')], 'OK'])
      }),
    )
  })

  it('believes a length only as far as bytes have come', () => {
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 100; i++) read(Buffer.from('*1000000\r\n$500000000\r\n'))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
  })

  it('writes a command of texts and bytes', () => {
    const bytes = (part: string | Uint8Array) => Buffer.from(part as string)
    const parts = command(['SET', 'kü', Buffer.from('\r\n\0'), 'PX', '5'])
    expect(Buffer.concat(parts.map(bytes)).toString()).toBe(
      '*5\r\n$3\r\nSET\r\n$3\r\nkü\r\n$3\r\n\r\n\0\r\n$2\r\nPX\r\n$1\r\n5\r\n',
    )
  })
})

describe('the map of a cluster', () => {
  const asked = { host: '10.0.0.1', port: 7000 }

  it('knows the slots that Redis knows', () => {
    // CLUSTER KEYSLOT says so.
    expect(['foo', '123456789', '{foo}bar', 'a{foo}{bar}', '{}x', 'a{b'].map(slotOf)).toEqual([
      12_182, 12_739, 12_182, 12_182, 10_595, 13_340,
    ])
  })

  it('is read, or is none, whatever a node answers', () => {
    fc.assert(fc.property(reply, (value) => void readSlots(value, asked)))
    const host = Buffer.from('10.0.0.2')
    const good: Reply = [
      [0, 100, [host, 7001, Buffer.from('id'), []]],
      [101, 16_383, [null, 7000, Buffer.from('id')]],
    ]
    const map = readSlots(good, asked)
    expect(map && [map.owners[100], map.owners[101], map.nodes.size]).toEqual([
      '10.0.0.2:7001',
      '10.0.0.1:7000',
      2,
    ])
    for (const bad of [[[0, 1e12, [host, 7001]]], [[5, 4, [host, 7001]]], [[0, 1, host]], [null]] as Reply[])
      expect(readSlots(bad, asked)).toBeUndefined()
    // A name that could be anything but an address is nobody's.
    expect(readSlots([[0, 1, [Buffer.from('a b'), 7001]]], asked)?.nodes.size).toBe(0)
  })

  it('follows a redirection to an address and nowhere else', () => {
    const to = (text: string) => {
      const address = readRedirection(text, asked)
      return address && nameOf(address)
    }
    expect(to('MOVED 3999 127.0.0.1:6381')).toBe('127.0.0.1:6381')
    expect(to('ASK 3999 :6381')).toBe('10.0.0.1:6381')
    for (const bad of ['MOVED', 'MOVED 1 x', 'MOVED 1 a b:1', 'MOVED 1 h:99999', 'MOVED x h:1'])
      expect(to(bad)).toBeUndefined()
  })
})

describe('the text protocol of memcached', () => {
  function answers(text: string, at: readonly number[] = [], maxBytes = 10): MemcachedReply[] {
    const found: MemcachedReply[] = []
    const reader = new MemcachedReader((each) => found.push(each), maxBytes)
    for (const piece of pieces(Buffer.from(text, 'latin1'), at)) reader.read(piece)
    return found
  }

  it('is read as it was written, in whatever pieces it comes', () => {
    const text =
      'VALUE a 0 5\r\nEND\r\n\r\nVALUE b 0 11\r\n12345678901\r\nEND\r\nSTORED\r\nSERVER_ERROR no\r\nSTAT x 1 2\r\nEND\r\n'
    fc.assert(
      fc.property(cuts, (at) => {
        const [got, ...rest] = answers(text, at)
        expect([got?.values.get('a')?.toString(), got?.values.get('b'), got?.line]).toEqual([
          'END\r\n',
          undefined,
          'END',
        ])
        expect(rest.map(({ line }) => line)).toEqual(['STORED', 'SERVER_ERROR no', 'END'])
        expect(rest[2]?.stats.get('x')).toBe('1 2')
      }),
    )
  })

  it('ends in Garbled or in answers, and in nothing else, whatever comes', () => {
    const words = fc.constantFrom(
      'VALUE a 0 3\r\n',
      'abc\r\n',
      'END\r\n',
      'STAT a b\r\n',
      'VALUE a 0 9999999999\r\n',
      'x',
      '\r\n',
      '\0',
    )
    const text = fc.oneof(
      fc.array(words, { maxLength: 30 }).map((all) => all.join('')),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    )
    fc.assert(
      fc.property(text, cuts, (sent, at) => {
        try {
          answers(sent, at)
        } catch (error) {
          expect(error).toBeInstanceOf(Garbled)
        }
      }),
      { numRuns: 500 },
    )
  })
})
