/**
 * What the encoder with a table writes, the decoder reads. The decoder of field blocks, which keeps what it has decoded while its table stays as it is, against a peer that writes the same
 * fields in any way that RFC 7541 has: by index, with and without a table, resizing it, in Huffman code or not.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { CompressionError, HpackDecoder } from '../../src/lib/http2/hpack-decoder.ts'
import { HpackTableEncoder } from '../../src/lib/http2/hpack-table-encoder.ts'
import { STATIC_FIELDS } from '../../src/lib/http2/static-table.ts'
import { MemoryBound } from '../support/memory.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 3)
const TABLE_BYTES = 4096

type Pair = readonly [name: string, value: string]

/** A peer's table, written as the RFC describes it: the newest field first. */
class Table {
  #fields: Pair[] = []
  #limit = TABLE_BYTES

  resize(limit: number): void {
    this.#limit = limit
    this.#shrink()
  }

  add(pair: Pair): void {
    this.#fields.unshift(pair)
    this.#shrink()
  }

  /** Undefined: neither table has it. `isWhole`: by name and value. */
  indexOf([name, value]: Pair, isWhole: boolean): number | undefined {
    const all: readonly Pair[] = [...STATIC_FIELDS, ...this.#fields]
    // The last, since each field should come from the dynamic table now and then.
    const at = all.findLastIndex((one) => one[0] === name && (!isWhole || one[1] === value))
    return at < 0 ? undefined : at + 1
  }

  #shrink(): void {
    const size = () => this.#fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
    while (size() > this.#limit) this.#fields.pop()
  }
}

function integer(mark: number, bits: number, value: number): number[] {
  const most = 2 ** bits - 1
  if (value < most) return [mark | value]
  const out = [mark | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128)
  return [...out, rest]
}

/** Codes of appendix B. */
const HUFFMAN: Readonly<Record<string, string>> = {
  a: '00011',
  b: '100011',
  '1': '00001',
  '-': '010110',
  '/': '011000',
}

function text(value: string, isCoded: boolean): number[] {
  const codes = Array.from(value, (letter) => HUFFMAN[letter])
  if (!isCoded || codes.some((code) => !code))
    return [...integer(0, 7, value.length), ...Buffer.from(value, 'latin1')]
  const bits = codes.join('')
  const whole = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1')
  const bytes = (whole.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2))
  return [...integer(0x80, 7, bytes.length), ...bytes]
}

const field = fc.record({
  pair: fc.tuple(
    fc.constantFrom(':method', ':path', 'authorization', 'a', 'ab-1', 'x-other'),
    fc.oneof(
      fc.constantFrom('GET', '/', 'a', 'b', 'ab1-', '', 'é'),
      fc.constantFrom('a'.repeat(300), 'a'.repeat(5000)),
    ),
  ),
  way: fc.constantFrom('index', 'index', 'keep', 'plain', 'never'),
  isNamed: fc.boolean(),
  isCoded: fc.boolean(),
})
const written = fc.record({
  sizes: fc.oneof(
    { weight: 6, arbitrary: fc.constant([]) },
    fc.array(fc.constantFrom(0, 40, 200, 4096), { maxLength: 2 }),
  ),
  fields: fc.array(field, { maxLength: 6 }),
})

function write(
  table: Table,
  { sizes, fields }: typeof written extends fc.Arbitrary<infer T> ? T : never,
): Buffer {
  const out: number[] = []
  for (const size of sizes) {
    table.resize(size)
    out.push(...integer(0x20, 5, size))
  }
  for (const { pair, way, isNamed, isCoded } of fields) {
    const index = way === 'index' ? table.indexOf(pair, true) : undefined
    if (index !== undefined) {
      out.push(...integer(0x80, 7, index))
      continue
    }
    const [mark, bits]: readonly [number, number] =
      way === 'keep' ? [0x40, 6] : way === 'never' ? [0x10, 4] : [0, 4]
    const name = isNamed ? table.indexOf(pair, false) : undefined
    out.push(...integer(mark, bits, name ?? 0))
    if (name === undefined) out.push(...text(pair[0], isCoded))
    out.push(...text(pair[1], isCoded))
    if (way === 'keep') table.add(pair)
  }
  return Buffer.from(out)
}

it(
  'reads what any peer writes, however often it repeats a block',
  async () => {
    const memory = new MemoryBound(200)
    // A connection that goes on, whose tables and known blocks change all the time.
    const lasting = {
      table: new Table(),
      decoder: new HpackDecoder({ maxTableBytes: TABLE_BYTES, maxListBytes: 1e6 }),
    }
    // Few blocks, often repeated: the same bytes come with a table that has changed.
    const histories = fc
      .tuple(fc.array(written, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(3), { maxLength: 40 }))
      .map(([blocks, order]) => order.map((i) => blocks[i % blocks.length] as (typeof blocks)[number]))
    fc.assert(
      fc.property(histories, (blocks) => {
        const own = {
          table: new Table(),
          decoder: new HpackDecoder({ maxTableBytes: TABLE_BYTES, maxListBytes: 1e6 }),
        }
        for (const { table, decoder } of [own, lasting])
          for (const block of blocks) {
            const { fields } = decoder.decode(write(table, block))
            expect(fields).toEqual(block.fields.flatMap(({ pair }) => pair))
          }
        memory.round()
      }),
      { numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false },
    )
    await memory.check()
  },
  (seconds + 30) * 1000,
)

it(
  'reads any bytes, or says that they are none',
  async () => {
    const memory = new MemoryBound(200)
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (blocks) => {
        const decoder = new HpackDecoder({ maxTableBytes: TABLE_BYTES, maxListBytes: 500 })
        try {
          for (const block of blocks) {
            const { fields } = decoder.decode(Buffer.from(block))
            expect(fields.join('').length + fields.length * 16).toBeLessThanOrEqual(500)
          }
        } catch (error) {
          expect(error).toBeInstanceOf(CompressionError)
        }
        memory.round()
      }),
      { numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 500, markInterruptAsFailure: false },
    )
    await memory.check()
  },
  (seconds + 30) * 1000,
)

it(
  'reads what our encoder writes, whatever the peer makes of its table',
  async () => {
    const memory = new MemoryBound(200)
    const pair = () => ({
      encoder: new HpackTableEncoder(new Set([':path', 'a', 'ab-1'])),
      decoder: new HpackDecoder({ maxTableBytes: TABLE_BYTES, maxListBytes: 1e6 }),
    })
    const lasting = pair()
    const list = fc.array(
      field.map(({ pair }) => pair),
      { maxLength: 6 },
    )
    const steps = fc.array(
      fc.oneof({ weight: 4, arbitrary: fc.nat(5) }, fc.constantFrom('0', '60', '200', '4096')),
      {
        maxLength: 40,
      },
    )
    fc.assert(
      fc.property(fc.array(list, { minLength: 6, maxLength: 6 }), steps, (lists, order) => {
        const all = lists.map((pairs) => pairs.flat())
        for (const { encoder, decoder } of [pair(), lasting])
          for (const step of order) {
            if (typeof step === 'string') encoder.resize(Number(step))
            else expect(decoder.decode(encoder.encode(all[step] as string[])).fields).toEqual(all[step])
          }
        memory.round()
      }),
      { numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 500, markInterruptAsFailure: false },
    )
    await memory.check()
  },
  (seconds + 30) * 1000,
)
