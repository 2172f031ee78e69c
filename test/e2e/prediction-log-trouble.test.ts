/** A disk that is really full, and no file descriptor left: predictions are lost, counted and told, and calls are unharmed. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

let folder: string
let backend: ScriptedBackend
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infergate-trouble-'))
  backend = await startBackend()
})
afterAll(async () => {
  await backend?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs a command with a small file system of its own at the folder, which no other process sees. */
const SMALL_DISK = ['unshare', '-Urm', 'sh', '-c', 'mount -t tmpfs -o size=256k none "$0" && exec "$@"']
const canMount = spawnSync(SMALL_DISK[0] ?? '', [...SMALL_DISK.slice(1), tmpdir(), 'true']).status === 0
const canLimit = spawnSync('prlimit', ['--version']).status === 0

const reasons = async (ask: () => Promise<{ readonly status: number; readonly json: unknown }>) => {
  const { status, json } = await ask()
  // It takes calls all the same.
  expect(status).toBe(200)
  return (json as { reasons: string[] }).reasons
}
const counted = (gateway: RunningGateway, outcome: string) =>
  gateway.metric('infergate_prediction_log_records_total', { outcome })

it.skipIf(!canMount)(
  'a full disk costs predictions, never a call, and is used again when there is room',
  async () => {
    const to = mkdtempSync(join(folder, 'full-'))
    const yaml = settings({ backends: [backend], route: { log: { to, roll: { every: '1s' } } } })
    const gateway = await startGateway({ yaml, launcher: [...SMALL_DISK, to] })
    await gateway.ready('main')
    const inside = join('/proc', `${gateway.pid}`, 'root', to)
    const lines = () =>
      readdirSync(inside)
        .filter((name) => !name.startsWith('.'))
        .flatMap((name) => readFileSync(join(inside, name), 'utf8').split('\n').filter(Boolean))
        .map((line) => JSON.parse(line) as unknown)
    // Six of them fill the disk.
    const row = Array.from({ length: 20_000 }, () => 1)
    let asked = 0
    const seen = async () => (await counted(gateway, 'written')) + (await counted(gateway, 'failed'))
    // Each record by itself, so that none is on its way while the test looks, or makes room.
    const ask = async () => {
      const { status, json } = await gateway.post(PREDICT, instances([++asked, ...row]))
      expect([status, json]).toEqual([200, { predictions: [asked + row.length] }])
      await eventually(async () => expect(await seen()).toBe(asked))
    }
    while ((await counted(gateway, 'failed')) === 0) await ask()
    expect(await reasons(() => gateway.ask('/readyz'))).toContainEqual(
      expect.stringMatching(/^prediction log: route \S+: predictions are lost: .*ENOSPC/),
    )
    // Each file appears with whole lines, though a write has broken off in one.
    await eventually(async () => expect(lines()).toHaveLength(await counted(gateway, 'written')))
    for (const name of readdirSync(inside)) unlinkSync(join(inside, name))
    const before = await counted(gateway, 'written')
    await ask()
    expect(await counted(gateway, 'written')).toBe(before + 1)
    expect(await reasons(() => gateway.ask('/readyz'))).toEqual([])
    await eventually(() => expect(lines()).toHaveLength(1))
    await gateway.stop()
  },
)

it.skipIf(!canLimit)(
  'no file descriptor left costs predictions, never a call on an open connection',
  async () => {
    const to = mkdtempSync(join(folder, 'files-'))
    // A probe that finds no descriptor for its connection would take the backend away.
    const yaml = settings({
      backends: [backend],
      pool: { health: { interval: '1h' } },
      route: { log: { to } },
    })
    const gateway = await startGateway({ yaml })
    await gateway.ready('main')
    // No connection can be accepted meanwhile.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const post = async (n: number) => {
      const headers = { 'content-type': 'application/json' }
      const { status, json } = await call(gateway.port, PREDICT, {
        method: 'POST',
        body: instances([n]),
        headers,
        agent,
      })
      expect([status, json]).toEqual([200, { predictions: [n] }])
    }
    const ready = () => reasons(() => call(gateway.adminPort, '/readyz', { agent }))
    const limit = (files: string) =>
      execFileSync('prlimit', ['--pid', `${gateway.pid}`, `--nofile=${files}:`])
    const limits = readFileSync(`/proc/${gateway.pid}/limits`, 'utf8')
    const before = /Max open files +(\d+)/.exec(limits)?.[1] ?? ''
    // The backend's connection is opened by a call that asks for no trace, so that no file is.
    await call(gateway.port, PREDICT, {
      method: 'POST',
      body: instances([0]),
      headers: { 'cache-control': 'no-store' },
      agent,
    })
    await ready()
    limit('3')
    await post(1)
    await eventually(async () =>
      expect(await ready()).toEqual([expect.stringMatching(/predictions are lost: .*EMFILE/)]),
    )
    limit(before)
    await post(2)
    await eventually(async () => expect(await ready()).toEqual([]))
    expect([await counted(gateway, 'failed'), await counted(gateway, 'written')]).toEqual([1, 1])
    agent.destroy()
    await gateway.stop()
  },
)
