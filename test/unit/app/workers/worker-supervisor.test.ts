/** The supervisor of a data worker, with real threads that do as the test says. */
import { afterEach, describe, expect, it } from 'vitest'
import { allocateBindings, releaseBinding } from '../../../../src/app/workers/bindings.ts'
import type { WorkerStart } from '../../../../src/app/workers/messages.ts'
import { type WorkerRpc, WorkerSupervisor } from '../../../../src/app/workers/worker-supervisor.ts'
import { type Clock, systemClock } from '../../../../src/lib/clock.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

/** Listens as `how` says for this life of the worker, and does what a reload names. */
const SOURCE = `
import { parentPort, workerData } from 'node:worker_threads'
const { ThreadRpc } = await import(workerData.settings.rpc)
const { systemClock } = await import(workerData.settings.clock)
const { takeBinding } = await import(workerData.settings.bindings)
const life = Atomics.add(workerData.shared.lives, 0, 1)
const how = workerData.settings.how[life] ?? 'well'
if (how === 'broken') throw new Error('broken from the start')
setInterval(() => Atomics.add(workerData.shared.beats, workerData.worker, 1), 5)
let bound = () => {}
const reached = (step) => Atomics.store(workerData.shared.steps, workerData.settings.steps.indexOf(step), 1)
const control = new ThreadRpc(parentPort, systemClock)
control.handle({
  listen(at) {
    reached('told')
    if (how === 'late') Atomics.wait(workerData.shared.steps, 0, 1)
    if (!takeBinding(workerData.shared.bindings, workerData.worker)) throw new Error('withdrawn')
    reached('bound')
    if (how === 'binding') return new Promise((resolve) => { bound = () => resolve(at) })
    if (how === 'taken') throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' })
    return at
  },
  explain: () => new Promise(() => {}),
  drain() {
    bound()
    reached('drained')
  },
  reload(what) {
    if (what === 'stand still') {
      Atomics.store(workerData.shared.beats, 0, 1)
      for (;;);
    } else if (what === 'throw') setImmediate(() => { throw new Error('crashed') })
    else process.exit(7)
  },
})
`

const STEPS = ['told', 'bound', 'drained'] as const

const supervisors: WorkerSupervisor[] = []
afterEach(async () => {
  await Promise.all(supervisors.splice(0).map((supervisor) => supervisor.close()))
})

function world(how: readonly string[], clock: Clock = systemClock) {
  const events: string[] = []
  const lines: Record<string, unknown>[] = []
  const lives = new Int32Array(new SharedArrayBuffer(4))
  const beats = new Int32Array(new SharedArrayBuffer(4 * 4))
  const steps = new Int32Array(new SharedArrayBuffer(STEPS.length * 4))
  const bindings = allocateBindings(4)
  const src = (path: string) => new URL(`../../../../src/${path}`, import.meta.url).href
  const record = (event: string, fields?: Record<string, unknown>) => {
    events.push(event)
    lines.push({ event, ...fields })
  }
  const start = {
    worker: 3,
    settings: {
      how,
      steps: STEPS,
      rpc: src('app/workers/thread-rpc.ts'),
      clock: src('lib/clock.ts'),
      bindings: src('app/workers/bindings.ts'),
    },
    shared: { lives, beats, steps, bindings },
  }
  const supervisor = new WorkerSupervisor({
    start: start as unknown as WorkerStart,
    entry: new URL(`data:text/javascript,${encodeURIComponent(SOURCE)}`),
    handlers: {} as Parameters<WorkerRpc['handle']>[0],
    catchUp: () => void events.push('catch up'),
    cleanUp(ending) {
      releaseBinding(bindings, 3)
      events.push(`clean up: ${ending}${supervisor.isListening ? ', listening' : ''}`)
    },
    clock,
    log: { info: record, warn: record, error: record },
    random: () => 0,
    socketLost: () => void events.push('socket lost'),
  })
  supervisors.push(supervisor)
  return {
    supervisor,
    events,
    lines,
    lives: () => Atomics.load(lives, 0),
    beat: () => Atomics.load(beats, 3),
    /** What the thread has come to. */
    steps: () => STEPS.filter((_, at) => Atomics.load(steps, at) === 1),
    /** Lets a thread that is late go on. */
    goOn: () => Atomics.notify(steps, 0),
    stands: () => Atomics.load(beats, 0) === 1,
  }
}

const AT = { host: '127.0.0.1', port: 4711 }
const make = (supervisor: WorkerSupervisor, what: 'throw' | 'exit' | 'stand still') =>
  supervisor.rpc?.notify('reload', what as never)
const count = (events: readonly string[], event: string) => events.filter((each) => each === event).length

