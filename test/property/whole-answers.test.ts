/**
 * Only a whole, well-formed answer to what was asked is kept: not one that was cut off anywhere, not one with more or
 * fewer rows than were asked for, not one beside an error, and no blob whose size lies.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { oip } from '../../src/protocol/oip/oip.ts'
import type { Plan, Protocol } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { binaryRequest, planOf, replyOf } from '../../src/testing/protocol-call.ts'

const runs = { numRuns: 150 }

interface Case {
  readonly protocol: Protocol
  readonly plan: Plan
  readonly body: Buffer
  readonly headers: readonly string[]
}

function judged({ protocol, plan, headers }: Case, body: Uint8Array, counted = true): boolean {
  const reply = replyOf(body, headers)
  const isKept = protocol.storable?.(reply, body, plan, counted) ?? true
  const rows = plan.rows?.length
  // What is cut into rows is judged by cutting it.
  if (rows !== undefined && counted && !isKept)
    expect(protocol.rows?.cut(reply, body, rows, plan)).toBeUndefined()
  return isKept
}

const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.boolean(),
  fc.constantFrom([0.5, [1, '],"']], { a: '}', error: 1 }, [], {}),
)
const target = (verb: string) => ({ target: { verb, model: 'm', prediction: true } })
const space = fc.constantFrom('', ' ', '\n  ')
const more = fc.constantFrom({}, { model: 'x' }, { error: null, took: 3 }, { errors: [] })

/** [verb, rows of the request, rows of the answer] */
const layouts = [
  ['predict', 'instances', 'predictions'],
  ['predict', 'inputs', 'outputs'],
  ['classify', 'examples', 'results'],
  ['regress', 'examples', 'result'],
] as const

const v1 = fc
  .record({
    layout: fc.constantFrom(...layouts),
    rows: fc.array(value, { minLength: 1, maxLength: 5 }),
    isNamed: fc.boolean(),
    extra: more,
    space,
  })
  .map(({ layout: [verb, asked, answered], rows, isNamed, extra, space: gap }) => {
    const numbers = rows.map((_, i) => i)
    const named = isNamed && asked === 'inputs'
    const request = JSON.stringify({ [asked]: named ? { a: numbers, b: numbers } : numbers })
    const answer = (list: readonly unknown[]) =>
      `${gap}${JSON.stringify({ ...extra, [answered]: named ? { p: list, q: list } : list }, undefined, gap)}${gap}`
    const one = { protocol: tfserving, plan: planOf(tfserving, request, target(verb)), headers: [] }
    return { ...one, rows, answer, answered, gap }
  })

describe('V1', () => {
  it('keeps what has as many predictions as there were instances, and nothing that was cut off', () => {
    fc.assert(
      fc.property(v1, fc.nat(), ({ rows, answer, gap, ...one }, at) => {
        const body = Buffer.from(answer(rows))
        expect(judged({ ...one, body }, body)).toBe(true)
        const end = body.length - gap.length
        expect(judged({ ...one, body }, body.subarray(0, at % end), at % 2 === 0)).toBe(false)
        expect(judged({ ...one, body }, Buffer.concat([body, Buffer.from('x')]))).toBe(false)
        for (const wrong of [rows.slice(1), [...rows, 1]]) {
          const other = Buffer.from(answer(wrong))
          expect(judged({ ...one, body }, other)).toBe(false)
          // `rows: never` says that rows are none of the gateway's business.
          expect(judged({ ...one, body }, other, false)).toBe(true)
        }
      }),
      runs,
    )
  })

  it.each([
    '',
    '{}',
    'null',
    '<html>login</html>',
    '{"error":"out of memory"}',
    '{"predictions":null}',
    '{"predictions":[1,2],"error":"boom"}',
    '{"predictions":[1,2],"errors":["boom"]}',
    '{"predictions":[1,2],"outputs":[1,2]}',
    '{"predictions":[1,2],"predictions":[1,2]}',
    '{"detail":"no"}',
    '{"message":"loading","code":503}',
    '"upstream connect error"',
    '{"results":[1,2]',
    '{"predictions":[1,2]}\0',
  ])('keeps no %s, with rows or without', (text) => {
    const plan = planOf(tfserving, '{"instances":[1,2]}', target('predict'))
    const one = { protocol: tfserving, plan, headers: [], body: Buffer.from(text) }
    expect([judged(one, one.body, true), judged(one, one.body, false)]).toEqual([false, false])
  })

  it('keeps the bare list of a server that answers so', () => {
    const plan = planOf(tfserving, '{"instances":[1,2]}', target('predict'))
    const kept = (text: string) => tfserving.storable?.(replyOf(text), Buffer.from(text), plan, true)
    expect([kept('[1,2]'), kept('[1]'), kept('[1,2')]).toEqual([true, false, false])
  })

  it('reads the number of instances of a long body from its pieces', () => {
    const long = `{"a":[[1],[2]],"instances":[${'[1,2],'.repeat(5)}{"b":[1,2]}],"z":{"instances":[1]}}`
    const plan = planOf(tfserving, long, target('predict'))
    expect(plan.common).toMatchObject({ count: 6 })
  })

  it('keeps an explanation that says more than that there is none', () => {
    const plan = planOf(tfserving, '{"instances":[1,2]}', target('explain'))
    const kept = (text: string) => tfserving.storable?.(replyOf(text), Buffer.from(text), plan, true)
    expect(kept('{"explanations":[[1]]}')).toBe(true)
    expect([kept('{}'), kept('{"message":"x","code":1}'), kept('{"a":1,"error":"x"}')]).toEqual([
      false,
      false,
      false,
    ])
  })
})

