/**
 * The gRPC form of TensorFlow Serving's dialect against protobufjs: whichever of its forms a request is written in, it has one
 * key; requests of unlike meaning have unlike keys, also of bytes that no client writes; and an answer made of rows is the one
 * that the server gives to the whole.
 */
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, it } from 'vitest'
import { Chunks } from '../../src/core/chunks.ts'
import { runToEnd } from '../../src/lib/cooperative.ts'
import type { Plan, Reading, Row, RowAnswer } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { SEED } from '../../src/testing/protocol-call.ts'
import {
  decode,
  encode,
  framed,
  grpcCall,
  grpcReply,
  type Message,
  type Method,
  grpcPlan as planOf,
  readGrpc,
  unframed,
} from '../support/tensorflow-serving.ts'
import {
  DATATYPES,
  meaningOf,
  type Pick,
  type Tensor,
  tensorMessage,
  writeTensor,
} from '../support/tensors.ts'

const rows = tfserving.rows as NonNullable<typeof tfserving.rows>

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const float = fc.float({ noNaN: true }).map((value) => hex(Buffer.from(new Float32Array([value]).buffer)))
const double = fc.double({ noNaN: true }).map((value) => hex(Buffer.from(new Float64Array([value]).buffer)))
const pair = (part: fc.Arbitrary<string>) => fc.tuple(part, part).map(([a, b]) => a + b)

function element(dtype: number): fc.Arbitrary<string> {
  const { size } = DATATYPES[dtype] as { size: number }
  if (dtype === 1) return float
  if (dtype === 2) return double
  if (dtype === 8) return pair(float)
  if (dtype === 18) return pair(double)
  if (dtype === 10) return fc.constantFrom('00', '01')
  if (size === 0) return fc.uint8Array({ maxLength: 3 }).map(hex)
  return fc.uint8Array({ minLength: size, maxLength: size }).map(hex)
}

/** Tensors of `n` rows; few values, so that some repeat. */
function tensorOf(n: number): fc.Arbitrary<Tensor> {
  return fc
    .tuple(
      fc.constantFrom(...Object.keys(DATATYPES).map(Number)),
      fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    )
    .chain(([dtype, tail]) => {
      const count = tail.reduce((product, size) => product * size, n)
      const values = fc.array(element(dtype), { minLength: 1, maxLength: 3 })
      return fc
        .tuple(values, fc.array(fc.nat(2), { minLength: count, maxLength: count }))
        .map(([some, order]) => ({
          dtype,
          dims: [n, ...tail],
          elements: order.map((i) => some[i % some.length] as string),
        }))
    })
}

interface Meaning {
  readonly version: string | undefined
  readonly label: string | undefined
  readonly signature: string
  readonly filter: readonly string[]
  readonly inputs: Readonly<Record<string, Tensor>>
}

