/** Deployments on servers that do not tell their versions in the metadata: what evidence there is ends the old answers. */
import { afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/servers.ts'
import { MEMORY, redisTier, settings, TWO } from '../support/settings.ts'
import { startUntold, type UntoldServer } from '../support/untold.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

async function untold(): Promise<UntoldServer> {
  const server = await startUntold()
  cleanup.push(() => server.close())
  return server
}

async function gateway(server: UntoldServer, more: Partial<Parameters<typeof settings>[0]> = {}) {
  const started = await startGateway({ yaml: settings({ backends: [server], tiers: [MEMORY], ...more }) })
  cleanup.push(() => started.stop())
  await started.ready('main')
  return started
}

async function ask(
  at: RunningGateway,
  input = 1,
): Promise<{ readonly data: unknown; readonly status: string }> {
  const body = { inputs: [{ name: 'x', datatype: 'INT32', shape: [1], data: [input] }] }
  const { json, headers } = await at.post('/v2/models/m/infer', body)
  const { outputs } = json as { outputs: { data: number[] }[] }
  return { data: outputs[0]?.data[0], status: String(headers['cache-status']) }
}

async function kept(at: RunningGateway, wanted: number): Promise<void> {
  await eventually(async () => {
    const { data, status } = await ask(at)
    expect(data).toBe(wanted)
    expect(status).toMatch(/; hit/)
  })
}

describe('a server that names no version in its metadata', () => {
  it('is asked for its index', async () => {
    const server = await untold()
    server.indexed = { version: 'v1.0.0', state: 'READY' }
    const at = await gateway(server)
    await kept(at, 1)
    server.indexed = { version: 'v1.0.0', state: 'LOADING' }
    await kept(at, 1)
    Object.assign(server, { content: 2, indexed: { version: 'v2.0.0', state: 'READY' } })
    await eventually(async () => expect((await ask(at)).data).toBe(2))
    await kept(at, 2)
  })

  it('says it by its answers: another version ends what was kept of the one before, a rollback as well', async () => {
    const server = await untold()
    server.stated = 'v1'
    const at = await gateway(server)
    await kept(at, 1)
    for (const [content, stated] of [
      [2, 'v2'],
      [3, 'v1'],
    ] as const) {
      Object.assign(server, { content, stated })
      // Nobody knows of it before the first answer of the new one.
      const other = 1000 + content
      expect((await ask(at, other)).data).toBe(content)
      await eventually(async () => expect((await ask(at)).data).toBe(content), { timeoutMs: 500 })
      await kept(at, content)
    }
  })

  it('and a shared tier: what another gateway keeps of another version is not given', async () => {
    const [redis, one, two] = await Promise.all([startRedis(), untold(), untold()])
    cleanup.push(() => redis.stop())
    Object.assign(one, { content: 1, stated: '1' })
    Object.assign(two, { content: 2, stated: '2' })
    const tiers = [redisTier(redis, '500ms')]
    const [a, b] = await Promise.all([gateway(one, { tiers }), gateway(two, { tiers })])
    // Each has had an answer of its own backends, and knows by it what they are.
    expect([(await ask(a, 7)).data, (await ask(b, 8)).data]).toEqual([1, 2])
    for (let round = 0; round < 6; round++)
      expect([(await ask(a)).data, (await ask(b)).data, (await ask(b, 7)).data]).toEqual([1, 2, 2])
  })

  it('is used with a shared tier, and not silently left out', async () => {
    const [redis, server] = await Promise.all([startRedis(), untold()])
    cleanup.push(() => redis.stop())
    const at = await gateway(server, { tiers: [redisTier(redis, '500ms')] })
    await kept(at, 1)
    expect((await ask(at)).status).toMatch(/detail=redis$/)
  })
})

describe('a load that passes through', () => {
  it.each([
    ['one worker', {}],
    ['two workers', { server: TWO }],
  ])('is a deployment before its caller is answered: %s', async (_name, more) => {
    const server = await untold()
    const at = await gateway(server, more)
    const { post } = at
    for (let i = 0; i < 8; i++) await kept(at, 1)
    server.content = 2
    expect((await post('/v2/repository/models/m/load', {})).status).toBe(200)
    for (let i = 0; i < 8; i++) expect((await ask(at)).data).toBe(2)
  })

  it('is none where it was refused', async () => {
    const server = await untold()
    const at = await gateway(server)
    await kept(at, 1)
    Object.assign(server, { content: 2, refuses: true })
    expect((await at.post('/v2/repository/models/m/load', {})).status).toBe(403)
    expect((await ask(at)).data).toBe(1)
  })
})

describe('a label', () => {
  const LABEL = '/v1/models/m/labels/stable:predict'
  const predict = async (at: RunningGateway) => {
    const { json, headers } = await at.post(LABEL, { instances: [1] })
    return {
      data: (json as { predictions: number[] }).predictions[0],
      status: String(headers['cache-status']),
    }
  }

  it('that is moved gives the answers of the version it points to now', async () => {
    const server = await untold()
    server.label = 1
    const at = await gateway(server)
    await eventually(async () => expect((await predict(at)).status).toMatch(/; hit/))
    Object.assign(server, { content: 2, label: 2 })
    await eventually(async () => expect((await predict(at)).data).toBe(2))
  })

  it('of which nobody tells where it points is not kept', async () => {
    const server = await untold()
    const at = await gateway(server)
    for (let i = 0; i < 3; i++) expect((await predict(at)).status).toMatch(/fwd=miss; fwd-status=200$/)
  })
})