describe('a worker’s supervisor', () => {
  it('starts no other thread on a socket that was handed over: it is closed with the first', async () => {
    const { supervisor, events, lives } = world([])
    supervisor.start({ ...AT, socket: 3 })
    await eventually(() => expect(supervisor.isListening).toBe(true))
    make(supervisor, 'exit')
    await eventually(() => expect(events.at(-1)).toBe('socket lost'))
    expect(lives()).toBe(1)
  })

  it.each([
    ['throw', 'crashed'],
    ['exit', 'ended with 7'],
  ] as const)('starts another thread when its own ends by %s', async (how, why) => {
    const { supervisor, events, lines, lives } = world([])
    expect([supervisor.isListening, lives()]).toEqual([false, 0])
    supervisor.start(AT)
    await eventually(() => expect(events).toEqual(['catch up', 'worker.ready']))
    expect(supervisor.isListening).toBe(true)
    make(supervisor, how)
    await eventually(() => expect(count(events, 'worker.ready')).toBe(2))
    expect(events.slice(2)).toEqual(['clean up: crash', 'worker.exit', 'catch up', 'worker.ready'])
    const exit = lines.find(({ event }) => event === 'worker.exit')
    expect(exit).toMatchObject({ worker: 3, restartMs: 50 })
    expect(exit?.['error']).toContain(why)
    expect([supervisor.isListening, lives()]).toEqual([true, 2])
  })

  it('tries again from the first thread on, after longer and longer pauses, until one listens', async () => {
    const { supervisor, events, lines } = world(['broken', 'taken', 'well'])
    supervisor.start(AT)
    await eventually(() => expect(events).toContain('worker.ready'))
    const pauses = lines.filter(({ event }) => event === 'worker.exit').map(({ restartMs }) => restartMs)
    expect(pauses).toEqual([50, 100])
    expect(lines.filter(({ event }) => event === 'worker.start').map(({ error }) => error)).toEqual([
      expect.stringContaining('broken from the start'),
      expect.stringContaining('in use'),
    ])
  })

  it('rejects the calls that are pending when its thread ends', async () => {
    const { supervisor, events } = world([])
    supervisor.start(AT)
    await eventually(() => expect(events).toContain('worker.ready'))
    const asked = supervisor.rpc?.call('explain', { method: 'POST', path: '/' }, 60_000)
    make(supervisor, 'exit')
    await expect(asked).rejects.toThrow('ended with 7')
  })

  it('starts no other thread once it is closed, whatever its thread does', async () => {
    const { supervisor, events, lives } = world(['broken', 'well'])
    supervisor.start(AT)
    await eventually(() => expect(events).toContain('worker.exit'))
    await supervisor.close()
    expect([lives(), count(events, 'worker.ready')]).toEqual([1, 0])
  })

  it('drains a thread that has begun to bind the port and has not told of it', async () => {
    const { supervisor, steps } = world(['binding'])
    supervisor.start(AT)
    await eventually(() => expect(steps()).toEqual(['told', 'bound']))
    expect(supervisor.isListening).toBe(false)
    await supervisor.drain(10_000)
    expect(steps()).toEqual(['told', 'bound', 'drained'])
    expect(supervisor.isListening).toBe(true)
  })

  it('lets a thread that has not begun to bind the port never do so, once it drains', async () => {
    const { supervisor, steps, goOn } = world(['late'])
    supervisor.start(AT)
    await eventually(() => expect(steps()).toEqual(['told']))
    await supervisor.drain(10_000)
    goOn()
    await supervisor.close()
    expect([supervisor.isListening, steps()]).toEqual([false, ['told']])
  })

  it('starts nothing where the drain came first', async () => {
    const { supervisor, lives } = world([])
    await supervisor.drain(1_000)
    supervisor.start(AT)
    expect([supervisor.rpc, lives()]).toEqual([undefined, 0])
  })

  it('replaces a thread that has not moved between five checks, and not before', async () => {
    const clock = new FakeClock()
    const { supervisor, events, lines, beat, stands } = world([], clock)
    supervisor.start(AT)
    await eventually(() => expect(events).toContain('worker.ready'))
    // It moves between these checks: however many there are, they find nothing.
    for (let check = 0; check < 8; check++) {
      const before = beat()
      await eventually(() => expect(beat()).toBeGreaterThan(before))
      clock.advance(1_000)
    }
    expect(events).not.toContain('worker.hung')
    make(supervisor, 'stand still')
    await eventually(() => expect(stands()).toBe(true))
    for (let check = 0; check < 4; check++) clock.advance(1_000)
    expect(events).not.toContain('worker.hung')
    // It may have moved once more after the last check before.
    for (let check = 0; check < 2; check++) clock.advance(1_000)
    expect(lines.at(-1)).toMatchObject({ event: 'worker.hung', worker: 3, stillMs: 5_000 })
    expect(supervisor.isListening).toBe(false)
    await eventually(() => expect(events).toContain('worker.exit'))
    expect(events.slice(-3)).toEqual(['worker.hung', 'clean up: hang', 'worker.exit'])
    clock.advance(50)
    await eventually(() => expect(count(events, 'worker.ready')).toBe(2))
  })
})