const word = fc.constantFrom('x', 'y', 'ab', 'é')
const meaning: fc.Arbitrary<Meaning> = fc.integer({ min: 1, max: 4 }).chain((n) =>
  fc
    .record({
      version: fc.option(fc.constantFrom('0', '3', '9007199254740993'), { nil: undefined }),
      label: fc.option(word, { nil: undefined }),
      signature: fc.constantFrom('serving_default', 's'),
      filter: fc.uniqueArray(word, { maxLength: 2 }).map((names) => names.sort()),
      inputs: fc.dictionary(word, tensorOf(n), { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    })
    .map(({ label, ...rest }) => ({ ...rest, label: rest.version === undefined ? label : undefined })),
)

/** Choices of one test run, over and over. */
const choices: fc.Arbitrary<Pick> = fc
  .array(fc.nat(1 << 20), { minLength: 1, maxLength: 40 })
  .map((numbers) => {
    let at = 0
    return (n) => (numbers[at++ % numbers.length] as number) % n
  })

function field(number: number, bytes: Uint8Array): Uint8Array {
  return protobuf.Writer.create()
    .uint32((number << 3) | 2)
    .bytes(bytes)
    .finish()
}

function shuffle<T>(list: readonly T[], pick: Pick): T[] {
  const out: T[] = []
  for (const one of list) out.splice(pick(out.length + 1), 0, one)
  return out
}

/** A request in one of the forms that mean it: fields in any order, defaults left out or written. */
function written({ version, label, signature, filter, inputs }: Meaning, pick: Pick): Uint8Array {
  const spec = [field(1, Buffer.from('m'))]
  const ways = [[field(3, Buffer.from(signature))], [field(3, Buffer.alloc(0))], []]
  spec.push(...(ways[signature === 'serving_default' ? pick(3) : 0] ?? []))
  if (version !== undefined) spec.push(field(2, encode('Int64Value', { value: version })))
  if (label !== undefined) spec.push(field(4, Buffer.from(label)))
  const fields = [field(1, Buffer.concat(shuffle(spec, pick)))]
  for (const [name, tensor] of Object.entries(inputs))
    fields.push(
      field(
        2,
        Buffer.concat(shuffle([field(1, Buffer.from(name)), field(2, writeTensor(tensor, pick))], pick)),
      ),
    )
  for (const name of filter) fields.push(field(3, Buffer.from(name)))
  if (pick(2) === 0) fields.push(field(6, Buffer.from('client')))
  if (pick(2) === 0) fields.push(field(7, pick(2) === 0 ? Buffer.alloc(0) : field(1, Buffer.from('client'))))
  return Buffer.concat(shuffle(fields, pick))
}

/** The reading of a long body. */
function inPieces(method: Method, message: Uint8Array, size: number): Reading {
  const call = grpcCall(method, message)
  const pieces: Uint8Array[] = []
  for (let at = 0; at < call.body.length; at += size) pieces.push(call.body.subarray(at, at + size))
  return runToEnd(tfserving.readChunks(call, new Chunks(pieces), { seed: SEED, split: false }))
}

const keysOf = ({ whole, rows: read, batch }: Plan) => ({
  whole,
  batch,
  rows: read?.map(({ digest }) => digest),
})

/** The tensors of a decoded map; undefined if one is none that a server takes. */
function tensorsOf(map: unknown): Readonly<Record<string, Tensor>> | undefined {
  const found = Object.entries((map ?? {}) as Record<string, Message>).map(([name, tensor]) => [
    name,
    meaningOf(tensor),
  ])
  return found.every(([, tensor]) => tensor)
    ? (sorted(Object.fromEntries(found)) as Record<string, Tensor>)
    : undefined
}

describe('requests of Predict', () => {
  it('have one key in every form', () => {
    fc.assert(
      fc.property(meaning, choices, choices, (asked, one, other) => {
        const [a, b] = [written(asked, one), written(asked, other)]
        expect(tensorsOf(decode('PredictRequest', a)['inputs'])).toEqual(
          tensorsOf(decode('PredictRequest', b)['inputs']),
        )
        const keys = keysOf(planOf('Predict', a))
        expect(inPieces('Predict', b, 1 + other(40))).toHaveProperty('whole', keys.whole)
        expect(keysOf(planOf('Predict', b))).toEqual(keys)
        expect(keys.rows?.length ?? 0).toBe(Object.values(asked.inputs)[0]?.dims[0])
      }),
    )
  })

  it('have unlike keys for unlike meanings, and so have their rows', () => {
    const seen = new Map<string, string>()
    const isNew = (key: string, of: unknown) => {
      const said = JSON.stringify(of)
      expect(seen.get(key) ?? said).toBe(said)
      seen.set(key, said)
    }
    fc.assert(
      fc.property(meaning, choices, (asked, pick) => {
        const inputs = sorted(asked.inputs) as Meaning['inputs']
        const around = { ...asked, inputs: {} }
        const plan = planOf('Predict', written(asked, pick))
        isNew(plan.whole, { ...around, inputs })
        for (const [i, { digest }] of (plan.rows ?? []).entries()) {
          const row = Object.entries(inputs).map(([name, tensor]) => [name, rowOf(tensor, i)])
          isNew(digest, { ...around, row })
        }
      }),
      { numRuns: 300 },
    )
    expect(seen.size).toBeGreaterThan(300)
  })
})

function rowOf({ dtype, dims, elements }: Tensor, row: number): Tensor {
  const perRow = elements.length / (dims[0] as number)
  return { dtype, dims: dims.slice(1), elements: elements.slice(row * perRow, (row + 1) * perRow) }
}

/** A model server: each row of each output is the same row of an input, turned around. It writes as the test goes. */
function served(request: Uint8Array, pick: Pick): Uint8Array {
  const { inputs, model_spec, output_filter = [] } = decode('PredictRequest', request)
  const tensors = tensorsOf(inputs)
  if (!tensors) throw new Error('the request has no tensors')
  const outputs = Object.entries(tensors).map(([name, tensor]) => {
    const count = tensor.dims[0] as number
    const turned = Array.from({ length: count }, (_, row) => rowOf(tensor, row).elements.toReversed())
    return [`${name} out`, tensorMessage({ ...tensor, elements: turned.flat() }, pick(2) === 0)] as const
  })
  const wanted = (output_filter as string[]).map(
    (name) => [name, tensorMessage(firstOf(tensors), false)] as const,
  )
  return encode('PredictResponse', {
    model_spec: { ...(model_spec as Message), version: { value: 7 } },
    outputs: Object.fromEntries(shuffle(wanted.length > 0 ? wanted : outputs, pick)),
  })
}

function firstOf(tensors: Readonly<Record<string, Tensor>>): Tensor {
  return Object.values(tensors)[0] as Tensor
}

/** The answer to a call of which each group of rows was asked for by itself. */
function inGroups(
  plan: Plan,
  groups: readonly number[],
  serve: (request: Uint8Array) => Uint8Array,
): Uint8Array {
  const all = plan.rows as readonly Row[]
  const found: RowAnswer[] = []
  for (const group of new Set(groups)) {
    const mine = all.map((_, i) => i).filter((i) => groups[i % groups.length] === group)
    if (mine.length === 0) continue
    const joined = rows.join(
      plan,
      mine.map((i) => all[i] as Row),
      Buffer.alloc(0),
    )
    const reply = grpcReply(serve(unframed(joined.body)))
    const cut = rows.cut(reply, reply.body, mine.length, plan)
    if (!cut) throw new Error(`not cut: ${hex(reply.body)}`)
    for (const [at, i] of mine.entries()) found[i] = cut[at] as RowAnswer
  }
  return unframed(rows.assemble(plan, found)?.body)
}

const groups = fc.array(fc.nat(2), { minLength: 1, maxLength: 4 })

describe('answers', () => {
  it('of Predict are those of the server, from whichever requests their rows come', () => {
    fc.assert(
      fc.property(meaning, choices, groups, (asked, pick, parts) => {
        const request = written(asked, pick)
        const whole = decode('PredictResponse', served(request, pick))
        const made = decode(
          'PredictResponse',
          inGroups(planOf('Predict', request), parts, (part) => served(part, pick)),
        )
        expect(tensorsOf(made['outputs'])).toEqual(tensorsOf(whole['outputs']))
        expect(made['model_spec']).toEqual(whole['model_spec'])
      }),
    )
  })

  it('of Classify are those of the server', () => {
    const serve = (request: Uint8Array): Uint8Array => {
      const { input, model_spec } = decode('ExampleRequest', request) as Record<string, Message>
      const { example_list, example_list_with_context } = input as Record<string, Message | undefined>
      const { examples = [], context } = (example_list ?? example_list_with_context ?? {}) as {
        examples?: Message[]
        context?: Message
      }
      const classifications = examples.map((example) => {
        const text = JSON.stringify([sorted(example), sorted(context)])
        return { classes: [{ label: text, score: text.length / 8 }, { label: '' }] }
      })
      return encode('ClassificationResponse', { result: { classifications }, model_spec })
    }
    fc.assert(
      fc.property(
        fc.array(example, { minLength: 1, maxLength: 4 }),
        fc.option(example, { nil: undefined }),
        choices,
        groups,
        (list, context, pick, parts) => {
          const request = exampleRequest(list, context, pick)
          const made = inGroups(planOf('Classify', request), parts, serve)
          expect(decode('ClassificationResponse', made)).toEqual(
            decode('ClassificationResponse', serve(request)),
          )
        },
      ),
    )
  })
})

/** Members of objects in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, member]) => [key, sorted(member)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

type Example = Readonly<Record<string, Readonly<{ kind: number; values: readonly number[] }>>>

const example: fc.Arbitrary<Example> = fc.dictionary(
  word,
  fc.record({
    kind: fc.integer({ min: 0, max: 3 }),
    values: fc.array(fc.integer({ min: -2, max: 2 }), { maxLength: 3 }),
  }),
  { maxKeys: 3, noNullPrototype: true },
)

function exampleRequest(list: readonly Example[], context: Example | undefined, pick: Pick): Uint8Array {
  return Buffer.concat(shuffle([field(1, field(1, Buffer.from('m'))), inputField(list, context, pick)], pick))
}

function inputField(list: readonly Example[], context: Example | undefined, pick: Pick): Uint8Array {
  const examples = list.map((one) => field(1, writeExample(one, pick)))
  const around = context ? [...examples, field(2, writeExample(context, pick))] : examples
  return field(2, field(context ? 2 : 1, Buffer.concat(around)))
}

function writeExample(features: Example, pick: Pick): Uint8Array {
  const entries = Object.entries(features).map(([name, { kind, values }]) => {
    const feature = kind === 0 ? Buffer.alloc(0) : field(kind, writeList(kind, values, pick))
    return field(1, Buffer.concat(shuffle([field(1, Buffer.from(name)), field(2, feature)], pick)))
  })
  return field(1, Buffer.concat(shuffle(entries, pick)))
}

function writeList(kind: number, values: readonly number[], pick: Pick): Uint8Array {
  const put = (writer: protobuf.Writer, value: number) =>
    kind === 2 ? writer.float(value) : writer.int64(value)
  if (kind === 1) return Buffer.concat(values.map((value) => field(1, Buffer.from(String(value)))))
  const list = protobuf.Writer.create()
  const cut = pick(values.length + 1)
  for (const value of values.slice(0, cut)) put(list.uint32((1 << 3) | (kind === 2 ? 5 : 0)), value)
  list.uint32(10).fork()
  for (const value of values.slice(cut)) put(list, value)
  return list.ldelim().finish()
}

describe('requests of Classify', () => {
  it('have one key in every form, and another for another meaning', () => {
    const seen = new Map<string, string>()
    fc.assert(
      fc.property(
        fc.array(example, { minLength: 1, maxLength: 3 }),
        fc.option(example, { nil: undefined }),
        choices,
        choices,
        (list, context, one, other) => {
          const keys = keysOf(planOf('Classify', exampleRequest(list, context, one)))
          const inParts = inPieces('Classify', exampleRequest(list, context, other), 1 + other(40))
          expect(inParts).toHaveProperty('whole', keys.whole)
          expect(keysOf(planOf('Classify', exampleRequest(list, context, other)))).toEqual(keys)
          const said = JSON.stringify(sorted([list.map(said0), context && said0(context)]))
          expect(seen.get(keys.whole) ?? said).toBe(said)
          seen.set(keys.whole, said)
        },
      ),
      { numRuns: 200 },
    )
    expect(seen.size).toBeGreaterThan(100)
  })

  /** A feature without a kind has no values. */
  function said0(features: Example): unknown {
    return Object.fromEntries(
      Object.entries(features).map(([name, { kind, values }]) => [name, kind === 0 ? [0] : [kind, values]]),
    )
  }
})

