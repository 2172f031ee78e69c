import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatProblem, loadSettings, parseSettings } from '../../../src/config/load.ts'
import type { Settings } from '../../../src/config/schema.ts'

const REST = '\npools: { ranker: {} }\nroutes: [{}]\n'

function settingsOf(yaml: string, env: NodeJS.ProcessEnv = {}): Settings {
  const parsed = parseSettings(yaml, '/srv/gate.yaml', env)
  if (!('settings' in parsed)) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.settings
}

describe('the defaults', () => {
  it('are there for everything the YAML leaves out', () => {
    const { server, admin, log, cache, pools, routes, models } = settingsOf(REST)
    expect(server).toEqual({
      listen: { host: '0.0.0.0', port: 8080 },
      workers: 'auto',
      reusePort: false,
      fastDoor: true,
      limits: {
        maxBodyBytes: 64 * 2 ** 20,
        maxHeaderBytes: 16 * 2 ** 10,
        requestTimeout: 60_000,
        headerTimeout: 10_000,
        bodyTimeout: 30_000,
        keepAliveTimeout: 65_000,
        maxConnections: 10_000,
      },
      shutdownDelay: 1_000,
      drainTimeout: 30_000,
      trustedProxies: [],
    })
    expect(admin).toEqual({
      listen: { host: '127.0.0.1', port: 9090 },
      tokens: [],
      hosts: [],
      openMetrics: false,
      shareBackends: true,
    })
    expect(log).toEqual({ level: 'info', format: 'auto' })
    expect(cache.tiers).toEqual([{ name: 'memory', type: 'memory', maxBytes: 256 * 2 ** 20 }])
    expect(cache.defaults).toMatchObject({
      ttl: 86_400_000,
      jitter: 0.1,
      maxEntryBytes: 2 ** 20,
      scope: 'caller',
    })
    expect(pools['ranker']).toMatchObject({
      balance: { policy: 'peak-ewma' },
      health: { path: 'auto', interval: 5000, timeout: 1000, unhealthyAfter: 3, healthyAfter: 2 },
      retry: { max: 2, budget: { percent: 20 } },
      connections: 64,
      connectTimeout: 1000,
    })
    expect(routes).toMatchObject([
      { name: 'default', pool: 'ranker', protocol: 'auto', pure: true, timeout: 60_000 },
    ])
    expect(models).toEqual([])
  })
})

describe('settings', () => {
  it('are frozen to the last leaf', () => {
    const settings = settingsOf(REST)
    const unfrozen: string[] = []
    const walk = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return
      if (!Object.isFrozen(value)) unfrozen.push(path)
      for (const [key, inner] of Object.entries(value)) walk(inner, `${path}.${key}`)
    }
    walk(settings, '')
    expect(unfrozen).toEqual([])
  })

  it('cache on a route only where it says so, with the defaults of the cache for what it leaves out', () => {
    const { routes } = settingsOf(`
cache: { defaults: { ttl: 1h, staleIfError: 5m } }
pools: { a: {} }
routes:
  - { name: plain }
  - { name: cached, cache: {} }
  - { name: own, cache: { ttl: 2s, scope: shared, vary: [X-Tenant] } }
  - { name: later, cache: { enabled: false, ttl: 3s } }
`)
    expect(
      routes.map(({ name, cache }) => [name, cache.enabled, cache.ttl, cache.staleIfError, cache.scope]),
    ).toEqual([
      ['plain', false, 3_600_000, 300_000, 'caller'],
      ['cached', true, 3_600_000, 300_000, 'caller'],
      ['own', true, 2000, 300_000, 'shared'],
      ['later', false, 3000, 300_000, 'caller'],
    ])
    expect(routes[2]?.cache.vary).toEqual(['x-tenant'])
  })
})

describe('models and backends', () => {
  it('of this machine have a cache, and their source as a path from the YAML', () => {
    const home = mkdtempSync(join(tmpdir(), 'infergate-models-'))
    mkdirSync(join(home, 'models'))
    writeFileSync(join(home, 'models', 'a.onnx'), '')
    const yaml = `models:
  - { name: a, source: ../models/a.onnx }
  - { name: b, source: "file://${home}/models/a.onnx" }
  - { name: c, source: "https://models.example/c.onnx", cache: { enabled: false } }
`
    const parsed = parseSettings(yaml, join(home, 'config', 'gate.yaml'), {})
    rmSync(home, { recursive: true })
    expect(parsed).toMatchObject({
      settings: {
        models: [
          { source: join(home, 'models', 'a.onnx'), cache: { enabled: true, ttl: 86_400_000 } },
          { source: join(home, 'models', 'a.onnx') },
          { source: 'https://models.example/c.onnx', cache: { enabled: false } },
        ],
      },
    })
  })

  it('are found by a route without a pool where there is only one', () => {
    const yaml =
      'models: [{ name: a, source: "https://h/a.onnx" }]\nroutes: [{ match: { host: "*.Example" } }]\n'
    expect(settingsOf(yaml).routes).toMatchObject([{ pool: 'a', match: { host: '*.example' } }])
  })

  it('have an id that fits a URL, and a URL without a slash at the end', () => {
    const { pools } = settingsOf(`
pools:
  a:
    backends:
      - url: http://10.0.0.1:8501/
      - url: https://Models.example/tf/serving/
      - url: http://[::1]:9000
      - { id: big, url: "http://10.0.0.1:8501" }
routes: [{}]
`)
    expect(pools['a']?.backends.map(({ id, url }) => [id, url])).toEqual([
      ['10.0.0.1:8501', 'http://10.0.0.1:8501'],
      ['models.example:443-tf-serving', 'https://models.example/tf/serving'],
      ['::1:9000', 'http://[::1]:9000'],
      ['big', 'http://10.0.0.1:8501'],
    ])
  })
})

