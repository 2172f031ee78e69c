/** A pool of replicas on virtual time, measured by the production meter and sized by the production scaler. */
import { ALONE } from '../../../src/control/scale/alone.ts'
import { SCALE_DEFAULTS, type ScaleOptions } from '../../../src/control/scale/demand.ts'
import { type PoolSample, Scaler } from '../../../src/control/scale/scaler.ts'
import { DemandMeter } from '../../../src/data/measure/demand.ts'
import type { Engine } from '../engine.ts'
import type { Draw } from '../service.ts'

export interface PoolOptions {
  readonly name: string
  /** Calls that a replica serves at a time. */
  readonly slots: number
  readonly replicas: number
  readonly startMs: number
  readonly sloMs: number
  readonly max: number
  /** One service time, milliseconds. */
  readonly service: Draw
  /** Whether a call fails; it takes its time all the same. */
  readonly fails: () => boolean
}

/** `ms`: from when the call arrived; `serviceMs`: at the replica. */
export type Served = (ended: {
  readonly isFailed: boolean
  readonly ms: number
  readonly serviceMs: number
}) => void

export class SimulatedPool {
  readonly meter: DemandMeter
  readonly #engine: Engine
  readonly #options: PoolOptions
  readonly #queue: (() => void)[] = []
  #head = 0
  ready: number
  #starting: number[] = []
  #starts: number[] = []
  #busy = 0

  constructor(engine: Engine, options: PoolOptions) {
    this.#engine = engine
    this.#options = options
    this.meter = new DemandMeter(engine)
    this.ready = options.replicas
  }

  get name(): string {
    return this.#options.name
  }

  get places(): number {
    return this.ready * this.#options.slots - this.#busy
  }

  ask(served: Served): void {
    this.meter.offered()
    const arrived = this.#engine.now()
    if (this.places > 0 && this.#waiting === 0) return this.#serve(arrived, served)
    const waited = this.meter.wait()
    this.#queue.push(() => {
      waited()
      this.#serve(arrived, served)
    })
  }

  get #waiting(): number {
    return this.#queue.length - this.#head
  }

  #serve(arrived: number, served: Served): void {
    this.#busy++
    this.meter.enter()
    const inflight = Math.max(1, Math.ceil(this.#busy / Math.max(1, this.ready)))
    const serviceMs = this.#options.service()
    const isFailed = this.#options.fails()
    this.#engine.after(serviceMs, () => {
      this.#busy--
      const ms = this.#engine.now() - arrived
      this.meter.leave(serviceMs, isFailed ? 0 : inflight)
      if (!isFailed) this.meter.served(ms)
      this.#next()
      served({ isFailed, ms, serviceMs })
    })
  }

  #next(): void {
    while (this.places > 0 && this.#waiting > 0) {
      const run = this.#queue[this.#head++]
      if (this.#head > 4096) this.#head -= this.#queue.splice(0, this.#head).length
      run?.()
    }
  }

  /** Starts or ends replicas. A replica that ends finishes its calls. */
  resize(desired: number): void {
    while (this.ready + this.#starting.length < desired) {
      const at = this.#engine.now()
      this.#starting.push(at)
      this.#engine.after(this.#options.startMs, () => {
        const i = this.#starting.indexOf(at)
        if (i < 0) return
        this.#starting.splice(i, 1)
        this.#starts.push(this.#options.startMs)
        this.ready++
        this.#next()
      })
    }
    while (this.ready + this.#starting.length > desired && this.#starting.length > 0) this.#starting.pop()
    this.ready = Math.min(this.ready, desired)
  }

  sample(): PoolSample {
    const now = this.#engine.now()
    return {
      level: this.meter.level,
      ready: this.ready,
      slow: 0,
      draining: 0,
      slots: this.#options.slots,
      embedded: { startingMs: this.#starting.map((at) => now - at), startsMs: this.#starts.splice(0) },
      read: () => this.meter.read(),
    }
  }

  get scaleOptions(): ScaleOptions {
    const { startMs, sloMs, max } = this.#options
    return { ...SCALE_DEFAULTS, min: 1, max, startMs, sloMs }
  }
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** The production scaler over these pools, ticking on virtual time. */
export function scale(engine: Engine, pools: readonly SimulatedPool[]): Scaler {
  const byName = new Map(pools.map((pool) => [pool.name, pool]))
  const scaler = new Scaler({
    clock: engine,
    log: SILENT,
    sample: (name) => byName.get(name)?.sample(),
    isTierDown: () => false,
    group: ALONE,
    settleMs: 0,
  })
  scaler.follow(
    pools.map((pool) => ({
      name: pool.name,
      options: pool.scaleOptions,
      emitters: [
        { name: 'simulated', emit: ({ decision }) => pool.resize(decision.desired), close: () => {} },
      ],
      isEmbedded: true,
    })),
  )
  engine.every(100, () => scaler.tick())
  return scaler
}
