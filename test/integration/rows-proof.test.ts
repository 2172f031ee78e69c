/**
 * I1 on real models: with the gateway or without it, the client reads the same. The digits model answers a row the
 * same in any company, proves it and is split; its dynamically quantised twin does not, and must never be.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { type ModelProcess, modelFile, startModelServer } from '../support/model-server.ts'
import { settings, TWO } from '../support/settings.ts'

let models: ModelProcess
let gateway: RunningGateway

beforeAll(async () => {
  models = await startModelServer([
    '--model',
    `digits=${modelFile('digits.onnx')}`,
    '--model',
    `int8=${modelFile('digits-int8.onnx')}`,
  ])
  gateway = await startGateway({
    yaml: settings({ backends: [models], server: TWO, route: { cache: { rows: 'auto', ttl: '1h' } } }),
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await models?.stop()
})

/** The same numbers in every run (Lehmer's generator). */
let seed = 20_240_607
const random = () => {
  seed = (seed * 48_271) % 2_147_483_647
  return seed / 2_147_483_647
}
type Image = readonly number[]
const image = (): Image => {
  // Bright and dark images side by side: what dynamic quantisation has to share one scale for.
  const light = random() < 0.3 ? 1 : 16
  return Array.from({ length: 64 }, () => Math.floor(random() * (light + 1)))
}
const images = Array.from({ length: 60 }, image)
const batch = () =>
  Array.from({ length: 2 + Math.floor(random() * 5) }, () => images[Math.floor(random() * 60)] as Image)

interface Predictions {
  readonly predictions: readonly Record<string, unknown>[]
}

/** The answer with the gateway and without it; `status` is Cache-Status. */
async function both(model: string, instances: readonly Image[]) {
  const path = `/v1/models/${model}:predict`
  const { text, headers, json } = await gateway.post(path, { instances })
  const direct = await (await models.post(path, { instances })).text()
  return { text, direct, json: json as Predictions, status: String(headers['cache-status']) }
}

/** Every float agrees to the 1e-5 that FP32 kernels of other batch sizes may differ by; all else is equal. */
function expectClose(actual: unknown, wanted: unknown): void {
  if (typeof wanted === 'number' && typeof actual === 'number')
    return expect(Math.abs(actual - wanted)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(wanted)))
  if (typeof wanted !== 'object' || wanted === null) return expect(actual).toBe(wanted)
  expect(Object.keys(actual as object)).toEqual(Object.keys(wanted))
  for (const [key, value] of Object.entries(wanted))
    expectClose((actual as Record<string, unknown>)[key], value)
}

const splits = async (model: string, state: string) =>
  gateway.metric('infergate_cache_row_splitting_total', { model: `main/${model}`, state })

describe('rows: auto', () => {
  it('splits the model that answers a row the same in any company, once it has proved it', async () => {
    for (let i = 0; i < 200 && (await splits('digits', 'proved')) === 0; i++) {
      const { json, direct } = await both('digits', batch())
      expectClose(json, JSON.parse(direct))
    }
    expect(await splits('digits', 'proved')).toBe(1)

    let partial = 0
    for (let i = 0; i < 60; i++) {
      const { json, direct, status } = await both('digits', batch())
      if (/fwd=partial|; hit/.test(status)) partial++
      expectClose(json, JSON.parse(direct))
    }
    expect(partial).toBeGreaterThan(10)
    expect(await splits('digits', 'refused')).toBe(0)
  })

  it('never splits the model that does not, and every answer stays the batch’s own, byte for byte', async () => {
    for (let i = 0; i < 100; i++) {
      const { text, direct, status } = await both('int8', batch())
      expect(text).toBe(direct)
      expect(status).not.toMatch(/fwd=partial/)
    }
    expect(await splits('int8', 'proved')).toBe(0)
    expect(await splits('int8', 'refused')).toBe(1)
  })
})
