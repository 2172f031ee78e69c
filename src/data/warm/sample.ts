/**
 * A bounded sample of the calls of a route, for warming: those whose answers are worth most a byte of what is kept of them. The
 * worth of a call is how often it was asked, of which older times count less, times what a miss costs, by its size. To make
 * room, a few are drawn at random and the least of them goes, so each call that is noted takes constant time.
 */
import { type Digest, wordOf } from '../../core/key.ts'
import type { SampledCall, WarmRequest } from '../../core/warm.ts'

export interface SampleOptions {
  readonly maxBytes: number
  /** Wall or monotonic milliseconds. */
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** What is known of a call when it is noted. */
export interface NotedCall {
  readonly id: Digest
  /** How many calls it stands for. */
  readonly weight: number
  /** Undefined, or 0: not known. */
  readonly costMs: number | undefined
  /** Of its answer: whole, and of each row. */
  readonly keys: readonly Digest[]
  readonly subject: Subject
  /** Bytes of what `request` gives. */
  readonly bytes: number
  /** Called where it is to be kept. */
  readonly request: () => WarmRequest
}

/** What calls belong to, as far as purges and deployments go. One object for all calls of a kind. */
export interface Subject {
  readonly model: string
  /** The epochs of their keys. */
  readonly epochs: readonly string[]
}

interface KeptCall {
  readonly id: Digest
  readonly request: WarmRequest
  readonly subject: Subject
  bytes: number
  /** The beginnings of the digests. */
  keys: Uint32Array
  weight: number
  /** When the weight was what it says. */
  weighedAt: number
  costMs: number
  /** Its index in the list. */
  at: number
}

/** A weight is half of what it was after this. */
const HALF_LIFE_MS = 10 * 60_000
/** So many are drawn to find one that goes. */
const DRAWN = 5
/** For one call at most so many go. */
const MAX_EVICTED = 32
/** Longer calls would be the sample. */
const LARGEST_SHARE = 1 / 8
/** What a call takes beside its bytes: objects, a buffer and a place in the table. */
const OVERHEAD_BYTES = 512
/** The weight of what is new in the cost of a call. */
const COST_WEIGHT = 0.25

export class CallSample {
  readonly #options: SampleOptions
  readonly #calls = new Map<Digest, KeptCall>()
  readonly #list: KeptCall[] = []
  #bytes = 0

  constructor(options: SampleOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#list.length
  }

  note(noted: NotedCall): void {
    const { id, weight, costMs = 0, keys } = noted
    const now = this.#options.now()
    const known = this.#calls.get(id)
    if (!known) return this.#add(noted, now)
    known.weight = weightAt(known, now) + weight
    known.weighedAt = now
    if (costMs > 0)
      known.costMs = known.costMs === 0 ? costMs : known.costMs + COST_WEIGHT * (costMs - known.costMs)
    // Those of the present deployment.
    if (known.keys[0] !== wordOf(keys[0] as Digest, 0)) this.#rekey(known, wordsOf(keys))
  }

  /** The calls of most worth, at most so many, in no order. */
  best(most: number): SampledCall[] {
    const now = this.#options.now()
    const worths = Float64Array.from(this.#list, (call) => worthOf(call, now))
    const least = worths.length > most ? (worths.slice().sort()[worths.length - most] as number) : 0
    return this.#list
      .filter((_, i) => (worths[i] as number) >= least)
      .slice(0, most)
      .map((call) => ({
        id: call.id,
        model: call.subject.model,
        weight: weightAt(call, now),
        costMs: call.costMs,
      }))
  }

  request(id: Digest): WarmRequest | undefined {
    return this.#calls.get(id)?.request
  }

  /** Forgets the calls whose keys cover this epoch: it was replaced. */
  purged(epoch: string): void {
    const subjects = new Map<Subject, boolean>()
    this.#removeWhere(({ subject }) => {
      let isPurged = subjects.get(subject)
      if (isPurged === undefined) subjects.set(subject, (isPurged = subject.epochs.includes(epoch)))
      return isPurged
    })
  }

  /** Forgets the calls that an answer with this key belongs to. Of four billion others one goes as well. */
  forget(key: Digest): void {
    const word = wordOf(key, 0)
    this.#removeWhere(({ keys }) => keys.includes(word))
  }

  #add(noted: NotedCall, now: number): void {
    const { id, weight, costMs = 0, subject } = noted
    const keys = wordsOf(noted.keys)
    const bytes = OVERHEAD_BYTES + keys.byteLength + noted.bytes
    const { maxBytes } = this.#options
    if (bytes > maxBytes * LARGEST_SHARE) return
    const worth = worthOf({ weight, weighedAt: now, costMs, bytes }, now)
    for (let evicted = 0; this.#bytes + bytes > maxBytes; evicted++) {
      const least = this.#drawLeast(now)
      if (!least || evicted >= MAX_EVICTED || worthOf(least, now) > worth) return
      this.#remove(least)
    }
    const call = {
      id,
      request: noted.request(),
      subject,
      bytes,
      keys,
      weight,
      weighedAt: now,
      costMs,
      at: this.#list.length,
    }
    this.#calls.set(id, call)
    this.#list.push(call)
    this.#bytes += bytes
  }

  /** The same call has another number of keys where its model is split meanwhile. */
  #rekey(call: KeptCall, keys: Uint32Array): void {
    const more = keys.byteLength - call.keys.byteLength
    call.keys = keys
    call.bytes += more
    this.#bytes += more
    if (this.#bytes > this.#options.maxBytes) this.#remove(call)
  }

  #drawLeast(now: number): KeptCall | undefined {
    let least: KeptCall | undefined
    for (let drawn = 0; drawn < DRAWN && this.#list.length > 0; drawn++) {
      const call = this.#list[Math.floor(this.#options.random() * this.#list.length)] as KeptCall
      if (!least || worthOf(call, now) < worthOf(least, now)) least = call
    }
    return least
  }

  #removeWhere(isGone: (call: KeptCall) => boolean): void {
    for (let at = this.#list.length - 1; at >= 0; at--) {
      const call = this.#list[at] as KeptCall
      if (isGone(call)) this.#remove(call)
    }
  }

  /** The last one takes its place in the list. */
  #remove(call: KeptCall): void {
    this.#calls.delete(call.id)
    this.#bytes -= call.bytes
    const last = this.#list.pop() as KeptCall
    if (last === call) return
    last.at = call.at
    this.#list[call.at] = last
  }
}

function wordsOf(keys: readonly Digest[]): Uint32Array {
  return Uint32Array.from(keys, (key) => wordOf(key, 0))
}

type Weighed = Pick<KeptCall, 'weight' | 'weighedAt'>

function weightAt({ weight, weighedAt }: Weighed, now: number): number {
  return weight * 2 ** ((weighedAt - now) / HALF_LIFE_MS)
}

/** What is not known counts as a millisecond. */
function worthOf(call: Weighed & Pick<KeptCall, 'costMs' | 'bytes'>, now: number): number {
  return (weightAt(call, now) * Math.max(1, call.costMs)) / call.bytes
}
