/** What is made from the schema: the reference, the editors' schema, the printed settings, the restart list. */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { jsonSchema } from '../../../scripts/docs/json-schema.ts'
import { referencePage } from '../../../scripts/docs/reference-page.ts'
import { SAMPLES } from '../../../scripts/docs/samples.ts'
import { formatProblem, parseSettings } from '../../../src/config/load.ts'
import { presentYaml } from '../../../src/config/present.ts'
import { restartNeeded } from '../../../src/config/restart.ts'
import { type Settings, schema } from '../../../src/config/schema.ts'
import { upstreamSettings } from '../../../src/config/upstream.ts'
import { core, fieldsOf, type Schema } from '../../../src/config/walk.ts'

/** For tests that start a process: the unit tests' own timeout is meant for work in this one. */
const PROCESSES = { timeout: 30_000 }

const ROOT = join(import.meta.dirname, '..', '..', '..')

function settingsOf(yaml: string): Settings {
  const parsed = parseSettings(yaml, '/srv/gate.yaml', {})
  if (!('settings' in parsed)) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.settings
}

const REST = '\npools: { ranker: {} }\nroutes: [{}]\n'

describe('the reference', () => {
  it('in the repository says what the schema says (npm run docs writes it anew)', () => {
    expect(readFileSync(join(ROOT, 'docs/reference/config.md'), 'utf8')).toBe(referencePage())
    expect(readFileSync(join(ROOT, 'config/schema.json'), 'utf8')).toBe(jsonSchema())
  })

  it('has an example a block, and each resolves', () => {
    expect(Object.keys(SAMPLES).toSorted()).toEqual(Object.keys(schema.shape).toSorted())
    // The model of the sample is a file that need not be here.
    const models = (SAMPLES['models'] ?? '').replace(
      '../models/digits.onnx',
      'https://models.example/digits.onnx',
    )
    for (const [key, sample] of Object.entries(SAMPLES)) {
      const yaml = key === 'models' ? models : sample
      const needed =
        key === 'tenants' ? (['auth', 'pools', 'routes'] as const) : (['pools', 'routes'] as const)
      const rest = needed.filter((other) => other !== key && key !== 'models')
      expect(settingsOf([yaml, ...rest.map((other) => SAMPLES[other] ?? '')].join('\n'))).toHaveProperty(key)
    }
  })

  it('has a sentence for every field', () => {
    const silent: string[] = []
    const walk = (node: Schema, path: string): void => {
      for (const [key, field] of Object.entries(fieldsOf(node, undefined) ?? {})) {
        if (!/[.;]$/.test((field as { description?: string }).description ?? ''))
          silent.push(`${path}.${key}`)
        const inner = core(field)
        const element = 'element' in inner._zod.def ? (inner._zod.def.element as Schema) : inner
        walk(element, `${path}.${key}`)
      }
    }
    walk(schema, '')
    expect(silent).toEqual([])
  })

  it('links only to headings it has', () => {
    const page = referencePage()
    const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^a-z0-9 _-]/g, '')
        .replaceAll(' ', '-'),
    )
    const links = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, target]) => target)
    expect(links.length).toBeGreaterThan(20)
    expect(links.filter((target) => !headings.includes(target ?? ''))).toEqual([])
    expect(new Set(headings).size).toBe(headings.length)
  })
})

