/**
 * The packed tarball, installed outside of the tree: without the packages that it may lack, and with parts of one's own, a tier that
 * keeps answers in a file and a policy. The gateway that is started, the types and the contract suites are the tarball's.
 */
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { runInfergate, startGateway } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PACK_MS = 240_000

/** As `docs/architecture/adding-a-part.md` has them. */
const PARTS = `
import { DatabaseSync } from 'node:sqlite'
import type { Digest, Parts, PolicyFactory, Tier } from 'infergate'

export function createSqliteTier(name: string, path: string): Tier {
  const db = new DatabaseSync(path)
  // Several workers have the file open.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 2000')
  db.exec('CREATE TABLE IF NOT EXISTS entries (digest BLOB PRIMARY KEY, value BLOB, until REAL)')
  db.exec('CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT)')
  const find = db.prepare('SELECT value FROM entries WHERE digest = ? AND until > ?')
  const put = db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?)')
  const drop = db.prepare('DELETE FROM entries WHERE digest = ?')
  const fact = db.prepare('SELECT value FROM facts WHERE name = ?')
  const offer = db.prepare('INSERT OR IGNORE INTO facts VALUES (?, ?)')
  const set = db.prepare('INSERT OR REPLACE INTO facts VALUES (?, ?)')
  const bytes = (digest: Digest) => Buffer.from(digest, 'latin1')
  const known = (name: string) => fact.get(name)?.['value'] as string | undefined
  return {
    name,
    getMany: async (digests) =>
      digests.map((digest) => find.get(bytes(digest), Date.now())?.['value'] as Uint8Array | undefined),
    set: async (digest, value, ttlMs) => void put.run(bytes(digest), value, Date.now() + ttlMs),
    delete: async (digest) => void drop.run(bytes(digest)),
    async claim(name, value) {
      offer.run(name, value)
      return known(name) ?? value
    },
    facts: async (names) => names.map(known),
    publish: async (name, value) => void set.run(name, value),
    async close() {
      if (db.isOpen) db.close()
    },
  }
}

/** The backend whose last call began longest ago. */
export const longestIdle: PolicyFactory = ({ table, now }) => {
  const startedAt = new Float64Array(table.slots).fill(-Infinity)
  return {
    name: 'x-longest-idle',
    pick(slots, count) {
      let best = slots[0] ?? 0
      for (let i = 1; i < count; i++) {
        const slot = slots[i] ?? 0
        if ((startedAt[slot] ?? 0) < (startedAt[best] ?? 0)) best = slot
      }
      return best
    },
    onStart: (slot) => {
      startedAt[slot] = now()
    },
    forget: (slot) => {
      startedAt[slot] = -Infinity
    },
  }
}

export default {
  tiers: {
    'x-sqlite': ({ name, options }) => {
      if (typeof options['path'] !== 'string') throw new Error('options.path has to name the file')
      return createSqliteTier(name, options['path'])
    },
  },
  policies: { 'x-longest-idle': longestIdle },
} satisfies Parts
`

const CONTRACTS = `
import { policyContract, tierContract } from 'infergate/testing'
import { createSqliteTier, longestIdle } from './parts.ts'

tierContract('sqlite', async () => createSqliteTier('sqlite', ':memory:'))
policyContract('longest-idle', (context) => longestIdle(context, {}))
`

const folder = mkdtempSync(join(tmpdir(), 'infergate-package-'))
const packaged = join(folder, 'node_modules/infergate')
const main = join(packaged, 'dist/main.js')
const backends: ScriptedBackend[] = []

beforeAll(async () => {
  // What `npm pack` does by itself, without the search for type errors: the check has it.
  await run(process.execPath, [join(ROOT, 'scripts/build.mjs'), '--no-check'], { cwd: ROOT })
  const packing = ['pack', '--ignore-scripts', '--pack-destination', folder]
  const { stdout } = await run('npm', packing, { cwd: ROOT })
  await run('tar', ['-xzf', join(folder, stdout.trim().split('\n').at(-1) as string), '-C', folder])
  mkdirSync(join(folder, 'node_modules'))
  await run('mv', [join(folder, 'package'), packaged])
  // What the package depends on, and the vitest that its user has.
  for (const name of readdirSync(join(ROOT, 'node_modules')))
    if (!name.startsWith('.'))
      symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'parts.ts'), PARTS)
  writeFileSync(join(folder, 'contract.test.ts'), CONTRACTS)
  backends.push(await startBackend(), await startBackend())
}, PACK_MS)

afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.close()))
  rmSync(folder, { recursive: true, force: true })
})

/** A folder with nothing but the package and its dependencies, as npm installs them with --omit=optional. */
function installLean(): string {
  const lean = mkdtempSync(join(tmpdir(), 'infergate-lean-'))
  const modules = join(lean, 'node_modules')
  cpSync(packaged, join(modules, 'infergate'), { recursive: true })
  const { dependencies } = JSON.parse(readFileSync(join(packaged, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of Object.keys(dependencies))
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  mkdirSync(join(modules, '.bin'))
  symlinkSync('../infergate/dist/main.js', join(modules, '.bin', 'infergate'))
  return lean
}

const yaml = (tier: Record<string, unknown>) => ({
  server: { workers: 2 },
  cache: {
    tiers: [
      { type: 'memory', name: 'memory' } as const,
      { name: 'file', type: 'x-sqlite', ...tier } as never,
    ],
  },
  pools: {
    main: { backends: backends.map(({ url }) => ({ url })), balance: { policy: 'x-longest-idle' as never } },
  },
  routes: [
    { name: 'predictions', match: { path: '/v1/models/*' }, pool: 'main', cache: {} },
    { name: 'rest', pool: 'main' },
  ],
})

describe('the package without what it may lack', () => {
  let lean = ''
  let leanMain = ''

  afterAll(() => rmSync(lean, { recursive: true, force: true }))

  beforeAll(() => {
    lean = installLean()
    leanMain = join(lean, 'node_modules/infergate/dist/main.js')
  })

  const refused = async (args: readonly string[]): Promise<{ code: unknown; stderr: string }> => {
    const failed: unknown = await run(process.execPath, [leanMain, ...args], {
      cwd: lean,
      timeout: 20_000,
    }).catch((error: unknown) => error)
    return failed as { code: unknown; stderr: string }
  }

  it('runs by npx, in a folder with nothing else', async () => {
    const { stdout } = await run('npx', ['--no-install', 'infergate', '--version'], { cwd: lean })
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('says at each setting which package it needs, and how to get it', async () => {
    writeFileSync(join(lean, 'needs.yaml'), NEEDS)
    const { code, stderr } = await refused(['check', 'needs.yaml'])
    expect(code).toBe(1)
    expect(stderr.trim().split('\n').map(withoutVersions)).toEqual([
      'needs.yaml:2:5: models[0]: the package onnxruntime-node, needed for embedded models, is not installed (npm install --ignore-scripts onnxruntime-node@V)',
      'needs.yaml:2:26: models[0].kind: the package @huggingface/tokenizers, needed for embedded models of texts, is not installed (npm install --ignore-scripts @huggingface/tokenizers@V)',
      'needs.yaml:3:26: models[1].source: the package @aws-sdk/client-s3, needed for models in S3, is not installed (npm install --ignore-scripts @aws-sdk/client-s3@V)',
      "needs.yaml:7:37: pools.main.scale.emit[0].type: the packages @grpc/grpc-js and @grpc/proto-loader, needed for KEDA's scaler, are not installed (npm install --ignore-scripts @grpc/grpc-js@V @grpc/proto-loader@V)",
      'needs.yaml:9:53: routes[0].log.format: the package protobufjs, needed for prediction logs of the format tfrecord, is not installed (npm install --ignore-scripts protobufjs@V)',
    ])
  })

  it.each([
    ['serve', 'the package onnxruntime-node, needed for embedded models, is not installed'],
    [
      'model-server --model digits=node_modules/infergate/models/digits.onnx',
      'the package onnxruntime-node, needed for embedded models, is not installed',
    ],
    [
      'bench --driver autocannon',
      'the package autocannon, needed for bench --driver autocannon, is not installed',
    ],
  ])('`infergate %s` says it in a sentence', async (command, sentence) => {
    const { code, stderr } = await refused(command.split(' '))
    expect(stderr).toContain(sentence)
    expect(stderr).toMatch(/npm install --ignore-scripts \S+@\d/)
    expect(stderr).not.toContain('    at ')
    expect(code).toBe(1)
  })

  it('stands in front of a server, and keeps its answers', async () => {
    const args = ['--upstream', (backends[0] as ScriptedBackend).url]
    const gateway = await startGateway({ main: leanMain, args })
    await gateway.ready('upstream')
    expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/fwd=miss.*stored/)
    expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/; hit;/)
    expect(await gateway.stop()).toBe(0)
  })
})

const withoutVersions = (line: string): string => line.replace(/@\d[\w.-]*/g, '@V')

const NEEDS = `models:
  - { name: texts, kind: embedding, source: node_modules/infergate/models/sentences }
  - { name: far, source: 's3://models/far.onnx' }
pools:
  main:
    backends: [{ url: 'http://127.0.0.1:8501' }]
    scale: { max: 4, emit: [{ type: keda, listen: '127.0.0.1:9443' }] }
routes:
  - { name: main, pool: main, log: { to: ., format: tfrecord } }
`

describe('parts of one’s own, from the packed tarball', () => {
  it(
    'have types',
    async () => {
      const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
      const options = [
        '--noEmit',
        '--strict',
        '--module',
        'nodenext',
        '--target',
        'es2024',
        '--types',
        'node',
        '--skipLibCheck',
      ]
      await run(process.execPath, [tsc, ...options, 'parts.ts'], { cwd: folder })
    },
    PACK_MS,
  )

  it(
    'keep the contracts that the package exports',
    async () => {
      const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
      const report = join(folder, 'report.json')
      const args = ['run', '--root', folder, '--reporter', 'json', '--outputFile', report]
      await run(process.execPath, [vitest, ...args], { cwd: folder })
      const { success, numPassedTests } = JSON.parse(readFileSync(report, 'utf8')) as {
        success: boolean
        numPassedTests: number
      }
      expect(success).toBe(true)
      expect(numPassedTests).toBeGreaterThan(25)
    },
    PACK_MS,
  )

  it('serve calls in every worker, by the names that the YAML has for them', async () => {
    const path = join(folder, 'answers.db')
    const args = ['--parts', join(folder, 'parts.ts')]
    const gateway = await startGateway({ main, args, yaml: yaml({ options: { path } }) })
    await gateway.ready('main', 2)
    expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/fwd=miss.*stored/)
    // Written behind the answer.
    await eventually(async () =>
      expect(
        await gateway.metric('infergate_cache_operations_total', { tier: 'file', operation: 'set' }),
      ).toBeGreaterThan(0),
    )
    expect(await gateway.stop()).toBe(0)
    expect(existsSync(path)).toBe(true)
    await gateway.restart()
    await gateway.ready('main', 2)
    await eventually(async () =>
      expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(
        /; hit;.*detail=file/,
      ),
    )
    await gateway.stop()
  })

  it('are chosen by: calls go to the backend that was idle for longest', async () => {
    const [one, two] = backends as [ScriptedBackend, ScriptedBackend]
    const args = ['--parts', join(folder, 'parts.ts')]
    const gateway = await startGateway({
      main,
      args,
      yaml: { ...yaml({ options: { path: ':memory:' } }), server: { workers: 1 } },
    })
    await gateway.ready('main', 2)
    one.script = two.script = (_, response) => void response.end('mine')
    const before = [one.asked.length, two.asked.length]
    for (let call = 0; call < 20; call++) await gateway.post('/anything', 'x')
    expect([one.asked.length - (before[0] ?? 0), two.asked.length - (before[1] ?? 0)]).toEqual([10, 10])
    await gateway.stop()
  })

  it('say what is wrong with their settings', async () => {
    const file = join(folder, 'wrong.yaml')
    const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']
    const at = (parts: readonly string[]) => runInfergate(['serve', '--config', file, ...free, ...parts])
    writeFileSync(file, JSON.stringify(yaml({})))
    const missing = await at(['--parts', join(folder, 'parts.ts')])
    expect(missing).toMatchObject({ code: 1 })
    expect(missing.stderr).toMatch(/cache tier .*options\.path has to name the file/)
    const unknown = await at([])
    expect(unknown.stderr).toMatch(/cache\.tiers\[1\]\.type.*--parts/)
    expect(unknown.code).toBe(1)
  })
})
