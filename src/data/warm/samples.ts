/**
 * The samples of this worker's routes. A call is noted when it was answered from loaded entries, and of the hits a bounded number
 * a second, on the long way, where its body was read.
 *
 * Of a call everything is kept that its key and its answer depend on, but for credentials: a call that has some is not kept. That
 * nothing is missing is seen by its seed, which what is kept must give again; so a call that was asked before a purge or a
 * deployment, and answered after it, is not kept either.
 */
import { isWhole, type RawPairs } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { SampledCall, WarmRequest } from '../../core/warm.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Entry } from '../cache/entry.ts'
import { namesOfCall } from '../key/epoch-names.ts'
import type { Keyer } from '../key/keyer.ts'
import { principalOf } from '../key/meaning.ts'
import { requestFields, withoutSecrets } from '../record/described.ts'
import type { Live, Matched, RouteTable } from '../route/routes.ts'
import type { LookupContext } from '../rows/lookup-context.ts'
import { CallSample, type Subject } from './sample.ts'

/** What is known of a call that was read and answered. */
export type NotedAnswer = Pick<LookupContext, 'call' | 'matched' | 'seed' | 'plan' | 'rows'>

const MAX_SUBJECTS = 1_000

interface FieldsBy {
  readonly by: RouteTable
  readonly kept: RawPairs | undefined
}

export interface SamplesParts {
  readonly live: () => Live
  readonly keyer: Pick<Keyer, 'seed'>
  readonly clock: Pick<Clock, 'now'>
  readonly random: () => number
}

export class Samples {
  readonly #parts: SamplesParts
  readonly #routes = new Map<string, CallSample>()
  readonly #maxBytes = new Map<string, number>()
  /** By list of fields, which repeats with its client; undefined: it has credentials. */
  readonly #fields = new WeakMap<RawPairs, FieldsBy>()
  readonly #subjects = new Map<string, Subject>()

  constructor(parts: SamplesParts) {
    this.#parts = parts
  }

  /** Takes over how many bytes each route may have; the samples of others, and of those with other bounds, are dropped. */
  shape(bounds: ReadonlyMap<string, number>): void {
    for (const [route, maxBytes] of this.#maxBytes)
      if (bounds.get(route) !== maxBytes) {
        this.#routes.delete(route)
        this.#maxBytes.delete(route)
      }
    const { clock, random } = this.#parts
    for (const [route, maxBytes] of bounds) {
      if (this.#routes.has(route)) continue
      this.#maxBytes.set(route, maxBytes)
      this.#routes.set(route, new CallSample({ maxBytes, now: () => clock.now(), random }))
    }
  }

  /** `entries`: those that it was answered from; left out: they are not known. */
  note(answered: NotedAnswer, weight: number, entries?: readonly Entry[]): void {
    const { call, matched, seed, plan, rows } = answered
    const sample = this.#routes.get(matched.route.name)
    const { body } = call
    if (!sample || !isWhole(body) || body instanceof Chunks) return
    const headers = this.#fieldsOf(call.headers)
    if (!headers || withoutSecrets(call.query) !== call.query) return
    const { method, path: sent, askedPath: path = sent, query, host, principal, identity, target } = call
    const kept = { method, path, query, host, headers, principal }
    const again = this.#parts.keyer.seed({ ...kept, path: sent, target, identity }, matched)
    if (again instanceof Promise || again.digest !== seed.digest) return
    const id = idOf(kept, matched, body)
    sample.note({
      id,
      weight,
      costMs: entries?.reduce((sum, { costMs = 0 }) => sum + costMs, 0),
      keys: rows ? [plan.whole, ...new Set(rows.map(({ digest }) => digest))] : [plan.whole],
      subject: this.#subjectOf(matched),
      bytes: body.length + path.length + query.length + lengthOf(headers),
      request: () => ({ ...kept, body: new Uint8Array(body) }),
    })
  }

  /** The calls of a route that are worth most, at most so many. */
  best(route: string, most: number): readonly SampledCall[] {
    return this.#routes.get(route)?.best(most) ?? []
  }

  /** The calls themselves, in this order; undefined: it is forgotten. */
  requests(route: string, ids: readonly Digest[]): readonly (WarmRequest | undefined)[] {
    const sample = this.#routes.get(route)
    return ids.map((id) => sample?.request(id))
  }

  /** Forgets what was answered under an epoch that was replaced. */
  purged(epoch: string): void {
    for (const sample of this.#routes.values()) sample.purged(epoch)
  }

  /** Forgets the calls that were answered under this key. */
  forget(key: Digest): void {
    for (const sample of this.#routes.values()) sample.forget(key)
  }

  sizes(): readonly { readonly route: string; readonly bytes: number; readonly calls: number }[] {
    return [...this.#routes].map(([route, { bytes, size }]) => ({ route, bytes, calls: size }))
  }

  /** Undefined: there are credentials among them. */
  #fieldsOf(headers: RawPairs): RawPairs | undefined {
    const { route } = this.#parts.live()
    const known = this.#fields.get(headers)
    if (known?.by === route) return known.kept
    const kept = principalOf(headers) === '' ? requestFields(headers, route.fields) : undefined
    this.#fields.set(headers, { by: route, kept })
    return kept
  }

  #subjectOf(matched: Matched): Subject {
    const { route, target } = matched
    const { model, version } = target
    const epochs = namesOfCall({ route: route.name, model, version, tags: route.cache?.tags ?? [] })
    const name = epochs.join('\n')
    const known = this.#subjects.get(name)
    if (known) return known
    const subject = { model: model ?? '', epochs }
    // Callers make up names; those that are kept have theirs.
    if (this.#subjects.size >= MAX_SUBJECTS) this.#subjects.clear()
    this.#subjects.set(name, subject)
    return subject
  }
}

/** Each part with its length in front; the body is the last. */
function idOf(
  { method, path, query, host, headers, principal }: Omit<WarmRequest, 'body'>,
  { route }: Matched,
  body: Uint8Array,
): Digest {
  const parts = [route.name, method, host, path, query, principal, ...headers]
  const head = parts.map((part) => `${part.length}:${part}`).join('')
  return digestOf(Buffer.concat([Buffer.from(`${head.length}:${head}`), body]))
}

function lengthOf(headers: RawPairs): number {
  return headers.reduce((sum, text) => sum + text.length, 0)
}
