/** What the model server answers of an embedding model: in OpenAI's API, over V1 and V2, and over gRPC. */
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onnx } from '../../src/model/onnx.ts'
import { Repository } from '../../src/model/repository.ts'
import { ModelServer } from '../../src/model/server.ts'
import { eventually } from '../support/eventually.ts'
import { modelFile } from '../support/model-server.ts'
import { decoded, encoded, type Message } from '../support/oip-messages.ts'

interface Answer {
  readonly object: string
  readonly data: readonly { readonly object: string; readonly index: number; readonly embedding: number[] }[]
  readonly model: string
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}

let folder: string
let repository: Repository
let server: ModelServer
let url: string
const changes: string[] = []
const problems: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'infergate-embeddings-'))
  await cp(modelFile('sentences'), join(folder, 'm'), { recursive: true })
  repository = new Repository({
    runtime: onnx,
    sources: [
      { name: 'm', source: join(folder, 'm'), embedding: { dimensions: [16] } },
      { name: 'digits', source: modelFile('digits.onnx') },
    ],
    pollMs: 20,
    maxBatch: 8,
    delayMs: 0,
    onChange: () => changes.push(repository.find('m').digest),
    onProblem: (_, reason) => problems.push(reason),
  })
  server = new ModelServer({ repository, version: 'test', onFault: (error) => problems.push(String(error)) })
  url = await server.listen('127.0.0.1', 0)
  await repository.open()
})
afterAll(async () => {
  await server.close(1_000)
  repository.close()
  await rm(folder, { recursive: true })
})

const post = (path: string, body: object | string) =>
  fetch(url + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })
const embed = async (body: object) =>
  (await (await post('/v1/embeddings', { model: 'm', ...body })).json()) as Answer
const floatsOf = (text: unknown) => [
  ...new Float32Array(Uint8Array.from(Buffer.from(String(text), 'base64')).buffer),
]

/** The tokens of `sort a list`, with those around them. */
const TOKENS = [2, 1416, 42, 414, 3]

describe('POST /v1/embeddings', () => {
  it('takes every form of an input, and writes both encodings', async () => {
    const { object, data, model, usage } = await embed({ input: ['sort a list', 'an array'] })
    expect([object, model, usage]).toEqual(['list', 'm', { prompt_tokens: 9, total_tokens: 9 }])
    expect(data.map(({ object: kind, index, embedding }) => [kind, index, embedding.length])).toEqual([
      ['embedding', 0, 64],
      ['embedding', 1, 64],
    ])
    const [vector] = [data[0]?.embedding.map(Math.fround) ?? []]
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
    for (const input of ['sort a list', ['sort a list'], TOKENS, [TOKENS]]) {
      const { data: again } = await embed({ input, encoding_format: 'base64' })
      expect(again.map(({ embedding }) => floatsOf(embedding))).toEqual([
        vector.map((x) => expect.closeTo(x, 5) as number),
      ])
    }
    expect(
      (await embed({ input: 'sort a list', dimensions: 16, user: 'me' })).data[0]?.embedding,
    ).toHaveLength(16)
  })

  it.each([
    [{ model: 'other', input: 'a' }, 404, 'other'],
    [{ model: 'digits', input: 'a' }, 400, '"digits" takes tensors'],
    [{ input: 'a', model: 1 }, 400, '"model" must be the name of a model'],
    [{}, 400, '"input" must be a text, a list of texts, a list of tokens or a list of such lists'],
    [{ input: [] }, 400, '"input" must be'],
    [{ input: ['a', [1]] }, 400, '"input[1]" must be a text, as the first is'],
    [{ input: [[1], []] }, 400, '"input[1]" must be a list of tokens'],
    [{ input: [1, 2000] }, 400, '2000 is none of the 2000 tokens'],
    [{ input: [1.5] }, 400, '"input[0]" must be'],
    [{ input: Array(2049).fill('a') }, 400, '2048 are the most'],
    [{ input: 'list '.repeat(127) }, 400, 'has 129 tokens'],
    [{ input: 'a', encoding_format: 'hex' }, 400, '"float" or "base64"'],
    [{ input: 'a', dimensions: 17 }, 400, '16, 64'],
    [{ input: 'a', dimensions: 0 }, 400, 'a whole number from 1'],
    ['{"model": "m", "input": ', 400, 'not JSON'],
  ])('refuses %j with %i in the form of OpenAI', async (body, status, said) => {
    const response = await post('/v1/embeddings', typeof body === 'string' ? body : { model: 'm', ...body })
    expect(response.status).toBe(status)
    const code = status === 404 ? ['model', 'model_not_found'] : [null, null]
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining(said) as string,
        type: 'invalid_request_error',
        param: code[0],
        code: code[1],
      },
    })
  })

  it('is told of in the lists of both APIs', async () => {
    const entry = { id: 'm', object: 'model', owned_by: 'infergate', max_model_len: 128 }
    const list = (await (await fetch(`${url}/v1/models`)).json()) as object
    expect(list).toMatchObject({ models: ['m', 'digits'], object: 'list', data: [entry] })
    const one = (await (await fetch(`${url}/v1/models/m`)).json()) as object
    expect(one).toMatchObject({ ...entry, model_version_status: [{ version: '1', state: 'AVAILABLE' }] })
    expect(await (await fetch(`${url}/v1/models/digits`)).json()).not.toHaveProperty('id')
  })
})

