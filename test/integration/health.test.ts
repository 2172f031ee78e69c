/** Health checks against scripted servers: what each kind of model server is judged by, and how soon. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createProbe } from '../../src/control/health/probe.ts'
import { createAddressRules } from '../../src/core/addresses.ts'
import type { Backend } from '../../src/core/backend.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

type Script = Record<string, { status: number; body?: string; headers?: Record<string, string> }>

/** Answers paths as scripted, everything else with 404, and remembers what was asked. */
async function scripted(
  script: Script,
): Promise<{ port: number; asked: string[]; script: Script; server: Server }> {
  const asked: string[] = []
  const answer: RequestListener = (request, response) => {
    asked.push(request.url ?? '')
    const {
      status,
      body = '',
      headers = {},
    } = script[request.url ?? ''] ?? { status: 404, body: 'no such path' }
    response.writeHead(status, headers).end(body)
  }
  const server = createServer(answer)
  const port = await listen(server)
  return { port, asked, script, server }
}

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const plane = await startControlPlane(options)
  cleanups.push(() => plane.close())
  return plane
}

function backend(plane: ControlPlane): Backend | undefined {
  return plane.registry.view('ranker')?.backends[0]
}

async function stateBecomes(plane: ControlPlane, state: Backend['state']): Promise<Backend> {
  return eventually(() => {
    const found = backend(plane)
    expect(found?.state).toBe(state)
    return found as Backend
  })
}

describe('a backend is ready', () => {
  test.each<[string, Script, RegExp]>([
    ['Open Inference readiness', { '/v2/health/ready': { status: 200 } }, /v2\/health\/ready answered 200/],
    [
      'the state of a TensorFlow Serving model',
      {
        '/v2/health/ready': { status: 400, body: '{"error":"Malformed request"}' },
        '/v1/models/m': {
          status: 200,
          body: '{"model_version_status":[{"version":"1","state":"AVAILABLE"}]}',
        },
      },
      /v1\/models\/m answered 200/,
    ],
    [
      'the readiness of a KServe V1 model',
      { '/v1/models/m': { status: 200, body: '{"name":"m","ready":true}' } },
      /models\/m/,
    ],
    ['accepting connections, where nothing else is spoken', {}, /accepts connections/],
    [
      'accepting connections, where paths want a token',
      { '/v2/health/ready': { status: 401 } },
      /accepts connections/,
    ],
    [
      'accepting connections, where paths are redirected',
      { '/v2/health/ready': { status: 302, headers: { location: 'http://169.254.169.254/' } } },
      /accepts connections/,
    ],
  ])('by %s', async (_name, script, reason) => {
    const plane = await start()
    const { port } = await scripted(script)
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}`, models: [{ name: 'm' }] })
    expect((await stateBecomes(plane, 'ready')).reason).toMatch(reason)
  })

  test('within a second of its registration, whatever the interval', async () => {
    const plane = await start({ health: { intervalMs: 60_000 } })
    const { port } = await scripted({ '/v2/health/ready': { status: 200 } })
    const begin = performance.now()
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    await stateBecomes(plane, 'ready')
    expect(performance.now() - begin).toBeLessThan(1_000)
  })

  test('soon after it begins to listen, when it registered too early', async () => {
    const plane = await start({ health: { intervalMs: 60_000 } })
    const { port, server } = await scripted({ '/v2/health/ready': { status: 200 } })
    await new Promise((resolve) => server.close(resolve))
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    expect((await stateBecomes(plane, 'unhealthy')).reason).toMatch(/ECONNREFUSED/)
    server.listen(port, '127.0.0.1')
    await stateBecomes(plane, 'ready')
  })
})

describe('a backend is not ready', () => {
  test.each<[string, Script]>([
    ['while it says 503', { '/v2/health/ready': { status: 503 } }],
    ['while it says 500', { '/v2/health/ready': { status: 500 } }],
    ['while Triton says no with an empty 400', { '/v2/health/ready': { status: 400 } }],
    [
      'while its TensorFlow Serving model loads',
      { '/v1/models/m': { status: 200, body: '{"model_version_status":[{"state":"LOADING"}]}' } },
    ],
    ['while its KServe model is not ready', { '/v1/models/m': { status: 200, body: '{"ready":"False"}' } }],
  ])('%s', async (_name, script) => {
    const plane = await start({ health: { intervalMs: 20 } })
    const { port } = await scripted(script)
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}`, models: [{ name: 'm' }] })
    await stateBecomes(plane, 'unhealthy')
  })

  test('where the given path answers anything but 2xx', async () => {
    const plane = await start({ health: { intervalMs: 20, path: '/healthz' } })
    const { port, script, asked } = await scripted({
      '/base/healthz': { status: 302, headers: { location: '/x' } },
    })
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}/base` })
    await stateBecomes(plane, 'unhealthy')
    script['/base/healthz'] = { status: 204 }
    await stateBecomes(plane, 'ready')
    expect(new Set(asked)).toEqual(new Set(['/base/healthz']))
  })
})

describe('over time', () => {
  test('three failures take a backend out, and two successes bring it back', async () => {
    const plane = await start({ health: { intervalMs: 20 } })
    const { port, script, asked } = await scripted({ '/v2/health/ready': { status: 200 } })
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    await stateBecomes(plane, 'ready')
    const seen: [string, number][] = []
    plane.registry.follow(({ backends }) => seen.push([backends[0]?.state ?? '', asked.length]))
    script['/v2/health/ready'] = { status: 503 }
    const before = asked.length
    await stateBecomes(plane, 'unhealthy')
    script['/v2/health/ready'] = { status: 200 }
    await stateBecomes(plane, 'ready')
    expect(seen.map(([state]) => state)).toEqual(['ready', 'unhealthy', 'ready'])
    expect((seen[1]?.[1] ?? 0) - before).toBeGreaterThanOrEqual(3)
    expect((seen[2]?.[1] ?? 0) - (seen[1]?.[1] ?? 0)).toBeGreaterThanOrEqual(2)
  })

  test('what a backend speaks is remembered, and a 404 of it is then a failure', async () => {
    const plane = await start({ health: { intervalMs: 20 } })
    const { port, script, asked } = await scripted({ '/v1/models/m': { status: 200, body: '{}' } })
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}`, models: [{ name: 'm' }] })
    await stateBecomes(plane, 'ready')
    await eventually(() => expect(asked.length).toBeGreaterThan(5))
    expect(asked.filter((path) => path === '/v2/health/ready')).toHaveLength(1)
    delete script['/v1/models/m']
    await stateBecomes(plane, 'unhealthy')
  })

  test('a killed backend is out after two probes', async () => {
    const plane = await start({ health: { intervalMs: 50 } })
    const { port, server } = await scripted({ '/v2/health/ready': { status: 200 } })
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    await stateBecomes(plane, 'ready')
    server.closeAllConnections()
    server.close()
    expect((await stateBecomes(plane, 'unhealthy')).reason).toMatch(/ECONNREFUSED/)
  })

  test('a backend that hangs is probed one at a time', async () => {
    const plane = await start({ health: { intervalMs: 50, timeoutMs: 100 } })
    const open = new Set<Socket>()
    let most = 0
    let probes = 0
    const silent = createTcpServer((socket) => {
      open.add(socket)
      probes++
      most = Math.max(most, open.size)
      socket.on('error', () => {}).on('close', () => open.delete(socket))
      socket.resume()
    })
    const port = await listen(silent)
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    expect((await stateBecomes(plane, 'unhealthy')).reason).toMatch(/no answer within 100 ms/)
    await eventually(() => expect(probes).toBeGreaterThan(4))
    expect(most).toBe(1)
  })

  test('a backend that is gone is probed no more', async () => {
    const plane = await start({ health: { intervalMs: 10 } })
    const { port, asked } = await scripted({ '/v2/health/ready': { status: 200 } })
    plane.registry.register('ranker', 'b', { url: `http://127.0.0.1:${port}` })
    await stateBecomes(plane, 'ready')
    plane.registry.remove('ranker', 'b')
    await eventually(() => expect(backend(plane)).toBeUndefined())
    const after = asked.length
    // Another backend's probes measure the time in which the first must stay silent.
    const other = await scripted({ '/v2/health/ready': { status: 200 } })
    plane.registry.register('ranker', 'c', { url: `http://127.0.0.1:${other.port}` })
    await eventually(() => expect(other.asked.length).toBeGreaterThan(10))
    expect(asked.length - after).toBeLessThanOrEqual(1)
  })
})

