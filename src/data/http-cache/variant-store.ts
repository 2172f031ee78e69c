/** Stores and finds the answers to a URL: first its node, then the answer; in memory, then in the shared tiers. */
import type { Call } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Directives } from '../cache/directives.ts'
import type { Entry } from '../cache/entry.ts'
import { BARRED_MS } from '../cache/fence.ts'
import type { CacheHit, StoreOptions, Tiered } from '../cache/tiered.ts'
import type { Seed } from '../key/keyer.ts'
import type { Matched } from '../route/routes.ts'
import type { Keeping } from './keep.ts'
import {
  answerDigest,
  newNode,
  nodeEntry,
  readNode,
  type UrlNode,
  urlDigest,
  type VariantRequest,
} from './node.ts'
import { united } from './vary.ts'

/** The seeds from which the keys of one head are made. */
export interface HttpSeeds {
  /** The seed of the same call without credentials and fields. */
  readonly url: Seed
  /** With the head's own credentials and fields. */
  readonly own: Seed
}

/** The lookup of a call: the call, its directives, and what its keys are made of. */
export interface HttpLookup extends VariantRequest {
  readonly call: Call
  readonly matched: Matched
  readonly directives: Directives
  /** The tiers that other gateways share may be read. */
  readonly shared: boolean
  /** They may be written, too. */
  readonly writable: boolean
  /** The cache's mark when the call arrived: a key removed since then is not stored by it. */
  readonly began: number
  /** Wall milliseconds when the call arrived: nothing is stored for a URL that was written to since then. */
  readonly at: number
}

/** The part of an entry that comes from the backend's response. */
export type FetchedResponse = Required<Pick<Entry, 'status' | 'headers' | 'body' | 'version' | 'costMs'>>

export interface StoredVariant {
  readonly entry: Entry
  readonly tier: string
}

/** What is known of a URL. */
export interface UrlState {
  readonly node: UrlNode | undefined
  readonly stored: StoredVariant | undefined
}

/** The cache decision for a call, and the digest of its body. */
export interface HttpDecision {
  readonly directives: Directives
  readonly seeds: HttpSeeds
  readonly sent: Digest
}

export class VariantStore {
  readonly #cache: Tiered
  readonly #memory: string
  readonly #clock: Clock

  /** `memory`: the name of the memory tier in the settings. */
  constructor({ cache, memory, clock }: { cache: Tiered; memory: string; clock: Clock }) {
    this.#cache = cache
    this.#memory = memory
    this.#clock = clock
  }

  lookup(call: Call, matched: Matched, { directives, seeds, sent }: HttpDecision): HttpLookup {
    const { headers } = call
    return {
      call,
      matched,
      directives,
      headers,
      sent,
      url: urlDigest(seeds.url.digest),
      seed: seeds.own.digest,
      shared: seeds.url.shared && seeds.own.shared,
      writable: seeds.url.writable && seeds.own.writable,
      began: this.#cache.mark(),
      at: this.#clock.wall(),
    }
  }

