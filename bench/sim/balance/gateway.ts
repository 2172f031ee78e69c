/**
 * The gateway of the simulation: the production modules for selection, outliers, retries, hedges and waiting, unchanged,
 * put together as the dispatcher puts them together, on virtual time.
 */
import type { Backend } from '../../../src/core/backend.ts'
import { digestOf } from '../../../src/core/key.ts'
import { Hedger } from '../../../src/data/balance/hedge.ts'
import { WaitQueue } from '../../../src/data/balance/limits/queue.ts'
import { RetryBudget } from '../../../src/data/balance/limits/retry-budget.ts'
import { Outliers } from '../../../src/data/balance/outliers/outlier.ts'
import { createOutlierState } from '../../../src/data/balance/outliers/outlier-state.ts'
import { createPolicy, type PolicyName } from '../../../src/data/balance/policies/policies.ts'
import { Selector } from '../../../src/data/balance/select.ts'
import { createLoadTable } from '../../../src/data/balance/table.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'
import type { Engine } from '../engine.ts'
import type { SimBackend } from './backend.ts'
import { Tally } from './tally.ts'

export interface Arm {
  readonly name: string
  readonly policy: PolicyName
  readonly outliers?: boolean
  /** Retries of a failed or timed out attempt, on another backend. Default 0. */
  readonly retries?: number
  /** Default: no budget. */
  readonly retryBudget?: boolean
  readonly hedge?: 'free' | 'budget'
  /** Calls a backend is given at a time; the others wait in the gateway. Default: no limit. */
  readonly limit?: number
  /** An attempt is given up after this. Default never. */
  readonly tryTimeoutMs?: number
  /** A call is given up after this, whatever is left of its tries. Default never. */
  readonly deadlineMs?: number
}

interface Flight {
  readonly cameAt: number
  readonly deadline: number
  readonly tried: number[]
  readonly key: number
  running: number
  retriesLeft: number
  /** Taken from the budget. */
  retries: number
  isOver: boolean
  isHedged: boolean
  /** Told once, when it is answered or has failed. */
  readonly done: () => void
}

const SLOTS = 64

export class SimGateway {
  readonly tally = new Tally()
  readonly selector: Selector
  readonly #engine: Engine
  readonly #arm: Arm
  readonly #backends: readonly SimBackend[]
  readonly #budget = new RetryBudget()
  readonly #hedger: Hedger
  readonly #queue: WaitQueue<Flight>
  #meanMs = 50
  #flights = 0
  #underWay = 0

