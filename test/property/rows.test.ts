/**
 * However the rows of a call are divided into those found and those asked for, and however the latter are
 * divided into upstream requests, the answer is the one the model gives to the whole. The models here are pure
 * functions of a row behind a server of each dialect.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { header } from '../../src/core/call.ts'
import type { Reply } from '../../src/core/reply.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import type { Plan, Protocol, Row, RowAnswer, Rows } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { binaryRequest, type CallParts, planOf, replyOf, textOf } from '../../src/testing/protocol-call.ts'

type Server = (body: Uint8Array, parts: CallParts) => Reply & { body: Uint8Array }

interface Asked {
  readonly body: Uint8Array
  readonly parts: CallParts
}

/** Cuts the answer to a call that asks for `rows` only. */
function ask(
  protocol: Protocol,
  plan: Plan,
  rows: readonly Row[],
  call: Asked,
  server: Server,
): readonly RowAnswer[] {
  const power = protocol.rows as Rows
  const joined = power.join(plan, rows, call.body)
  const reply = server(joined.body, joined.headers.length > 0 ? { headers: joined.headers } : {})
  const cut = power.cut(reply, reply.body, rows.length)
  if (!cut) throw new Error(`not cut: ${Buffer.from(reply.body).toString('latin1')}`)
  for (const count of [rows.length - 1, rows.length + 1]) {
    // I14: an answer of another number of rows is none.
    expect(power.cut(reply, reply.body, count)).toBeUndefined()
  }
  return cut
}

/** The answer merged from upstream requests of one group of rows each, equal rows asked for once. */
function merged(protocol: Protocol, call: Asked, groups: readonly number[], server: Server): Reply {
  const plan = planOf(protocol, call.body, call.parts)
  const rows = plan.rows ?? []
  const found = new Map<string, RowAnswer>()
  for (const group of new Set(groups)) {
    const mine = rows.filter((row, i) => groups[i % groups.length] === group && !found.has(row.digest))
    const once = [...new Map(mine.map((row) => [row.digest, row])).values()]
    if (once.length === 0) continue
    for (const [i, answer] of ask(protocol, plan, once, call, server).entries()) {
      found.set((once[i] as Row).digest, answer)
    }
  }
  const answers = rows.map((row) => found.get(row.digest) as RowAnswer)
  const reply = protocol.rows?.assemble(plan, answers)
  if (!reply) throw new Error('not assembled')
  return reply
}

const number = fc.constantFrom('0', '1', '1.0', '-2.5', '3e2', '9007199254740993')
const row = fc.array(number, { minLength: 2, maxLength: 2 })
const batch = fc.array(row, { minLength: 1, maxLength: 12 })
const groups = fc.array(fc.nat(3), { minLength: 1, maxLength: 12 })
const runs = { numRuns: 400 }

/** A number as TensorFlow Serving prints it: with a point, and NaN as a bare token. */
function print(value: number): string {
  if (value === 0) return 'NaN'
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : String(value)
}

describe('I12: merged rows are the whole answer', () => {
  it('V1 instances, byte for byte', () => {
    const server: Server = (body) => {
      const { instances } = JSON.parse(Buffer.from(body).toString()) as { instances: [number, number][] }
      return replyOf(`{"predictions":[${instances.map(([a, b]) => `[${print(a + b)},${print(a * b)}]`)}]}`)
    }
    fc.assert(
      fc.property(batch, groups, (rows, parts) => {
        const body = Buffer.from(
          `{"signature_name":"s","instances":[ ${rows.map((one) => `[${one}]`).join(' , ')}]}`,
        )
        expect(textOf(merged(tfserving, { body, parts: {} }, parts, server))).toBe(textOf(server(body, {})))
      }),
      runs,
    )
  })

  it('V1 columns', () => {
    const server: Server = (body) => {
      const { inputs } = JSON.parse(Buffer.from(body).toString()) as {
        inputs: { a: number[][]; s: string[] }
      }
      const p = inputs.a.map(([x, y], i) => print((x ?? 0) + (y ?? 0) + (inputs.s[i] ?? '').length))
      return replyOf(`{"outputs":{"echo":${JSON.stringify(inputs.s)},"p":[${p}]}}`)
    }
    fc.assert(
      fc.property(
        batch,
        groups,
        fc.array(fc.string(), { minLength: 12, maxLength: 12 }),
        (rows, parts, texts) => {
          const s = JSON.stringify(texts.slice(0, rows.length))
          const body = Buffer.from(`{"inputs":{"s":${s}, "a":[${rows.map((one) => `[${one}]`)}]}}`)
          expect(textOf(merged(tfserving, { body, parts: {} }, parts, server))).toBe(textOf(server(body, {})))
        },
      ),
      runs,
    )
  })

  it('V2 tensors, in every pair of encodings', () => {
    const encoding = fc.constantFrom('json', 'nested', 'binary')
    fc.assert(
      fc.property(batch, groups, encoding, encoding, fc.boolean(), (rows, parts, sent, answered, wish) => {
        const call = tensorCall(rows, sent, wish)
        const reply = merged(oip, call, parts, tensorServer(answered))
        expect(reply.headers.includes('application/octet-stream')).toBe(wish)
        expect(tensorOf(reply)).toEqual({
          id: 'mine',
          shape: [rows.length, 2],
          values: rows.flatMap(([a, b]) => f(Math.fround(Number(a)), Math.fround(Number(b)))),
        })
      }),
      runs,
    )
  })
})

