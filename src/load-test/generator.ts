/** One load generator: runs the phases that it is told to, and tells each second what it has counted. */

import { GatewayError } from '../core/errors.ts'
import { Cancel } from '../lib/cancel.ts'
import { systemClock } from '../lib/clock.ts'
import { createRandom } from '../lib/seeded-random.ts'
import { timer, Wheel } from '../lib/wheel.ts'
import { type Arrivals, ScheduledArrivals } from './arrivals.ts'
import { Asker } from './asker.ts'
import { ClosedLoop } from './closed-loop.ts'
import { questioner } from './dialects/questioner.ts'
import type { Loop, LoopParts } from './loop.ts'
import type { GeneratorOptions, GeneratorReport, GeneratorRequest, Phase } from './messages.ts'
import { OpenLoop } from './open-loop.ts'
import { lengthOf } from './profile.ts'
import { QuestionSource } from './question-source.ts'
import { ReplayedArrivals } from './replay.ts'
import { Schedule } from './schedule.ts'
import { LoadTally } from './tally.ts'

/** How often it is looked whether a second is over in which nothing happens. */
const TICK_MS = 100

export class Generator {
  readonly #options: GeneratorOptions
  readonly #tell: (report: GeneratorReport) => void
  readonly #wheel = new Wheel(systemClock)
  readonly #askers: readonly Asker[]
  readonly #source: QuestionSource
  #running: RunningPhase | undefined

  constructor(options: GeneratorOptions, tell: (report: GeneratorReport) => void) {
    this.#options = options
    this.#tell = tell
    const { keys, exponent, seed, index, dialect } = options
    const draw = { keys, exponent, seed: seed + index * SEED_STEP }
    this.#source = new QuestionSource(questioner(dialect, keys), draw)
    const { timeoutMs, tls, streams, callers } = options
    const countsTokens = dialect.protocol === 'openai' && dialect.generation.endpoint !== 'embeddings'
    this.#askers = options.urls.map(
      (url) => new Asker({ url, timeoutMs, tls, streams, countsTokens }, callers, this.#wheel),
    )
    tell({ type: 'ready' })
  }

  handle(request: GeneratorRequest): void {
    switch (request.type) {
      case 'begin':
        void this.#begin(request.phase)
        return
      case 'stop':
        return this.#running?.stop(request.graceMs)
      case 'close':
        void this.close()
    }
  }

  async close(): Promise<void> {
    this.#running?.stop(0)
    await Promise.all(this.#askers.map((asker) => asker.close()))
    this.#wheel.close()
  }

  async #begin(phase: Phase): Promise<void> {
    try {
      const beganMs = phase.at - performance.timeOrigin
      const running = new RunningPhase(phase, beganMs, { wheel: this.#wheel, tell: this.#tell })
      this.#running = running
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, beganMs - performance.now())))
      const parts = { ...running.parts, asker: this.#askers[phase.side] as Asker }
      await running.run(await this.#loop(phase, parts), endOf(phase) + this.#options.timeoutMs)
    } catch (error) {
      this.#tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    }
  }

  async #loop({ plan, side }: Phase, parts: LoopParts): Promise<Loop> {
    const { callers, driver, urls, timeoutMs } = this.#options
    if (plan.kind === 'closed' && driver === 'autocannon') {
      const { AutocannonLoop } = await import('./autocannon-loop.ts')
      const options = { url: urls[side] as string, callers, timeoutMs, durationMs: plan.durationMs }
      return new AutocannonLoop(options, this.#source, parts)
    }
    if (plan.kind === 'closed')
      return new ClosedLoop({ callers, durationMs: plan.durationMs }, this.#source, parts)
    const durationMs = plan.kind === 'open' ? lengthOf(plan.stages) : plan.limitMs
    return new OpenLoop({ connections: callers, durationMs }, this.#arrivals(plan), parts)
  }

  #arrivals(plan: Exclude<Phase['plan'], { kind: 'closed' }>): Arrivals {
    const { index, of, seed, dialect } = this.#options
    if (plan.kind === 'replay') return new ReplayedArrivals(plan, { index, of }, dialect.headers)
    const random = createRandom(seed, `arrivals ${index}`)
    return new ScheduledArrivals(new Schedule(plan.stages, plan.spacing, { index, of }, random), this.#source)
  }
}

/** Generators draw different keys. */
const SEED_STEP = 0x9e37_79b9

function endOf({ plan }: Phase): number {
  if (plan.kind === 'replay') return plan.limitMs
  return plan.kind === 'open' ? lengthOf(plan.stages) : plan.durationMs
}

interface PhaseParts {
  readonly wheel: Wheel
  readonly tell: (report: GeneratorReport) => void
}

/** A phase from its beginning to the end of its last call. */
class RunningPhase {
  readonly #phase: Phase
  readonly #beganMs: number
  readonly #parts: PhaseParts
  readonly #cancel = new Cancel()
  readonly #giveUp = timer(() => this.#cancel.abort(OVER))
  #tally = new LoadTally()
  #second = 0
  #loop: Loop | undefined
  #isStopped = false

  constructor(phase: Phase, beganMs: number, parts: PhaseParts) {
    this.#phase = phase
    this.#beganMs = beganMs
    this.#parts = parts
  }

  get parts(): Omit<LoopParts, 'asker'> {
    const tallyAt = (nowMs: number) => this.#tallyAt(nowMs)
    return { tallyAt, beganMs: this.#beganMs, signal: this.#cancel }
  }

  /** Runs the loop to its end, and gives up what is still running after `mostMs`. */
  async run(loop: Loop, mostMs: number): Promise<void> {
    this.#loop = loop
    if (this.#isStopped) loop.stop()
    const busyBefore = performance.eventLoopUtilization()
    if (Number.isFinite(mostMs)) this.#parts.wheel.arm(this.#giveUp, mostMs)
    const tick = setInterval(() => this.#tallyAt(performance.now()), TICK_MS)
    try {
      await loop.run()
    } finally {
      clearInterval(tick)
      this.#parts.wheel.disarm(this.#giveUp)
    }
    this.#flush()
    const busy = performance.eventLoopUtilization(busyBefore).utilization
    this.#parts.tell({ type: 'ended', phase: this.#phase.id, busy })
  }

  stop(graceMs: number): void {
    this.#isStopped = true
    this.#loop?.stop()
    this.#parts.wheel.arm(this.#giveUp, graceMs)
  }

  #tallyAt(nowMs: number): LoadTally {
    const second = Math.max(0, Math.floor((nowMs - this.#beganMs) / 1000))
    if (second > this.#second) {
      this.#flush()
      this.#second = second
    }
    return this.#tally
  }

  #flush(): void {
    if (this.#tally.isEmpty) return
    const counts = this.#tally.counts()
    this.#parts.tell({ type: 'counts', phase: this.#phase.id, second: this.#second, counts })
    this.#tally = new LoadTally()
  }
}

const OVER = new GatewayError('callerLeft', 'the test is over')