describe('a probe', () => {
  const ask = (url: string, options: Parameters<typeof createAddressRules>[0] = {}) =>
    createProbe(createAddressRules(options))({ url, path: '/', timeoutMs: 1_000 })

  test('does not go where a name leads to a forbidden address', async () => {
    const { port, asked } = await scripted({ '/': { status: 200 } })
    const own = [{ host: '0.0.0.0', port }]
    expect(await ask(`http://localhost:${port}`, { ownListeners: own })).toMatchObject({ kind: 'forbidden' })
    expect(await ask(`http://127.0.0.1:${port}`, { ownListeners: own })).toMatchObject({ kind: 'forbidden' })
    expect(await ask('http://169.254.169.254')).toMatchObject({ kind: 'forbidden' })
    expect(asked).toEqual([])
    expect(await ask(`http://localhost:${port}`)).toMatchObject({ kind: 'status', status: 200 })
  })

  test('takes an answer without end for an answer, and no more of it than 64 KiB', async () => {
    const endless = createServer((_, response) => {
      const chunk = Buffer.alloc(16_384, 'x')
      const more = (): void => void response.write(chunk, () => setImmediate(more))
      more()
    })
    const port = await listen(endless)
    expect(await ask(`http://127.0.0.1:${port}`)).toEqual({
      kind: 'status',
      status: 200,
      body: '',
      isCut: true,
    })
  })

  test('says what is wrong with what is no HTTP', async () => {
    const port = await listen(
      createTcpServer((socket) => socket.on('error', () => {}).end('SSH-2.0-nonsense\r\n')),
    )
    expect(await ask(`http://127.0.0.1:${port}`)).toMatchObject({ kind: 'failed' })
  })
})
