/**
 * Embeddings: two requests have one key exactly where they ask for the same, however they are spelled and in whatever encoding
 * they want the answer; and however the inputs are divided into kept and fetched ones, the answer is the server's.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Reply } from '../../src/core/reply.ts'
import {
  numbersBound,
  vectorOfNumbers,
  writeFloat,
  writeNumbers,
} from '../../src/protocol/openai/embeddings/vector.ts'
import { openai } from '../../src/protocol/openai/openai.ts'
import type { Plan, Row, RowAnswer, Rows } from '../../src/protocol/protocol.ts'
import { callOf, planOf, replyOf, SEED, textOf } from '../../src/testing/protocol-call.ts'

const PATH = '/v1/embeddings'
const target = openai.match('POST', PATH)
const parts = { path: PATH, ...(target && { target }) }

describe('a 32-bit float', () => {
  const floats = fc.oneof(
    fc.float({ noNaN: true, noDefaultInfinity: true }),
    fc.float({ noNaN: true, noDefaultInfinity: true, min: -1, max: 1 }),
    // Around powers of two the floats below lie closer than those above; around powers of ten digits change.
    fc
      .tuple(fc.integer({ min: -149, max: 127 }), fc.integer({ min: -2, max: 2 }))
      .map(([power, steps]) => stepped(Math.fround(2 ** power), steps)),
    fc
      .tuple(fc.integer({ min: -44, max: 38 }), fc.integer({ min: -2, max: 2 }))
      .map(([power, steps]) => stepped(Math.fround(Number(`1e${power}`)), steps)),
  )

  it('is written as the shortest decimal that reads back to it', () => {
    fc.assert(
      fc.property(floats, fc.boolean(), (float, isBare) => {
        const out = Buffer.alloc(numbersBound(1))
        const text = out.toString('latin1', 0, writeFloat(float, isBare, out, 0))
        expect(Object.is(Math.fround(Number(text)), float)).toBe(true)
        expect(JSON.parse(text)).toBe(Number(text))
        if (isBare && Number.isInteger(float) && Math.abs(float) < 1e15)
          expect(text).toBe(Object.is(float, -0) ? '-0' : String(float))
        else expect(digitsOf(text)).toBe(leastDigits(float))
        if (!isBare) expect(text).toMatch(/[.e]/)
      }),
      { numRuns: 4000 },
    )
  })

  it('is read from whatever decimal a server writes, as numbers are read', () => {
    const text = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e30, max: 1e30 }).map(String),
      floats.map(String),
      fc
        .tuple(fc.double({ noNaN: true, min: -10, max: 10 }), fc.integer({ min: 1, max: 30 }))
        .map(([value, digits]) => value.toFixed(digits)),
      fc.double({ noNaN: true, min: -10, max: 10 }).map((value) => value.toExponential()),
      fc.integer({ min: -(1 << 24), max: 1 << 24 }).map(String),
    )
    fc.assert(
      fc.property(fc.array(text, { maxLength: 8 }), (texts) => {
        const body = Buffer.from(`[${texts.join(' , ')}]`)
        const vector = vectorOfNumbers(body, 0, body.length)
        const expected = Float32Array.from(texts, Number)
        const isRounded = texts.some(
          (one, i) => /^-?\d+$/.test(one) && (Number(one) !== expected[i] || Math.abs(Number(one)) >= 1e15),
        )
        if (isRounded) {
          expect(vector).toBeUndefined()
          return
        }
        expect(vector?.bytes).toEqual(Buffer.from(expected.buffer))
        const out = Buffer.alloc(numbersBound(texts.length))
        const written = out.subarray(0, writeNumbers(vector ?? { bytes: out, isBare: false }, out, 0))
        expect(vectorOfNumbers(written, 0, written.length)?.bytes).toEqual(vector?.bytes)
      }),
      { numRuns: 1000 },
    )
  })

  it('holds no number beyond its range, and no whole number that it would round', () => {
    for (const text of ['[1e39]', '[NaN]', '[-Infinity]', '[null]', '[16777217]', '[[1]]', '["1"]']) {
      const body = Buffer.from(text)
      expect(vectorOfNumbers(body, 0, body.length)).toBeUndefined()
    }
  })
})

/** The float so many steps away. */
function stepped(float: number, steps: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, float)
  view.setInt32(0, Math.max(0, view.getInt32(0) + steps))
  const next = view.getFloat32(0)
  return Number.isFinite(next) ? next : float
}