/** The model behind the V2 server; FP32 in, FP32 out. */
function f(a: number, b: number): [number, number] {
  return [Math.fround(a + b), Math.fround(a - b * 0.1)]
}

function blobOf(values: readonly number[]): Buffer {
  const blob = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) blob.writeFloatLE(value, i * 4)
  return blob
}

function floatsOf(blob: Uint8Array): number[] {
  const buffer = Buffer.from(blob)
  return Array.from({ length: blob.length / 4 }, (_, i) => buffer.readFloatLE(i * 4))
}

function tensorCall(rows: readonly string[][], sent: string, wish: boolean): Asked {
  const more = { id: 'mine', parameters: { binary_data_output: wish } }
  const tensor = { name: 'x', datatype: 'FP32', shape: [rows.length, 2] }
  if (sent === 'binary') {
    const blob = blobOf(rows.flat().map(Number))
    const inputs = [{ ...tensor, parameters: { binary_data_size: blob.length } }]
    const made = binaryRequest({ ...more, inputs }, [blob])
    return { body: made.body, parts: { headers: made.headers } }
  }
  const data = sent === 'nested' ? rows.map((one) => `[${one}]`) : rows.flat()
  const input = JSON.stringify(tensor).replace('}', `,"data":[${data}]}`)
  const body = JSON.stringify({ ...more, inputs: 0 }).replace('"inputs":0', `"inputs":[${input}]`)
  return { body: Buffer.from(body), parts: {} }
}

interface Tensors {
  readonly id?: string
  readonly inputs?: { shape: number[]; data?: number[] }[]
  readonly outputs?: { shape: number[]; data?: number[] }[]
}

/** The only tensor of a request or answer, read without the code under test. */
function parsed(
  body: Uint8Array,
  headers: readonly string[],
): { json: Tensors; shape: number[]; values: number[] } {
  const length = Number(header(headers, 'inference-header-content-length') ?? body.length)
  const json = JSON.parse(Buffer.from(body.subarray(0, length)).toString()) as Tensors
  const [tensor] = json.inputs ?? json.outputs ?? []
  if (!tensor) throw new Error('no tensor')
  const values = tensor.data ? tensor.data.flat().map(Math.fround) : floatsOf(body.subarray(length))
  return { json, shape: tensor.shape, values }
}

function tensorOf(reply: Reply): { id: string | undefined; shape: number[]; values: number[] } {
  const { json, shape, values } = parsed(reply.body as Uint8Array, reply.headers)
  return { id: json.id, shape, values }
}

function tensorServer(answered: string): Server {
  return (body, parts) => {
    const { shape, values } = parsed(body, parts.headers ?? [])
    expect(values).toHaveLength(shape.reduce((a, b) => a * b, 1))
    const out = Array.from({ length: shape[0] as number }, (_, i) =>
      f(values[i * 2] as number, values[i * 2 + 1] as number),
    )
    const tensor = { name: 'y', datatype: 'FP32', shape: [out.length, 2] }
    const more = { id: 'of the server', model_name: 'm', model_version: '1' }
    if (answered !== 'binary') {
      const data = answered === 'nested' ? out : out.flat()
      return replyOf(JSON.stringify({ ...more, outputs: [{ ...tensor, data }] }))
    }
    const blob = blobOf(out.flat())
    const outputs = [{ ...tensor, parameters: { binary_data_size: blob.length } }]
    const made = binaryRequest({ ...more, outputs }, [blob])
    return replyOf(made.body, made.headers)
  }
}
