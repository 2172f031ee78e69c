/** Live settings on a real file: replaced, rewritten, swapped behind a symlink, broken and mended. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Reload, type ReloadOptions } from '../../../src/control/reload.ts'
import { silentLog } from '../../../src/core/log.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { eventually } from '../../support/eventually.ts'

interface Settings {
  readonly port: number
  readonly limit: number
}

let folder: string
let file: string
let running: Reload<Settings>[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reload-'))
  file = join(folder, 'settings.json')
  running = []
})

afterEach(() => {
  for (const reload of running) reload.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(options: Partial<ReloadOptions<Settings>> = {}) {
  const applied: Settings[] = []
  let loads = 0
  const reload = new Reload<Settings>({
    file,
    clock: systemClock,
    log: silentLog,
    settings: { port: 1, limit: 1 },
    async load() {
      loads++
      try {
        return { settings: JSON.parse(await readFile(file, 'utf8')) }
      } catch (error) {
        return { problems: [String(error), 'another'] }
      }
    },
    changed: (present, next) => (present.port === next.port ? [] : ['port']),
    needRestart: (started, next) => (started.port === next.port ? [] : ['server.listen']),
    apply: (next) => void applied.push(next),
    pollMs: 50,
    ...options,
  })
  running.push(reload)
  await reload.start()
  return { reload, applied, loads: () => loads }
}

const text = (settings: Settings): string => JSON.stringify(settings)

test('a rewritten file is taken over, once', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { reload, applied } = await start()
  writeFileSync(file, text({ port: 1, limit: 2 }))
  await eventually(() => expect(applied).toEqual([{ port: 1, limit: 2 }]))
  expect(reload.settings).toEqual({ port: 1, limit: 2 })
  expect(reload.reasons).toEqual([])
})

test('a file renamed into place, as editors do, is taken over', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { applied } = await start()
  writeFileSync(join(folder, 'new'), text({ port: 1, limit: 3 }))
  renameSync(join(folder, 'new'), file)
  await eventually(() => expect(applied).toEqual([{ port: 1, limit: 3 }]))
})

test('a swapped symlink beside the file, as a ConfigMap has it, is noticed', async () => {
  for (const [name, limit] of Object.entries({ v1: 1, v2: 2 })) {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'settings.json'), text({ port: 1, limit }))
  }
  symlinkSync('v1', join(folder, '..data'))
  symlinkSync(join('..data', 'settings.json'), file)
  const { applied } = await start()
  symlinkSync('v2', join(folder, '..next'))
  renameSync(join(folder, '..next'), join(folder, '..data'))
  await eventually(() => expect(applied).toEqual([{ port: 1, limit: 2 }]))
})

test('a broken file changes nothing but the reasons, until it is mended', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { reload, applied } = await start()
  writeFileSync(file, '{ broken')
  await eventually(() =>
    expect(reload.reasons[0]).toMatch(/^config: refused reload: SyntaxError.*\(and 1 more\)$/),
  )
  expect(applied).toEqual([])
  expect(reload.settings).toEqual({ port: 1, limit: 1 })
  writeFileSync(file, text({ port: 1, limit: 1 }))
  await eventually(() => expect(reload.reasons).toEqual([]))
})

test('settings that cannot be applied are refused', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const apply = () => {
    throw new Error('the listener would be open to the network')
  }
  let refused = 0
  const { reload } = await start({ apply, refused: () => refused++ })
  writeFileSync(file, text({ port: 1, limit: 2 }))
  await eventually(() =>
    expect(reload.reasons).toEqual(['config: refused reload: the listener would be open to the network']),
  )
  expect(refused).toBe(1)
  expect(reload.settings).toEqual({ port: 1, limit: 1 })
})

test('what needs a restart is named, until the file has the old value again', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { reload } = await start()
  writeFileSync(file, text({ port: 2, limit: 1 }))
  await eventually(() => expect(reload.reasons).toEqual(['config: needs a restart: server.listen']))
  writeFileSync(file, text({ port: 1, limit: 2 }))
  await eventually(() => expect(reload.reasons).toEqual([]))
})

test('a touched file with the same bytes is not read again, and SIGHUP reads it all the same', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { reload, loads } = await start()
  writeFileSync(file, text({ port: 1, limit: 1 }))
  await reload.check()
  expect(loads()).toBe(0)
  process.emit('SIGHUP')
  await eventually(() => expect(loads()).toBe(1))
})

test('a stopped one listens to nothing', async () => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const before = process.listenerCount('SIGHUP')
  const { reload, loads } = await start()
  expect(process.listenerCount('SIGHUP')).toBe(before + 1)
  reload.stop()
  expect(process.listenerCount('SIGHUP')).toBe(before)
  await reload.check({ force: true })
  expect(loads()).toBe(0)
})

test.each([
  ['a pipe', (path: string) => void execFileSync('mkfifo', [path])],
  ['a device without end', (path: string) => symlinkSync('/dev/zero', path)],
  ['a folder', (path: string) => mkdirSync(path)],
])('%s in place of the file is refused, and the file that comes next taken over', async (_what, put) => {
  writeFileSync(file, text({ port: 1, limit: 1 }))
  const { reload, applied } = await start({ load: async () => ({ problems: ['no file'] }) })
  rmSync(file)
  put(file)
  await eventually(() => expect(reload.reasons).toEqual(['config: refused reload: no file']))
  const next = { port: 1, limit: 2 }
  const { reload: later, applied: taken } = await start()
  rmSync(file, { recursive: true })
  writeFileSync(file, text(next))
  await eventually(() => expect(taken).toEqual([next]))
  await later.check()
  await reload.check()
  expect(applied).toEqual([])
})
