/** What judges what Redis and Memcached say, before the clients hear it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemcachedJudge } from '../../../../src/data/cache/tiers/memcached-judge.ts'
import { slotOf } from '../../../../src/data/cache/tiers/redis-connection.ts'
import { type RedisReply, RespError } from '../../../../src/data/cache/tiers/redis-reply.ts'
import { nameOf, readRedirection, readSlots } from '../../../../src/data/cache/tiers/redis-slots.ts'
import { RespJudge } from '../../../../src/data/cache/tiers/resp-judge.ts'
import { Garbled } from '../../../../src/data/cache/tiers/socket-guard.ts'

const { reply } = fc.letrec<{ reply: RedisReply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: 'small', maxDepth: 6, withCrossShrink: true },
    fc.integer(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^[A-Z]{1,8} [a-z ]{0,20}$/).map((text) => new RespError(text)),
    fc.array(tie('reply'), { maxLength: 4 }),
  ),
}))

function written(value: RedisReply): Buffer {
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`)
  if (value === null) return Buffer.from('$-1\r\n')
  if (value instanceof RespError) return Buffer.from(`-${value.message}\r\n`)
  if (Buffer.isBuffer(value))
    return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(written)])
}

/** Has a judge hear bytes that come in pieces; throws what it throws. */
function hear(bytes: Uint8Array, asked: number, cuts: readonly number[] = []): RespJudge {
  const judge = new RespJudge({ maxBytes: 1000 })
  for (let n = 0; n < asked; n++) judge.requested()
  for (const piece of pieces(bytes, cuts)) judge.read(piece)
  return judge
}

function pieces(bytes: Uint8Array, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => Buffer.from(bytes.slice(at[i], end)))
}

const cuts = fc.array(fc.nat(), { maxLength: 12 })
const unasked = /nobody asked/