function digitsOf(text: string): number {
  const digits = text.replace(/e.*/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '')
  return Math.max(1, digits.length)
}

/** By trying all decimals of one digit, then those of two, and so on. */
function leastDigits(float: number): number {
  if (float === 0) return 1
  for (let count = 1; count < 9; count++) {
    const [digits = '', exponent = ''] = Math.abs(float)
      .toExponential(count - 1)
      .split('e')
    const middle = Number(digits.replace('.', ''))
    for (const near of [middle - 1, middle, middle + 1])
      if (Math.fround(Number(`${near}e${Number(exponent) - count + 1}`)) === Math.abs(float)) return count
  }
  return 9
}

type Input = string | readonly string[] | readonly number[] | readonly (readonly number[])[]

interface Request {
  readonly input: Input
  readonly members: Readonly<Record<string, unknown>>
  readonly delivery: Readonly<Record<string, unknown>>
}

const text = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'é', '"\\/\n', '1', '[1]', '😀'),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
)
const tokens = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 })
const request: fc.Arbitrary<Request> = fc.record({
  input: fc.oneof(
    text,
    fc.array(text, { minLength: 1, maxLength: 3 }),
    tokens,
    fc.array(tokens, { minLength: 1, maxLength: 3 }),
  ),
  members: fc.record(
    {
      model: fc.constantFrom('m', 'n'),
      dimensions: fc.constantFrom(8, 16),
      truncate_prompt_tokens: fc.constantFrom(-1, 5),
      cache_salt: fc.constantFrom('s', 't'),
      unknown: fc.constantFrom(null, true, { a: 1, b: [2] }),
    },
    { requiredKeys: ['model'] },
  ),
  delivery: fc.record(
    {
      encoding_format: fc.constantFrom('float', 'base64'),
      user: fc.constantFrom('u', 'v', 'input'),
      metadata: fc.constantFrom({}, { model: 'x' }),
      safety_identifier: fc.string({ maxLength: 2 }),
      prompt_cache_key: fc.string({ maxLength: 2 }),
      priority: fc.integer(),
      request_id: fc.string({ maxLength: 2 }),
      service_tier: fc.constantFrom('auto', 'flex'),
    },
    { requiredKeys: [] },
  ),
})

