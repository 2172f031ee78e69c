/** What a newcomer sees first: the embedded model, in both dialects, and its answers from memory the second time. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

const sample = (name: string) =>
  readFileSync(new URL(`../../models/samples/${name}`, import.meta.url), 'utf8')

let gateway: RunningGateway
beforeAll(async () => {
  gateway = await startGateway()
  await gateway.up()
})

const HIT = /^infergate; hit; ttl=\d+; detail=memory$/

describe('the gateway without any settings', () => {
  it.each([
    ['seven', 'digit-7.v1.json', 7],
    ['three', 'digit-3.v1.json', 3],
  ])('reads a %s over V1, and the second time from memory', async (_, file, digit) => {
    const asked = performance.now()
    const first = await gateway.post('/v1/models/digits:predict', sample(file))
    expect(first.headers['cache-status']).toMatch(/^infergate; fwd=miss; fwd-status=200; stored/)
    expect(first.headers.age).toBeUndefined()
    expect(first.json).toMatchObject({ predictions: [{ digit }] })

    const second = await gateway.post('/v1/models/digits:predict', sample(file))
    expect(second.headers['cache-status']).toMatch(HIT)
    expect(second.headers.age).toMatch(/^\d+$/)
    expect(Number(second.headers.age)).toBeLessThanOrEqual((performance.now() - asked) / 1000)
    expect(second.text).toBe(first.text)
  })

  it('reads a seven over V2, and the second time from memory', async () => {
    const first = await gateway.post('/v2/models/digits/infer', sample('digit-7.v2.json'))
    expect(first.headers['cache-status']).toMatch(/^infergate; fwd=miss; fwd-status=200; stored/)
    const { outputs } = first.json as { outputs: { name: string; data: number[] }[] }
    expect(outputs.find(({ name }) => name === 'digit')?.data).toEqual([7])

    const second = await gateway.post('/v2/models/digits/infer', sample('digit-7.v2.json'))
    expect(second.headers['cache-status']).toMatch(HIT)
    expect((second.json as { outputs: unknown }).outputs).toEqual(outputs)
  })

  it('answers with the id of each caller, also from memory', async () => {
    const body = { ...JSON.parse(sample('digit-7.v2.json')), id: 'mine' }
    const { json, headers } = await gateway.post('/v2/models/digits/infer', JSON.stringify(body))
    expect(headers['cache-status']).toMatch(HIT)
    expect(json).toMatchObject({ id: 'mine' })
  })

  it('knows the same input in other words', async () => {
    const spaced = sample('digit-7.v1.json').replaceAll(',', ' ,\n')
    const { headers, json } = await gateway.post('/v1/models/digits:predict', spaced)
    expect(headers['cache-status']).toMatch(HIT)
    expect(json).toMatchObject({ predictions: [{ digit: 7 }] })
  })

  it('reads the batch of the samples', async () => {
    const { json } = await gateway.post('/v1/models/digits:predict', sample('batch.v1.json'))
    const { predictions } = json as { predictions: { digit: number }[] }
    expect(predictions.map(({ digit }) => digit)).toEqual([2, 0, 9, 8, 2, 2, 2, 9])
  })

  it('passes metadata on, uncached', async () => {
    const { status, headers } = await gateway.get('/v2/models/digits')
    expect(status).toBe(200)
    expect(headers['cache-status']).toBe('infergate; fwd=bypass; fwd-status=200; detail="not a prediction"')
  })

  it('ends with 0 when told to, and takes the model’s process along', async () => {
    expect(await gateway.stop()).toBe(0)
    expect(gateway.logs.map(({ event }) => event)).toContain('gateway.stopped')
  })
})
