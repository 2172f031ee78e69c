/** A backend joins a pool only if it takes the pool's inputs; real listeners, both protocols' metadata. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanup.splice(0).toReversed()) await clean()
})

/** A model server that is ready and says this of its inputs, under the one path. */
async function modelServer(path: string, metadata: object): Promise<string> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    if (request.url === path) response.end(JSON.stringify(metadata))
    else if (request.url === '/v2/health/ready') response.end('{}')
    else response.writeHead(404).end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const v2 = (...inputs: [string, string][]) =>
  modelServer('/v2/models/m', {
    name: 'm',
    inputs: inputs.map(([name, datatype]) => ({ name, datatype, shape: [-1, 4] })),
  })
const v1 = (name: string, dtype: string) =>
  modelServer('/v1/models/m/metadata', {
    model_spec: { name: 'm', signature_name: '', version: '1' },
    metadata: {
      signature_def: { signature_def: { serving_default: { inputs: { [name]: { dtype, name } } } } },
    },
  })

async function plane(): Promise<ControlPlane> {
  const started = await startControlPlane({ health: { intervalMs: 200 } })
  cleanup.push(() => started.close())
  return started
}

const register = ({ registry }: ControlPlane, id: string, url: string, version?: string) =>
  registry.register('ranker', id, {
    url,
    models: [{ name: 'm', ...(version === undefined ? {} : { version }) }],
  })
const found = ({ registry }: ControlPlane, id: string) =>
  registry.view('ranker')?.backends.find((backend) => backend.id === id)
const isReady = (at: ControlPlane, id: string) =>
  eventually(() => expect(found(at, id)).toMatchObject({ state: 'ready' }))

it('a backend with other inputs stays warming and says which, until the pool is like it', async () => {
  const at = await plane()
  register(at, 'first', await v2(['x', 'FP32'], ['y', 'INT64']))
  await isReady(at, 'first')
  register(at, 'wrong', await v2(['x', 'FP64'], ['y', 'INT64']))
  await eventually(() =>
    expect(found(at, 'wrong')).toMatchObject({
      state: 'warming',
      reason: expect.stringContaining('model "m" takes x:FP64, y:INT64, and x:FP32, y:INT64 at first'),
    }),
  )
  at.registry.remove('ranker', 'first', { drainMs: 0 })
  await isReady(at, 'wrong')
})

it('the order of inputs does not matter, nor the protocol in which they are told', async () => {
  const at = await plane()
  register(at, 'first', await v2(['y', 'INT64'], ['x', 'FP32']))
  await isReady(at, 'first')
  register(at, 'second', await v2(['x', 'FP32'], ['y', 'INT64']))
  await isReady(at, 'second')

  const other = await plane()
  register(other, 'oip', await v2(['x', 'FP32']))
  await isReady(other, 'oip')
  register(other, 'tfs', await v1('x', 'DT_FLOAT'))
  await isReady(other, 'tfs')
  register(other, 'strings', await v1('x', 'DT_STRING'))
  await eventually(() => expect(found(other, 'strings')?.reason).toContain('x:BYTES'))
  expect(found(other, 'strings')?.state).toBe('warming')
})

it('another version may take other inputs, and who says nothing of them is not held to any', async () => {
  const at = await plane()
  register(at, 'v1', await v2(['x', 'FP32']), '1')
  await isReady(at, 'v1')
  register(at, 'v2', await v2(['tokens', 'INT64']), '2')
  await isReady(at, 'v2')
  register(at, 'silent', await modelServer('/nothing', {}), '1')
  await isReady(at, 'silent')
})

it('of two that differ and come at the same time one joins', async () => {
  const at = await plane()
  const urls = [await v2(['x', 'FP32']), await v2(['x', 'FP64'])]
  for (const [i, url] of urls.entries()) register(at, `b${i}`, url)
  const seen = () => urls.map((_, i) => found(at, `b${i}`))
  const reason = expect.stringContaining('model "m" takes')
  await eventually(() => {
    expect(seen()).toContainEqual(expect.objectContaining({ state: 'ready' }))
    expect(seen()).toContainEqual(expect.objectContaining({ state: 'warming', reason }))
  })
})
