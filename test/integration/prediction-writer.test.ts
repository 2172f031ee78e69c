/** The writer of prediction logs on a real disk: what appears, when, and what a crash, a full disk or a far side costs. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FinishedFile, RemoteDirectory } from '../../src/prediction-log/destination.ts'
import { hiddenName, hostOf } from '../../src/prediction-log/file-name.ts'
import { publish } from '../../src/prediction-log/publish.ts'
import { type LogSettings, PredictionWriter, type WriterParts } from '../../src/prediction-log/writer.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { batchOf } from '../support/predictions.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infergate-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const HOST = hostOf(hostname()).slice(0, 64)
/** Above any process number. */
const DEAD_PID = 2 ** 22 + 1
const never = new AbortController().signal

function open(over: Partial<WriterParts> = {}) {
  const clock = new FakeClock()
  const counts: Record<string, number> = {}
  const lines: string[] = []
  const told: (readonly string[])[] = []
  const log = (event: string) => void lines.push(event)
  const writer = new PredictionWriter({
    openRemote: () => Promise.reject(new Error('no remote directory')),
    counted: (_route, outcome, records) => {
      counts[outcome] = (counts[outcome] ?? 0) + records
    },
    fileCounted: (_to, event) => {
      counts[event] = (counts[event] ?? 0) + 1
    },
    troubled: (problems) => void told.push(problems),
    log: { info: log, warn: log, error: log },
    clock,
    random: () => 0.5,
    ...over,
  })
  return { writer, clock, counts, lines, problems: () => told.at(-1) }
}

const settings = (over: Partial<LogSettings> = {}): LogSettings => ({
  route: 'ranker',
  format: 'jsonl',
  roll: { bytes: 1 << 20, every: 60_000 },
  folder,
  ...over,
})

const seen = () => readdirSync(folder).filter((name) => !name.startsWith('.'))
const hidden = () => readdirSync(folder).filter((name) => name.startsWith('.'))
const bodies = (names = seen()) =>
  names
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean))
    .map((line) => (JSON.parse(line) as { request: { body: string } }).request.body)