describe('the documents of the repository', () => {
  it('are checked by a command that names the one to run, and exits with 1', PROCESSES, async () => {
    const home = mkdtempSync(join(tmpdir(), 'infergate-docs-'))
    for (const folder of ['src', 'scripts', 'config', 'docs', 'deploy'])
      cpSync(join(ROOT, folder), join(home, folder), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'))
    writeFileSync(join(home, 'package.json'), '{"type":"module"}')
    const run = (...args: string[]) =>
      promisify(execFile)(process.execPath, [join(home, 'scripts/docs/docs.ts'), ...args]).catch(
        (error) => error,
      )
    try {
      expect(await run('--check')).toMatchObject({ stdout: '', stderr: '' })
      writeFileSync(join(home, 'docs/reference/config.md'), 'old')
      const stderr =
        'docs/reference/config.md does not say what src/config/schema.ts says: run npm run docs\n'
      expect(await run('--check')).toMatchObject({ code: 1, stderr })
      expect(await run()).toMatchObject({ stdout: 'wrote docs/reference/config.md\n' })
      expect(await run('--check')).toMatchObject({ stdout: '', stderr: '' })
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  })
})

describe('printed settings', () => {
  it('resolve to the same settings again', () => {
    const settings = settingsOf(
      `${SAMPLES['server']}${SAMPLES['cache']}${SAMPLES['pools']}${SAMPLES['routes']}`,
    )
    expect(settingsOf(presentYaml(settings))).toEqual(settings)
  })

  it('show no token hash, password, query or secret', () => {
    const hash = 'ab'.repeat(32)
    const printed = presentYaml(
      settingsOf(`
admin: { tokens: [{ name: ops, hash: "sha256:${hash}", scopes: [admin] }] }
auth:
  jwt:
    - { issuer: i, audience: a, tenant: claim.t, tenants: [t], jwks: "https://idp.example/keys?k=geheim" }
    - { issuer: j, audience: a, tenant: claim.t, tenants: [t], jwks: "own/keys?.json" }
cache: { tiers: [{ name: r, type: redis, url: "rediss://user:geheim@h:6380/2" }] }
pools:
  a:
    discovery: [{ type: consul, service: s, token: geheim }]
    scale: { emit: [{ type: webhook, url: "https://u:geheim@ops.example/x?key=geheim", secret: geheim }] }
routes: [{}]
`),
    )
    expect(printed).not.toMatch(/geheim|abab/)
    expect(printed).toContain('rediss://user:***@h:6380/2')
    expect(printed).toContain('https://u:***@ops.example/x?***')
    expect(printed).toContain('https://idp.example/keys?***')
    expect(printed).toContain('own/keys?.json')
  })
})

describe('a reload', () => {
  it('can change everything live but what is read once at the start', () => {
    const old = settingsOf(REST)
    const live = settingsOf(`
server: { limits: { maxBodyBytes: 1MiB, requestTimeout: 1s }, drainTimeout: 1s }
admin: { openMetrics: true }
log: { level: debug }
cache: { defaults: { ttl: 1s } }
pools: { other: { health: { interval: 1s } } }
routes: [{ cache: {} }]
`)
    expect(restartNeeded(old, live)).toEqual([])
    const fixed = settingsOf(`
server: { listen: 0.0.0.0:8081, workers: 4, limits: { maxHeaderBytes: 8KiB } }
admin: { listen: 127.0.0.1:9091 }
cache: { tiers: [], writeQueue: { maxEntries: 5 } }
${REST}`)
    expect(restartNeeded(old, fixed)).toEqual([
      'server.listen',
      'server.workers',
      'server.limits.maxHeaderBytes',
      'admin.listen',
      'cache.tiers',
      'cache.writeQueue',
    ])
  })

  it('needs no restart for the same settings written differently', () => {
    const one = settingsOf(
      `server: { listen: "0.0.0.0:8080" }\ncache: { tiers: [{ type: memory, name: memory, maxBytes: 262144KiB }] }${REST}`,
    )
    expect(restartNeeded(settingsOf(REST), one)).toEqual([])
  })
})

describe('settings without a YAML', () => {
  it('take every call to one pool and cache it', () => {
    const made = upstreamSettings({
      upstreams: ['http://127.0.0.1:8501', 'http://127.0.0.1:8502/'],
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      timeout: '10m',
      idleTimeout: '5s',
    })
    expect(made).toMatchObject({
      settings: {
        server: { listen: { host: '127.0.0.1', port: 0 } },
        admin: { listen: { host: '127.0.0.1', port: 0 } },
        pools: {
          upstream: { backends: [{ url: 'http://127.0.0.1:8501' }, { url: 'http://127.0.0.1:8502' }] },
        },
        routes: [
          {
            name: 'upstream',
            match: {},
            protocol: 'auto',
            timeout: 600_000,
            idleTimeout: 5_000,
            cache: { enabled: true, rows: 'auto' },
          },
        ],
      },
    })
  })

  it('make one backend of the two addresses of a host, where it has no more', () => {
    const backendsOf = (...upstreams: string[]) => {
      const made = upstreamSettings({ upstreams })
      if ('errors' in made) return made.errors
      return made.settings.pools['upstream']?.backends.map(({ url, grpc }) => [url, grpc])
    }
    expect(backendsOf('grpc://h:8001')).toEqual([[undefined, 'http://h:8001']])
    expect(backendsOf('grpcs://h:8001', 'http://h:8000')).toEqual([['http://h:8000', 'https://h:8001']])
    expect(backendsOf('http://a', 'http://b', 'grpc://b:1', 'grpc://c:1')).toEqual([
      ['http://a', undefined],
      ['http://b', 'http://b:1'],
      [undefined, 'http://c:1'],
    ])
    expect(backendsOf('http://h:1', 'http://h:2', 'grpc://h:3')).toEqual([
      ['http://h:1', undefined],
      ['http://h:2', undefined],
      [undefined, 'http://h:3'],
    ])
    expect(backendsOf('grpc://')).toEqual([expect.stringContaining('--upstream: ')])
  })

  it.each([
    [[], {}, ['--upstream needs a URL, such as http://127.0.0.1:8501']],
    [['localhost:8501'], {}, ['--upstream: expected a URL with its scheme, such as http://127.0.0.1:8501']],
    [
      ['http://h', 'http://h/'],
      {},
      ['--upstream: another backend of this pool has this id (give it an id of its own)'],
    ],
    [
      ['http://h'],
      { listen: '80' },
      ['--listen: expected an address with its port, such as 0.0.0.0:8080, 127.0.0.1:0 or [::]:8080'],
    ],
    [
      ['http://h'],
      { admin: '0.0.0.0:9090' },
      [
        '--admin: without admin.tokens the admin API must listen on a loopback address, such as 127.0.0.1:9090',
      ],
    ],
    [
      ['http://h'],
      { timeout: '10', idleTimeout: 'never' },
      [
        '--timeout: expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d: a number alone has none',
        '--idle-timeout: expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d',
      ],
    ],
  ])('say what is wrong with %j %j', (upstreams, options, errors) => {
    expect(upstreamSettings({ upstreams, ...options })).toEqual({ errors })
  })
})

describe('infergate check', PROCESSES, () => {
  const program = `import { checkCommand } from ${JSON.stringify(join(ROOT, 'src/cli/check.ts'))}
await checkCommand().parseAsync(process.argv.slice(1), { from: 'user' })`
  const check = (...args: string[]) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, '--', ...args]).catch(
      (error) => error,
    )

  it('prints the resolved settings, as YAML or JSON', async () => {
    const file = join(ROOT, 'config/examples/minimal.yaml')
    const { stdout, stderr } = await check(file)
    expect(stderr).toBe('')
    expect(stdout).toContain('\n      - id: 127.0.0.1:8501\n')
    expect(settingsOf(stdout).routes[0]?.cache.ttl).toBe(600_000)
    const json = await check(file, '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({ server: { limits: { maxBodyBytes: '64MiB' } } })
  })

  it('prints every problem on stderr and exits with 1', async () => {
    const file = join(ROOT, 'config/nowhere.yaml')
    expect(await check(file)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `${file}:1:1: there is no such file\n`,
    })
  })

  it('explains itself with examples', async () => {
    const { stdout } = await check('--help')
    expect(stdout).toMatch(/infergate check config\/infergate\.yaml --json/)
  })
})
