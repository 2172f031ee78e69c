/**
 * What proves that a model may be split counts for one kind of question: for everything in the key but the rows. The
 * model here scores each row by itself where it is asked so, and couples the rows of a batch otherwise.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Asked, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { settings } from '../support/settings.ts'

interface Tensors {
  readonly inputs: [{ data: number[] }]
  readonly outputs?: { name: string }[]
}

const coupled = (rows: readonly number[]) => {
  const mean = rows.reduce((sum, row) => sum + row, 0) / rows.length
  return rows.map((row) => row - mean)
}

/** V1: `mode` or the path says whether rows are coupled; V2: output `y` is of the row, `z` of the batch. */
function answer(asked: Asked): object {
  const { path, body } = asked
  const script = own.get(path)
  if (script) return script(asked)
  if (path.startsWith('/v1/')) {
    const { instances, mode } = JSON.parse(body.toString()) as { instances: number[]; mode?: string }
    return { predictions: mode === 'coupled' ? coupled(instances) : instances.map((row) => row * 2) }
  }
  const { inputs, outputs = [{ name: 'y' }] } = JSON.parse(body.toString()) as Tensors
  const { data } = inputs[0]
  const named = outputs.map(({ name }) => ({
    name,
    datatype: 'FP32',
    shape: [data.length],
    data: name === 'z' ? coupled(data) : data.map((row) => row * 2),
  }))
  return { model_name: 'm', outputs: named }
}

/** Of models that have an answer of their own, by path. */
const own = new Map<string, (asked: Asked) => object>()

let backend: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend(async (asked, response) => {
    await sleep(1)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer(asked)))
  })
  gateway = await startGateway({
    yaml: settings({ backends: [backend], route: { cache: { rows: 'auto', ttl: '1h' } } }),
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

let next = 0
const fresh = (count: number) => Array.from({ length: count }, () => (next += 16))
const v1 = (rows: readonly number[], more: object = {}) => ({ ...more, instances: rows })
const v2 = (rows: readonly number[], outputs?: readonly string[]) => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length], data: rows }],
  ...(outputs ? { outputs: outputs.map((name) => ({ name })) } : {}),
})
const proved = (model: string) =>
  gateway.metric('infergate_cache_row_splitting_total', { model: `main/${model}`, state: 'proved' })

/** Forty batches, one right behind the other. */
async function prove(path: string, bodyOf: (rows: readonly number[]) => object): Promise<void> {
  const model = path.split(/[/:]/)[3] as string
  const before = await proved(model)
  for (let i = 0; i < 40; i++) await gateway.post(path, bodyOf(fresh(3)))
  await eventually(async () => expect(await proved(model)).toBe(before + 1))
}

/** Batches that share rows; each must read what the server itself says, and none may be put together from rows. */
async function expectWhole(path: string, bodyOf: (rows: readonly number[]) => object): Promise<void> {
  const [a, b, c, d] = fresh(4) as [number, number, number, number]
  for (const rows of [
    [a, b, c],
    [b, c, d],
    [d, a],
  ]) {
    const body = bodyOf(rows)
    const { json, headers } = await gateway.post(path, body)
    expect(json).toEqual(answer({ path, body: Buffer.from(JSON.stringify(body)) } as Asked))
    expect(headers['cache-status']).not.toMatch(/partial/)
  }
}

async function isSplit(path: string, bodyOf: (rows: readonly number[]) => object): Promise<boolean> {
  const rows = fresh(3)
  await gateway.post(path, bodyOf(rows))
  const { headers } = await gateway.post(path, bodyOf([...rows, ...fresh(1)]))
  return /fwd=partial/.test(String(headers['cache-status']))
}

describe('a score that depends on the batch is seen beside a large number', () => {
  it.each([
    ['an id in an object', (row: number, score: number) => ({ id: 100_000_000 + row, score })],
    ['an id in a list', (row: number, score: number) => [100_000_000 + row, score]],
    ['a time', (row: number, score: number) => [1_700_000_000.5 + row, score]],
  ])('%s', async (name, told) => {
    const model = `scored-${name.replaceAll(' ', '-')}`
    const path = `/v1/models/${model}:predict`
    // As a softmax over the batch has it: between 0 and 1, and another in other company.
    const scored = (rows: readonly number[]) => {
      const sum = rows.reduce((all, row) => all + row, 0)
      return { predictions: rows.map((row) => told(row, row / sum)) }
    }
    own.set(path, ({ body }) => scored((JSON.parse(body.toString()) as { instances: number[] }).instances))
    for (let i = 0; i < 40; i++) await gateway.post(path, v1(fresh(3)))
    await eventually(async () => {
      const labels = { model: `main/${model}`, state: 'refused' }
      expect(await gateway.metric('infergate_cache_row_splitting_total', labels)).toBe(1)
    })
    const rows = fresh(3)
    await gateway.post(path, v1(rows))
    expect((await gateway.post(path, v1([...rows, 1]))).json).toEqual(scored([...rows, 1]))
  })
})