  fromMemory(lookup: HttpLookup): UrlState {
    const node = readNode(this.#cache.peek(lookup.url))
    const entry = node && this.#cache.peek(answerDigest(lookup, node))
    return { node, stored: entry && { entry, tier: this.#memory } }
  }

  get hasTiers(): boolean {
    return this.#cache.hasShared
  }

  /** Reads the shared tiers. Another gateway may have replaced the node. */
  async fromTiers(lookup: HttpLookup, { node: known }: UrlState): Promise<UrlState> {
    const digests = known ? [lookup.url, answerDigest(lookup, known)] : [lookup.url]
    const [top, answer] = await this.#cache.lookup(digests)
    const theirs = readNode(top?.entry)
    const node = theirs && known && this.#isBehind(theirs, known) ? known : (theirs ?? known)
    if (!node) return NOWHERE
    if (known && answerDigest(lookup, node) === digests[1]) return { node, stored: answer }
    const [stored] = await this.#cache.lookup([answerDigest(lookup, node)])
    return { node, stored }
  }

  /** A tier may not have a write yet that memory has: only the worker that made the write bars the tier's older value. */
  #isBehind(theirs: UrlNode, known: UrlNode): boolean {
    // A time far in the future is from before the clock was set back.
    const isRecent = Math.abs(this.#clock.wall() - known.writtenAt) < BARRED_MS
    return isRecent && theirs.writtenAt < known.writtenAt
  }

  /** Reads the value that came in place of a lease. */
  read(digest: Digest, value: Uint8Array): CacheHit | undefined {
    return this.#cache.read(digest, value)
  }

  /** Returns the stored entry and its node; undefined: the URL was written to, its Vary is too long, or there is no room. */
  keep(
    lookup: HttpLookup,
    made: FetchedResponse,
    { node: known, keeping, storing }: StoreGrant,
  ): { readonly entry: Entry; readonly node: UrlNode } | undefined {
    const present = readNode(this.#cache.peek(lookup.url)) ?? known
    // The answer may be from before the write.
    if (present && present.writtenAt >= lookup.at) return undefined
    const names = united(present?.names ?? [], keeping.names)
    if (!names) return undefined
    const node = present ? { ...present, names } : newNode(names)
    const { createdAt, ttlMs, restMs } = keeping
    const { status, headers, body, version, costMs } = made
    const entry: Entry = {
      status,
      headers,
      body,
      version,
      digest: answerDigest(lookup, node),
      kind: 'reply',
      createdAt,
      ttlMs,
      // The fields decide whether it may be given when stale; these times only say how long it is stored.
      swrMs: 0,
      sieMs: restMs,
      negative: false,
      costMs,
    }
    const isNamed = this.#store(lookup, this.#topOf(lookup, node, entry))
    const isKept = this.#store(lookup, entry, storing?.(entry.digest))
    return isNamed && isKept ? { entry, node } : undefined
  }

  /**
   * Makes all answers of the URL unreachable, and keeps any worker from storing the answers to earlier calls. False where a
   * tier could not be told. `lifeMs`: after that time the answers stored before would be too old anyway.
   */
  written(url: Digest, { shared, lifeMs }: { shared: boolean; lifeMs: number }): Promise<boolean> {
    const removed = this.#cache.remove(url)
    const now = this.#clock.wall()
    const ttlMs = Math.max(lifeMs, LONGEST_CALL_MS)
    const node = nodeEntry(url, newNode([], now), { createdAt: now, ttlMs })
    this.#cache.store(node, { memoryOnly: !shared })
    return removed
  }

  /** The node's entry, which lives as long as every answer under it; without it none of them is found. */
  #topOf({ url }: HttpLookup, node: UrlNode, entry: Entry): Entry {
    const before = this.#cache.peek(url)
    const end = entry.createdAt + entry.ttlMs + entry.sieMs
    const until = Math.max(end, before ? before.createdAt + before.ttlMs : 0)
    const { createdAt, costMs = 0 } = entry
    return nodeEntry(url, node, { createdAt, ttlMs: until - createdAt, costMs })
  }

  #store({ shared, writable, began }: HttpLookup, entry: Entry, options?: StoreOptions): boolean {
    // The shared stamp is not yet known to be ours, so nothing is stored under it.
    if (shared && !writable) return false
    return this.#cache.store(entry, { memoryOnly: !writable, began, ...options })
  }
}

interface StoreGrant {
  readonly node: UrlNode | undefined
  readonly keeping: Keeping
  /** The options, with a lease if any, under which the entry is stored. */
  readonly storing?: ((digest: Digest) => StoreOptions) | undefined
}

/** No call is assumed to wait longer than this for its answer. */
const LONGEST_CALL_MS = 600_000

const NOWHERE: UrlState = { node: undefined, stored: undefined }
