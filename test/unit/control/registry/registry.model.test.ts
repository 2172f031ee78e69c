/** The registry against a model simple enough to be believed: any order of registering, renewing, removing and waiting. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Registry } from '../../../../src/control/registry/registry.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const IDS = ['a', 'b', 'c']
/** Each in a pool of its own, where one missed lease is no reason for self-preservation. */
const poolOf = (id: string) => `pool-${id}`
const TTL = 10_000

interface Known {
  epoch: number
  generation: number
  until: number
}

/** What must be true, in a dozen lines: who is there, with which generation, and which epoch is refused. */
class Model {
  readonly present = new Map<string, Known>()
  readonly tombstones = new Map<string, { epoch: number; removed: boolean; until: number }>()
  readonly generations: number[] = []

  pass(now: number): void {
    for (const [id, known] of this.present) {
      if (known.until + TTL > now) continue
      this.present.delete(id)
      this.tombstones.set(id, { epoch: known.epoch, removed: false, until: known.until + TTL + 300_000 })
    }
  }

  accepts(id: string, epoch: number, now: number): boolean {
    const tombstone = this.tombstones.get(id)
    const buried = tombstone && tombstone.until > now ? tombstone : undefined
    if (buried && (epoch < buried.epoch || (buried.removed && epoch === buried.epoch))) return false
    return epoch >= (this.present.get(id)?.epoch ?? 0)
  }
}

interface World {
  readonly clock: FakeClock
  readonly registry: Registry
}

const id = fc.constantFrom(...IDS)

class Register implements fc.Command<Model, World> {
  readonly id: string
  readonly epoch: number
  constructor(id: string, epoch: number) {
    this.id = id
    this.epoch = epoch
  }
  check = () => true
  run(model: Model, { clock, registry }: World): void {
    const now = clock.now()
    const answer = registry.register(poolOf(this.id), this.id, {
      url: 'http://h:1',
      epoch: this.epoch,
      ttlMs: TTL,
    })
    expect('generation' in answer).toBe(model.accepts(this.id, this.epoch, now))
    if ('refused' in answer) return
    const known = model.present.get(this.id)
    if (known?.epoch === this.epoch) expect(answer.generation).toBe(known.generation)
    else expect(answer.generation).toBeGreaterThan(Math.max(0, ...model.generations))
    model.generations.push(answer.generation)
    model.present.set(this.id, { epoch: this.epoch, generation: answer.generation, until: now + TTL })
  }
  toString = () => `register(${this.id}, epoch ${this.epoch})`
}

class Renew implements fc.Command<Model, World> {
  readonly id: string
  readonly stale: boolean
  constructor(id: string, stale: boolean) {
    this.id = id
    this.stale = stale
  }
  check = () => true
  run(model: Model, { clock, registry }: World): void {
    const known = model.present.get(this.id)
    const generation = (known?.generation ?? 1) - (this.stale ? 1 : 0)
    const answer = registry.renew(poolOf(this.id), this.id, { generation })
    if (!known) expect(answer).toMatchObject({ refused: 'unknownBackend' })
    else if (this.stale) expect(answer).toMatchObject({ refused: 'fenced' })
    else {
      expect(answer).toMatchObject({ generation: known.generation })
      known.until = clock.now() + TTL
    }
  }
  toString = () => `renew(${this.id}${this.stale ? ', stale' : ''})`
}

class Remove implements fc.Command<Model, World> {
  readonly id: string
  constructor(id: string) {
    this.id = id
  }
  check = () => true
  run(model: Model, { clock, registry }: World): void {
    const known = model.present.get(this.id)
    const answer = registry.remove(poolOf(this.id), this.id, { drainMs: 0 })
    expect('generation' in answer).toBe(known !== undefined)
    clock.advance(100)
    if (!known) return
    model.present.delete(this.id)
    model.tombstones.set(this.id, { epoch: known.epoch, removed: true, until: clock.now() - 100 + 300_000 })
    model.pass(clock.now())
  }
  toString = () => `remove(${this.id})`
}

class Pass implements fc.Command<Model, World> {
  readonly ms: number
  constructor(ms: number) {
    this.ms = ms
  }
  check = () => true
  run(model: Model, { clock, registry }: World): void {
    clock.advance(this.ms)
    model.pass(clock.now())
    const backends = registry.views().flatMap((view) => view.backends)
    const serving = backends.filter((backend) => backend.state !== 'draining')
    const states = Object.fromEntries(serving.map((backend) => [backend.id, backend.state]))
    const wanted = [...model.present].map(([name, { until }]) => [
      name,
      until > clock.now() ? 'ready' : 'suspect',
    ])
    expect(states).toEqual(Object.fromEntries(wanted))
    const slots = backends.map((backend) => backend.slot)
    expect(new Set(slots).size).toBe(slots.length)
  }
  toString = () => `pass(${this.ms} ms)`
}

test('any order of registering, renewing, removing and waiting does what the model says', () => {
  const commands = fc.commands(
    [
      fc.tuple(id, fc.integer({ min: 1, max: 5 })).map(([name, epoch]) => new Register(name, epoch)),
      fc.tuple(id, fc.boolean()).map(([name, stale]) => new Renew(name, stale)),
      id.map((name) => new Remove(name)),
      fc.constantFrom(1, 4_999, 5_000, 10_000, 20_000, 310_000).map((ms) => new Pass(ms)),
    ],
    { maxCommands: 40 },
  )
  fc.assert(
    fc.property(commands, (run) => {
      const clock = new FakeClock()
      const registry = new Registry({ clock, log: silentLog, inflight: () => 0, startGraceMs: 0 })
      registry.declare(IDS.map((name) => ({ name: poolOf(name), probed: false })))
      fc.modelRun(() => ({ model: new Model(), real: { clock, registry } }), run)
      registry.close()
    }),
    { numRuns: 200 },
  )
})