describe('a YAML', () => {
  it.each([
    ['0.0.0.0:8080', { host: '0.0.0.0', port: 8080 }],
    ['"[::]:0"', { host: '::', port: 0 }],
    ['localhost:1', { host: 'localhost', port: 1 }],
  ])('may say %s for an address', (text, address) => {
    expect(settingsOf(`server:\n  listen: ${text}${REST}`).server.listen).toEqual(address)
  })

  it('may put the admin listener on the network, once there are tokens', () => {
    const token = `{ name: ops, hash: "sha256:${'ab'.repeat(32)}", scopes: [admin, "register:ranker"] }`
    const { admin } = settingsOf(`admin: { listen: 0.0.0.0:9090, tokens: [${token}] }${REST}`)
    expect(admin.tokens).toMatchObject([{ name: 'ops' }])
  })

  it('may have anchors and aliases', () => {
    const { pools } = settingsOf(
      'pools:\n  a: &fast { health: { interval: 1s } }\n  b: *fast\nroutes: [{ pool: b }]\n',
    )
    expect(pools['b']).toEqual(pools['a'])
    expect(pools['b']?.health.interval).toBe(1000)
  })

  it('may have keys without a value, which count as left out', () => {
    expect(settingsOf(`server:\n  # listen: 1.2.3.4:5\nmodels:\n${REST}`).server.listen.port).toBe(8080)
  })
})

describe('variables', () => {
  it('stand for texts, numbers, durations and truth values, in quotes or not', () => {
    const yaml = `
server: { workers: "\${WORKERS}", drainTimeout: "\${DRAIN:-5s}" }
admin:
  openMetrics: \${OPEN}
cache:
  tiers:
    - name: redis
      type: redis
      url: redis://:\${PASSWORD}@\${HOST:-127.0.0.1}:6379
      prefix: "\${PREFIX}"
pools: { a: { connections: "\${N}" } }
routes: [{}]
`
    const env = { WORKERS: '3', OPEN: 'true', PASSWORD: 'p', PREFIX: '12', N: '7', HOST: '' }
    const { server, admin, cache, pools } = settingsOf(yaml, env)
    expect([server.workers, server.drainTimeout, admin.openMetrics, pools['a']?.connections]).toEqual([
      3,
      5000,
      true,
      7,
    ])
    expect(cache.tiers).toMatchObject([{ url: 'redis://:p@127.0.0.1:6379', prefix: '12' }])
  })

  it('that are written $${ stay as they are', () => {
    const yaml = `cache: { tiers: [{ name: r, type: redis, url: "redis://h", prefix: "$\${A}:" }] }${REST}`
    expect(settingsOf(yaml).cache.tiers).toMatchObject([{ prefix: '${A}:' }])
  })

  it('are not looked for in what another variable holds', () => {
    const yaml = `cache: { tiers: [{ name: r, type: redis, url: "redis://h", prefix: "\${A}" }] }${REST}`
    expect(settingsOf(yaml, { A: '${B}' }).cache.tiers).toMatchObject([{ prefix: '${B}' }])
  })
})

describe('the file', () => {
  let home = ''
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'infergate-load-'))
  })
  afterAll(() => rmSync(home, { recursive: true, force: true }))

  it.each<[name: string, content: string | Uint8Array | undefined, message: string]>([
    ['is not there', undefined, 'there is no such file'],
    ['is empty', '', 'the file is empty'],
    ['is binary', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0, 1), 'this is a binary file (name a YAML file)'],
    ['is not UTF-8', Uint8Array.of(0x6c, 0x6f, 0x67, 0x3a, 0xff), 'the file is not UTF-8'],
    ['is far too long', '#'.repeat(1024 * 1024 + 1), 'the file is longer than 1 MiB'],
  ])('that %s is a problem, not an exception', async (_name, content, message) => {
    const file = join(home, 'gate.yaml')
    rmSync(file, { force: true })
    if (content !== undefined) writeFileSync(file, content)
    const loaded = await loadSettings(file)
    expect('problems' in loaded && loaded.problems.map(formatProblem)).toEqual([`${file}:1:1: ${message}`])
  })

  it('that is a pipe is a problem, and is not waited for', async () => {
    const file = join(home, 'pipe.yaml')
    execFileSync('mkfifo', [file])
    const loaded = await loadSettings(file)
    const wanted = `${file}:1:1: this is no regular file`
    expect('problems' in loaded && loaded.problems.map(formatProblem)).toEqual([wanted])
  })

  it('that is a folder is a problem, not an exception', async () => {
    const loaded = await loadSettings(home)
    const wanted = `${home}:1:1: this is a folder (name the YAML file in it)`
    expect('problems' in loaded && loaded.problems.map(formatProblem)).toEqual([wanted])
  })

  it('that is fine gives its settings, a byte order mark notwithstanding', async () => {
    const file = join(home, 'fine.yaml')
    writeFileSync(file, `\uFEFFlog: { level: warn }${REST}`)
    expect(await loadSettings(file)).toMatchObject({ settings: { log: { level: 'warn' } } })
  })

  it('ends with windows line breaks and still has the right lines', () => {
    const parsed = parseSettings(
      'log:\r\n  levle: info\r\npools: { a: {} }\r\nroutes: [{}]\r\n',
      'w.yaml',
      {},
    )
    expect('problems' in parsed && parsed.problems).toEqual([
      {
        file: 'w.yaml',
        line: 2,
        column: 3,
        path: 'log',
        message: 'unknown key "levle"',
        fix: 'did you mean "level"?',
      },
    ])
  })
})
