/** The supervisor of a data worker, with real threads that do as the test says. */
import { afterEach, describe, expect, it } from 'vitest'
import type { WorkerStart } from '../../../src/app/messages.ts'
import { type Down, WorkerPlace } from '../../../src/app/worker-place.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { eventually } from '../../support/eventually.ts'

/** Listens as `shared.how` says for this life of the worker, and does what a reload names. */
const SOURCE = `
import { parentPort, workerData } from 'node:worker_threads'
const { Link } = await import(workerData.settings.link)
const { systemClock } = await import(workerData.settings.clock)
const life = Atomics.add(workerData.shared.lives, 0, 1)
const how = workerData.settings.how[life] ?? 'well'
if (how === 'broken') throw new Error('broken from the start')
const up = new Link(parentPort, systemClock)
up.offer({
  listen(at) {
    if (how === 'taken') throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' })
    return { ...at, port: at.port || 4711 }
  },
  own() {},
  explain: () => new Promise(() => {}),
  reload(what) {
    if (what === 'throw') setImmediate(() => { throw new Error('crashed') })
    else process.exit(7)
  },
})
`

const places: WorkerPlace[] = []
afterEach(async () => {
  await Promise.all(places.splice(0).map((place) => place.close()))
})

function world(how: readonly string[]) {
  const events: string[] = []
  const lines: Record<string, unknown>[] = []
  const lives = new Int32Array(new SharedArrayBuffer(4))
  const src = (path: string) => new URL(`../../../src/${path}`, import.meta.url).href
  const say = (event: string, fields?: Record<string, unknown>) => {
    events.push(event)
    lines.push({ event, ...fields })
  }
  const start = {
    worker: 3,
    settings: { how, link: src('app/link.ts'), clock: src('lib/clock.ts') },
    shared: { lives },
  }
  const place = new WorkerPlace({
    start: start as unknown as WorkerStart,
    entry: new URL(`data:text/javascript,${encodeURIComponent(SOURCE)}`),
    offers: {} as Parameters<Down['offer']>[0],
    brief: () => void events.push('brief'),
    bury: () => void events.push(`bury, ${place.isListening ? 'listening' : 'not listening'}`),
    clock: systemClock,
    log: { info: say, warn: say, error: say },
    random: () => 0,
  })
  places.push(place)
  return { place, events, lines, lives: () => Atomics.load(lives, 0) }
}

const AT = { host: '127.0.0.1', port: 0 }
const crash = (place: WorkerPlace, how: 'throw' | 'exit') => place.link.tell('reload', how as never)

describe('a worker’s place', () => {
  it.each([
    ['throw', 'crashed'],
    ['exit', 'ended with 7'],
  ] as const)('is taken by another thread when its own ends by %s, on the same port', async (how, why) => {
    const { place, events, lines, lives } = world([])
    expect(await place.listen(AT)).toEqual({ host: '127.0.0.1', port: 4711 })
    expect(place.isListening).toBe(true)
    crash(place, how)
    await eventually(() => expect(events).toContain('worker.ready'))
    expect(events).toEqual(['brief', 'bury, not listening', 'worker.exit', 'brief', 'worker.ready'])
    expect(lines[0]).toMatchObject({ event: 'worker.exit', worker: 3, restartMs: 50 })
    expect(lines[0]?.['error']).toContain(why)
    expect([place.isListening, lives()]).toEqual([true, 2])
  })

  it('is tried again, after longer and longer pauses, until one listens', async () => {
    const { place, events, lines } = world(['well', 'broken', 'taken', 'well'])
    await place.listen(AT)
    crash(place, 'exit')
    await eventually(() => expect(events).toContain('worker.ready'))
    const pauses = lines.filter(({ event }) => event === 'worker.exit').map(({ restartMs }) => restartMs)
    expect(pauses).toEqual([50, 100, 200])
    expect(lines.filter(({ event }) => event === 'worker.start').map(({ error }) => error)).toEqual([
      expect.stringContaining('broken from the start'),
      expect.stringContaining('in use'),
    ])
  })

  it.each([
    ['broken', { message: 'broken from the start' }],
    ['taken', { code: 'EADDRINUSE' }],
  ])('whose first thread is %s says so to who starts it, and is not taken again', async (how, error) => {
    const { place, events, lives } = world([how])
    await expect(place.listen(AT)).rejects.toMatchObject(error)
    await place.close()
    expect(events.filter((event) => event.startsWith('worker'))).toEqual([])
    expect(lives()).toBe(1)
  })

  it('whose thread ends while somebody asks it tells him so', async () => {
    const { place } = world([])
    await place.listen(AT)
    const asked = place.link.ask('explain', { method: 'POST', path: '/' }, 60_000)
    crash(place, 'exit')
    await expect(asked).rejects.toThrow('ended with 7')
  })
})
