/**
 * A server may answer by the Content-Type it gets. Whatever callers say theirs is, and where they say none, each is given
 * what the server answers to that, whole or row by row, alone or in company; only what says the same is one request.
 */
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { settings } from '../support/settings.ts'

/** Undefined: the field is not there. */
const TYPES = [
  undefined,
  '',
  'application/json',
  'text/plain',
  'application/x-www-form-urlencoded',
  'text/json',
]
const SAME = [
  'application/json',
  'Application/JSON',
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
]

let backend: ScriptedBackend

beforeAll(async () => {
  // Each row's answer is the type under which it was asked for.
  backend = await startBackend(({ path, headers, body }, response) => {
    const type = headers['content-type'] ?? 'none'
    const { instances, inputs } = JSON.parse(body.toString())
    const answer = path.startsWith('/v1/')
      ? { predictions: instances.map(() => type) }
      : {
          model_name: 'm',
          outputs: [
            { name: 'y', datatype: 'BYTES', shape: inputs[0].shape, data: inputs[0].data.map(() => type) },
          ],
        }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  })
})
afterAll(() => backend?.close())

/** The types that the answer names, one a row. */
function ask(
  gateway: RunningGateway,
  path: string,
  body: string,
  type: string | undefined,
): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': body.length, ...(type === undefined ? {} : { 'content-type': type }) }
    const asked = request({ port: gateway.port, path, method: 'POST', headers }, (response) => {
      let text = ''
      response.on('data', (chunk) => (text += chunk))
      response.on('end', () => {
        const { predictions, outputs } = JSON.parse(text)
        resolve(predictions ?? outputs[0].data)
      })
    })
    asked.once('error', reject).end(body)
  })
}

const DIALECTS = {
  V1: ['/v1/models/m:predict', (rows: readonly number[]) => JSON.stringify({ instances: rows })],
  V2: [
    '/v2/models/m/infer',
    (rows: readonly number[]) =>
      JSON.stringify({ inputs: [{ name: 'x', datatype: 'INT64', shape: [rows.length, 1], data: rows }] }),
  ],
} as const

describe.each([
  ['whole', { cache: { rows: 'never' } }],
  ['row by row', { cache: { rows: 'always' } }],
  ['in batches', { cache: { rows: 'always' }, batch: { maxRows: 8, maxDelay: '20ms' } }],
] as const)('%s', (_, route) => {
  let gateway: RunningGateway
  let n = 0

  beforeAll(async () => {
    gateway = await startGateway({ yaml: settings({ backends: [backend], route }) })
    await gateway.ready('main')
  })
  afterAll(() => gateway?.stop())

  it.each(Object.keys(DIALECTS) as (keyof typeof DIALECTS)[])(
    '%s: one after the other, and at once',
    async (name) => {
      const [path, write] = DIALECTS[name]
      for (const isAtOnce of [false, true]) {
        for (const first of TYPES) {
          const body = write([++n, ++n])
          const types = [first, ...TYPES, ...TYPES]
          const answers: (readonly string[])[] = []
          if (isAtOnce)
            answers.push(...(await Promise.all(types.map((type) => ask(gateway, path, body, type)))))
          else for (const type of types) answers.push(await ask(gateway, path, body, type))
          expect(answers).toEqual(types.map((type) => [type ?? 'none', type ?? 'none']))
        }
      }
    },
  )

  it('spellings of JSON are one request', async () => {
    const [path, write] = DIALECTS.V1
    const body = write([++n])
    const before = backend.asked.length
    for (const type of SAME) expect(await ask(gateway, path, body, type)).toEqual([SAME[0]])
    expect(backend.asked.length - before).toBe(1)
  })
})
