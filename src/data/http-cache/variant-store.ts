/** Where kept answers lie: a URL's node first, then the answer that it leads to; in memory, then in the shared tiers. */
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

/** What keys are made of for one head. */
export interface HttpSeeds {
  /** Of such a call by nobody in particular. */
  readonly url: Seed
  /** With the head's own credentials and fields. */
  readonly own: Seed
}

/** A call and what it asks the cache for. */
export interface HttpLookup extends VariantRequest {
  readonly call: Call
  readonly matched: Matched
  readonly wish: Directives
  /** Tiers that other gateways share may be looked into. */
  readonly shared: boolean
  /** What is stored may go there, too. */
  readonly writable: boolean
  /** The cache's mark when the call came: what was removed since then is not kept from it. */
  readonly began: number
  /** Wall milliseconds when it came: what was written to since then is not kept either. */
  readonly at: number
}

/** What of an entry its maker knows. */
export type FetchedResponse = Pick<Entry, 'status' | 'headers' | 'body' | 'version'>

export interface StoredVariant {
  readonly entry: Entry
  readonly tier: string
}

/** What is known of a URL. */
export interface UrlState {
  readonly node: UrlNode | undefined
  readonly stored: StoredVariant | undefined
}

/** What stands for a call, and the digest of its body. */
export interface HttpDecision {
  readonly wish: Directives
  readonly seeds: HttpSeeds
  readonly sent: Digest
}

export class VariantStore {
  readonly #cache: Tiered
  readonly #memory: string
  readonly #clock: Clock

  /** `memory`: its name in the settings. */
  constructor({ cache, memory, clock }: { cache: Tiered; memory: string; clock: Clock }) {
    this.#cache = cache
    this.#memory = memory
    this.#clock = clock
  }

  lookup(call: Call, matched: Matched, { wish, seeds, sent }: HttpDecision): HttpLookup {
    const { headers } = call
    return {
      call,
      matched,
      wish,
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

  near(lookup: HttpLookup): UrlState {
    const node = readNode(this.#cache.peek(lookup.url))
    const entry = node && this.#cache.peek(answerDigest(lookup, node))
    return { node, stored: entry && { entry, tier: this.#memory } }
  }

  get hasFar(): boolean {
    return this.#cache.hasShared
  }

  /** From the shared tiers. Another gateway may have made the node anew. */
  async far(lookup: HttpLookup, { node: known }: UrlState): Promise<UrlState> {
    const digests = known ? [lookup.url, answerDigest(lookup, known)] : [lookup.url]
    const [top, answer] = await this.#cache.lookup(digests)
    const theirs = readNode(top?.entry)
    const node = theirs && known && this.#isBehind(theirs, known) ? known : (theirs ?? known)
    if (!node) return NOWHERE
    if (known && answerDigest(lookup, node) === digests[1]) return { node, stored: answer }
    const [stored] = await this.#cache.lookup([answerDigest(lookup, node)])
    return { node, stored }
  }

  /** A tier may not have heard yet of a write that memory knows: whichever worker was told of it, no other asks the tier. */
  #isBehind(theirs: UrlNode, known: UrlNode): boolean {
    const isRecent = this.#clock.wall() - known.writtenAt < BARRED_MS
    return isRecent && theirs.writtenAt < known.writtenAt
  }

  /** What a lease was answered with. */
  read(digest: Digest, value: Uint8Array): CacheHit | undefined {
    return this.#cache.read(digest, value)
  }

  /** Gives the entry that was made, and the node it stands under; undefined: it was written to, its Vary is too long, or there is no room. */
  keep(
    lookup: HttpLookup,
    made: FetchedResponse,
    { node: known, keeping, storing }: StoreGrant,
  ): { readonly entry: Entry; readonly node: UrlNode } | undefined {
    const present = readNode(this.#cache.peek(lookup.url)) ?? known
    // It may be from before the write.
    if (present && present.writtenAt >= lookup.at) return undefined
    const names = united(present?.names ?? [], keeping.names)
    if (!names) return undefined
    const node = present ? { ...present, names } : newNode(names)
    const { createdAt, ttlMs, restMs } = keeping
    const { status, headers, body, version } = made
    const entry: Entry = {
      status,
      headers,
      body,
      version,
      digest: answerDigest(lookup, node),
      kind: 'reply',
      createdAt,
      ttlMs,
      // Whether it may be given when it is too old is told from its fields: this is how long it lies here.
      swrMs: 0,
      sieMs: restMs,
      negative: false,
    }
    const isNamed = this.#store(lookup, this.#topOf(lookup, node, entry))
    const isKept = this.#store(lookup, entry, storing?.(entry.digest))
    return isNamed && isKept ? { entry, node } : undefined
  }

  /**
   * All answers of the URL are unreachable from now on, and what was asked for before is not kept, by no worker; false where
   * a tier could not be told. `lifeMs`: what was kept before is of no use any more after that.
   */
  written(url: Digest, { shared, lifeMs }: { shared: boolean; lifeMs: number }): Promise<boolean> {
    const told = this.#cache.remove(url)
    const now = this.#clock.wall()
    const ttlMs = Math.max(lifeMs, LONGEST_CALL_MS)
    const node = nodeEntry(url, newNode([], now), { createdAt: now, ttlMs })
    this.#cache.store(node, { memoryOnly: !shared })
    return told
  }

  /** A node lives as long as whatever it leads to. */
  #topOf({ url }: HttpLookup, node: UrlNode, entry: Entry): Entry {
    const before = this.#cache.peek(url)
    const end = entry.createdAt + entry.ttlMs + entry.sieMs
    const until = Math.max(end, before ? before.createdAt + before.ttlMs : 0)
    return nodeEntry(url, node, { createdAt: entry.createdAt, ttlMs: until - entry.createdAt })
  }

  #store({ shared, writable, began }: HttpLookup, entry: Entry, options?: StoreOptions): boolean {
    // What others have said of theirs is not yet known to be ours: nothing is kept under it.
    if (shared && !writable) return false
    return this.#cache.store(entry, { memoryOnly: !writable, began, ...options })
  }
}

interface StoreGrant {
  readonly node: UrlNode | undefined
  readonly keeping: Keeping
  /** Under which lease the tiers take it. */
  readonly storing?: ((digest: Digest) => StoreOptions) | undefined
}

/** What was asked for longer ago is not waited for any more. */
const LONGEST_CALL_MS = 600_000

const NOWHERE: UrlState = { node: undefined, stored: undefined }