describe('the tensors of an embedding model', () => {
  it('are a text and a vector over V1, V2 and gRPC', async () => {
    const [vector] = (await embed({ input: ['sort a list'] })).data.map(({ embedding }) => embedding)
    const rows = (await (await post('/v1/models/m:predict', { instances: ['sort a list'] })).json()) as object
    expect(rows).toEqual({ predictions: [vector] })
    const input = { name: 'text', datatype: 'BYTES', shape: [1] }
    const v2 = await post('/v2/models/m/infer', { inputs: [{ ...input, data: ['sort a list'] }] })
    expect(await v2.json()).toMatchObject({
      outputs: [{ name: 'embedding', datatype: 'FP32', shape: [1, 64], data: vector }],
    })
    const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure())
    const message = await new Promise<Message>((resolve, reject) =>
      client.makeUnaryRequest(
        '/inference.GRPCInferenceService/ModelInfer',
        (value: Message) => encoded('ModelInferRequest', value),
        (bytes: Buffer) => decoded('ModelInferResponse', bytes),
        {
          model_name: 'm',
          inputs: [{ ...input, contents: { bytes_contents: [Buffer.from('sort a list')] } }],
        },
        (error, answer) => (error ? reject(error) : resolve(answer as Message)),
      ),
    )
    client.close()
    const [output] = message['outputs'] as [{ contents: { fp32_contents: number[] } }]
    expect(output.contents.fp32_contents).toEqual(vector?.map(Math.fround))
  })
})

describe('a folder that changes', () => {
  const tokenizer = () => join(folder, 'm', '1', 'tokenizer.json')
  const put = async (text: string) => {
    await writeFile(`${tokenizer()}.part`, text)
    await rename(`${tokenizer()}.part`, tokenizer())
  }

  it('keeps the old tokenizer while the new one is broken, and takes a good one as a deployment', async () => {
    const whole = await readFile(tokenizer(), 'utf8')
    const before = await embed({ input: 'sort a list' })
    const { digest } = repository.find('m')

    await put('{"model"')
    await eventually(() => expect(problems.at(-1)).toMatch(/tokenizer\.json is not JSON/))
    expect(await embed({ input: 'sort a list' })).toEqual(before)
    expect(changes).toEqual([])

    // It reads letters of either case as they are, and knows none but small ones.
    await put(whole.replace('"lowercase":true', '"lowercase":false'))
    await eventually(() => expect(changes).toHaveLength(1))
    expect(repository.find('m').digest).not.toBe(digest)
    expect(await embed({ input: 'sort a list' })).toEqual(before)
    expect((await embed({ input: 'SORT' })).usage).toEqual({ prompt_tokens: 3, total_tokens: 3 })
  })
})