/** One of the texts of a value: spaces, escapes and the order of members are drawn from `pick`. */
function spelled(value: unknown, pick: () => number): string {
  const space = () => ['', ' ', '\n', ''][pick() % 4] as string
  if (typeof value === 'string') {
    // As Python writes it, as JavaScript does, or with an escape where none is needed.
    const json = JSON.stringify(value)
    const way = pick() % 3
    if (way === 0) return json
    if (way === 1)
      return json.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    return json.replace(/[ab/]/g, (c) => (json.includes('\\') ? c : `\\u00${c.charCodeAt(0).toString(16)}`))
  }
  if (Array.isArray(value))
    return `[${space()}${value.map((one) => spelled(one, pick)).join(`${space()},${space()}`)}${space()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([key, one]) => ({
    at: pick(),
    text: `${spelled(key, pick)}${space()}:${space()}${spelled(one, pick)}`,
  }))
  members.sort((a, b) => a.at - b.at)
  return `{${space()}${members.map((one) => one.text).join(`${space()},`)}${space()}}`
}

/** What is asked for: the rows, and all that each depends on. */
function reference({ input, members }: Request): { whole: string; rows: string[] } {
  const list: readonly unknown[] =
    typeof input === 'string' ? [input] : typeof input[0] === 'number' ? [input] : input
  const common = sorted(members)
  return { whole: JSON.stringify([common, list]), rows: list.map((row) => JSON.stringify([common, row])) }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => [key, sorted(one)])
}

function bodyOf({ input, members, delivery }: Request, pick: () => number): Buffer {
  return Buffer.from(spelled({ ...members, ...delivery, input }, pick))
}

it('has a key for what is asked, and none for how it is asked', () => {
  const byReference = new Map<string, string>()
  const byKey = new Map<string, string>()
  const check = (of: string, key: string) => {
    expect(byReference.get(of) ?? key).toBe(key)
    expect(byKey.get(key) ?? of).toBe(of)
    byReference.set(of, key)
    byKey.set(key, of)
  }
  fc.assert(
    fc.property(request, fc.infiniteStream(fc.nat()), (asked, stream) => {
      const body = bodyOf(asked, () => stream.next().value as number)
      const plan = planOf(openai, body, parts)
      const expected = reference(asked)
      check(`whole ${expected.whole}`, plan.whole)
      expect(openai.read(callOf(body, parts), body, { seed: SEED, split: false })).toMatchObject({
        whole: plan.whole,
      })
      expect(plan.rows).toHaveLength(expected.rows.length)
      for (const [i, row] of (plan.rows ?? []).entries()) check(`row ${expected.rows[i]}`, row.digest)
    }),
    { numRuns: 1000 },
  )
})

/** A server: the vector of a row is a function of its text, and so are the tokens that it costs. */
function server(body: Uint8Array): Reply & { body: Uint8Array } {
  const { input, encoding_format } = JSON.parse(Buffer.from(body).toString()) as {
    input: Input
    encoding_format?: string
  }
  const rows: readonly unknown[] = typeof input === 'string' || typeof input[0] === 'number' ? [input] : input
  const data = rows.map((row, index) => {
    const vector = vectorFor(row)
    const embedding =
      encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
    return { object: 'embedding', index, embedding }
  })
  const tokens = rows.reduce<number>((sum, row) => sum + tokensOf(row), 0)
  // Nothing says that they come in order.
  return replyOf(
    JSON.stringify({
      object: 'list',
      id: `embd-${rows.length}`,
      data: data.toReversed(),
      model: 'm-1',
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }),
  )
}

function vectorFor(row: unknown): Float32Array {
  const bytes = Buffer.from(JSON.stringify(row))
  return Float32Array.from({ length: 3 }, (_, i) =>
    Math.sin(bytes.reduce((sum, byte, at) => sum * 31 + byte * (at + i + 1), 7)),
  )
}

function tokensOf(row: unknown): number {
  return Array.isArray(row) ? row.length : 1 + Math.ceil((row as string).length / 2)
}

interface Answer {
  readonly data: readonly { readonly index: number; readonly embedding: string | readonly number[] }[]
  readonly usage: { readonly prompt_tokens: number }
}

it('whatever is kept and however it was asked, each input has its vector, in its place', () => {
  const rows = openai.rows as Rows
  fc.assert(
    fc.property(
      request,
      fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      fc.infiniteStream(fc.nat()),
      (asked, groups, isBase64, stream) => {
        const body = bodyOf(asked, () => stream.next().value as number)
        const plan: Plan = planOf(openai, body, parts)
        const own = plan.rows ?? []
        const found = new Map<string, RowAnswer>()
        for (const group of new Set(groups)) {
          const mine = own.filter((row, i) => groups[i % groups.length] === group && !found.has(row.digest))
          const sent: readonly Row[] = [...new Map(mine.map((row) => [row.digest, row])).values()]
          if (sent.length === 0) continue
          const reply = server(rows.join(plan, sent, body).body)
          const cut = rows.cut(reply, reply.body, sent.length, { common: plan.common, rows: sent })
          for (const [i, answer] of (cut ?? []).entries()) found.set((sent[i] as Row).digest, answer)
        }
        const encoding_format = isBase64 ? 'base64' : 'float'
        const wanted = Buffer.from(JSON.stringify({ ...asked.members, input: asked.input, encoding_format }))
        const reply = rows.assemble(
          planOf(openai, wanted, parts),
          own.map(({ digest }) => found.get(digest) as RowAnswer),
        )
        const answer = JSON.parse(textOf(reply)) as Answer
        const list: readonly unknown[] =
          typeof asked.input === 'string' || typeof asked.input[0] === 'number' ? [asked.input] : asked.input
        expect(answer.data.map(({ index }) => index)).toEqual(list.map((_, i) => i))
        for (const [i, { embedding }] of answer.data.entries()) {
          expect(typeof embedding).toBe(isBase64 ? 'string' : 'object')
          const bytes =
            typeof embedding === 'string'
              ? Buffer.from(embedding, 'base64')
              : Buffer.from(Float32Array.from(embedding).buffer)
          expect(bytes).toEqual(Buffer.from(vectorFor(list[i]).buffer))
        }
        // Exact for whole batches and for rows that were asked for alone; otherwise the sum of what was said of each request.
        if (new Set(groups).size === 1 && found.size === list.length)
          expect(answer.usage.prompt_tokens).toBe(list.reduce<number>((sum, row) => sum + tokensOf(row), 0))
      },
    ),
    { numRuns: 300 },
  )
})
