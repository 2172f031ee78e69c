/** The YAML changes while calls run: a good one is taken over, a bad one is refused and says why. */
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway, written } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

const named = (name: string) =>
  startBackend((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(`{"predictions":["${name}"]}`)
  })

const yaml = (backend: { url: string }, extra = '') => `
pools:
  main:
    backends: [{ url: "${backend.url}" }]
    health: { path: "off" }
routes:
  - name: main
    pool: main
${extra}`

let one: ScriptedBackend
let two: ScriptedBackend
let gateway: RunningGateway
beforeAll(async () => {
  ;[one, two] = await Promise.all([named('one'), named('two')])
  gateway = await startGateway({ yaml: yaml(one) })
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([one?.close(), two?.close()])
})

const who = async () =>
  ((await gateway.post(PREDICT, instances(1))).json as { predictions?: string[] }).predictions?.[0]
const refusals = () => gateway.logs.filter(({ event }) => event === 'config.refused').length
const reloads = () => gateway.logs.filter(({ event }) => event === 'config.reloaded').length

describe('a changed YAML', () => {
  it('is taken over when it is written', async () => {
    expect(await who()).toBe('one')
    writeFileSync(gateway.file, yaml(two))
    await eventually(async () => expect(await who()).toBe('two'))
  })

  it('is taken over when it is put in place of the old one', async () => {
    const next = join(dirname(gateway.file), 'next.yaml')
    writeFileSync(next, yaml(one))
    renameSync(next, gateway.file)
    await eventually(async () => expect(await who()).toBe('one'))
  })

  it('is read again on SIGHUP, also when it did not change', async () => {
    const before = reloads()
    gateway.signal('SIGHUP')
    await eventually(() => expect(reloads()).toBe(before + 1))
    expect(await who()).toBe('one')
  })

  it('that is wrong is refused: the old settings stay, the log and /readyz say why', async () => {
    const before = refusals()
    writeFileSync(gateway.file, yaml(two, '    cahce: {}\n'))
    await eventually(() => expect(refusals()).toBeGreaterThan(before))
    const { status, text } = await gateway.ask('/readyz')
    expect(status).toBe(200)
    expect(text).toMatch(/refused reload: .*infergate\.yaml:9:5: .*cahce.*cache/)
    expect(await who()).toBe('one')
    expect(await gateway.metric('infergate_config_reloads_total', { outcome: 'refused' })).toBeGreaterThan(0)
    expect(await gateway.metric('infergate_config_last_reload_successful')).toBe(0)
    expect(await gateway.metric('infergate_problems', { part: 'config' })).toBe(1)
    expect(await gateway.metric('infergate_ready')).toBe(1)
  })

  it('that is wrong on SIGHUP is refused as well', async () => {
    const before = refusals()
    gateway.signal('SIGHUP')
    await eventually(() => expect(refusals()).toBeGreaterThan(before))
    expect(await who()).toBe('one')
  })

  it('that is right again is taken over, and /readyz has nothing more to say', async () => {
    writeFileSync(gateway.file, yaml(two))
    await eventually(async () => expect(await who()).toBe('two'))
    await eventually(async () =>
      expect((await gateway.ask('/readyz')).json).toEqual({ status: 'ok', reasons: [] }),
    )
  })

  it('says which of its changes need a restart', async () => {
    writeFileSync(gateway.file, yaml(two, 'cache: { tiers: [] }\n'))
    await eventually(async () =>
      expect((await gateway.ask('/readyz')).text).toMatch(/needs a restart: cache\.tiers/),
    )
    writeFileSync(gateway.file, yaml(two))
  })

  it('brings a cache to a route that had none', async () => {
    await gateway.post(PREDICT, instances(5))
    expect((await gateway.post(PREDICT, instances(5))).headers['cache-status']).toMatch(/fwd=bypass/)
    writeFileSync(gateway.file, yaml(two, '    cache: { rows: never }\n'))
    await eventually(async () =>
      expect((await gateway.post(PREDICT, instances(5))).headers['cache-status']).toMatch(/; hit;/),
    )
  })
})

it('a changed file of an embedded model makes the old answers unreachable', async () => {
  const models = new URL('../../models/', import.meta.url).pathname
  const file = written('{}') as string
  const model = join(dirname(file), 'digits.onnx')
  copyFileSync(join(models, 'digits.onnx'), model)
  writeFileSync(file, 'models: [{ name: digits, source: digits.onnx }]\n')
  const embedded = await startGateway({ config: file })
  await embedded.up()
  const sample = readFileSync(join(models, 'samples/digit-7.v1.json'), 'utf8')
  const ask = () => embedded.post('/v1/models/digits:predict', sample)
  const first = await ask()
  expect((await ask()).headers['cache-status']).toMatch(/; hit;/)

  const next = join(dirname(file), 'next.onnx')
  copyFileSync(join(models, 'digits-int8.onnx'), next)
  renameSync(next, model)
  const second = await eventually(
    async () => {
      const answer = await ask()
      expect(answer.text).not.toBe(first.text)
      return answer
    },
    { timeoutMs: 15_000 },
  )
  expect(second.headers['cache-status']).toMatch(/fwd=miss/)
  expect(second.json).toMatchObject({ predictions: [{ digit: 7 }] })
  expect((await ask()).headers['cache-status']).toMatch(/; hit;/)
  await embedded.stop()
})
