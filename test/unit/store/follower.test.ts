/** The follower of a source, over a folder of its own and a store that comes and goes. */
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StoreError } from '../../../src/store/error.ts'
import { SourceFollower } from '../../../src/store/follower.ts'
import { LocalFiles, type LocalFilesOptions } from '../../../src/store/local-files.ts'
import { LocalVersions } from '../../../src/store/local-versions.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { MemoryStore } from '../../support/memory-store.ts'

const POLL_MS = 10_000
const AWAY = new StoreError('unreachable', 'nobody answers')

let dir: string
let store: MemoryStore
let clock: FakeClock
let logged: { event: string; fields: Record<string, unknown> | undefined }[]
let counted: string[]
let readied: number
const running: SourceFollower[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'infergate-stores-'))
  store = new MemoryStore()
  clock = new FakeClock()
  logged = []
  counted = []
  readied = 0
})

afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.stop()))
  await rm(dir, { recursive: true, force: true })
})

async function follow(
  options: Partial<LocalFilesOptions> = {},
  names = { name: 'm', source: 's3://b/m' },
): Promise<{ follower: SourceFollower; path: string }> {
  const files = await LocalFiles.open({ dir, maxBytes: 1_000_000, maxFileBytes: 1_000, ...options })
  const local = new LocalVersions(files, names)
  const note = (event: string, fields?: Record<string, unknown>) => void logged.push({ event, fields })
  const follower = new SourceFollower({
    model: names.name,
    store,
    files,
    local,
    pollMs: POLL_MS,
    lookMs: 10_000,
    fetchMs: 10_000,
    clock,
    log: { info: note, warn: note, error: note },
    random: () => 0.5,
    ready: () => readied++,
    counted: (operation, outcome) => void counted.push(`${operation} ${outcome}`),
  })
  running.push(follower)
  follower.start()
  return { follower, path: local.path }
}

const events = (name: string): number => logged.filter(({ event }) => event === name).length

/** Waits for as many looks in all. */
const looks = (count: number): Promise<void> =>
  eventually(() => expect(counted.filter((each) => each.startsWith('look'))).toHaveLength(count))

/** Lets the next look begin, and waits for its end. */
async function lookAgain(): Promise<void> {
  const before = counted.filter((each) => each.startsWith('look')).length
  await eventually(() => {
    clock.advance(POLL_MS)
    expect(counted.filter((each) => each.startsWith('look')).length).toBeGreaterThan(before)
  })
}

async function served(path: string): Promise<Record<string, string>> {
  const versions = (await readdir(path)).filter((name) => /^\d+$/.test(name)).toSorted()
  const texts = versions.map(async (version) => [
    version,
    await readFile(join(path, version, 'model.onnx'), 'utf8'),
  ])
  return Object.fromEntries(await Promise.all(texts))
}

describe('what is followed', () => {
  it('is fetched at once, and served as soon as one version is here', async () => {
    store.put('1', 'one')
    store.put('2', 'two')
    const { path, follower } = await follow()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'one', 2: 'two' }))
    await eventually(() => expect(counted).toEqual(['look ok', 'fetch fetched', 'fetch fetched']))
    expect(readied).toBe(1)
    expect(follower.problem()).toBeUndefined()
  })

  it('changes with the far side: new versions, replaced ones, and those that are gone', async () => {
    store.put('1', 'one')
    const { path } = await follow()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'one' }))
    store.put('2', 'two')
    store.put('1', 'ONE')
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'ONE', 2: 'two' }))
    store.remove('1')
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 2: 'two' }))
    expect(events('store.removed')).toBe(1)
  })

  it('is not fetched again while nothing changes', async () => {
    store.put('1', 'one')
    await follow()
    await eventually(() => expect(readied).toBe(1))
    await lookAgain()
    await lookAgain()
    expect(store.opened).toBe(1)
  })

  it('is one file on the disk where two models have the same bytes', async () => {
    store.put('1', 'same')
    const { path } = await follow()
    const second = await follow({}, { name: 'n', source: 's3://b/n' })
    await eventually(async () => {
      expect(await served(path)).toEqual({ 1: 'same' })
      expect(await served(second.path)).toEqual({ 1: 'same' })
    })
    expect(await readdir(join(dir, 'files'))).toHaveLength(1)
  })
})

describe('while the store is away', () => {
  it('what was fetched serves, also after a restart, and it is said once', async () => {
    store.put('1', 'one')
    const first = await follow()
    await eventually(() => expect(readied).toBe(1))
    await first.follower.stop()
    expect(store.isClosed).toBe(true)

    store.away = AWAY
    const { follower, path } = await follow()
    await looks(2)
    expect(readied).toBe(2)
    expect(await served(path)).toEqual({ 1: 'one' })
    expect(follower.isAway).toBe(true)
    expect(follower.problem()).toBe('its store is away, what was fetched serves: nobody answers')
    await lookAgain()
    expect(events('store.away')).toBe(1)

    store.away = undefined
    store.put('2', 'two')
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'one', 2: 'two' }))
    expect(follower.problem()).toBeUndefined()
    expect(events('store.back')).toBe(1)
  })

  it('nothing is taken away by an empty listing', async () => {
    store.put('1', 'one')
    const { follower, path } = await follow()
    await eventually(() => expect(readied).toBe(1))
    store.remove('1')
    await lookAgain()
    await lookAgain()
    expect(await served(path)).toEqual({ 1: 'one' })
    expect(follower.problem()).toContain('its store has no version')
    expect(events('store.empty')).toBe(1)
  })

  it('a file that was damaged on this disk is fetched again and not served', async () => {
    store.put('1', 'one')
    const first = await follow()
    await eventually(() => expect(readied).toBe(1))
    await first.follower.stop()
    const [digest = ''] = await readdir(join(dir, 'files'))
    await writeFile(join(dir, 'files', digest), 'oNe')
    store.away = AWAY
    const { path } = await follow()
    await looks(2)
    expect(readied).toBe(1)
    expect(await served(path)).toEqual({})
    store.away = undefined
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'one' }))
  })
})