  constructor(
    engine: Engine,
    arm: Arm,
    { backends, seed }: { backends: readonly SimBackend[]; seed: number },
  ) {
    this.#engine = engine
    this.#arm = arm
    this.#backends = backends
    const table = createLoadTable(SLOTS)
    const context = { table, random: createRandom(seed, 'balance'), now: () => engine.now() }
    const policy = createPolicy(arm.policy, context)
    const outliers = arm.outliers ? new Outliers({ ...context, state: createOutlierState(SLOTS) }) : undefined
    this.selector = new Selector({ table, policy, clock: engine, ...(outliers && { outliers }) })
    this.selector.update({ pool: 'sim', revision: 1, backends: backends.map((_, slot) => this.#spec(slot)) })
    this.#hedger = new Hedger(arm.hedge === 'free' ? { budgetPercent: 1e6, burst: 1e6 } : {})
    this.#queue = new WaitQueue<Flight>((flight) => this.#fail(flight), { targetMs: 20, intervalMs: 200 })
    engine.every(100, () => this.selector.tick(this.#queue.depth))
  }

  call(done = () => {}): void {
    const now = this.#engine.now()
    this.#budget.deposit(this.#underWay++)
    const deadline = now + (this.#arm.deadlineMs ?? Infinity)
    const retriesLeft = this.#arm.retries ?? 0
    const rest = { tried: [], running: 0, retries: 0, isOver: false, isHedged: false, done }
    const flight: Flight = { cameAt: now, deadline, key: this.#flights++, retriesLeft, ...rest }
    if (deadline < Infinity) this.#engine.at(deadline, () => this.#fail(flight))
    this.#try(flight)
    if (this.#arm.hedge && !flight.isOver) this.#armHedge(flight)
  }

  #try(flight: Flight, isExtra = false): void {
    const isFirst = flight.tried.length === 0
    const key = digestOf(`${flight.key}`)
    const backend = this.selector.pick({ key, exclude: isFirst ? undefined : flight.tried, isExtra })
    if (backend === 'saturated') this.#wait(flight)
    else if (typeof backend === 'string') this.#settle(flight)
    else this.#send(flight, backend.slot)
  }

  #send(flight: Flight, slot: number): void {
    const sentAt = this.#engine.now()
    const incarnation = this.selector.begin(slot)
    flight.tried.push(slot)
    flight.running++
    this.tally.attempt(sentAt, slot)
    let isOpen = true
    const end = (ending: 'ok' | 'error' | 'timeout') => {
      if (!isOpen) return
      isOpen = false
      flight.running--
      const ms = this.#engine.now() - sentAt
      // The caller's time is up: the backend's fault only if most of it was spent there.
      const isCancelled = flight.isOver && ending === 'timeout' && ms < 3 * this.#meanMs
      if (isCancelled) this.selector.cancel(slot, incarnation, ms)
      else this.selector.end(slot, incarnation, { ms, ending })
      if (ending === 'ok') this.#answered(flight, ms)
      else this.#failed(flight)
      this.#next()
    }
    this.#backends[slot]?.accept((isOk) => end(isOk ? 'ok' : 'error'))
    const { tryTimeoutMs } = this.#arm
    const giveUp = Math.min(sentAt + (tryTimeoutMs ?? Infinity), flight.deadline)
    if (giveUp < Infinity) this.#engine.at(giveUp, () => end('timeout'))
  }

  #answered(flight: Flight, ms: number): void {
    const now = this.#engine.now()
    this.#hedger.observe(now, ms)
    this.#meanMs += (ms - this.#meanMs) * 0.02
    if (flight.isOver) return
    this.tally.answer(flight.cameAt, now)
    this.#over(flight)
  }

  #failed(flight: Flight): void {
    if (flight.isOver || flight.running > 0) return
    const now = this.#engine.now()
    const isWorthIt = flight.retriesLeft > 0 && flight.deadline - now > this.#meanMs
    const isPaid = isWorthIt && (this.#arm.retryBudget !== true || this.#budget.tryWithdraw(now))
    if (!isPaid) return this.#fail(flight)
    if (this.#arm.retryBudget === true) flight.retries++
    flight.retriesLeft--
    this.#try(flight, true)
  }

  /** Nobody takes it: over, unless an attempt is still running. */
  #settle(flight: Flight): void {
    if (flight.running === 0) this.#fail(flight)
  }

  #fail(flight: Flight): void {
    if (flight.isOver) return
    this.tally.failure(flight.cameAt, this.#engine.now())
    this.#over(flight)
  }

  #over(flight: Flight): void {
    flight.isOver = true
    this.#underWay--
    this.#budget.ended(flight.retries)
    flight.done()
  }

  #armHedge(flight: Flight): void {
    const now = this.#engine.now()
    const situation = {
      now,
      remainingMs: flight.deadline - now,
      routable: this.#backends.length,
      saturation: 0,
    }
    const delay = this.#hedger.start(situation)
    if (delay === undefined) return
    this.#engine.at(now + delay, () => {
      if (flight.isOver || flight.running === 0 || !this.#mayHedge()) return
      flight.isHedged = true
      this.#try(flight, true)
    })
  }

  #mayHedge(): boolean {
    if (!this.#hedger.tryTake()) return false
    return this.#arm.retryBudget !== true || this.#budget.tryWithdrawEarned(this.#engine.now())
  }

  #wait(flight: Flight): void {
    const limits = (this.#arm.limit ?? 0) * this.#backends.length
    const capacity = { meanServiceMs: this.#meanMs, medianServiceMs: this.#meanMs, limits }
    const deadline = flight.deadline < Infinity ? flight.deadline : undefined
    const entry = this.#queue.enter(flight, { deadline }, { now: this.#engine.now(), capacity })
    if ('refused' in entry) this.#settle(flight)
  }

  #next(): void {
    if (this.#queue.depth === 0) return
    const flight = this.#queue.take(this.#engine.now(), this.#meanMs)
    if (flight === undefined) return
    if (flight.isOver) this.#next()
    else this.#try(flight)
  }

  #spec(slot: number): Backend {
    const limit = this.#arm.limit === undefined ? {} : { concurrency: this.#arm.limit }
    const known = { id: `b${slot}`, slot, generation: 1, url: `http://127.0.0.1:${9000 + slot}`, models: [] }
    return { ...known, ...limit, weight: 1, state: 'ready', reason: 'simulated', readySince: 0 }
  }
}
