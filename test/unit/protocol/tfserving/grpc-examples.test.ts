import { describe, expect, it } from 'vitest'
import { MessageWriter } from '../../../../src/protocol/protobuf/writer.ts'
import type { Plan, Row, RowAnswer } from '../../../../src/protocol/protocol.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import {
  encode,
  framed,
  grpcReply,
  type Message,
  type Method,
  grpcPlan as planOf,
  readGrpc,
  unframed,
} from '../../../support/tensorflow-serving.ts'

const rows = tfserving.rows as NonNullable<typeof tfserving.rows>

describe('Classify and Regress', () => {
  const bytesOf = (...texts: string[]) => ({ bytes_list: { value: texts.map((text) => Buffer.from(text)) } })
  const example = (x: number): Message => ({
    features: {
      feature: {
        x: { float_list: { value: [x, 0.5] } },
        n: { int64_list: { value: [1, '-9223372036854775808'] } },
        s: bytesOf('a', ''),
      },
    },
  })
  const request = (input: Message, more: Message = {}) =>
    encode('ExampleRequest', { model_spec: { name: 'm' }, input, ...more })
  const list = (...examples: Message[]) => request({ example_list: { examples } })
  const plan = planOf('Classify', list(example(1), example(2), example(3)))
  const digests = ({ rows: read }: Plan) => read?.map(({ digest }) => digest)

  it('have a row for each example, whatever the others are', () => {
    expect(new Set(digests(plan)).size).toBe(3)
    const [two, one] = digests(planOf('Classify', list(example(2), example(1)))) as string[]
    expect([one, two]).toEqual(digests(plan)?.slice(0, 2))
    const joined = rows.join(plan, [plan.rows?.[2], plan.rows?.[0]] as Row[], Buffer.alloc(0))
    expect(unframed(joined.body)).toEqual(list(example(3), example(1)))
  })

  it('differ from each other', () => {
    const regress = planOf('Regress', list(example(1), example(2), example(3)))
    expect(regress.whole).not.toBe(plan.whole)
    expect(regress.batch).not.toBe(plan.batch)
  })

  it('have the order of features, and how lists are written, in no key', () => {
    const feature = (name: string, value: Message) => encode('Features', { feature: { [name]: value } })
    const x = new MessageWriter().float(1, 1).float(1, 0.5)
    const unpacked = new MessageWriter().text(1, 'x').message(2, new MessageWriter().message(2, x))
    const own = new MessageWriter().message(
      1,
      new MessageWriter()
        .raw(feature('s', bytesOf('a', '')))
        .message(1, unpacked)
        .raw(feature('n', { int64_list: { value: [1, '-9223372036854775808'] } })),
    )
    const message = new MessageWriter()
      .message(2, new MessageWriter().message(1, new MessageWriter().message(1, own)))
      .message(1, new MessageWriter().text(1, 'm').text(3, 'serving_default'))
      .join()
    expect(planOf('Classify', message).whole).toBe(planOf('Classify', list(example(1))).whole)
  })

  it.each<[string, Uint8Array]>([
    ['another value', list(example(2))],
    [
      'another kind',
      list({ features: { feature: { ...featuresOf(1), n: { float_list: { value: [1] } } } } }),
    ],
    ['an empty list', list({ features: { feature: { ...featuresOf(1), z: { float_list: {} } } } })],
    ['a feature without a kind', list({ features: { feature: { ...featuresOf(1), z: {} } } })],
    ['a string cut elsewhere', list({ features: { feature: { ...featuresOf(1), s: bytesOf('', 'a') } } })],
    ['a context', request({ example_list_with_context: { examples: [example(1)], context: example(2) } })],
    [
      'another context',
      request({ example_list_with_context: { examples: [example(1)], context: example(3) } }),
    ],
    [
      'a signature',
      request(
        { example_list: { examples: [example(1)] } },
        { model_spec: { name: 'm', signature_name: 's' } },
      ),
    ],
  ])('differ by %s', (_, message) => {
    const [one, other] = [planOf('Classify', list(example(1))), planOf('Classify', message)]
    expect(other.whole).not.toBe(one.whole)
    expect(digests(other)).not.toEqual(digests(one))
  })

  function featuresOf(x: number): Message {
    return (example(x) as { features: { feature: Message } }).features.feature
  }

  it('have the context in the request of some of their rows', () => {
    const examples = [example(1), example(2)]
    const withContext = (own: Message[]) =>
      request(
        { example_list_with_context: { examples: own, context: example(9) } },
        { model_spec: { name: 'm', version_label: 'l' } },
      )
    const read = planOf('Regress', withContext(examples))
    const joined = rows.join(read, (read.rows ?? []).slice(1), Buffer.alloc(0))
    expect(unframed(joined.body)).toEqual(withContext(examples.slice(1)))
  })

  it.each<[string, Uint8Array, string]>([
    ['no input', request({}), 'no-inputs'],
    [
      'a feature of two kinds',
      new MessageWriter()
        .message(1, new MessageWriter().text(1, 'm'))
        .message(2, new MessageWriter().message(1, new MessageWriter().message(1, twoKinds())))
        .join(),
      'duplicate-field',
    ],
    [
      'both lists',
      Buffer.concat([list(example(1)), request({ example_list_with_context: {} })]),
      'duplicate-field',
    ],
  ])('are not read of %s', (_, message, bypass) => {
    expect(readGrpc('Classify', message)).toEqual({ bypass })
  })

  function twoKinds(): MessageWriter {
    const feature = new MessageWriter().message(1, new MessageWriter()).message(2, new MessageWriter())
    return new MessageWriter().message(
      1,
      new MessageWriter().message(1, new MessageWriter().text(1, 'x').message(2, feature)),
    )
  }

  const model_spec = { name: 'm', signature_name: 'serving_default', version: { value: 2 } }
  const classes = (...scores: number[]) => ({
    classes: scores.map((score, i) => ({ label: `class ${i}`, score })),
  })
  const classified = (...classifications: Message[]) =>
    encode('ClassificationResponse', { result: { classifications }, model_spec })
  const regressed = (...values: number[]) =>
    encode('RegressionResponse', { result: { regressions: values.map((value) => ({ value })) }, model_spec })

  it.each<[Method, Uint8Array]>([
    ['Classify', classified(classes(0.5, 0.25), classes(0), classes())],
    ['Regress', regressed(1, 0, -3)],
  ])('%s: an answer is cut and put together again as it was', (method, answer) => {
    const read = planOf(method, list(example(1), example(2), example(3)))
    const reply = grpcReply(answer)
    const cut = rows.cut(reply, reply.body, 3, read) as readonly RowAnswer[]
    expect(cut).toHaveLength(3)
    expect(unframed(rows.assemble(read, cut)?.body)).toEqual(answer)
    expect(tfserving.storable?.(reply, reply.body, read, true)).toBe(true)
    expect(tfserving.version?.(reply, reply.body)).toBe('2')
    for (const count of [2, 4]) expect(rows.cut(reply, reply.body, count, read)).toBeUndefined()
    const failed = grpcReply(answer, '13')
    expect(rows.cut(failed, failed.body, 3, read)).toBeUndefined()
    expect(rows.assemble(plan, [])).toBeUndefined()
    expect(rows.assemble(plan, [{ frame: Buffer.from('foreign'), slice: Buffer.alloc(0) }])).toBeUndefined()
  })

  it('are whole with a result for each example', () => {
    const isStorable = (message: Uint8Array) =>
      tfserving.storable?.(grpcReply(message), framed(message), plan, false)
    expect(isStorable(classified(classes(1), classes(1)))).toBe(false)
    expect(isStorable(encode('ClassificationResponse', { model_spec }))).toBe(false)
  })

  it('agree within the tolerance of single precision', () => {
    const rowOf = (method: Method, message: Uint8Array) =>
      rows.cut(grpcReply(message), framed(message), 1, planOf(method, list(example(1))))?.[0] as RowAnswer
    const classify = (scores: Message) => rowOf('Classify', classified(scores))
    expect(rows.agree(classify(classes(0.5, 0)), classify(classes(0.500001, 0)))).toBe(true)
    expect(rows.agree(classify(classes(0.5, 0)), classify(classes(0.51, 0)))).toBe(false)
    expect(rows.agree(classify(classes(0.5)), classify(classes(0.5, 0)))).toBe(false)
    expect(rows.agree(classify(classes(0.5)), classify({ classes: [{ label: 'b', score: 0.5 }] }))).toBe(
      false,
    )
    const regress = (value: number) => rowOf('Regress', regressed(value))
    expect(rows.agree(regress(2), regress(2.00001))).toBe(true)
    expect(rows.agree(regress(0), regress(1))).toBe(false)
    expect(rows.agree(regress(1), classify(classes(1)))).toBe(false)
  })
})

