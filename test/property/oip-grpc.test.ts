/**
 * gRPC requests have the keys of their twins in JSON and in blobs, however they are written; answers mean the same in every form.
 * Messages are written field by field, in any order and in every legal way, and read by a library that is not ours.
 */
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, it } from 'vitest'
import { Chunks } from '../../src/core/chunks.ts'
import type { Reply } from '../../src/core/reply.ts'
import { runToEnd } from '../../src/lib/cooperative.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import { type CallParts, callOf, keyOf, planOf, readingOf, SEED } from '../../src/testing/protocol-call.ts'
import {
  answerOf,
  decoded,
  encoded,
  framed,
  INFER_CALL,
  inferReply,
  unframed,
} from '../support/oip-messages.ts'
import {
  answerMessage,
  jsonOf,
  KINDS,
  type Kind,
  messageOf,
  name,
  parameters,
  picks,
  request,
  type Tensor,
  tensor,
} from '../support/oip-requests.ts'

const grpcKey = (message: Uint8Array) => keyOf(oip, framed(message), INFER_CALL)

function inPieces(message: Uint8Array): unknown {
  const body = framed(message)
  const chunks = new Chunks([...body].map((byte) => Uint8Array.of(byte)))
  return runToEnd(oip.readChunks(callOf(body, INFER_CALL), chunks, { seed: SEED, split: false }))
}

describe('requests over gRPC', () => {
  it('have the key of their twin in JSON, and so have their rows, however they are written', () => {
    fc.assert(
      fc.property(request, fc.boolean(), picks, (asked, isRaw, pick) => {
        const twin = planOf(oip, jsonOf(asked))
        const message = messageOf(asked, pick, isRaw)
        const plan = planOf(oip, framed(message), INFER_CALL)
        expect(plan.whole).toBe(twin.whole)
        expect(plan.rows?.map(({ digest }) => digest)).toEqual(twin.rows?.map(({ digest }) => digest))
        expect(inPieces(message)).toHaveProperty('whole', twin.whole)
        expect(oip.model?.(framed(message))).toEqual({ model: 'm' })
        const blobs: Buffer[] = []
        const head = Buffer.from(jsonOf(asked, blobs))
        const headers = ['Inference-Header-Content-Length', String(head.length)]
        expect(keyOf(oip, Buffer.concat([head, ...blobs]), { headers })).toBe(twin.whole)
      }),
      { numRuns: 300 },
    )
  })

  it('have another key where they mean another thing', () => {
    fc.assert(
      fc.property(request, request, picks, (one, other, pick) => {
        const [a, b] = [messageOf(one, pick, true), messageOf(other, pick, false)]
        expect(grpcKey(a) === grpcKey(b)).toBe(keyOf(oip, jsonOf(one)) === keyOf(oip, jsonOf(other)))
      }),
      { numRuns: 200 },
    )
  })

  it('are joined to messages that ask for just those rows, in the form of their caller', () => {
    fc.assert(
      fc.property(request, fc.boolean(), picks, (asked, isRaw, pick) => {
        const body = framed(messageOf(asked, pick, isRaw))
        const plan = planOf(oip, body, INFER_CALL)
        if (!plan.rows) return
        const rows = plan.rows.filter(() => pick() % 2 === 0)
        const joined = oip.rows?.join(plan, rows.length > 0 ? rows : plan.rows, body)
        const again = planOf(oip, joined?.body as Uint8Array, INFER_CALL)
        expect(again.rows?.map(({ digest }) => digest)).toEqual(
          (rows.length > 0 ? rows : plan.rows).map(({ digest }) => digest),
        )
        expect(again.form).toBe(plan.form)
        const message = decoded(
          'ModelInferRequest',
          unframed(joined?.body as Uint8Array),
        ) as unknown as Decoded
        expect(message.model_name).toBe('m')
        expect(message.raw_input_contents.length > 0).toBe(isRaw)
      }),
      { numRuns: 200 },
    )
  })
})

describe('requests for servers of the other form', () => {
  it('ask for the same', () => {
    fc.assert(
      fc.property(request, fc.boolean(), fc.boolean(), picks, (asked, isRaw, isBinary, pick) => {
        const target = { verb: 'infer', model: 'm', prediction: true }
        const twin = planOf(oip, jsonOf(asked))
        const translated = (body: Uint8Array, parts: CallParts) => {
          const made = oip.translate?.(callOf(body, { ...parts, target }), body, () => isBinary)
          if (!made) throw new Error('this dialect has two forms')
          return made
        }
        const toRest = translated(framed(messageOf(asked, pick, isRaw)), INFER_CALL)
        expect([toRest.method, toRest.path]).toEqual(['POST', '/v2/models/m/infer'])
        const rest = { path: toRest.path, headers: toRest.headers(INFER_CALL.headers ?? []) }
        expect(keyOf(oip, toRest.body, rest)).toBe(twin.whole)
        for (const again of [translated(toRest.body, rest), translated(Buffer.from(jsonOf(asked)), {})]) {
          const headers = again.headers(rest.headers)
          expect(keyOf(oip, again.body, { path: again.path, headers })).toBe(twin.whole)
          decoded('ModelInferRequest', unframed(again.body))
        }
      }),
      { numRuns: 200 },
    )
  })
})

