import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { runToEnd } from '../../../../src/lib/cooperative.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import type { Plan } from '../../../../src/protocol/protocol.ts'
import {
  binaryRequest,
  callOf,
  keyOf,
  planOf,
  replyOf,
  SEED,
  textOf,
} from '../../../../src/testing/protocol-call.ts'
import {
  answerOf,
  framed,
  INFER_CALL,
  inferBody,
  inferReply,
  type Message,
} from '../../../support/oip-messages.ts'

const VALUES = [1, 2.5, -3, 4]
const BLOB = Buffer.from(Float32Array.from(VALUES).buffer)
const tensor = { name: 'x', datatype: 'FP32', shape: [2, 2] }

const raw = (more: Message = {}): Buffer =>
  inferBody({ model_name: 'm', inputs: [tensor], raw_input_contents: [BLOB], ...more })
const typed = (more: Message = {}): Buffer =>
  inferBody({ model_name: 'm', inputs: [{ ...tensor, contents: { fp32_contents: VALUES } }], ...more })
const json = (more: object = {}): string => JSON.stringify({ inputs: [{ ...tensor, data: VALUES }], ...more })

const grpcPlan = (body: Uint8Array): Plan => planOf(oip, body, INFER_CALL)
const grpcKey = (body: Uint8Array): string => keyOf(oip, body, INFER_CALL)