describe('RESP', () => {
  it('passes as it is written, in whatever pieces it comes, as many answers as were asked for', () => {
    fc.assert(
      fc.property(fc.array(reply, { minLength: 1, maxLength: 5 }), cuts, (replies, at) => {
        const bytes = Buffer.concat(replies.map(written))
        const judge = hear(bytes, replies.length, at)
        // It knows that all are whole: one more is one too many.
        expect(() => judge.read(Buffer.from('+OK\r\n'))).toThrow(unasked)
        expect(() => hear(bytes, replies.length - 1, at)).toThrow(unasked)
        expect(() => hear(bytes.subarray(0, -1), replies.length - 1, at)).not.toThrow()
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
          hear(bytes, 3, at)
        } catch (error) {
          expect(error).toBeInstanceOf(Garbled)
        }
      }),
      { numRuns: 500 },
    )
  })

  const judged = [
    ['*30000000\r\n', /an array of/],
    ['*1\r\n'.repeat(9), /without end/],
    ['*2\r\n$40000000\r\n', undefined],
    [`*2\r\n$40000000\r\n${'x'.repeat(40_000_000)}\r\n$40000000\r\n`, /an answer of more/],
    ['$99999999999\r\n', /a bulk string of/],
    ['$3\r\nabcd\r\n', /longer than it says/],
    ['+a\nb\r\n', undefined],
    ['+a\rb\r\n', /a line that is none/],
    [`+${'a'.repeat(70_000)}`, /a line without end/],
    ['\x15\x03\x01\r\n', /in TLS/],
    ['HTTP/1.1 400 Bad Request\r\n', /in HTTP/],
    ['220 mail.test ESMTP\r\n', /is no RESP/],
  ] as const
  // One of them has 40 MB: no title for a report.
  it.each(judged.map((one) => [one[0].slice(0, 40), ...one] as const))('judges %j', (_, text, reason) => {
    const judge = () => hear(Buffer.from(text), 1)
    if (reason) expect(judge).toThrow(reason)
    else expect(judge).not.toThrow()
  })

  it('lets a connection that subscribes hear what nobody asked for', () => {
    const judge = new RespJudge({ maxBytes: 10, isSubscriber: true })
    for (let n = 0; n < 3; n++) judge.read(Buffer.from('*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n'))
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
    const good: RedisReply = [
      [0, 100, [host, 7001, Buffer.from('id'), []]],
      [101, 16_383, [null, 7000, Buffer.from('id')]],
    ]
    const map = readSlots(good, asked)
    expect(map && [map.owners[100], map.owners[101], map.nodes.size]).toEqual([
      '10.0.0.2:7001',
      '10.0.0.1:7000',
      2,
    ])
    for (const bad of [
      [[0, 1e12, [host, 7001]]],
      [[5, 4, [host, 7001]]],
      [[0, 1, host]],
      [null],
    ] as RedisReply[])
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

describe('the binary protocol of memcached', () => {
  interface Answer {
    readonly opcode: number
    readonly opaque: number
    readonly value: Uint8Array
  }

  function header(magic: number, { opcode, opaque, value }: Answer): Buffer {
    const bytes = Buffer.alloc(24)
    bytes[0] = magic
    bytes[1] = opcode
    bytes.writeUInt32BE(value.length, 8)
    bytes.writeUInt32BE(opaque, 12)
    return bytes
  }

  const answerOf = (answer: Answer) => Buffer.concat([header(0x81, answer), answer.value])

  function judgeOf(asked: readonly Answer[]): MemcachedJudge {
    const judge = new MemcachedJudge(1000)
    for (const each of asked) judge.requested(header(0x80, each))
    return judge
  }

  const opcode = fc.constantFrom(0, 1, 2, 4)
  const answers = fc.uniqueArray(
    fc.record({ opcode, opaque: fc.nat(), value: fc.uint8Array({ maxLength: 40 }) }),
    { selector: ({ opaque }) => opaque, minLength: 1, maxLength: 6 },
  )

  it('passes whole answers, in whatever pieces they come', () => {
    fc.assert(
      fc.property(answers, cuts, (all, at) => {
        const judge = judgeOf(all)
        const bytes = Buffer.concat(all.map(answerOf))
        expect(Buffer.concat(pieces(bytes, at).map((piece) => judge.read(piece)))).toEqual(bytes)
        // Each is answered once.
        expect(() => judge.read(bytes)).toThrow(unasked)
      }),
    )
  })

  it('ends in Garbled or in answers, and in nothing else, whatever comes', () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })
    fc.assert(
      fc.property(answers, flips, cuts, (all, changes, at) => {
        const bytes = Buffer.concat(all.map(answerOf))
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte
        const judge = judgeOf(all)
        try {
          for (const piece of pieces(bytes, at)) judge.read(piece)
        } catch (error) {
          expect(error).toBeInstanceOf(Garbled)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('believes no length that cannot be', () => {
    const asked = { opcode: 0, opaque: 7, value: Buffer.alloc(0) }
    const told = (change: (bytes: Buffer) => void) => () => {
      const bytes = answerOf(asked)
      change(bytes)
      judgeOf([asked]).read(bytes)
    }
    expect(told((bytes) => bytes.writeUInt32BE(0xffff_ffff, 8))).toThrow(/more than/)
    expect(told((bytes) => bytes.writeUInt16BE(5, 2))).toThrow(/shorter than its parts/)
    expect(told((bytes) => bytes.writeUInt8(1, 1))).toThrow(unasked)
    expect(told((bytes) => bytes.writeUInt8(0x80, 0))).toThrow(/not the protocol/)
  })

  it('hears facts until the empty one', () => {
    const stat = (value: string) => ({ opcode: 0x10, opaque: 1, value: Buffer.from(value) })
    const judge = judgeOf([stat('')])
    for (const value of ['a', 'b', '']) judge.read(answerOf(stat(value)))
    expect(() => judge.read(answerOf(stat('')))).toThrow(unasked)
  })
})