interface Decoded {
  readonly model_name: string
  readonly raw_input_contents: readonly Uint8Array[]
}

/** The fields of each message that the protocol has, and how they may be written. */
const SCHEMA: Readonly<
  Record<string, Readonly<Record<number, readonly [wires: readonly number[], message?: string]>>>
> = {
  request: {
    ...{ 1: [[2]], 2: [[2]], 3: [[2]], 4: [[2], 'entry'], 5: [[2], 'tensor'], 6: [[2], 'output'], 7: [[2]] },
  },
  tensor: { 1: [[2]], 2: [[2]], 3: [[0, 2]], 4: [[2], 'entry'], 5: [[2], 'contents'] },
  output: { 1: [[2]], 2: [[2], 'entry'] },
  entry: { 1: [[2]], 2: [[2], 'parameter'] },
  parameter: { 1: [[0]], 2: [[0]], 3: [[2]], 4: [[1]], 5: [[0]] },
  contents: {
    ...{
      1: [[0, 2]],
      2: [[0, 2]],
      3: [[0, 2]],
      4: [[0, 2]],
      5: [[0, 2]],
      6: [[5, 2]],
      7: [[1, 2]],
      8: [[2]],
    },
  },
}
/** Whether a message has known fields alone, and nothing that the library reads in its own way. */
function isPlain(bytes: Uint8Array, type = 'request'): boolean {
  const reader = protobuf.Reader.create(bytes)
  const seen = new Set<string>()
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    const [wires, message] = SCHEMA[type]?.[tag >>> 3] ?? []
    if (!wires?.includes(tag & 7)) return false
    // It keeps each value of a choice, and takes the last of two messages that others merge.
    const once = type === 'parameter' ? 'choice' : message
    if (once !== undefined && ONCE.has(once) && seen.has(once)) return false
    seen.add(once ?? '')
    if (message === undefined) reader.skipType(tag & 7)
    else if (!isPlain(reader.bytes(), message)) return false
  }
  return true
}

const ONCE = new Set(['contents', 'parameter', 'choice'])