describe('keys of gRPC calls', () => {
  it('are those of the same tensors in JSON and in blobs, whole and by row', () => {
    const twin = planOf(oip, json())
    const blobs = binaryRequest({ inputs: [{ ...tensor, parameters: { binary_data_size: BLOB.length } }] }, [
      BLOB,
    ])
    expect(keyOf(oip, blobs.body, { headers: blobs.headers })).toBe(twin.whole)
    for (const body of [raw(), typed()]) {
      const plan = grpcPlan(body)
      expect(plan.whole).toBe(twin.whole)
      expect(plan.rows?.map(({ digest }) => digest)).toEqual(twin.rows?.map(({ digest }) => digest))
      expect(plan.batch).toBeDefined()
    }
  })

  it('leave out the id, the model and its version, which the seed covers', () => {
    expect(grpcKey(raw({ id: 'a', model_version: '3' }))).toBe(grpcKey(raw({ id: 'b' })))
  })

  it('have parameters as JSON has them; doubles and unsigned numbers are kinds of their own', () => {
    const parameters = { a: { int64_param: '-5' }, b: { bool_param: false }, c: { string_param: 'é"\n' } }
    const twin = json({ parameters: { a: -5, b: false, c: 'é"\n' } })
    expect(grpcKey(raw({ parameters }))).toBe(keyOf(oip, twin))
    const keys = [
      { int64_param: 5 },
      { uint64_param: 5 },
      { double_param: 5 },
      { string_param: '5' },
      {},
    ].map((a) => grpcKey(raw({ parameters: { a } })))
    expect(new Set(keys).size).toBe(5)
  })

  it('have the outputs as JSON has them', () => {
    const outputs = [{ name: 'b', parameters: { classification: { int64_param: 2 } } }, { name: 'a' }]
    const twin = json({ outputs: [{ name: 'b', parameters: { classification: 2 } }, { name: 'a' }] })
    expect(grpcKey(raw({ outputs }))).toBe(keyOf(oip, twin))
    expect(grpcKey(raw({ outputs: outputs.toReversed() }))).not.toBe(keyOf(oip, twin))
  })

  it('cover fields that are unknown', () => {
    const field = Buffer.from('f23f026869', 'hex')
    const unknown = framed(Buffer.concat([raw().subarray(5), field]))
    expect(grpcKey(unknown)).not.toBe(grpcKey(raw()))
    expect(grpcKey(unknown)).toBe(grpcKey(framed(Buffer.concat([field, raw().subarray(5)]))))
  })

  it('are those of the message, compressed or not', () => {
    const zipped = gzipSync(raw().subarray(5))
    const body = framed(zipped)
    body[0] = 1
    const headers = [...(INFER_CALL.headers ?? []), 'grpc-encoding', 'gzip']
    expect(keyOf(oip, body, { ...INFER_CALL, headers })).toBe(grpcKey(raw()))
    expect(grpcKey(body)).toBe('bypass grpc-encoding')
    expect(oip.model?.(body)).toEqual({ model: 'm' })
  })

  it.each([
    ['sequence', raw({ parameters: { sequence_id: { int64_param: 7 } } })],
    ['sequence', raw({ parameters: { sequence_start: { bool_param: true } } })],
    ['reserved-parameter', raw({ parameters: { triton_enable_empty_final_response: { bool_param: true } } })],
    [
      'shared-memory',
      raw({ inputs: [{ ...tensor, parameters: { shared_memory_region: { string_param: 'r' } } }] }),
    ],
    [
      'shared-memory',
      raw({ outputs: [{ name: 'y', parameters: { shared_memory_region: { string_param: 'r' } } }] }),
    ],
    ['malformed-input', raw({ inputs: [{ ...tensor, contents: { fp32_contents: VALUES } }] })],
    ['malformed-input', typed({ inputs: [{ ...tensor, contents: { fp64_contents: VALUES } }] })],
    ['malformed-input', typed({ inputs: [{ ...tensor, contents: { fp32_contents: [1] } }] })],
    [
      'malformed-input',
      typed({ inputs: [{ ...tensor, datatype: 'INT8', contents: { int_contents: [1, 2, 3, 300] } }] }),
    ],
    ['malformed-shape', raw({ inputs: [{ ...tensor, shape: [-1, 2] }] })],
    ['blob-size', raw({ raw_input_contents: [BLOB, BLOB] })],
    ['blob-size', raw({ raw_input_contents: [BLOB.subarray(1)] })],
    ['duplicate-input', raw({ inputs: [tensor, tensor], raw_input_contents: [BLOB, BLOB] })],
    ['duplicate-output', raw({ outputs: [{ name: 'y' }, { name: 'y' }] })],
    ['no-inputs', inferBody({ model_name: 'm' })],
    ['unparsable', framed(Buffer.from([0x0a, 0x05, 0x41]))],
    ['grpc-message', raw().subarray(0, -1)],
  ])('bypass: %s', (reason, body) => {
    expect(grpcKey(body)).toBe(`bypass ${reason}`)
  })

  it('bypass another codec, and another path', () => {
    const headers = ['content-type', 'application/grpc+json']
    expect(keyOf(oip, raw(), { ...INFER_CALL, headers })).toBe('bypass grpc-codec')
    expect(keyOf(oip, raw(), { ...INFER_CALL, path: '/v2/models/m/infer' })).toBe('bypass content-type')
  })

  it.each([
    ['inputs', '2a00'],
    ['parameters', '2200'],
    ['raw values', '3a00'],
    ['unknown fields', '7a00'],
  ])('bypass %s by the thousand, which would cost an object each', (_, field) => {
    const many = Buffer.concat([raw().subarray(5), Buffer.from(field.repeat(20_000), 'hex')])
    expect(grpcKey(framed(many))).toBe('bypass unparsable')
    expect(oip.model?.(framed(many))).toBeUndefined()
    const inside = Buffer.concat([
      Buffer.from('2a', 'hex'),
      Buffer.from('c0b802', 'hex'),
      Buffer.from('7a00'.repeat(20_000), 'hex'),
    ])
    expect(grpcKey(framed(Buffer.concat([raw().subarray(5), inside])))).toBe('bypass unparsable')
  })

  it('do not count numbers that are written one by one', () => {
    const contents = Buffer.from(`2ac0b802${'1003'.repeat(20_000)}`, 'hex')
    const head = Buffer.from('0a01781204494e54381a03a09c01', 'hex')
    const input = Buffer.concat([head, contents])
    const length = Buffer.from([
      0x2a,
      (input.length & 0x7f) | 0x80,
      ((input.length >> 7) & 0x7f) | 0x80,
      input.length >> 14,
    ])
    const twin = json({
      inputs: [
        { name: 'x', datatype: 'INT8', shape: [20_000], data: Array.from({ length: 20_000 }, () => 3) },
      ],
    })
    expect(grpcKey(framed(Buffer.concat([length, input])))).toBe(keyOf(oip, twin))
  })

  it('take an empty correlation id for none', () => {
    for (const sequence_id of [{ int64_param: 0 }, { string_param: '' }])
      expect(grpcKey(raw({ parameters: { sequence_id } }))).toBe(grpcKey(raw()))
  })

  it('are the same for a body in pieces', () => {
    for (const body of [raw({ outputs: [{ name: 'y' }] }), typed({ id: '5' })]) {
      const chunks = new Chunks([...body].map((byte) => Uint8Array.of(byte)))
      const reading = runToEnd(oip.readChunks(callOf(body, INFER_CALL), chunks, { seed: SEED, split: false }))
      expect(reading).toHaveProperty('whole', grpcKey(body))
    }
  })
})

