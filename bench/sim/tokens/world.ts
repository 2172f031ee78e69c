/** Replicas that generate tokens behind a gateway, simulated: calls go where the fewest are, and demand is measured by the gateway's own meter. */
import type { Demand } from '../../../src/control/scale/demand.ts'
import { DemandMeter } from '../../../src/data/measure/demand.ts'
import { StreamMeter } from '../../../src/data/measure/stream-meter.ts'
import type { Engine } from '../engine.ts'
import { type ServerSettings, TokenServer } from './server.ts'

/** A recorded load: the same calls for every rule under test. */
export interface TokenLoad {
  /** Instants of the calls, milliseconds, rising. */
  readonly arrivals: Float64Array
  readonly prompts: Float64Array
  readonly outputs: Float64Array
}

export interface WorldSettings {
  readonly server: ServerSettings
  readonly startMs: number
  readonly initial: number
  /** Promised to the first token and between tokens, to 95 %. */
  readonly ttftMs: number
  readonly itlMs: number
}

export interface TokenScore {
  /** Shares of the generations that were late. */
  readonly lateFirst: number
  readonly lateBetween: number
  /** Seconds of which more than 5 % of the generations broke a promise. */
  readonly violationSeconds: number
  readonly replicaSeconds: number
  readonly most: number
}

interface Replica {
  readonly server: TokenServer
  readonly askedAt: number
  inflight: number
  state: 'starting' | 'ready' | 'leaving'
}

export class World {
  readonly #engine: Engine
  readonly #load: TokenLoad
  readonly #settings: WorldSettings
  readonly #meter: DemandMeter
  readonly #held: number[] = []
  #replicas: Replica[] = []
  #leaving = 0
  #startsMs: number[] = []
  #replicaMs = 0
  #paidAt = 0
  #most = 0
  #lateFirst = 0
  #lateBetween = 0
  readonly #totals: Float64Array
  readonly #lates: Float64Array

  constructor(engine: Engine, load: TokenLoad, settings: WorldSettings) {
    this.#engine = engine
    this.#load = load
    this.#settings = settings
    this.#meter = new DemandMeter(engine)
    const seconds = Math.ceil((load.arrivals.at(-1) ?? 0) / 1000) + 1
    this.#totals = new Float64Array(seconds)
    this.#lates = new Float64Array(seconds)
    for (let i = 0; i < settings.initial; i++) this.#replicas.push(this.#replica('ready'))
    for (let i = 0; i < load.arrivals.length; i++) engine.at(load.arrivals[i] ?? 0, () => this.#arrive(i))
  }

  scaleTo(desired: number): void {
    this.#pay()
    while (this.#replicas.length > desired) {
      const starting = this.#replicas.findLastIndex(({ state }) => state === 'starting')
      const [replica] = this.#replicas.splice(starting, 1)
      if (!replica || replica.state === 'starting' || replica.inflight === 0) continue
      replica.state = 'leaving'
      this.#leaving++
    }
    while (this.#replicas.length < desired) {
      const replica = this.#replica('starting')
      this.#replicas.push(replica)
      this.#engine.after(this.#settings.startMs, () => this.#ready(replica))
    }
    this.#most = Math.max(this.#most, this.#replicas.length)
  }

  /** What the gateway would report: what was measured since the last report, and the present state. */
  report(): Demand {
    const now = this.#engine.now()
    const { answeredShared: _, ...measured } = this.#meter.read()
    const ready = this.#replicas.filter(({ state }) => state === 'ready')
    const starting = this.#replicas.filter(({ state }) => state === 'starting')
    const startsMs = this.#startsMs
    this.#startsMs = []
    const waiting = ready.reduce((sum, { server }) => sum + server.waiting, 0)
    const full = ready.filter(({ server }) => server.utilization > 0.3)
    const rooms = full.map(({ server }) => server.running / server.utilization)
    const room = rooms.length > 0 ? rooms.reduce((a, b) => a + b) / rooms.length : 0
    return {
      ...measured,
      replicas: {
        ready: ready.length,
        startingMs: starting.map(({ askedAt }) => now - askedAt),
        slow: 0,
        draining: this.#leaving,
      },
      startsMs,
      reported: { waiting, room },
    }
  }

  score(): TokenScore {
    this.#pay()
    const calls = this.#load.arrivals.length
    return {
      lateFirst: this.#lateFirst / calls,
      lateBetween: this.#lateBetween / calls,
      violationSeconds: this.#totals.reduce(
        (sum, total, i) => sum + Number((this.#lates[i] ?? 0) > total * 0.05),
        0,
      ),
      replicaSeconds: this.#replicaMs / 1000,
      most: this.#most,
    }
  }

  #replica(state: Replica['state']): Replica {
    const server = new TokenServer(this.#engine, this.#settings.server)
    return { server, askedAt: this.#engine.now(), inflight: 0, state }
  }

  #ready(replica: Replica): void {
    if (!this.#replicas.includes(replica)) return
    replica.state = 'ready'
    this.#startsMs.push(this.#engine.now() - replica.askedAt)
    for (const i of this.#held.splice(0)) this.#send(i)
  }

  #arrive(i: number): void {
    this.#meter.offered()
    this.#send(i)
  }

  #send(i: number): void {
    let to: Replica | undefined
    for (const each of this.#replicas)
      if (each.state === 'ready' && (!to || each.inflight < to.inflight)) to = each
    if (!to) return void this.#held.push(i)
    this.#generate(i, to)
  }

  #generate(i: number, replica: Replica): void {
    const began = this.#engine.now()
    const waitedMs = began - (this.#load.arrivals[i] ?? 0)
    const inflightAtStart = ++replica.inflight
    this.#meter.enter()
    const call = {
      inflightAtStart,
      waitedMs,
      inflight: () => replica.inflight,
      now: () => this.#engine.now(),
    }
    const stream = new StreamMeter(this.#meter.streams, call, began)
    let pieces = 0
    let firstAt = 0
    replica.server.submit({
      prompt: this.#load.prompts[i] ?? 1,
      output: this.#load.outputs[i] ?? 1,
      onPiece: () => {
        if (pieces++ === 0) firstAt = this.#engine.now()
        stream.came(1)
      },
      onEnd: () => {
        const now = this.#engine.now()
        stream.end()
        this.#judge(i, firstAt - began + waitedMs, pieces > 1 ? (now - firstAt) / (pieces - 1) : 0)
        this.#meter.leave(now - began, inflightAtStart)
        this.#pay()
        if (--replica.inflight === 0 && replica.state === 'leaving') this.#leaving--
      },
    })
  }

  #judge(i: number, firstMs: number, gapMs: number): void {
    const { ttftMs, itlMs } = this.#settings
    const second = Math.floor((this.#load.arrivals[i] ?? 0) / 1000)
    const [isLateFirst, isLateBetween] = [firstMs > ttftMs, gapMs > itlMs]
    this.#totals[second] = (this.#totals[second] ?? 0) + 1
    if (isLateFirst || isLateBetween) this.#lates[second] = (this.#lates[second] ?? 0) + 1
    this.#lateFirst += Number(isLateFirst)
    this.#lateBetween += Number(isLateBetween)
  }

  /** Replicas cost from when they are asked for until their last call has ended. */
  #pay(): void {
    const now = this.#engine.now()
    this.#replicaMs += (now - this.#paidAt) * (this.#replicas.length + this.#leaving)
    this.#paidAt = now
  }
}