describe('forty quick batches prove a kind, and no other', () => {
  it('V1: another body member is another kind', async () => {
    const path = '/v1/models/a:predict'
    await prove(path, (rows) => v1(rows, { mode: 'rows' }))
    expect(await isSplit(path, (rows) => v1(rows, { mode: 'rows' }))).toBe(true)
    await expectWhole(path, (rows) => v1(rows, { mode: 'coupled' }))
    await expectWhole(path, (rows) => v1(rows, { mode: 'rows', signature_name: 's' }))
    await expectWhole('/v1/models/a/versions/2:predict', (rows) => v1(rows, { mode: 'rows' }))
  })

  it('V2: other outputs are another kind, and so are parameters', async () => {
    const path = '/v2/models/b/infer'
    await prove(path, (rows) => v2(rows, ['y']))
    expect(await isSplit(path, (rows) => v2(rows, ['y']))).toBe(true)
    await expectWhole(path, (rows) => v2(rows, ['y', 'z']))
    await expectWhole(path, (rows) => v2(rows, ['z']))
    await expectWhole(path, (rows) => v2(rows))
    await expectWhole(path, (rows) => ({ ...v2(rows, ['y']), parameters: { p: 1 } }))
  })

  it('what one dialect has proved is nothing to the other', async () => {
    await prove('/v1/models/c:predict', (rows) => v1(rows))
    await expectWhole('/v2/models/c/infer', (rows) => v2(rows))
  })

  it('a kind that couples its rows does not take what another kind has proved for its own', async () => {
    const path = '/v1/models/d:predict'
    for (let i = 0; i < 30; i++) await gateway.post(path, v1(fresh(3), { mode: 'coupled' }))
    await eventually(async () =>
      expect(
        await gateway.metric('infergate_cache_row_splitting_total', { model: 'main/d', state: 'refused' }),
      ).toBe(1),
    )
    await expectWhole(path, (rows) => v1(rows, { mode: 'coupled' }))
  })
})

describe('a server that reads a batch as one array, as numpy does, is split in no other company than it was proved in', () => {
  type Value = number | string | boolean | null | readonly Value[]
  /** What all values become beside each other. */
  const typeOf = (text: string) => {
    if (text.includes('"')) return 'text'
    if (/null|\d{19}/.test(text)) return 'object'
    return /[.e]/.test(text.replaceAll(/true|false/g, ''))
      ? 'float'
      : /[0-9]/.test(text)
        ? 'integer'
        : 'truth'
  }
  const script = ({ body }: Pick<Asked, 'body'>) => {
    const text = body.toString()
    const { instances } = JSON.parse(text) as { instances: Value[] }
    const type = typeOf(text.replace(/"instances"/, ''))
    return { predictions: instances.map((row) => `${type} of ${JSON.stringify(row)}`) }
  }
  const post = (path: string, body: string) =>
    call(gateway.port, path, { method: 'POST', body, headers: { 'content-type': 'application/json' } })

  it.each([
    ['[["a"], [$]]', 'a text beside numbers'],
    ['[[1.5], [$]]', 'a fraction beside integers'],
    ['[[1e3], [$]]', 'an exponent beside integers'],
    ['[[null], [$]]', 'nothing beside numbers'],
    ['[[true], [$]]', 'a truth value beside numbers'],
    ['[[36893488147419103232], [$]]', 'an integer that fits no 64 bits'],
  ])('%s: %s', async (rows, name) => {
    const path = `/v1/models/numpy-${name.replaceAll(' ', '-')}:predict`
    own.set(path, script)
    await prove(path, (rows) => ({ instances: rows.map((row) => [row]) }))
    const [row] = fresh(1) as [number]
    const body = `{"instances": ${rows.replace('$', String(row))}}`
    // Of this kind it is kept as a row.
    const alone = `{"instances": [[${row}], [${row + 1}]]}`
    await post(path, alone)
    const { text, headers } = await post(path, body)
    expect(headers['cache-status']).toContain('fwd=miss')
    expect(text).toBe(JSON.stringify(script({ body: Buffer.from(body) })))
  })
})

it('comparisons come behind the callers: never more than two at a time', async () => {
  const usual = backend.script
  let running = 0
  let most = 0
  backend.script = async (asked, response, request) => {
    const { instances } = JSON.parse(asked.body.toString()) as { instances: number[] }
    // Whole batches have eight rows here.
    const isComparison = instances.length < 8
    if (isComparison) most = Math.max(most, ++running)
    await sleep(5)
    if (isComparison) running--
    await usual(asked, response, request)
  }
  const path = '/v1/models/e:predict'
  await Promise.all(Array.from({ length: 40 }, () => gateway.post(path, v1(fresh(8)))))
  await eventually(async () => expect(await proved('e')).toBe(1))
  backend.script = usual
  expect(most).toBeLessThanOrEqual(2)
})