describe('long bodies', () => {
  const pieces = (body: Buffer) => {
    const list: Buffer[] = []
    for (let at = 0; at < body.length; at += 65_000) list.push(body.subarray(at, at + 65_000))
    return new Chunks(list)
  }
  const stepped = (body: Buffer) =>
    runToEnd(oip.readChunks(callOf(body, INFER_CALL), pieces(body), { seed: SEED, split: false }))
  const values = Buffer.alloc(5 << 20, 1)
  const long = { ...tensor, shape: [5 << 18] }

  it('have the key they have in one piece, if their values are raw', () => {
    const body = raw({ inputs: [long], raw_input_contents: [values] })
    expect(stepped(body)).toHaveProperty('whole', grpcKey(body))
    expect(runToEnd((oip.modelChunks as NonNullable<typeof oip.modelChunks>)(pieces(body)))).toEqual({
      model: 'm',
    })
  })

  it('bypass where their values are typed, or they are compressed', () => {
    const typedInput = { name: 'x', datatype: 'BYTES', shape: [1], contents: { bytes_contents: [values] } }
    expect(stepped(inferBody({ inputs: [typedInput] }))).toEqual({ bypass: 'long-contents' })
    const compressed = framed(values)
    compressed[0] = 1
    expect(stepped(compressed)).toEqual({ bypass: 'grpc-compression' })
    expect(stepped(framed(values).subarray(0, -1))).toEqual({ bypass: 'grpc-message' })
  })
})

describe('the model in the body', () => {
  const inPieces = (body: Uint8Array) =>
    runToEnd(
      (oip.modelChunks as NonNullable<typeof oip.modelChunks>)(
        new Chunks([...body].map((byte) => Uint8Array.of(byte))),
      ),
    )

  it('is the one that was written last, with its version', () => {
    const twice = Buffer.from('0a01610a0162120133', 'hex')
    for (const [body, model] of [
      [raw({ model_version: '7' }), { model: 'm', version: '7' }],
      [framed(twice), { model: 'b', version: '3' }],
      [framed(Buffer.from('120133', 'hex')), undefined],
      [Buffer.from('{"inputs": []}'), undefined],
      [raw().subarray(0, -1), undefined],
    ] as const) {
      expect(oip.model?.(body)).toEqual(model)
      expect(inPieces(body)).toEqual(model)
    }
  })
})

/** `textOf` gives one character a byte. */
const jsonOf = (reply: Reply | undefined): unknown =>
  JSON.parse(Buffer.from(textOf(reply), 'latin1').toString())

const OUTPUT = { name: 'y', datatype: 'FP32', shape: ['2', '1'], parameters: {} }
const ANSWER = Buffer.from(Float32Array.from([0.5, 0.1]).buffer)
const rawAnswer = (more: Message = {}) =>
  inferReply({
    model_name: 'm',
    model_version: '1',
    outputs: [OUTPUT],
    raw_output_contents: [ANSWER],
    ...more,
  })
const typedAnswer = (more: Message = {}) =>
  inferReply({
    ...{ model_name: 'm', model_version: '1', ...more },
    outputs: [{ ...OUTPUT, contents: { fp32_contents: [0.5, 0.1] } }],
  })
const JSON_ANSWER = JSON.stringify({
  ...{ model_name: 'm', model_version: '1' },
  outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 1], data: [0.5, 0.10000000149011612] }],
})

