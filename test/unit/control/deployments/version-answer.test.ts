/** What model servers say of their versions, in their own words. */
import { describe, expect, it } from 'vitest'
import {
  readIndex,
  readList,
  readManaged,
  readMetadata,
  readStatus,
} from '../../../../src/control/deployments/version-answer.ts'

const ok = (body: unknown) => ({
  kind: 'status' as const,
  status: 200,
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
const status = (code: number, body = '') => ({ kind: 'status' as const, status: code, body })
const version = (number: string, state: string) => ({
  version: number,
  state,
  status: { error_code: 'OK', error_message: '' },
})
const offers = (...list: string[]) => ({ kind: 'offers', offers: list })
const silent = { kind: 'silent', isUnreachable: false }
const other = { kind: 'other' }

describe('TensorFlow Serving offers', () => {
  it.each([
    ['its available versions', [version('2', 'AVAILABLE'), version('1', 'AVAILABLE')], offers('1@', '2@')],
    ['not those that end', [version('2', 'AVAILABLE'), version('1', 'END')], offers('2@')],
    ['nothing for now while it loads', [version('2', 'LOADING'), version('1', 'UNLOADING')], silent],
    ['nothing for now when it names none', [], silent],
  ])('%s', (_name, list, wanted) => {
    expect(readStatus(ok({ model_version_status: list }))).toEqual(wanted)
  })
})

describe('Open Inference metadata offers', () => {
  const metadata = (more: object) => ({ name: 'iris', platform: 'onnx', inputs: [], outputs: [], ...more })
  it.each([
    ['its versions', metadata({ versions: ['2', '1'] }), offers('1@', '2@')],
    ['its revision', metadata({ versions: ['1'], parameters: { revision: 'ab12' } }), offers('1@rev:ab12')],
    [
      'its revision alone',
      metadata({ parameters: { revision: 'ab12' } }),
      { kind: 'unversioned', digest: 'rev:ab12' },
    ],
    ['no versions where it has none', metadata({}), { kind: 'unversioned', digest: '' }],
    ['none where its list is empty', metadata({ versions: [] }), { kind: 'unversioned', digest: '' }],
  ])('%s', (_name, body, wanted) => {
    expect(readMetadata(ok(body))).toEqual(wanted)
  })
})

describe.each([
  ['status', readStatus],
  ['metadata', readMetadata],
])('%s: no evidence is', (_name, read) => {
  it.each([
    ['a timeout', { kind: 'timeout' as const, message: 'late' }, { kind: 'silent', isUnreachable: true }],
    [
      'a refused connection',
      { kind: 'refused' as const, message: 'no' },
      { kind: 'silent', isUnreachable: true },
    ],
    ['a server error', status(500, '{"error":"x"}'), silent],
    ['an overloaded server', status(503), silent],
    ['a limited caller', status(429), silent],
    ['a cut answer', ok('{"model_version_'), silent],
    ['a page for everybody', ok('<html>'), other],
    ['an empty answer', ok(''), other],
    ['a path it does not know', status(404, '{"error":"unknown"}'), other],
    ['an answer of another kind', ok({ ready: true }), other],
    ['JSON that is no object', ok('null'), other],
  ])('%s', (_case, result, wanted) => {
    expect(read(result)).toEqual(wanted)
  })
})

describe('what goes into a model and comes out of it', () => {
  const tensor = (name: string, shape: number[]) => ({ name, datatype: 'FP32', shape })
  const digestOf = (...inputs: object[]) => {
    const answer = readMetadata(ok({ name: 'iris', versions: [], inputs, outputs: [tensor('y', [-1])] }))
    return answer.kind === 'unversioned' ? answer.digest : undefined
  }

  it('is evidence, whatever their order and what else is said of them', () => {
    const [a, b] = [tensor('a', [-1, 4]), tensor('b', [-1])]
    expect(digestOf(a, b)).toMatch(/^io:/)
    expect(digestOf(b, { ...a, parameters: { seen: 17 } })).toBe(digestOf(a, b))
    expect(digestOf(a, tensor('b', [-1, 2]))).not.toBe(digestOf(a, b))
  })
})

describe('the index of a repository offers', () => {
  const read = (body: unknown) => readIndex(ok(body), 'iris', 'io:x')
  it.each([
    [
      'the version of a model that is ready, as MLServer says it',
      [
        { name: 'other', version: '9', state: 'READY' },
        { name: 'iris', version: 'v1.0.0', state: 'READY', reason: '' },
      ],
      offers('v1.0.0@io:x'),
    ],
    ['no version where the model has none', [{ name: 'iris', state: 'READY' }], offers('@io:x')],
    ['nothing for now while it is loaded', [{ name: 'iris', version: '2', state: 'LOADING' }], silent],
    ['no version of a model that is not in it', [{ name: 'other', version: '1' }], offers('@io:x')],
    ['no version where it is no index', { predictions: [1] }, offers('@io:x')],
  ])('%s', (_name, body, wanted) => {
    expect(read(body)).toEqual(wanted)
  })

  it('nothing for now where it fails, and no version where there is none', () => {
    expect(readIndex(status(503), 'iris', '')).toEqual(silent)
    expect(readIndex(status(404, '{}'), 'iris', '')).toEqual(offers('@'))
  })
})

describe("TorchServe's management offers", () => {
  const found = { modelName: 'iris', modelVersion: '1.0', modelUrl: 'iris.mar', workers: [{ id: '9000' }] }
  it.each([
    ['the version that answers, and its archive', ok([found]), offers('1.0@iris.mar')],
    [
      'no archive that would not fit the evidence',
      ok([{ ...found, modelUrl: 'http://u@h/i' }]),
      offers('1.0@'),
    ],
    ['nothing of another model', ok([{ ...found, modelName: 'm' }]), other],
    ['nothing where it is a list of another kind', ok([{ id: 'iris' }, null]), other],
    ['nothing where it is none', ok({ models: [found] }), other],
    ['nothing where it is not there', status(404, '{"code":404}'), other],
    ['nothing for now while it fails', status(503), silent],
  ])('%s', (_name, result, wanted) => {
    expect(readManaged(result, 'iris')).toEqual(wanted)
  })
})

describe("a list of OpenAI's API offers", () => {
  const listed = (id: string, more: object = {}) => ({
    id,
    object: 'model',
    created: 1,
    owned_by: 'vllm',
    ...more,
  })
  const offerOf = (data: unknown, model = 'm') => readList(ok({ object: 'list', data }), model)
  const known = offerOf([listed('m', { root: '/m', max_model_len: 8 }), listed('n')])

  it('something else for another file, another length or another parent', () => {
    expect(known).toMatchObject({ kind: 'offers', offers: [expect.stringMatching(/^@list:/)] })
    for (const more of [
      { root: '/other', max_model_len: 8 },
      { root: '/m', max_model_len: 16 },
      { root: '/m', max_model_len: 8, parent: 'base' },
      { root: '/m', max_model_len: 8, meta: { size: 5 } },
    ])
      expect(offerOf([listed('m', more)])).not.toEqual(known)
  })

  it('the same whatever stands beside the model, and whenever it was listed', () => {
    const own = { root: '/m', max_model_len: 8, created: 99, permission: [{ id: 'p', created: 3 }] }
    expect(offerOf([listed('n', { root: 'x' }), listed('m', own)])).toEqual(known)
  })

  it('all that it lists under a name that it does not list', () => {
    const unlisted = offerOf([listed('a'), listed('b')])
    expect(offerOf([listed('b', { created: 7 }), listed('a')])).toEqual(unlisted)
    expect(offerOf([listed('a')])).not.toEqual(unlisted)
  })

  it('nothing for now while the list is empty, and is none where it has no entries of models', () => {
    expect(offerOf([])).toEqual(silent)
    expect(offerOf(null)).toEqual(other)
    expect(readList(ok({ models: ['m'] }), 'm')).toEqual(other)
    expect(readList(status(401, '{"error":{}}'), 'm')).toEqual(other)
    expect(readList(status(503), 'm')).toEqual(silent)
  })
})