describe('bytes that no client writes', () => {
  const edits = fc.array(
    fc.record({
      at: fc.nat(400),
      byte: fc.nat(255),
      kind: fc.constantFrom('set', 'flip', 'flip', 'insert', 'drop', 'cut', 'repeat'),
    }),
    { minLength: 1, maxLength: 2 },
  )

  function edited(bytes: Uint8Array, changes: readonly { at: number; byte: number; kind: string }[]): Buffer {
    let out = Buffer.from(bytes)
    for (const { at: place, byte, kind } of changes) {
      const at = place % (out.length + 1)
      const [before, after] = [out.subarray(0, at), out.subarray(at)]
      if (kind === 'insert') out = Buffer.concat([before, Buffer.of(byte), after])
      else if (kind === 'drop') out = Buffer.concat([before, after.subarray(1)])
      else if (kind === 'cut') out = Buffer.from(before)
      else if (kind === 'repeat') out = Buffer.concat([before, after.subarray(0, byte), after])
      else if (at < out.length) out[at] = kind === 'set' ? byte : (out[at] as number) ^ (1 << (byte & 7))
    }
    return out
  }

  /** A number of six to nine bytes, which protobufjs reads as one of ten. */
  const OVERLONG = /(?<![\x80-\xff])[\x80-\xff]{5,8}(?![\x80-\xff])/
  const SPEC = { name: 'm' }
  it.each<[Method, string, string]>([
    ['Predict', 'PredictRequest', 'PredictResponse'],
    ['Classify', 'ExampleRequest', 'ClassificationResponse'],
    ['Regress', 'ExampleRequest', 'RegressionResponse'],
    ['MultiInference', 'MultiInferenceRequest', 'MultiInferenceResponse'],
  ])('%s: never throw, and have no key of another meaning', (method, type, answerType) => {
    let keyed = 0
    fc.assert(
      fc.property(
        meaning,
        fc.array(example, { minLength: 1, maxLength: 2 }),
        choices,
        edits,
        (asked, list, pick, changes) => {
          const request =
            method === 'Predict'
              ? written(asked, pick)
              : method === 'MultiInference'
                ? Buffer.concat([
                    encode(type, { tasks: [{ model_spec: SPEC, method_name: 'x' }] }),
                    inputField(list, undefined, pick),
                  ])
                : exampleRequest(list, undefined, pick)
          const broken = edited(request, changes)
          tfserving.model?.(framed(broken))
          const [before, after] = [readGrpc(method, request), readGrpc(method, broken)]
          if ('bypass' in before) throw new Error(before.bypass)
          if (!('bypass' in after)) keyed++
          if (
            !('bypass' in after) &&
            before.whole === after.whole &&
            !OVERLONG.test(broken.toString('latin1'))
          )
            expect(said(type, broken) ?? said(type, request)).toEqual(said(type, request))
          const plan = before
          const answer = edited(
            method === 'Predict' ? served(request, pick) : encode(answerType, answerOf(list.length)),
            changes,
          )
          const reply = grpcReply(answer)
          tfserving.storable?.(reply, reply.body, plan, true)
          tfserving.version?.(reply, reply.body)
          const cut = rows.cut(reply, reply.body, plan.rows?.length ?? 1, plan)
          if (!cut) return
          const made = rows.assemble(plan, cut)
          const again = rows.cut(made ?? reply, made?.body as Uint8Array, cut.length, plan)
          expect(again?.map(({ slice }) => hex(slice))).toEqual(cut.map(({ slice }) => hex(slice)))
          expect(cut.every((row, i) => rows.agree(row, again?.[i] as RowAnswer))).toBe(true)
        },
      ),
      { numRuns: 1000 },
    )
    // Not all of it is garbage.
    expect(keyed).toBeGreaterThan(15)
  })

  function answerOf(count: number): Message {
    const results = Array.from({ length: count }, () => ({ value: 1, classes: [{ label: 'a', score: 1 }] }))
    return {
      result: { classifications: results, regressions: results },
      model_spec: SPEC,
      results: [{ model_spec: SPEC }],
    }
  }

  /** What protobufjs makes of a request, without what no answer depends on; undefined: it cannot read it. */
  function said(type: string, message: Uint8Array): unknown {
    const decoded = decodedOrNot(type, message)
    if (!decoded) return undefined
    const { inputs, output_filter, client_id: _client, request_options, model_spec, ...rest } = decoded
    const { client_id: _id, ...options } = (request_options ?? {}) as Message
    const { signature_name, ...spec } = (model_spec ?? {}) as Message
    return sorted({
      ...(withoutEmptyFeatures(rest) as Message),
      options,
      spec,
      signature: signature_name || 'serving_default',
      filter: [...((output_filter as string[]) ?? [])].sort(),
      inputs: inputs === undefined ? undefined : tensorsOf(inputs),
    })
  }

  function decodedOrNot(type: string, message: Uint8Array): Message | undefined {
    try {
      return decode(type, message)
    } catch {
      return undefined
    }
  }

  /** An example without features may say so or not. */
  function withoutEmptyFeatures(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(withoutEmptyFeatures)
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).filter(
      ([key, member]) => key !== 'features' || Object.keys(member as object).length > 0,
    )
    return Object.fromEntries(members.map(([key, member]) => [key, withoutEmptyFeatures(member)]))
  }
})