describe('answers of gRPC', () => {
  const call = (body: Uint8Array) => callOf(body, INFER_CALL)

  it('go unchanged to callers of the same form and id', () => {
    const reply = rawAnswer()
    expect(oip.address(reply, call(raw()))).toBe(reply)
    const own = typedAnswer({ id: 'mine' })
    expect(oip.address(own, call(typed({ id: 'mine' })))).toBe(own)
  })

  it('get the id of each caller, or none', () => {
    const reply = rawAnswer({ id: 'of another' })
    expect(answerOf(oip.address(reply, call(raw({ id: 'mine "é"' }))))).toMatchObject({ id: 'mine "é"' })
    const nobody = oip.address(reply, call(raw()))
    expect(answerOf(nobody)).toMatchObject({ id: '', outputs: [OUTPUT], raw_output_contents: [ANSWER] })
    expect(nobody?.trailers?.()).toEqual(['grpc-status', '0'])
  })

  it('are given raw or typed as the request was, or as the server answers that form', () => {
    expect(answerOf(oip.address(rawAnswer(), call(typed())))).toEqual(answerOf(typedAnswer()))
    expect(answerOf(oip.address(typedAnswer(), call(raw())))).toEqual(answerOf(rawAnswer()))
    const plan = grpcPlan(typed())
    const { form } = plan
    const always = rawAnswer()
    expect(oip.address(always, call(typed()), plan, { form })).toBe(always)
    expect(oip.address(always, call(typed()), plan, { asItCame: true })).toBe(always)
  })

  it('are given as the server has shown to answer every call', () => {
    const shown = (reply: ReturnType<typeof rawAnswer>, ...bodies: Uint8Array[]) =>
      bodies.reduce((bits, body) => bits | (oip.shows?.(reply, reply.body, grpcPlan(body)) ?? 0), 0)
    const alwaysRaw = shown(rawAnswer(), raw(), typed())
    const alwaysTyped = shown(typedAnswer(), raw(), typed())
    const asAsked = shown(rawAnswer(), raw()) | shown(typedAnswer(), typed())
    const given = (reply: ReturnType<typeof rawAnswer>, body: Uint8Array, bits: number) =>
      answerOf(oip.address(reply, call(body), undefined, { shown: bits }))
    for (const reply of [rawAnswer(), typedAnswer()])
      for (const body of [raw(), typed()]) {
        expect(given(reply, body, alwaysRaw)).toEqual(answerOf(rawAnswer()))
        expect(given(reply, body, alwaysTyped)).toEqual(answerOf(typedAnswer()))
      }
    expect(given(rawAnswer(), typed(), asAsked)).toEqual(answerOf(typedAnswer()))
    expect(given(typedAnswer(), raw(), asAsked)).toEqual(answerOf(rawAnswer()))
  })

  it('turn into JSON and blobs, and back', () => {
    for (const reply of [rawAnswer({ id: 'x' }), typedAnswer({ id: 'x' })]) {
      const told = oip.address(reply, callOf(Buffer.from(json({ id: 'mine' }))))
      expect(jsonOf(told)).toEqual({ ...(JSON.parse(JSON_ANSWER) as object), id: 'mine' })
      expect(told?.headers).toContain('application/json')
      expect(told?.trailers).toBeUndefined()
      const back = oip.address(told as NonNullable<typeof told>, call(raw()))
      expect(answerOf(back)).toEqual(answerOf(rawAnswer()))
      expect(back?.headers).toEqual(['content-type', 'application/grpc'])
    }
    const wish = Buffer.from(json({ parameters: { binary_data_output: true } }))
    const binary = oip.address(rawAnswer(), callOf(wish))
    expect(binary?.headers).toContain('application/octet-stream')
    expect(textOf(binary).endsWith(ANSWER.toString('latin1'))).toBe(true)
    expect(answerOf(oip.address(binary as NonNullable<typeof binary>, call(typed())))).toEqual(
      answerOf(typedAnswer()),
    )
  })

  it('keep their parameters in both forms', () => {
    const parameters = {
      a: { int64_param: '-7' },
      b: { bool_param: true },
      c: { string_param: 'é' },
      d: { double_param: 2 },
    }
    const reply = rawAnswer({ parameters, outputs: [{ ...OUTPUT, parameters }] })
    const told = oip.address(reply, callOf(Buffer.from(json()))) as NonNullable<
      ReturnType<typeof oip.address>
    >
    const said = { a: -7, b: true, c: 'é', d: 2 }
    expect(jsonOf(told)).toMatchObject({ parameters: said, outputs: [{ parameters: said }] })
    expect(answerOf(oip.address(told, call(raw())))).toEqual(answerOf(reply))
  })

  it('are forwarded where a form cannot say them', () => {
    const half = { outputs: [{ ...OUTPUT, datatype: 'FP16' }], raw_output_contents: [ANSWER.subarray(4)] }
    expect(oip.address(rawAnswer(half), callOf(Buffer.from(json())))).toBeUndefined()
    expect(oip.address(rawAnswer(half), call(typed()))).toBeUndefined()
    const listed = replyOf(JSON_ANSWER.replace('"1"', '"1","parameters":{"a":[1]}'))
    expect(oip.address(listed, call(raw()))).toBeUndefined()
  })

  it('state their version', () => {
    expect(oip.version?.(rawAnswer(), rawAnswer().body)).toBe('1')
  })

  it('may be stored if they are whole and good', () => {
    const plan = grpcPlan(raw({ outputs: [{ name: 'y' }] }))
    const storable = (reply: ReturnType<typeof rawAnswer>) => oip.storable?.(reply, reply.body, plan, true)
    expect(storable(rawAnswer())).toBe(true)
    expect(storable(typedAnswer())).toBe(true)
    expect(storable({ ...rawAnswer(), trailers: () => ['grpc-status', '13'] })).toBe(false)
    expect(storable({ ...rawAnswer(), trailers: () => [] })).toBe(false)
    expect(storable({ ...rawAnswer(), body: rawAnswer().body.subarray(0, -1) })).toBe(false)
    expect(storable(rawAnswer({ outputs: [{ ...OUTPUT, name: 'z' }] }))).toBe(false)
    expect(storable(rawAnswer({ raw_output_contents: [ANSWER.subarray(4)] }))).toBe(false)
    expect(storable(rawAnswer({ raw_output_contents: [ANSWER, ANSWER] }))).toBe(false)
  })

  it('show which forms the server takes and gives', () => {
    const shown = (reply: ReturnType<typeof rawAnswer>, body: Uint8Array) =>
      oip.shows?.(reply, reply.body, grpcPlan(body))
    const has = (bits: number | undefined, body: Uint8Array) => {
      const { form = 0 } = grpcPlan(body)
      return form !== 0 && ((bits ?? 0) & form) === form
    }
    for (const reply of [rawAnswer(), typedAnswer()]) {
      expect([has(shown(reply, raw()), raw()), has(shown(reply, raw()), typed())]).toEqual([true, false])
      expect([has(shown(reply, typed()), typed()), has(shown(reply, typed()), raw())]).toEqual([true, false])
    }
    expect(shown(rawAnswer(), raw())).not.toBe(shown(typedAnswer(), raw()))
    // FP16 has no typed form, so that it comes raw says nothing of other outputs.
    const half = rawAnswer({
      outputs: [{ ...OUTPUT, datatype: 'FP16' }],
      raw_output_contents: [ANSWER.subarray(4)],
    })
    expect([has(shown(half, raw()), raw()), has(shown(half, typed()), typed())]).toEqual([true, false])
  })
})