describe('any bytes', () => {
  it('are read as the library reads them, or not at all', () => {
    let read = 0
    fc.assert(
      fc.property(request, fc.boolean(), picks, (asked, isRaw, pick) => {
        const bytes = messageOf(asked, pick, isRaw)
        for (let n = pick() % 2; n > 0; n--) bytes[pick() % bytes.length] = pick() % 256
        const message = pick() % 5 === 0 ? bytes.subarray(0, pick() % bytes.length) : bytes
        const reading = readingOf(oip, framed(message), INFER_CALL)
        const pieces = inPieces(message)
        if ('bypass' in reading) {
          expect(pieces).toHaveProperty('bypass')
          return
        }
        expect(pieces).toHaveProperty('whole', reading.whole)
        oip.model?.(framed(message))
        if (!isPlain(message)) return
        const again = encoded('ModelInferRequest', decoded('ModelInferRequest', message))
        expect(grpcKey(again)).toBe(reading.whole)
        read++
      }),
      { numRuns: 1000 },
    )
    expect(read).toBeGreaterThan(50)
  })

  it('are no answers that break what reads them', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(tensor, { maxLength: 2 }),
        picks,
        (noise, outputs, pick) => {
          const good = encoded('ModelInferResponse', answerMessage(outputs, pick() % 2 === 0))
          for (let n = 1 + (pick() % 3); n > 0 && good.length > 0; n--)
            good[pick() % good.length] = pick() % 256
          for (const bytes of [noise, good]) {
            const reply = { ...inferReply({}), body: framed(bytes) }
            const body = framed(messageOf({ inputs: [], outputs: [], parameters: [] }, pick, true))
            oip.rows?.cut(reply, reply.body, 2)
            oip.version?.(reply, reply.body)
            oip.address(reply, callOf(body, INFER_CALL))
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

/** The parts of an answer that are looked at. */
interface Told {
  readonly outputs: readonly {
    readonly datatype: string
    readonly contents: Readonly<Record<string, readonly unknown[]>> | null
  }[]
  readonly raw_output_contents: readonly Uint8Array[]
}

/** What an answer means: outputs with their bytes, whether raw or typed, and all else but the id. */
function meaning(reply: Reply | undefined): unknown {
  const told = answerOf(reply)
  const { outputs, raw_output_contents: raw } = told as unknown as Told
  const tensors = outputs.map(({ contents, ...output }, i) => {
    const kind = KINDS.find(({ datatype }) => datatype === output.datatype) as Kind
    const typed = (contents?.[kind.list] ?? []).map((value) => kind.blob(valueOf(value, kind)))
    return { ...output, blob: (raw[i] ? Buffer.from(raw[i]) : Buffer.concat(typed)).toString('hex') }
  })
  return { ...told, id: '', raw_output_contents: [], outputs: tensors }
}

function valueOf(value: unknown, { datatype }: Kind): bigint | number | boolean | string {
  if (datatype.includes('INT')) return BigInt(value as string)
  return datatype === 'BYTES' ? Buffer.from(value as Uint8Array).toString() : (value as number | boolean)
}

describe('answers', () => {
  const body = (isRaw: boolean, id: string) => {
    const input = {
      name: 'x',
      datatype: 'INT8',
      shape: [1],
      ...(isRaw ? {} : { contents: { int_contents: [1] } }),
    }
    return framed(
      encoded('ModelInferRequest', {
        model_name: 'm',
        id,
        inputs: [input],
        ...(isRaw ? { raw_input_contents: [Buffer.of(1)] } : {}),
      }),
    )
  }
  const json = (id: string, binary: boolean) =>
    Buffer.from(
      JSON.stringify({
        ...{ id, parameters: { binary_data_output: binary } },
        inputs: [{ name: 'x', datatype: 'INT8', shape: [1], data: [1] }],
      }),
    )
  const outputs = fc.uniqueArray(tensor, { minLength: 1, maxLength: 3, selector: (output) => output.name })

  it('mean the same raw, typed, in JSON and in blobs', () => {
    fc.assert(
      fc.property(outputs, fc.boolean(), fc.boolean(), fc.boolean(), (list, isRaw, wantsRaw, binary) => {
        const reply = inferReply(answerMessage(list, isRaw))
        const told = oip.address(reply, callOf(body(wantsRaw, 'mine'), INFER_CALL))
        expect(meaning(told)).toEqual(meaning(reply))
        expect(answerOf(told)).toHaveProperty('id', 'mine')
        const overHttp = oip.address(reply, callOf(json('theirs', binary)))
        if (!overHttp) throw new Error('JSON can say all of these')
        const back = oip.address(overHttp, callOf(body(wantsRaw, 'mine'), INFER_CALL))
        expect(meaning(back)).toEqual(meaning(reply))
      }),
      { numRuns: 200 },
    )
  })

  it('are put together of rows that calls in other forms have brought', () => {
    const rows = fc.integer({ min: 1, max: 4 }).chain((count) =>
      fc.tuple(
        fc.constant(count),
        fc.uniqueArray(
          fc
            .record({
              name,
              parameters,
              kind: fc.constantFrom(...KINDS),
              trailing: fc.array(fc.integer({ min: 1, max: 2 }), { maxLength: 2 }),
            })
            .chain(({ trailing, ...rest }) => {
              const size = count * trailing.reduce((product, one) => product * one, 1)
              return fc
                .array(rest.kind.value, { minLength: size, maxLength: size })
                .map(
                  (values): Tensor => ({ ...rest, shape: [count, ...trailing], values: values as never[] }),
                )
            }),
          { minLength: 1, maxLength: 2, selector: (output) => output.name },
        ),
      ),
    )
    fc.assert(
      fc.property(rows, fc.boolean(), picks, ([count, list], wantsRaw, pick) => {
        const reply = inferReply(answerMessage(list, true))
        const forms = [
          reply,
          inferReply(answerMessage(list, false)),
          oip.address(reply, callOf(json('', false))) as Reply,
          oip.address(reply, callOf(json('', true))) as Reply,
        ]
        const cut = forms.map((form) => oip.rows?.cut(form, form.body as Uint8Array, count) ?? [])
        const answers = Array.from({ length: count }, (_, row) => cut[pick() % cut.length]?.[row] as never)
        const plan = planOf(oip, body(wantsRaw, 'mine'), INFER_CALL)
        const told = oip.rows?.assemble(plan, answers)
        expect(meaning(told)).toEqual(meaning(reply))
        expect((answerOf(told) as { raw_output_contents: unknown[] }).raw_output_contents.length > 0).toBe(
          wantsRaw,
        )
        const overHttp = oip.rows?.assemble(planOf(oip, json('', pick() % 2 === 0)), answers)
        const back = oip.address(overHttp as Reply, callOf(body(true, ''), INFER_CALL))
        expect(meaning(back)).toEqual(meaning(reply))
        for (const other of cut) {
          expect(oip.rows?.agree(cut[0]?.[0] as never, other[0] as never)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })
})