describe('a file', () => {
  it('is hidden until it is old enough, and is then there under its name', async () => {
    const { writer, clock, counts } = open()
    await writer.follow([settings()])
    await writer.write(batchOf({ request: 'a' }, { request: 'b' }))
    expect([seen(), hidden().length]).toEqual([[], 1])
    clock.advance(60_000)
    await eventually(() => expect(seen()).toHaveLength(1))
    expect(seen()[0]).toMatch(/^ranker-\d{8}T\d{6}Z-\d+-000001\.jsonl$/)
    expect(bodies()).toEqual(['a', 'b'])
    await writer.close(never)
    expect(hidden()).toEqual([])
    expect(counts).toEqual({ written: 2, published: 1 })
  })

  it('ends where it is long enough; closing publishes the last', async () => {
    const { writer } = open()
    await writer.follow([settings({ roll: { bytes: 1000, every: 60_000 } })])
    for (let i = 0; i < 10; i++) await writer.write(batchOf({ request: `${i}` }))
    expect(seen().length).toBeGreaterThan(2)
    await writer.close(never)
    expect(bodies()).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`))
    expect(hidden()).toEqual([])
  })

  it('of a route that has no records does not exist', async () => {
    const { writer } = open()
    await writer.follow([settings()])
    await writer.close(never)
    expect(readdirSync(folder)).toEqual([])
  })

  it('never replaces another one', async () => {
    const name = 'ranker-20261130T044500Z-1-000001.jsonl'
    for (const text of ['one', 'two']) {
      writeFileSync(join(folder, '.x'), text)
      await publish(join(folder, '.x'), folder, name)
    }
    expect(readFileSync(join(folder, name), 'utf8')).toBe('one')
    expect(readFileSync(join(folder, 'ranker-20261130T044500Z-1-000002.jsonl'), 'utf8')).toBe('two')
  })
})

describe('a reload', () => {
  it('publishes what a changed log had open, and goes on with the others', async () => {
    const { writer } = open()
    await writer.follow([settings(), settings({ route: 'other' })])
    await writer.write(batchOf({ request: 'a' }, { head: { route: 'other' }, request: 'b' }))
    await writer.follow([settings({ route: 'other' })])
    expect(bodies()).toEqual(['a'])
    await writer.write(batchOf({ request: 'lost' }, { head: { route: 'other' }, request: 'c' }))
    await writer.close(never)
    expect(bodies().sort()).toEqual(['a', 'b', 'c'])
  })
})

describe('what a killed process has left', () => {
  const leave = (pid: number, host: string, text: string) => {
    const name = `ranker-20261130T044500Z-${pid}-000001.jsonl`
    writeFileSync(join(folder, hiddenName(name, { host, pid })), text)
    return name
  }
  const LINE = '{"request":{"body":"a"}}\n'

  it('is published at the next start, without the line that was being written', async () => {
    const name = leave(DEAD_PID, HOST, `${LINE}{"request":{"bo`)
    const { writer, lines } = open()
    await writer.follow([settings()])
    await writer.finishLeftovers()
    expect(readFileSync(join(folder, name), 'utf8')).toBe(LINE)
    expect(lines).toContain('prediction-log.recovered')
    await writer.close(never)
  })

  it('of another container with the same process number is not touched, nor what a living process writes', async () => {
    leave(process.pid, 'other-host', LINE)
    leave(process.ppid, HOST, LINE)
    const { writer } = open({ pid: process.pid + 1 })
    await writer.follow([settings()])
    await writer.finishLeftovers()
    expect([seen(), hidden().length]).toEqual([[], 2])
    await writer.close(never)
  })

  it('of another machine is published when nobody has written it for two hours', async () => {
    leave(1, 'gone-host', LINE)
    const { writer, clock } = open()
    clock.step(Date.now() - clock.wall() + 3 * 3_600_000)
    await writer.follow([settings()])
    await writer.finishLeftovers()
    expect(seen()).toHaveLength(1)
    await writer.close(never)
  })

  it('with nothing whole in it is removed', async () => {
    leave(DEAD_PID, HOST, '{"requ')
    const { writer } = open()
    await writer.follow([settings()])
    await writer.finishLeftovers()
    expect(readdirSync(folder)).toEqual([])
    await writer.close(never)
  })
})

it('a folder that is not writable costs records, is said once, and is used again when it is back', async () => {
  const { writer, counts, lines, problems } = open()
  await writer.follow([settings()])
  rmSync(folder, { recursive: true })
  await writer.write(batchOf({}, {}))
  await writer.write(batchOf({}))
  expect(counts).toEqual({ failed: 3 })
  expect(problems()).toEqual([expect.stringMatching(/^route ranker: predictions are lost: .*ENOENT/)])
  expect(lines.filter((event) => event === 'prediction-log.failed')).toHaveLength(1)
  mkdirSync(folder)
  await writer.write(batchOf({ request: 'back' }))
  await writer.close(never)
  expect(bodies()).toEqual(['back'])
  expect(lines).toContain('prediction-log.working')
  expect(problems()).toEqual([])
})

it('a folder that vanishes with an open file costs that file, which is counted, and nothing that comes later', async () => {
  const { writer, counts, lines } = open()
  await writer.follow([settings()])
  await writer.write(batchOf({ request: 'gone' }))
  rmSync(folder, { recursive: true })
  mkdirSync(folder)
  await writer.write(batchOf({ request: 'new' }))
  await writer.close(never)
  expect(bodies()).toEqual(['new'])
  expect(counts).toEqual({ written: 2, lost: 1, published: 1 })
  expect(lines).toEqual(['prediction-log.lost'])
})

it('a log that cannot be opened is told until the settings leave it out', async () => {
  const { writer, counts, problems } = open()
  await writer.follow([settings({ remote: { url: 'hdfs://x/logs', spoolBytes: 1 } })])
  expect(problems()).toEqual([
    expect.stringContaining('route ranker: predictions are lost: Error: no remote'),
  ])
  await writer.write(batchOf({}))
  expect(counts).toEqual({ failed: 1 })
  await writer.follow([])
  expect(problems()).toEqual([])
  await writer.close(never)
})

describe('a far side', () => {
  /** Takes files unless it is away. */
  function far() {
    const files = new Map<string, string>()
    const side = {
      files,
      isAway: false,
      asked: 0,
      openRemote: async (url: string): Promise<RemoteDirectory> => ({
        url,
        async put({ path, name }: FinishedFile) {
          side.asked++
          if (side.isAway) throw new Error('away')
          files.set(name, readFileSync(path, 'utf8'))
        },
        close: async () => {},
      }),
    }
    return side
  }
  const remote = { url: 'webhdfs://nn:9870/logs', spoolBytes: 1 << 20 }

  it('gets each file whole, and the spool is empty then', async () => {
    const side = far()
    const { writer } = open({ openRemote: side.openRemote })
    await writer.follow([settings({ remote })])
    await writer.write(batchOf({ request: 'a' }))
    await writer.close(never)
    expect([...side.files.values()].join('')).toContain('"body":"a"')
    expect(readdirSync(folder)).toEqual([])
  })

  it('that is away gets them when it is back', async () => {
    const side = far()
    side.isAway = true
    const { writer, clock, counts, problems } = open({ openRemote: side.openRemote })
    await writer.follow([settings({ remote, roll: { bytes: 1, every: 60_000 } })])
    await writer.write(batchOf({ request: 'a' }))
    await writer.write(batchOf({ request: 'b' }))
    await eventually(() => expect(counts['retried']).toBe(1))
    expect(problems()).toEqual([`files wait for ${remote.url}: Error: away`])
    side.isAway = false
    await eventually(() => {
      clock.advance(60_000)
      expect(counts).toMatchObject({ written: 2, published: 2 })
    })
    expect(side.files.size).toBe(2)
    expect(problems()).toEqual([])
    await writer.close(never)
  })

  it('is not waited for with a file that somebody has removed', async () => {
    const side = far()
    side.isAway = true
    const { writer, clock, counts } = open({ openRemote: side.openRemote })
    await writer.follow([settings({ remote, roll: { bytes: 1, every: 60_000 } })])
    await writer.write(batchOf({ request: 'a' }))
    await eventually(() => expect(counts['retried']).toBe(1))
    rmSync(folder, { recursive: true })
    // The spool is the gateway's own: it makes it again.
    await writer.write(batchOf({ request: 'b' }))
    side.isAway = false
    await eventually(() => {
      clock.advance(60_000)
      expect(counts).toMatchObject({ written: 2, lost: 1, published: 1 })
    })
    expect([...side.files.values()].join('')).toContain('"body":"b"')
    await writer.close(never)
  })

  it('that is away at the end gets them from the next process', async () => {
    const side = far()
    side.isAway = true
    const first = open({ openRemote: side.openRemote, pid: DEAD_PID })
    await first.writer.follow([settings({ remote })])
    await first.writer.write(batchOf({ request: 'a' }))
    await first.writer.close(AbortSignal.timeout(50))
    expect(first.lines).toContain('prediction-log.waiting')
    expect(hidden()).toHaveLength(1)
    side.isAway = false
    const second = open({ openRemote: side.openRemote })
    await second.writer.follow([settings({ remote })])
    await second.writer.finishLeftovers()
    await second.writer.close(never)
    expect(side.files.size).toBe(1)
    expect(readdirSync(folder)).toEqual([])
  })

  it('that stays away fills the spool to its bound; what comes then is counted as lost', async () => {
    const side = far()
    side.isAway = true
    const { writer, counts, problems } = open({ openRemote: side.openRemote })
    const small = { ...remote, spoolBytes: 1000 }
    await writer.follow([settings({ remote: small, roll: { bytes: 500, every: 60_000 } })])
    for (let i = 0; i < 50; i++) await writer.write(batchOf({}))
    const bytes = hidden().reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
    expect(bytes).toBeLessThan(2500)
    expect((counts['written'] ?? 0) + (counts['spool'] ?? 0)).toBe(50)
    expect(counts['spool']).toBeGreaterThan(30)
    expect(problems()).toContain('route ranker: predictions are lost: Error: the spool is full')
    await writer.close(AbortSignal.timeout(10))
  })
})