describe('errors', () => {
  const failed = (status: string, message: string) => ({
    status: 200,
    headers: ['content-type', 'application/grpc', 'grpc-status', status, 'grpc-message', message],
    body: new Uint8Array(0),
  })

  it('are left to callers of the same form, and turn into the other', () => {
    const own = failed('5', 'no m%C3%B6del')
    expect(oip.address(own, callOf(raw(), INFER_CALL))).toBe(own)
    const told = oip.address(own, callOf(Buffer.from(json())))
    expect(told?.status).toBe(404)
    expect(jsonOf(told)).toEqual({ error: 'no mödel' })
    const back = oip.address(told as NonNullable<typeof told>, callOf(raw(), INFER_CALL))
    expect(back?.headers).toEqual(
      expect.arrayContaining(['grpc-status', '5', 'grpc-message', 'no m%C3%B6del']),
    )
  })

  it('have their verdict by their status', () => {
    expect(oip.verdict?.(failed('3', ''))).toMatchObject({ kind: 'refused', about: 'input' })
    expect(oip.verdict?.(failed('14', ''))).toMatchObject({ kind: 'overloaded', retry: 'elsewhere' })
    expect(oip.verdict?.(rawAnswer())).toMatchObject({ kind: 'ok' })
    expect(oip.verdict?.({ ...replyOf('{}'), status: 503 })).toMatchObject({ kind: 'overloaded' })
  })
})