describe('a version that cannot be fetched', () => {
  it('is tried at each look while it is being written, and the old ones stay', async () => {
    store.put('1', 'one')
    const { path, follower } = await follow()
    await eventually(() => expect(readied).toBe(1))
    store.put('2', 'half')
    store.unfinished.add('2')
    store.remove('1')
    await lookAgain()
    await lookAgain()
    expect(await served(path)).toEqual({ 1: 'one' })
    expect(follower.problem()).toContain('version 2 was not fetched')
    expect(events('store.unfetched')).toBe(1)
    store.unfinished.clear()
    store.put('2', 'whole')
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 2: 'whole' }))
  })

  it.each([
    ['shorter than it should be', { length: 100 }, 'incomplete', 'it has 5 bytes in place of 100'],
    ['longer than it should be', { length: 1 }, 'incomplete', 'it has 5 bytes in place of 1'],
    ['of another digest', { sha256: 'f'.repeat(64) }, 'invalid', 'its SHA-256 is'],
    ['larger than the bound, and says so', { length: 5_000 }, 'tooLarge', 'stores.maxModelSize'],
    [
      'changed while it was read',
      { confirm: () => Promise.reject(new StoreError('incomplete', 'it has changed')) },
      'incomplete',
      'it has changed',
    ],
  ])('because it is %s leaves nothing behind', async (_, says, fault, reason) => {
    store.put('1', 'bytes')
    store.says = says
    const { follower, path } = await follow()
    await eventually(() => expect(counted).toContain(`fetch ${fault}`))
    expect(follower.problem()).toContain(reason)
    expect(await served(path)).toEqual({})
    expect(readied).toBe(0)
    expect(await readdir(join(dir, 'files'))).toEqual([])
    expect(await readdir(join(dir, 'partial'))).toEqual([])
  })

  it('because it is larger than the bound is cut off where it goes beyond', async () => {
    store.put('1', 'x'.repeat(2_000))
    store.says = { length: undefined }
    await follow()
    await eventually(() => expect(counted).toContain('fetch tooLarge'))
    expect(await readdir(join(dir, 'partial'))).toEqual([])
  })

  it('is fetched again after growing pauses, and at once where it changes', async () => {
    store.put('1', 'bytes')
    store.says = { sha256: 'f'.repeat(64) }
    await follow()
    await looks(1)
    for (let n = 0; n < 20; n++) await lookAgain()
    expect(store.opened).toBeGreaterThan(1)
    expect(store.opened).toBeLessThan(10)
    const before = store.opened
    store.put('1', 'other')
    await lookAgain()
    await eventually(() => expect(events('store.unfetched')).toBe(2))
    expect(store.opened).toBe(before + 1)
  })
})

describe('the folder', () => {
  it('makes room by removing what no model uses, and never what one does', async () => {
    const { path } = await follow({ maxBytes: 20 })
    store.put('1', 'a'.repeat(10))
    await looks(1)
    await lookAgain()
    store.put('1', 'b'.repeat(10))
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'b'.repeat(10) }))
    store.put('1', 'c'.repeat(10))
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'c'.repeat(10) }))
    expect(await readdir(join(dir, 'files'))).toHaveLength(2)
    store.put('2', 'd'.repeat(10))
    await lookAgain()
    await eventually(async () => expect(await served(path)).toHaveProperty('2'))
    store.put('3', 'e'.repeat(10))
    await lookAgain()
    await eventually(() => expect(counted).toContain('fetch tooLarge'))
    expect(await served(path)).toEqual({ 1: 'c'.repeat(10), 2: 'd'.repeat(10) })
  })

  it('forgets models that nobody has followed for a week, where it needs room', async () => {
    store.put('1', 'a'.repeat(10))
    const old = await follow({ maxBytes: 15 }, { name: 'old', source: 's3://b/old' })
    await eventually(() => expect(readied).toBe(1))
    await old.follower.stop()
    store.put('1', 'b'.repeat(10))
    const { path } = await follow({ maxBytes: 15 })
    await eventually(() => expect(counted).toContain('fetch tooLarge'))
    await utimes(join(old.path, 'state.json'), 0, 0)
    store.put('1', 'c'.repeat(10))
    await lookAgain()
    await eventually(async () => expect(await served(path)).toEqual({ 1: 'c'.repeat(10) }))
  })

  it('that cannot be made is an error that names the setting', async () => {
    await writeFile(join(dir, 'file'), '')
    await expect(
      LocalFiles.open({ dir: join(dir, 'file', 'x'), maxBytes: 1, maxFileBytes: 1 }),
    ).rejects.toThrow('stores.dir')
  })

  it('is read anew where its state is not what the gateway wrote', async () => {
    store.put('1', 'one')
    const first = await follow()
    await eventually(() => expect(readied).toBe(1))
    await first.follower.stop()
    await writeFile(join(first.path, 'state.json'), '{"versions":{"../x":{"mark":"m","digest":"d"},"1":7}}')
    const { path } = await follow()
    await eventually(() => expect(readied).toBe(2))
    expect(store.opened).toBe(2)
    expect(await served(path)).toEqual({ 1: 'one' })
  })
})
