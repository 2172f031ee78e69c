/** What the model server answers over V1 and V2, with the digits model and with small ones of other datatypes. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ModelProcess, modelFile, startModelServer } from '../support/model-server.ts'
import { echoModel, pairModel } from '../support/onnx-graph.ts'

const DIGITS = ['--model', `digits=${modelFile('digits.onnx')}`]
const PREDICT = '/v1/models/digits:predict'
const INFER = '/v2/models/digits/infer'

const sample = (name: string) => readFile(modelFile(`samples/${name}`), 'utf8')

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'infergate-server-'))
  const graphs = {
    echo64: echoModel('INT64'),
    text: echoModel('BYTES'),
    fixed: echoModel('FP32', [1, 2]),
    pair: pairModel(),
  }
  for (const [name, bytes] of Object.entries(graphs)) await writeFile(join(directory, `${name}.onnx`), bytes)
})
afterAll(() => rm(directory, { recursive: true }))

interface Row {
  readonly digit: number
  readonly probabilities: readonly number[]
}

describe('the model server', () => {
  let server: ModelProcess
  beforeAll(async () => {
    const others = ['echo64', 'text', 'fixed', 'pair'].flatMap((name) => [
      '--model',
      `${name}=${join(directory, `${name}.onnx`)}`,
    ])
    server = await startModelServer([...DIGITS, ...others])
  })
  afterAll(() => server.stop())

  const text = async (path: string, body: string | object) => (await server.post(path, body)).text()
  const read = async <T>(path: string, body: string | object) => JSON.parse(await text(path, body)) as T

  it.each([
    ['digit-7.v1.json', [7]],
    ['digit-3.v1.json', [3]],
    ['batch.v1.json', [2, 0, 9, 8, 2, 2, 2, 9]],
  ])('reads the digits of %s over V1', async (file, digits) => {
    const { predictions } = await read<{ predictions: Row[] }>(PREDICT, await sample(file))
    expect(predictions.map(({ digit }) => digit)).toEqual(digits)
    for (const { digit, probabilities } of predictions) {
      expect(probabilities.indexOf(Math.max(...probabilities))).toBe(digit)
      expect(probabilities.reduce((sum, p) => sum + p)).toBeCloseTo(1, 5)
    }
  })

  it('reads the same digit over V2, says who answered, and echoes the id', async () => {
    const body = { id: 'q-1', ...(JSON.parse(await sample('digit-7.v2.json')) as object) }
    const response = await server.post(INFER, body)
    expect(response.headers.get('content-type')).toBe('application/json')
    const reply = (await response.json()) as Record<string, unknown> & { outputs: { data: number[] }[] }
    expect(reply).toMatchObject({ id: 'q-1', model_name: 'digits', model_version: '1' })
    expect(reply.outputs).toMatchObject([
      { name: 'probabilities', datatype: 'FP32', shape: [1, 10] },
      { name: 'digit', datatype: 'INT64', shape: [1], data: [7] },
    ])
    expect(reply.outputs[0]?.data).toHaveLength(10)
  })

  it('answers columns with columns, and only the outputs that V2 asked for', async () => {
    const { instances } = JSON.parse(await sample('batch.v1.json')) as { instances: number[][] }
    const { outputs } = await read<{ outputs: { digit: number[]; probabilities: number[][] } }>(PREDICT, {
      inputs: instances,
    })
    expect(outputs.digit).toEqual([2, 0, 9, 8, 2, 2, 2, 9])
    expect(outputs.probabilities).toHaveLength(8)

    const input = { name: 'image', shape: [8, 64], datatype: 'FP32', data: instances }
    const reply = await read<{ outputs: object[] }>(INFER, { inputs: [input], outputs: [{ name: 'digit' }] })
    expect(reply.outputs).toEqual([
      { name: 'digit', datatype: 'INT64', shape: [8], data: [2, 0, 9, 8, 2, 2, 2, 9] },
    ])
  })

  it('takes and gives binary tensors', async () => {
    const { instances } = JSON.parse(await sample('batch.v1.json')) as { instances: number[][] }
    const blob = Buffer.from(Float32Array.from(instances.flat()).buffer)
    const head = JSON.stringify({
      inputs: [
        { name: 'image', shape: [8, 64], datatype: 'FP32', parameters: { binary_data_size: blob.length } },
      ],
      outputs: [{ name: 'digit', parameters: { binary_data: true } }],
    })
    const response = await fetch(server.url + INFER, {
      method: 'POST',
      body: Buffer.concat([Buffer.from(head), blob]),
      headers: { 'inference-header-content-length': String(head.length) },
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    const length = Number(response.headers.get('inference-header-content-length'))
    expect(JSON.parse(bytes.toString('utf8', 0, length))).toMatchObject({
      outputs: [{ name: 'digit', shape: [8], parameters: { binary_data_size: 64 } }],
    })
    const digits = Array.from({ length: 8 }, (_, i) => bytes.readBigInt64LE(length + 8 * i))
    expect(digits).toEqual([2n, 0n, 9n, 8n, 2n, 2n, 2n, 9n])
  })

  it('takes one image as raw bytes', async () => {
    const { instances } = JSON.parse(await sample('digit-3.v1.json')) as { instances: number[][] }
    const response = await fetch(server.url + INFER, {
      method: 'POST',
      body: Buffer.from(Float32Array.from(instances.flat()).buffer),
      headers: { 'inference-header-content-length': '0' },
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.readBigInt64LE(bytes.length - 8)).toBe(3n)
  })

  it('carries integers beyond 2^53 and any text through both protocols unchanged', async () => {
    const big = '9007199254740993'
    expect(await text('/v1/models/echo64:predict', `{"instances": [${big}]}`)).toContain(`[${big}]`)
    const input = `{"name": "x", "shape": [1], "datatype": "INT64", "data": [-${big}]}`
    expect(await text('/v2/models/echo64/infer', `{"inputs": [${input}]}`)).toContain(`[-${big}]`)
    expect(await read('/v1/models/text:predict', { instances: ['"é\n', { b64: 'w6k=' }] })).toEqual({
      predictions: ['"é\n', 'é'],
    })
  })

  it('takes objects for several inputs, and writes what is no number as TensorFlow Serving does', async () => {
    const body = {
      instances: [
        { a: 1, b: 0 },
        { b: 2, a: 1 },
      ],
    }
    const answer = await text('/v1/models/pair:predict', body)
    expect(answer.replace(/\s/g, '')).toBe(
      '{"predictions":[{"sum":1.0,"quotient":Infinity},{"sum":3.0,"quotient":0.5}]}',
    )
    const columns = await text('/v1/models/pair:predict', '{"inputs": {"a": [NaN], "b": [1]}}')
    expect(columns.replace(/\s/g, '')).toBe('{"outputs":{"sum":[NaN],"quotient":[NaN]}}')
  })

  it('gives concurrent calls, joined or not, the answers they get alone', async () => {
    const { instances } = JSON.parse(await sample('batch.v1.json')) as { instances: number[][] }
    const alone = await Promise.all(instances.map((image) => text(PREDICT, { instances: [image] })))
    const again = await Promise.all(
      Array.from({ length: 200 }, (_, i) => text(PREDICT, { instances: [instances[i % 8]] })),
    )
    expect(again).toEqual(Array.from({ length: 200 }, (_, i) => alone[i % 8]))
  })

  it('inflates a gzip body', async () => {
    const response = await fetch(server.url + PREDICT, {
      method: 'POST',
      body: gzipSync(await sample('digit-7.v1.json')),
      headers: { 'content-encoding': 'gzip' },
    })
    expect(await response.json()).toMatchObject({ predictions: [{ digit: 7 }] })
  })

  it.each([
    ['/v2', { name: 'infergate-model-server', extensions: ['binary_tensor_data'] }],
    ['/probe', { running: 0, latencyMs: expect.any(Number) }],
    ['/v2/health/live', { live: true }],
    ['/v2/health/ready', { ready: true }],
    ['/v2/models/digits/ready', { name: 'digits', ready: true }],
    [
      '/v2/models/digits/versions/1',
      { name: 'digits', versions: ['1'], inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 64] }] },
    ],
    ['/v1/models/digits', { model_version_status: [{ version: '1', state: 'AVAILABLE' }] }],
    [
      '/v1/models/digits/metadata',
      {
        model_spec: { name: 'digits', version: '1' },
        metadata: {
          signature_def: {
            signature_def: {
              serving_default: {
                inputs: {
                  image: { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: '-1' }, { size: '64' }] } },
                },
              },
            },
          },
        },
      },
    ],
  ])('GET %s describes what is served', async (path, wanted) => {
    const response = await fetch(server.url + path)
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject(wanted)
  })

  const image = { name: 'image', shape: [1, 64], datatype: 'FP32', data: Array<number>(64).fill(0) }
  const errors: readonly [string, string, string, string | object, number, string][] = [
    ['an unknown model', 'POST', '/v1/models/nope:predict', '{}', 404, 'Latest(nope)'],
    ['an unknown version', 'POST', '/v2/models/digits/versions/9/infer', '{}', 404, 'Specific(digits, 9)'],
    ['an unknown path', 'GET', '/metrics', '', 404, 'nothing is served'],
    ['a wrong method', 'GET', PREDICT, '', 405, 'use POST'],
    ['a wrong method on a status', 'DELETE', '/v1/models/digits', '', 405, 'use GET'],
    ['broken JSON', 'POST', PREDICT, '{"instances": [1,]}', 400, 'not JSON: at position'],
    ['bytes that are no UTF-8', 'POST', PREDICT, '\u{fffd}', 400, 'not JSON'],
    ['neither form', 'POST', PREDICT, '{}', 400, 'exactly one of'],
    ['both forms', 'POST', PREDICT, { instances: [1], inputs: [1] }, 400, 'exactly one of'],
    ['no instance', 'POST', PREDICT, { instances: [] }, 400, 'at least one'],
    ['an image too short', 'POST', PREDICT, { instances: [[1, 2]] }, 400, '[1, 2] given, [-1, 64] wanted'],
    ['another signature', 'POST', PREDICT, { signature_name: 'x', instances: [1] }, 400, 'signature'],
    ['an input missing', 'POST', '/v1/models/pair:predict', { instances: [{ a: 1 }] }, 400, 'inputs a, b'],
    ['a decimal for an integer', 'POST', '/v1/models/echo64:predict', '{"instances": [1.0]}', 400, '1.0'],
    [
      'two rows for one',
      'POST',
      '/v1/models/fixed:predict',
      {
        instances: [
          [1, 2],
          [3, 4],
        ],
      },
      400,
      '[1, 2] wanted',
    ],
    ['no tensor', 'POST', INFER, { inputs: [] }, 400, '"image" is missing'],
    ['a foreign tensor', 'POST', INFER, { inputs: [{ ...image, name: 'x' }] }, 400, 'not one of image'],
    ['a tensor twice', 'POST', INFER, { inputs: [image, image] }, 400, 'given twice'],
    ['another datatype', 'POST', INFER, { inputs: [{ ...image, datatype: 'FP64' }] }, 400, 'is FP32'],
    [
      'a shape that is none',
      'POST',
      INFER,
      { inputs: [{ ...image, shape: [-1, 64] }] },
      400,
      'whole numbers',
    ],
    ['data too short', 'POST', INFER, { inputs: [{ ...image, data: [1] }] }, 400, '1 elements for shape'],
    [
      'a foreign output',
      'POST',
      INFER,
      { inputs: [image], outputs: [{ name: 'x' }] },
      400,
      'not one of prob',
    ],
    ['a sequence', 'POST', INFER, { inputs: [image], parameters: { sequence_id: 4 } }, 400, 'keeps no state'],
    ['an id that is no string', 'POST', INFER, { inputs: [image], id: 4 }, 400, '"id" must be a string'],
  ]
  it.each(errors)(
    'answers %s with its status and a sentence',
    async (_, method, path, body, status, said) => {
      const payload = typeof body === 'string' ? body : JSON.stringify(body)
      const response = await fetch(server.url + path, {
        method,
        ...(method === 'POST' ? { body: payload } : {}),
      })
      expect(response.status).toBe(status)
      const reply = (await response.json()) as { error: string }
      expect(Object.keys(reply)).toEqual(['error'])
      expect(reply.error).toContain(said)
      expect(response.headers.get('allow')).toBe(status === 405 ? said.replace('use ', '') : null)
    },
  )

  it('refuses a body over 64 MiB before it is sent', async () => {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    socket.write(`POST ${PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: ${64 * 1024 * 1024 + 1}\r\n\r\n`)
    let heard = ''
    for await (const chunk of socket) heard += String(chunk)
    expect(heard).toContain('HTTP/1.1 413')
    expect(heard.toLowerCase()).toContain('connection: close')
  })
})