interface Output {
  readonly rows: number
  readonly width: number
  readonly form: 'flat' | 'nested' | 'blob' | 'texts'
}

const output: fc.Arbitrary<Output> = fc.record({
  rows: fc.integer({ min: 0, max: 3 }),
  width: fc.integer({ min: 1, max: 3 }),
  form: fc.constantFrom('flat', 'nested', 'blob', 'texts'),
})

function tensorOf({ rows, width, form }: Output, i: number, lie = 0) {
  const count = rows * width
  const shape = { name: `y${i}`, datatype: form === 'texts' ? 'BYTES' : 'FP32', shape: [rows, width] }
  if (form === 'blob' || form === 'texts') {
    const text = Buffer.from([1, 0, 0, 0, 0x61])
    const blob =
      form === 'blob' ? Buffer.alloc(4 * count + lie) : Buffer.concat(Array(count + lie).fill(text))
    return { json: { ...shape, parameters: { binary_data_size: blob.length } }, blob }
  }
  const flat = Array.from({ length: count + lie }, (_, at) => at)
  if (form === 'flat') return { json: { ...shape, data: flat }, blob: Buffer.alloc(0) }
  const data = Array.from({ length: rows }, (_, row) => flat.slice(row * width, (row + 1) * width))
  if (lie > 0) data.push(flat.slice(0, lie))
  return { json: { ...shape, data }, blob: Buffer.alloc(0) }
}

function answerOf(outputs: readonly Output[], liar = -1, more: object = {}) {
  const tensors = outputs.map((one, i) => tensorOf(one, i, i === liar ? 1 : 0))
  const json = { model_name: 'm', ...more, outputs: tensors.map((one) => one.json) }
  return binaryRequest(
    json,
    tensors.map(({ blob }) => blob),
  )
}

describe('V2', () => {
  const plan = planOf(oip, '{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]}')
  const listed = planOf(
    oip,
    '{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}],"outputs":[{"name":"y9"}]}',
  )
  const kept = ({ body, headers }: ReturnType<typeof answerOf>, of = plan) =>
    oip.storable?.(replyOf(body, headers), body, of, true)

  it('keeps outputs that are as long as they say, JSON or blob, and nothing that was cut off', () => {
    fc.assert(
      fc.property(fc.array(output, { minLength: 1, maxLength: 3 }), fc.nat(), (outputs, at) => {
        const whole = answerOf(outputs)
        expect(kept(whole)).toBe(true)
        expect(kept(whole, listed)).toBe(false)
        expect(kept(answerOf(outputs, at % outputs.length))).toBe(false)
        expect(kept(answerOf(outputs, -1, { error: 'boom' }))).toBe(false)
        expect(kept(answerOf(outputs, -1, { error: null }))).toBe(true)
        const short = whole.body.subarray(0, at % whole.body.length)
        expect(kept({ ...whole, body: short })).toBe(false)
        expect(kept({ ...whole, body: Buffer.concat([whole.body, Buffer.from('x')]) })).toBe(false)
      }),
      runs,
    )
  })
})
