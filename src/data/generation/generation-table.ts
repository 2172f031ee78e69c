/** The generations that run in this thread, by the key under which they will be kept. */
import type { Digest } from '../../core/key.ts'
import type { Observer } from '../../core/observer.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Generation, Plan } from '../../protocol/protocol.ts'
import { keptHeaders } from '../decision/storable.ts'
import type { Claims } from '../flight/claims.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'
import { RunningGeneration, type RunningGenerationParts } from './running-generation.ts'

/** The call that a backend answers with events. */
interface GenerationCall {
  readonly matched: Matched
  readonly plan: Plan
}

interface GenerationUse extends Pick<RunningGenerationParts, 'keep'> {
  /** Others may join it. */
  readonly isJoinable: boolean
  /** Another worker reads it from the backend, and counts it. */
  readonly isRelayed?: boolean
}

export interface GenerationTableParts {
  /** Undefined: this process has one worker. */
  readonly claims?: Pick<Claims, 'extend' | 'end'> | undefined
  readonly observer: Pick<Observer, 'generated'>
  readonly clock: Pick<Clock, 'now'>
}

export class GenerationTable {
  readonly #running = new Map<Digest, RunningGeneration>()
  readonly #parts: GenerationTableParts

  constructor(parts: GenerationTableParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#running.size
  }

  /** Reads events that have begun to arrive. An older generation under the same key cannot be joined any more. */
  run(
    { matched, plan }: GenerationCall,
    response: Pick<UpstreamResponse, 'reply' | 'ms'>,
    { isJoinable, isRelayed = false, keep }: GenerationUse,
  ): RunningGeneration {
    const { protocol, route, target } = matched
    const { observer, clock } = this.#parts
    const { reply, ms } = response
    const running = new RunningGeneration({
      generation: protocol.generation as Generation,
      plan,
      reply,
      keptHeaders: keptHeaders(reply, protocol),
      maxBytes: (route.cache as RouteCache).maxEntryBytes,
      keep,
      clock,
      askedAt: clock.now() - ms,
      measured: (generated) => {
        if (!isRelayed) observer.generated(target.model ?? '', generated)
      },
    })
    if (isJoinable) this.#publish(plan.whole, running)
    return running
  }

  find(digest: Digest): RunningGeneration | undefined {
    return this.#running.get(digest)
  }

  /** Nobody joins it any more; its readers go on reading. */
  retire(digest: Digest): void {
    if (this.#running.delete(digest)) this.#parts.claims?.end(digest)
  }

  /** As long as others may join it, its claim tells the other workers where it runs. */
  #publish(digest: Digest, running: RunningGeneration): void {
    this.#running.set(digest, running)
    this.#parts.claims?.extend(digest)
    void running.over.then(() => {
      if (this.#running.get(digest) === running) this.retire(digest)
    })
  }
}