describe('MultiInference', () => {
  const task = (signature_name: string) => ({
    model_spec: { name: 'm', signature_name },
    method_name: 'tensorflow/serving/classify',
  })
  const request = (...tasks: Message[]) =>
    encode('MultiInferenceRequest', { tasks, input: { example_list: { examples: [{}, {}] } } })
  const plan = planOf('MultiInference', request(task('a'), task('b')))

  it('is one row, the whole call', () => {
    expect(plan.rows).toBeUndefined()
    for (const other of [
      request(task('b'), task('a')),
      request(task('a')),
      request(task('a'), { ...task('b'), method_name: 'x' }),
    ])
      expect(planOf('MultiInference', other).whole).not.toBe(plan.whole)
  })

  it('has a result for each task', () => {
    const answer = (count: number) =>
      encode('MultiInferenceResponse', {
        results: Array.from({ length: count }, () => ({
          model_spec: { name: 'm', version: { value: 1 } },
          regression_result: { regressions: [{ value: 1 }, {}] },
        })),
      })
    const isStorable = (message: Uint8Array) =>
      tfserving.storable?.(grpcReply(message), framed(message), plan, true)
    expect(isStorable(answer(2))).toBe(true)
    expect(isStorable(answer(1))).toBe(false)
    const reply = grpcReply(answer(2))
    expect(tfserving.version?.(reply, reply.body)).toBeUndefined()
  })
})
