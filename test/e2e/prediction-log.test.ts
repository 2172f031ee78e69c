/** Predictions are logged with their answers: hits too, nothing that asks for no trace, and nothing is lost by a stop. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway, written } from '../support/gateway.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

interface Line {
  readonly request: { readonly body: string; readonly headers: readonly { name: string; value: string }[] }
  readonly response: { readonly body: string; readonly encoding: string }
  readonly cache: string
  readonly tier?: string
  readonly principal: string
  readonly requestId?: string
}

let folder: string
let backend: ScriptedBackend
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infergate-predictions-'))
  backend = await startBackend((asked, response, request) =>
    asked.path.includes('refused')
      ? void response.writeHead(400).end('{}')
      : summing(asked, response, request),
  )
})
afterAll(async () => {
  await backend?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A gateway whose route has a log in a folder of its own. */
async function logging(name: string, { log = {}, route = {}, server = {} } = {}) {
  const to = mkdtempSync(join(folder, `${name}-`))
  const yaml = settings({ backends: [backend], server, route: { log: { to, ...log }, ...route } })
  const gateway = await startGateway({ yaml })
  await gateway.ready('main')
  return { gateway, to }
}

const files = (to: string) => readdirSync(to).filter((name) => !name.startsWith('.'))
const lines = (to: string): Line[] =>
  files(to)
    .sort()
    .flatMap((name) => readFileSync(join(to, name), 'utf8').split('\n').filter(Boolean))
    .map((line) => JSON.parse(line) as Line)
const counted = (gateway: RunningGateway, outcome: string) =>
  gateway.metric('infergate_prediction_log_records_total', { outcome })
const all = async (gateway: RunningGateway, records: number) =>
  eventually(async () => expect(await counted(gateway, 'written')).toBe(records))

describe('a log', () => {
  it('has every prediction that was answered, and says where the answer came from', async () => {
    const { gateway, to } = await logging('all', {
      route: { cache: { rows: 'never', vary: ['x-tenant', 'cookie'] } },
    })
    const headers = { authorization: 'Bearer hush', 'x-tenant': 'a', cookie: 'hush', 'x-request-id': 'id-1' }
    // The third finds an answer that is ready to be written.
    for (let i = 0; i < 4; i++) await gateway.post(PREDICT, instances([1, 2]), headers)
    await gateway.post(PREDICT, instances([3, 4]), { 'cache-control': 'no-store' })
    await gateway.post(PREDICT, instances([1, 2]), { ...headers, 'cache-control': 'no-store' })
    await gateway.post('/v1/models/refused:predict', instances([1]))
    await gateway.get('/v1/models/sum')
    await all(gateway, 4)
    await gateway.stop()
    const logged = lines(to)
    expect(logged.map(({ cache, tier }) => [cache, tier])).toEqual([
      ['miss', undefined],
      ...Array.from({ length: 3 }, () => ['hit', 'memory']),
    ])
    for (const { request, response, principal, requestId } of logged) {
      expect(JSON.parse(request.body)).toEqual(instances([1, 2]))
      expect(response.body).toBe('{"predictions":[3]}')
      expect(principal).not.toBe('')
      expect(requestId).toBe('id-1')
      expect(request.headers).toContainEqual({ name: 'x-tenant', value: 'a' })
    }
    expect(JSON.stringify(logged)).not.toContain('hush')
  })

  it('has a sample, and calls outside of it take the fast path of hits', async () => {
    const { gateway, to } = await logging('sample', { log: { sample: '10%' } })
    for (let i = 0; i < 300; i++) await gateway.post(PREDICT, instances([1]))
    await gateway.stop()
    const { length } = lines(to)
    // Thirty are expected; outside of these bounds once in ten million runs.
    expect(length).toBeGreaterThan(5)
    expect(length).toBeLessThan(62)
  })

  it('has long bodies, and answers that stream', async () => {
    const { gateway, to } = await logging('long', { route: { cache: undefined } })
    const rows = Array.from({ length: 40_000 }, (_, i) => i)
    await gateway.post(PREDICT, instances(...rows))
    await gateway.stop()
    const [line] = lines(to)
    expect(JSON.parse(line?.request.body ?? '')).toEqual(instances(...rows))
    expect(JSON.parse(line?.response.body ?? '')).toEqual({ predictions: rows })
  })

  it('has what every worker answered; SIGTERM loses nothing', async () => {
    const { gateway, to } = await logging('workers', { server: { ...TWO, shutdownDelay: '0s' } })
    const sent = Array.from({ length: 200 }, (_, i) => i)
    const next = sent.values()
    const caller = async () => {
      for (const i of next) expect((await gateway.post(PREDICT, instances([i]))).status).toBe(200)
    }
    await Promise.all(Array.from({ length: 16 }, caller))
    gateway.signal('SIGTERM')
    await gateway.exited
    const logged = lines(to).map(
      ({ request }) => (JSON.parse(request.body) as { instances: number[][] }).instances[0]?.[0],
    )
    expect(logged.sort((a = 0, b = 0) => a - b)).toEqual(sent)
    expect(readdirSync(to)).toEqual(files(to))
  })

  it('of a gateway that was killed has all that was written, from the next start on', async () => {
    const { gateway, to } = await logging('killed')
    for (let i = 0; i < 5; i++) await gateway.post(PREDICT, instances([i]))
    await all(gateway, 5)
    gateway.signal('SIGKILL')
    await gateway.exited
    expect(files(to)).toEqual([])
    await gateway.restart()
    await eventually(() => expect(lines(to)).toHaveLength(5))
    await gateway.stop()
  })
})

it('a folder that is not there ends the start, and says what to do', async () => {
  const to = join(folder, 'nowhere')
  const file = written(settings({ backends: [backend], route: { log: { to } } })) as string
  const { code, stderr } = await runInfergate(['check', file])
  expect(code).toBe(1)
  expect(stderr).toMatch(/routes\[0\]\.log\.to: there is no such folder \(make it/)
})
